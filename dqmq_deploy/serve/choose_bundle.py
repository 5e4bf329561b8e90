"""Which bundle is meant where none is named."""

import os
from pathlib import Path

from dqmq_deploy.errors import InputError

VARIABLE = "DQMQ_BUNDLE"
"""The environment variable that names the default bundle."""


def choose_bundle(given: Path | None = None) -> Path:
    """``given``, else what ``$DQMQ_BUNDLE`` names, else the only ``*.dqmq`` in the current folder.

    Raises:
        InputError: none of the three; or the current folder holds several.
    """
    if given is not None:
        return given
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    found = sorted(path for path in Path().glob("*.dqmq") if path.is_dir())
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"no bundle: name one with --bundle, set ${VARIABLE}, or export one into this folder")
    names = ", ".join(map(str, found))
    raise InputError(f"several bundles in this folder ({names}): name one with --bundle, or set ${VARIABLE}")
