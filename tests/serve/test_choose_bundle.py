"""The bundle that is meant where none is named."""

from pathlib import Path

import pytest

from dqmq_deploy.errors import InputError
from dqmq_deploy.serve.choose_bundle import VARIABLE, choose_bundle


def test_order_of_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one given, else the variable's, else the only one here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "here.dqmq").mkdir()
    (tmp_path / "file.dqmq").touch()
    assert choose_bundle() == Path("here.dqmq")
    monkeypatch.setenv(VARIABLE, "/elsewhere/signs.dqmq")
    assert choose_bundle() == Path("/elsewhere/signs.dqmq")
    assert choose_bundle(Path("given.dqmq")) == Path("given.dqmq")


def test_none_or_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to name one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InputError, match=r"no bundle: name one with --bundle, set \$DQMQ_BUNDLE"):
        choose_bundle()
    for name in ("b.dqmq", "a.dqmq"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=r"several bundles in this folder \(a\.dqmq, b\.dqmq\)"):
        choose_bundle()
