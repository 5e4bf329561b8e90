# Kernels for aarch64 on another machine, tests under emulation. Debian has both: g++-aarch64-linux-gnu and qemu-user.
#
#   cmake -S kernels -B build/aarch64 -DCMAKE_TOOLCHAIN_FILE=aarch64.cmake -DDQMQ_TESTS=ON '-DDQMQ_TEST_ARGUMENTS=--share;0.05'
#   cmake --build build/aarch64 && ctest --test-dir build/aarch64
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
