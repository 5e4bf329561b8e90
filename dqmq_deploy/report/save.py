"""Write the report's three files, each whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

from dqmq_deploy.errors import BenchError
from dqmq_deploy.report.html import html
from dqmq_deploy.report.markdown import markdown


def save(report: dict[str, Any], folder: Path) -> dict[str, Path]:
    """Write ``report.html``, ``report.json`` and ``report.md`` to ``folder``, made if needed; returns their paths.

    Raises:
        BenchError: the folder or a file cannot be written.
    """
    contents = {
        "report.json": json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "report.md": markdown(report),
        "report.html": html(report),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            temporary = folder / f".{name}.{os.getpid()}"
            try:
                temporary.write_text(content, encoding="utf-8")
                temporary.replace(folder / name)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise BenchError(
            f"{error.filename or folder}: cannot be written: {error.strerror}; choose another folder with -o"
        ) from None
    return {name: folder / name for name in contents}
