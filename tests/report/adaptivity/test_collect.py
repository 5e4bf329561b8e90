"""Labelled images through every graph of a real small bundle."""

from pathlib import Path

import numpy as np
import pytest

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.degradations.kinds import AS_IT_IS
from dqmq_deploy.errors import DataError, InputError
from dqmq_deploy.report.adaptivity.bootstrap import tracks
from dqmq_deploy.report.adaptivity.collect import Labelled, collect, labelled_folder
from dqmq_deploy.report.adaptivity.protocol import PROTOCOLS, find_protocol
from dqmq_deploy.routing import evidence_of
from tests.tiny_bundle import BITS, MEMORY, reference_logits, reference_p_right


def test_every_graph_says_what_the_reference_says(tiny_bundle: Bundle, tracked: Labelled) -> None:
    """Of the spoilt images: the same ones, whoever asks for them, and in whatever parts."""
    found = collect(tiny_bundle, tracked, PROTOCOLS["mixed"], seed=3)
    pixels, kind, severity = tracked.spoilt(range(300), PROTOCOLS["mixed"], seed=3)
    logits = np.stack([reference_logits(pixels, bits) for bits in BITS.values()], axis=1)
    expected = evidence_of(reference_p_right(pixels), logits, tracked.truth, MEMORY)
    assert np.array_equal(found.evidence.right, expected.right)
    np.testing.assert_allclose(found.evidence.score, expected.score, atol=1e-5)
    np.testing.assert_allclose(found.evidence.p_right, expected.p_right, atol=1e-5)
    assert np.array_equal(found.kind, kind) and np.array_equal(found.severity, severity)
    assert 100 < (kind == AS_IT_IS).sum() < 200
    some = tracked.spoilt([7, 200], PROTOCOLS["mixed"], seed=3)[0]
    assert np.array_equal(some, pixels[[7, 200]])


def test_frames_share_tracks_and_unreadable_files_are_left_out(
    tiny_bundle: Bundle, tracked: Labelled, track_folder: Path
) -> None:
    """A text file among the pictures is no image; three frames make a track."""
    broken = track_folder / "red" / "99999_00000.png"
    broken.write_text("no image")
    try:
        assert labelled_folder(track_folder, tiny_bundle).names == tracked.names
    finally:
        broken.unlink()
    assert 100 <= int(tracks(tracked.names).max()) + 1 <= 103


def test_folders_must_be_classes(tiny_bundle: Bundle, tmp_path: Path, track_folder: Path) -> None:
    """And there must be images."""
    with pytest.raises(DataError, match="expected readable images"):
        labelled_folder(tmp_path, tiny_bundle)
    (tmp_path / "mauve").mkdir()
    (tmp_path / "mauve" / "1.png").write_bytes(next((track_folder / "red").iterdir()).read_bytes())
    with pytest.raises(DataError, match="got 'mauve'"):
        labelled_folder(tmp_path, tiny_bundle)


def test_a_protocol_is_found_by_name_and_says_what_it_does() -> None:
    """Kinds that training uses, and those that it does not."""
    assert find_protocol("none").words() == "images as they are"
    foreign = find_protocol("foreign").words()
    assert "one of 12 kinds" in foreign and "drawn evenly: impulse" in foreign
    words = find_protocol("mixed").words()
    assert "one of 10 kinds" in words and "noise, blur" in words and "dead pixels, which training does not" in words
    with pytest.raises(InputError, match="expected none, mixed, foreign, got 'all'"):
        find_protocol("all")
