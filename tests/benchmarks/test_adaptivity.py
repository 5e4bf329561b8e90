"""Several bundles on the same images."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.adaptivity import main, renamed
from tests.tiny_bundle import BITS


def test_bundles_are_judged_and_told_together(
    tiny_bundle_path: Path,
    picture_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The JSON holds every run; text and Markdown give the mean with the least and the most."""
    out = tmp_path / "found.json"
    given = [str(tiny_bundle_path), str(tiny_bundle_path), "--data", str(picture_folder), "--seconds", "0.05"]
    monkeypatch.setattr(sys, "argv", ["adaptivity", *given, "--degrade", "none", "-o", str(out)])
    main()
    found = json.loads(out.read_text())
    assert [run["path"] for run in found["runs"]] == [str(tiny_bundle_path)] * 2
    assert found["runs"][0]["configurations"] == list(BITS)
    assert found["over_seeds"]["groups"][0]["accuracy"]["w2"]["mean"] == found["runs"][0]["groups"][0]["accuracy"]["w2"]
    assert " of 2 seeds say that routing pays" in found["verdict"]
    for text in (" ".join(capsys.readouterr().out.split()), " ".join(out.with_suffix(".md").read_text().split())):
        assert "Over 2 runs: mean (least to most)" in text
        assert found["verdict"].split(";")[0] in text


def test_configurations_of_several_seeds_are_named_alike() -> None:
    """In keys, labels and sentences, names that are parts of others included."""
    run = {"bits-2.5": 1.0, "label": "time of bits-2.5-at16", "said": ["bits-2.5, bits-2.5.", 3], "bits-2.5-at16": None}
    assert renamed(run, ["bits-2.5-at16", "bits-2.5"], ["small", "cheap"]) == {
        "cheap": 1.0,
        "label": "time of small",
        "said": ["cheap, cheap.", 3],
        "small": None,
    }
