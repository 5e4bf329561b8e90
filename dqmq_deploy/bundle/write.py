"""Write a bundle so that whoever looks sees the old one, the new one or none, but never half of one.

The files go into a temporary folder beside the target, are synced to disk, read back with every check of
:meth:`Bundle.open`, and take the target's place in one rename; an old bundle is exchanged, then deleted. The temporary
folder is locked while its writer lives, so that the next writer can tell what a kill left behind from what is in use.
"""

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dqmq_deploy.bundle.manifest import MANIFEST, FileEntry, Manifest, to_json
from dqmq_deploy.bundle.read import Bundle, lies_inside, sha256
from dqmq_deploy.errors import BundleError, ExportError

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file is larger than the system allows",
}
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def write_bundle(path: str | os.PathLike[str], files: Mapping[str, bytes], manifest: Manifest) -> None:
    """Write ``files`` (``{relative path: bytes}``) and the manifest, given their sizes and hashes, as bundle ``path``.

    Raises:
        ExportError: the disk is full, the folder cannot be written, ``path`` holds something that is no bundle, or what
            was written does not read back. What was at ``path`` before is still there, and no temporary folder.
    """
    target = Path(os.path.realpath(path))
    for relative in files:
        if not lies_inside(relative) or relative == MANIFEST:
            raise ExportError(f"{target}: '{relative}' is no path inside a bundle")
    check_target(target)
    entries = {relative: FileEntry(sha256(data), len(data)) for relative, data in sorted(files.items())}
    try:
        remove_stale(target)
        with _temporary_folder(target) as temporary:
            for relative, data in files.items():
                _write_synced(temporary / relative, data)
            _write_synced(temporary / MANIFEST, to_json(replace(manifest, files=entries)))
            _sync_folders(temporary)
            Bundle.open(temporary)
            _swap(temporary, target)
            _sync(target.parent)
    except OSError as error:
        cause = _FULL.get(error.errno or 0, error.strerror or str(error))
        raise ExportError(
            f"{target}: cannot be written: {cause}; what was there is unchanged. Free some space or choose another "
            "folder, and export again"
        ) from None
    except BundleError as error:
        raise ExportError(f"{target}: what was written does not read back: {error}") from None


def remove_stale(target: Path) -> None:
    """Remove temporary folders that killed writers of ``target`` left behind."""
    for leftover in target.parent.glob(f".{target.name}.writing-*"):
        try:
            handle = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            if _lock(handle):
                shutil.rmtree(leftover, ignore_errors=True)
        finally:
            os.close(handle)


def check_target(target: Path) -> None:
    """Raise ExportError unless a bundle can be written at ``target``: nothing, an empty folder or a bundle is there."""
    if not target.parent.is_dir():
        raise ExportError(f"{target}: expected an existing folder {target.parent}; make it first")
    if not target.exists():
        return
    if not target.is_dir():
        raise ExportError(f"{target}: expected a bundle or nothing, found a file; choose another name")
    if any(target.iterdir()) and not (target / MANIFEST).exists():
        raise ExportError(f"{target}: expected a bundle or nothing, found another folder; choose another name")


@contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    while True:
        temporary = target.with_name(f".{target.name}.writing-{secrets.token_hex(4)}")
        temporary.mkdir()
        try:
            handle = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # another writer took it for stale before it was locked
        if _lock(handle) and os.fstat(handle).st_nlink:
            break
        os.close(handle)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_synced(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folders(folder: Path) -> None:
    for parent, _, _ in os.walk(folder):
        _sync(Path(parent))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _swap(temporary: Path, target: Path) -> None:
    if not target.exists() or not any(target.iterdir()):
        os.rename(temporary, target)
    elif not _exchange(temporary, target):
        # no atomic exchange here: between the two renames there is no bundle, as after a kill in a first export
        aside = target.with_name(f"{temporary.name}-old")
        os.rename(target, aside)
        try:
            os.rename(temporary, target)
        except OSError:
            os.rename(aside, target)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(code, os.strerror(code), str(other))
