"""Open a bundle only if all of it is as it was written.

In this order: the manifest parses and is of a known schema; every file it lists lies inside, is a regular file, and has
its size and sha256; no other file is there; every graph uses known operator domains only and takes external data from
inside ``weights.bin``. No graph is handed to a runtime before that, and nothing is ever unpickled.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dqmq_deploy.bundle.manifest import MANIFEST, WEIGHTS, Manifest, from_json
from dqmq_deploy.bundle.onnx_file import read_facts
from dqmq_deploy.errors import BundleError

KNOWN_DOMAINS = frozenset({"", "ai.onnx", "ai.dqmq", "com.microsoft"})
"""Operator domains that a graph may use."""

MAX_MANIFEST_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Bundle:
    """A checked bundle: its folder and its manifest."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Bundle":
        """Open the bundle in folder ``path``, every size and hash checked.

        Raises:
            BundleError: anything is missing, changed, unknown or outside; the message names the file.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise BundleError(f"{folder}: expected the folder of a bundle, found {_what(folder)}")
        try:
            manifest = _read_manifest(folder)
            _check_no_extra_file(folder, manifest)
            weights_size = manifest.files[WEIGHTS].size if WEIGHTS in manifest.files else 0
            for relative in sorted(manifest.files):
                data = _read_checked(folder, relative, manifest)
                if relative.endswith(".onnx"):
                    _check_graph(folder, relative, data, weights_size)
        except OSError as error:
            raise BundleError(f"{error.filename or folder}: cannot be read ({error.strerror})") from None
        for graph, user in manifest.graphs().items():
            if graph not in manifest.files or not graph.endswith(".onnx"):
                raise BundleError(f"{folder / MANIFEST}: {user} refers to '{graph}', which is no graph under 'files'")
        return cls(folder, manifest)

    def file(self, relative: str) -> Path:
        """Path of a file of the bundle.

        Raises:
            BundleError: the manifest lists no such file.
        """
        if relative not in self.manifest.files:
            raise BundleError(f"{self.path}: expected one of {sorted(self.manifest.files)}, got '{relative}'")
        return self.path / relative


def sha256(data: bytes) -> str:
    """The hash that the manifest holds for a file's bytes."""
    return hashlib.sha256(data).hexdigest()


def lies_inside(relative: str) -> bool:
    """Whether a path of the manifest is plain: relative, with ``/``, and without empty, ``.`` or ``..`` parts."""
    return (
        relative == PurePosixPath(relative).as_posix()
        and not relative.startswith("/")
        and not any(part in ("", ".", "..") for part in relative.split("/"))
        and not any(character in relative for character in "\\:\0")
    )


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file() or path.is_symlink():
        raise BundleError(f"{path}: expected a file, found {_what(path)}; is this a bundle?")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path}: expected at most {MAX_MANIFEST_BYTES} bytes, got {path.stat().st_size}")
    try:
        manifest = from_json(path.read_bytes())
    except BundleError as error:
        raise BundleError(f"{folder}/{error}") from None
    for relative in manifest.files:
        if not lies_inside(relative) or relative == MANIFEST:
            raise BundleError(f"{path}: 'files' has '{relative}', which is no path inside the bundle")
    return manifest


def _check_no_extra_file(folder: Path, manifest: Manifest) -> None:
    for parent, folders, names in os.walk(folder):
        for name in names + [entry for entry in folders if os.path.islink(os.path.join(parent, entry))]:
            relative = Path(parent, name).relative_to(folder).as_posix()
            if relative != MANIFEST and relative not in manifest.files:
                raise BundleError(f"{folder / relative}: this file is not in the manifest; remove it or export again")


def _read_checked(folder: Path, relative: str, manifest: Manifest) -> bytes:
    path, expected = folder / relative, manifest.files[relative]
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{path}: this file of the bundle is missing; copy it again or export again") from None
    if not stat.S_ISREG(found.st_mode):
        raise BundleError(f"{path}: expected a regular file, found {_what(path)}; copy it again or export again")
    if found.st_size != expected.size:
        raise BundleError(f"{path}: expected {expected.size} bytes, got {found.st_size}; copy it again or export again")
    data = path.read_bytes()
    digest = sha256(data)
    if digest != expected.sha256:
        raise BundleError(
            f"{path}: expected sha256 {expected.sha256[:12]}..., got {digest[:12]}...; copy it again or export again"
        )
    return data


def _check_graph(folder: Path, relative: str, data: bytes, weights_size: int) -> None:
    path = folder / relative
    try:
        facts = read_facts(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: expected an ONNX graph, but {error}; export again") from None
    unknown = sorted(facts.domains - KNOWN_DOMAINS)
    if unknown:
        raise BundleError(f"{path}: unknown operator domain '{unknown[0]}'; known: {sorted(KNOWN_DOMAINS)}")
    for reference in facts.external:
        if reference.location != WEIGHTS or "/" in relative:
            raise BundleError(f"{path}: external data in '{reference.location}'; only '{WEIGHTS}' beside it is allowed")
        if reference.length is None or reference.offset + reference.length > weights_size:
            raise BundleError(f"{path}: external data at {reference.offset} reaches beyond the end of '{WEIGHTS}'")


def _what(path: Path) -> str:
    if path.is_symlink():
        return "a link"
    if path.is_dir():
        return "a folder"
    return "a file" if path.exists() else "nothing"
