"""Where the pictures of a data set lie: a folder, a zip or a tar, each holding one folder per class.

    with open_source(Path("signs.zip")) as source:
        for name, content in source.read():    # ("14/00003_00012.webp", b"RIFF...")
            ...

A folder inside an archive is named like one outside: ``cifar10.zip/train``.
"""

import hashlib
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dqmq_deploy.errors import DataError
from dqmq_deploy.images import IMAGE_SUFFIXES

_BIGGEST_FILE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Source:
    """A tree of image files.

    ``names`` are relative to its root, with ``/``; ``content`` reads one of them, None where that fails, quickest in
    the order of ``names``; ``fingerprint`` is a digest that changes when the content does.
    """

    names: tuple[str, ...]
    content: Callable[[str], bytes | None]
    fingerprint: Callable[[], str]

    def read(self) -> Iterator[tuple[str, bytes | None]]:
        """Every image's name and content, None where it cannot be read."""
        return ((name, self.content(name)) for name in self.names)


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """The source at ``path``: a folder, a .zip or .tar[.gz, .bz2, .xz] file, or a folder inside such a file.

    Raises:
        DataError: nothing is there, or it is neither a folder nor an archive, or the archive is damaged.
    """
    if path.is_dir():
        yield _folder(path)
        return
    file = next((place for place in (path, *path.parents) if place.is_file()), None)
    if file is None:
        raise DataError(f"{path}: expected a folder, zip or tar of class folders, found nothing there; check the path")
    inside = f"{path.relative_to(file).as_posix()}/" if file != path else ""
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                yield _zip(file, archive, inside)
        elif tarfile.is_tarfile(file):
            with tarfile.open(file) as tar:
                yield _tar(file, tar, inside)
        else:
            raise DataError(f"{file}: expected a folder, zip or tar of class folders, got another kind of file")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{file}: damaged archive ({error}); fetch or pack it again") from error


def _is_image(name: str) -> bool:
    """By its ending; hidden files and what macOS adds to archives do not count."""
    parts = PurePosixPath(name).parts
    extra = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not extra and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _folder(root: Path) -> Source:
    found = []
    for folder, inner, files in os.walk(root, followlinks=True):
        inner.sort()
        below = Path(folder).relative_to(root)
        found += [(below / file).as_posix() for file in sorted(files)]
    names = tuple(name for name in found if _is_image(name))

    def content(name: str) -> bytes | None:
        try:
            small = (root / name).stat().st_size <= _BIGGEST_FILE_BYTES
            return (root / name).read_bytes() if small else None
        except OSError:
            return None

    def fingerprint() -> str:
        digest = hashlib.sha256(str(root.resolve()).encode())
        for name in names:
            try:
                state = (root / name).stat()
                digest.update(f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
            except OSError:
                digest.update(f"{name}\0\n".encode())
        return digest.hexdigest()

    return Source(names, content, fingerprint)


def _zip(file: Path, archive: zipfile.ZipFile, inside: str) -> Source:
    found = dict.fromkeys(info.filename for info in archive.infolist() if not info.is_dir())
    names = tuple(name.removeprefix(inside) for name in found if name.startswith(inside))

    def content(name: str) -> bytes | None:
        info = archive.getinfo(inside + name)
        try:
            return archive.read(info) if info.file_size <= _BIGGEST_FILE_BYTES else None
        # zipfile raises kinds of RuntimeError for encryption and for compression that it does not know
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):
            return None

    return Source(tuple(filter(_is_image, names)), content, lambda: _digest(file, inside))


def _tar(file: Path, archive: tarfile.TarFile, inside: str) -> Source:
    files = {member.name.removeprefix("./"): member for member in archive if member.isfile()}
    names = tuple(name.removeprefix(inside) for name in files if name.startswith(inside))

    def content(name: str) -> bytes | None:
        member = files[inside + name]
        opened = archive.extractfile(member) if member.size <= _BIGGEST_FILE_BYTES else None
        return opened.read() if opened else None

    return Source(tuple(filter(_is_image, names)), content, lambda: _digest(file, inside))


def _digest(file: Path, inside: str) -> str:
    with file.open("rb") as opened:
        return f"{hashlib.file_digest(opened, 'sha256').hexdigest()}-{inside}"
