"""What the report says of the machine."""

import json
import os
import re
from pathlib import Path

import pytest

from dqmq_deploy import cpu
from dqmq_deploy.report import environment


def test_every_fact_is_there_and_plain() -> None:
    """The facts survive JSON, and those that every machine has are filled in."""
    facts = environment.environment()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cpu"] and facts["python"] and facts["usable_cores"]
    versions = facts["versions"]
    assert isinstance(versions, dict) and {"onnxruntime", "numpy", "pillow"} <= set(versions)


def test_flags_are_those_that_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Flags that choose no kernel are left out."""
    (tmp_path / "cpuinfo").write_text("model name\t: Z80\nflags\t\t: fpu avx2 avx512_vnni ht\n")
    monkeypatch.setattr(cpu, "CPU_INFO", tmp_path / "cpuinfo")
    assert environment.cpu_flags() == ["avx2", "avx512_vnni"]
    assert environment.environment()["cpu"] == "Z80"


@pytest.mark.parametrize(("line", "cores"), [("150000 100000", 1.5), ("max 100000", None), ("", None), ("1 0", None)])
def test_a_quota_counts_in_cores(monkeypatch: pytest.MonkeyPatch, line: str, cores: float | None) -> None:
    """A container's limit is told, no limit is none."""
    monkeypatch.setattr(environment, "_lines", lambda path: [line])
    assert environment.cpu_quota() == cores


def test_the_commit_is_this_source_trees_or_none() -> None:
    """Twelve digits, a plus where files differ; a copy without history has none."""
    found = environment.commit()
    assert found is None or re.fullmatch(r"[0-9a-f]{12}\+?", found)


def test_a_file_outside_the_repository_has_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package installed inside somebody's repository does not take that repository's commit for its own."""
    os.mkdir(tmp_path / "package")
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "package" / "environment.py"))
    assert environment.commit() is None
