"""Weight codes of 2, 4 or 8 bits, packed into bytes.

A weight tensor ``[out, in / groups, kh, kw]`` is one row of ``K`` codes per output channel, in that order. A signed
code is stored as the unsigned number ``code + 2**(bits - 1)``; the first code lies in the lowest bits; a row is padded
with zero bits to a whole byte, so that a channel always starts on a byte.

    bits    byte                                       row of K codes
            bit 7                           bit 0
    8       | c0 c0 c0 c0 c0 c0 c0 c0 |                K bytes
    4       | c1 c1 c1 c1 c0 c0 c0 c0 |                ceil(K / 2) bytes
    2       | c3 c3 c2 c2 c1 c1 c0 c0 |                ceil(K / 4) bytes
"""

from math import prod

import numpy as np
import numpy.typing as npt

from dqmq_deploy.bits import LADDER


def row_bytes(count: int, bits: int) -> int:
    """Bytes of a row of ``count`` codes.

    >>> row_bytes(27, 2)
    7
    """
    _check_bits(bits)
    return -(-count * bits // 8)


def pack(codes: npt.NDArray[np.int8], bits: int) -> npt.NDArray[np.uint8]:
    """Pack signed codes ``[out, ...]`` into ``uint8 [out, ceil(K * bits / 8)]``, K codes a row.

    >>> pack(np.array([[-2, -1, 0, 1, 1]], np.int8), bits=2).tolist()
    [[228, 3]]

    Raises:
        ValueError: ``bits`` is not on the ladder, or a code lies outside ``-2**(bits - 1) .. 2**(bits - 1) - 1``.
    """
    _check_bits(bits)
    half = 2 ** (bits - 1)
    rows = codes.reshape(codes.shape[0], prod(codes.shape[1:]))
    if rows.size and (int(rows.min()) < -half or int(rows.max()) >= half):
        raise ValueError(f"expected {bits}-bit codes from {-half} to {half - 1}, got {rows.min()} to {rows.max()}")
    per_byte = 8 // bits
    width = row_bytes(rows.shape[1], bits)
    unsigned = np.zeros((rows.shape[0], width * per_byte), np.uint8)
    unsigned[:, : rows.shape[1]] = (rows.astype(np.int16) + half).astype(np.uint8)
    shifted = unsigned.reshape(-1, width, per_byte) << _shifts(bits)
    packed: npt.NDArray[np.uint8] = np.bitwise_or.reduce(shifted, axis=2)
    return packed


def unpack(packed: npt.NDArray[np.uint8], bits: int, shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
    """Signed codes of ``shape`` from what :func:`pack` made of them.

    Raises:
        ValueError: ``bits`` is not on the ladder, or ``packed`` has another size than ``shape`` needs.
    """
    count = prod(shape[1:])
    expected = (shape[0], row_bytes(count, bits))
    if packed.shape != expected:
        raise ValueError(f"expected packed weights of shape {expected} for {shape} at {bits} bits, got {packed.shape}")
    fields = (packed[:, :, None] >> _shifts(bits)) & np.uint8(2**bits - 1)
    rows = fields.reshape(shape[0], -1)[:, :count]
    signed: npt.NDArray[np.int8] = (rows.astype(np.int16) - 2 ** (bits - 1)).astype(np.int8)
    return signed.reshape(shape)


def _shifts(bits: int) -> npt.NDArray[np.uint8]:
    return np.arange(0, 8, bits, dtype=np.uint8)


def _check_bits(bits: int) -> None:
    if bits not in LADDER:
        raise ValueError(f"expected bits in {LADDER}, got {bits}")
