"""Data sets: the same from a folder and every archive, tracks kept whole, wrong input named."""

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dqmq_deploy.errors import DataError
from dqmq_deploy.train.cache import default_cache_dir
from dqmq_deploy.train.data import Dataset, groups, open_dataset, require_same_classes, split_by_group

CLASSES = ("00", "01", "02")


def write_images(root: Path, tracks: int = 2, frames: int = 3, classes: tuple[str, ...] = CLASSES) -> None:
    """Lossless pictures named ``TRACK_FRAME`` below one folder per class."""
    rng = np.random.default_rng(0)
    for label in classes:
        (root / label).mkdir(parents=True)
        for track in range(tracks):
            for frame in range(frames):
                pixels = rng.integers(0, 256, (8, 10, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / label / f"{track:05}_{frame:05}.png")


def open_tar(archive: Path) -> tarfile.TarFile:
    """A new tar, compressed as its ending says."""
    if archive.suffix == ".gz":
        return tarfile.open(archive, "w:gz")
    return tarfile.open(archive, "w:xz" if archive.suffix == ".xz" else "w")


def pack(root: Path, archive: Path, inside: str = "") -> Path:
    """All files below ``root``, in an archive of the kind that its ending says."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for file in files:
                packed.write(file, inside + file.relative_to(root).as_posix())
    else:
        with open_tar(archive) as tar:
            for file in files:
                tar.add(file, inside + file.relative_to(root).as_posix())
    return archive


def same(first: Dataset, second: Dataset) -> bool:
    """Whether two data sets agree in everything."""
    pixels = np.array_equal(first.images, second.images) and np.array_equal(first.labels, second.labels)
    texts = [(data.classes, data.names, data.unreadable) for data in (first, second)]
    return pixels and texts[0] == texts[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three classes with two tracks of three frames each."""
    write_images(tmp_path / "set")
    return tmp_path / "set"


def test_a_folder_gives_sorted_classes_pixels_and_names(folder: Path) -> None:
    """Labels follow the sorted class folders; pixels are those of the files."""
    data = open_dataset(folder, (8, 10))
    assert data.classes == CLASSES
    assert data.images.shape == (18, 8, 10, 3)
    assert data.images.dtype == np.uint8
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == sorted([0, 1, 2] * 6)
    assert data.names[7] == "01/00000_00001.png"
    assert np.array_equal(data.images[7], np.asarray(Image.open(folder / data.names[7])))


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("inside", ["", "some/prefix/"])
def test_an_archive_equals_its_folder(folder: Path, tmp_path: Path, ending: str, inside: str) -> None:
    """Zip and tar give the very same data set, whatever lies above the class folders."""
    archive = pack(folder, tmp_path / f"packed.{ending}", inside)
    assert same(open_dataset(archive, 8), open_dataset(folder, 8))


@pytest.mark.parametrize("ending", ["zip", "tar.xz"])
def test_a_set_inside_an_archive_is_named_by_its_path(folder: Path, tmp_path: Path, ending: str) -> None:
    """An archive of two sets is refused with the way out; the way out works."""
    (tmp_path / "both").mkdir()
    folder.rename(tmp_path / "both" / "train")
    write_images(tmp_path / "both" / "test", tracks=1)
    archive = pack(tmp_path / "both", tmp_path / f"packed.{ending}")
    with pytest.raises(DataError, match=r"some in test and some in train; name the one you mean, as in .*/train"):
        open_dataset(archive, 8)
    assert same(open_dataset(archive / "train", 8), open_dataset(tmp_path / "both" / "train", 8))


def test_files_that_are_no_images_do_not_count(folder: Path, tmp_path: Path) -> None:
    """Notes, hidden files and what macOS adds are passed over."""
    expected = open_dataset(folder, 8)
    (folder / "README.md").write_text("about")
    (folder / "00" / "notes.txt").write_text("more")
    (folder / "__MACOSX" / "00").mkdir(parents=True)
    (folder / "__MACOSX" / "00" / "._00000.png").write_bytes(b"droppings")
    (folder / "01" / ".hidden.png").write_bytes(b"hidden")
    assert same(open_dataset(folder, 8), expected)
    assert same(open_dataset(pack(folder, tmp_path / "packed.zip"), 8), expected)


def test_the_number_of_threads_changes_nothing(folder: Path) -> None:
    """Rows do not depend on who decodes first."""
    assert same(open_dataset(folder, 8, threads=1), open_dataset(folder, 8, threads=4))


def test_a_few_unreadable_images_are_left_out_and_named(tmp_path: Path) -> None:
    """One in 120 is left out, and said so."""
    write_images(tmp_path / "set", tracks=10, frames=4)
    (tmp_path / "set" / "01" / "00003_00002.png").write_bytes(b"\x89PNG broken")
    data = open_dataset(tmp_path / "set", 8)
    assert data.unreadable == ("01/00003_00002.png",)
    assert len(data) == 119
    assert "01/00003_00002.png" not in data.names
    assert np.array_equal(data.images[50], open_dataset(tmp_path / "set", 8).take([50]).images[0])


def test_many_unreadable_images_are_an_error(folder: Path) -> None:
    """Two of 18: the message counts them and names the first."""
    for name in ("00000_00000.png", "00000_00001.png"):
        (folder / "02" / name).write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"2 of 18 images cannot be decoded, first 02/00000_00000\.png"):
        open_dataset(folder, 8)


def test_the_cache_gives_the_same_and_follows_changes(folder: Path, tmp_path: Path) -> None:
    """A second opening reads the cache; another size, a changed file and a damaged cache do not."""
    cache = tmp_path / "cache"
    first = open_dataset(folder, 8, cache_dir=cache)
    kept = list(cache.iterdir())
    assert len(kept) == 1
    assert same(open_dataset(folder, 8, cache_dir=cache), first)
    open_dataset(folder, 6, cache_dir=cache)
    assert len(list(cache.iterdir())) == 2
    kept[0].write_bytes(b"damaged")
    assert same(open_dataset(folder, 8, cache_dir=cache), first)
    Image.new("RGB", (10, 8), "red").save(folder / "00" / "00000_00000.png", compress_level=0)
    assert (open_dataset(folder, 8, cache_dir=cache).images[0] == (255, 0, 0)).all()


def test_a_cache_that_cannot_be_written_is_no_error(folder: Path, tmp_path: Path) -> None:
    """A file where the cache folder should be: the data set opens all the same."""
    (tmp_path / "cache").write_text("in the way")
    assert len(open_dataset(folder, 8, cache_dir=tmp_path / "cache")) == 18


def test_the_cache_lies_where_the_desktop_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``XDG_CACHE_HOME`` counts where it is an absolute path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "dqmq-deploy"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_cache_dir() == Path.home() / ".cache" / "dqmq-deploy"


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    """Nothing there: say so."""
    with pytest.raises(DataError, match=r"absent: expected a folder, zip or tar.*found nothing there"):
        open_dataset(tmp_path / "absent", 8)


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    """A file that is no archive is refused."""
    (tmp_path / "set.txt").write_text("not a data set")
    with pytest.raises(DataError, match="got another kind of file"):
        open_dataset(tmp_path / "set.txt", 8)


def test_a_damaged_archive_is_named(folder: Path, tmp_path: Path) -> None:
    """A tar cut short is an error, not a smaller data set."""
    archive = pack(folder, tmp_path / "packed.tar.xz")
    archive.write_bytes(archive.read_bytes()[:-400])
    with pytest.raises(DataError, match="damaged archive"):
        open_dataset(archive, 8)


def test_no_images_at_all_is_an_error(tmp_path: Path) -> None:
    """An empty folder has nothing to learn from."""
    with pytest.raises(DataError, match="found no image"):
        open_dataset(tmp_path, 8)


def test_images_outside_class_folders_are_an_error(folder: Path) -> None:
    """Pointing at one class's folder, or leaving a picture beside the folders, is named."""
    with pytest.raises(DataError, match="outside of any"):
        open_dataset(folder / "00", 8)
    Image.new("RGB", (4, 4)).save(folder / "stray.png")
    with pytest.raises(DataError, match=r"found stray\.png outside of any"):
        open_dataset(folder, 8)


def test_one_class_is_an_error(tmp_path: Path) -> None:
    """There is nothing to tell apart."""
    write_images(tmp_path / "set", classes=("only",))
    with pytest.raises(DataError, match="at least two class folders, found only only"):
        open_dataset(tmp_path / "set", 8)


def test_other_classes_are_named() -> None:
    """A validation set must have the model's classes, in their order."""
    data = Dataset(np.zeros((2, 1, 1, 3), np.uint8), np.array([0, 1]), ("a", "b"), ("a/1.png", "b/1.png"))
    require_same_classes(("a", "b"), data, "val")
    with pytest.raises(DataError, match=r"val: expected the 3 classes of the model, got 2: c is missing"):
        require_same_classes(("a", "b", "c"), data, "val")
    with pytest.raises(DataError, match="b is not known"):
        require_same_classes(("a",), data, "val")


def many_tracks(frames: tuple[int, ...] = (3, 30, 7, 12, 30, 30, 5)) -> Dataset:
    """Three classes of tracks of these lengths; every class numbers its tracks from 0."""
    names = [f"{c}/{t:05}_{f:05}.png" for c in CLASSES for t, count in enumerate(frames) for f in range(count)]
    labels = np.array([CLASSES.index(name[:2]) for name in names])
    return Dataset(np.zeros((len(names), 1, 1, 3), np.uint8), labels, CLASSES, tuple(names))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
def test_a_split_never_cuts_a_track(seed: int, fraction: float) -> None:
    """Tracks are whole, classes on both sides, nothing lost, and the share about right."""
    data = many_tracks()
    train, held = split_by_group(data, fraction, seed)
    tracks = [{name.rsplit("_", 1)[0] for name in part.names} for part in (train, held)]
    assert not tracks[0] & tracks[1]
    assert sorted(train.names + held.names) == sorted(data.names)
    assert set(train.labels.tolist()) == set(held.labels.tolist()) == {0, 1, 2}
    assert train.classes == held.classes == CLASSES
    assert len(held) / len(data) == pytest.approx(fraction, abs=0.25)


def test_the_same_seed_splits_alike() -> None:
    """Seeds repeat, and differ."""
    data = many_tracks()
    first, second, other = (split_by_group(data, 0.3, seed)[1].names for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_without_tracks_single_images_are_split_by_class() -> None:
    """Plain numbers for names: a stratified random split of exactly the share."""
    names = tuple(f"{c}/{i:05}.png" for c in CLASSES for i in range(40))
    labels = np.repeat(np.arange(3), 40)
    data = Dataset(np.zeros((120, 1, 1, 3), np.uint8), labels, CLASSES, names)
    assert groups(data) is None
    _, held = split_by_group(data, 0.1, 0)
    assert np.bincount(held.labels).tolist() == [4, 4, 4]


def test_a_class_of_one_track_stays_in_training() -> None:
    """It cannot be on both sides; where no class can, the split is refused."""
    data = many_tracks((4, 4))
    keep = [i for i, name in enumerate(data.names) if not name.startswith("02/00001")]
    train, held = split_by_group(data.take(keep), 0.5, 0)
    assert set(train.labels.tolist()) == {0, 1, 2}
    assert set(held.labels.tolist()) == {0, 1}
    with pytest.raises(DataError, match="two tracks or images"):
        split_by_group(many_tracks((4,)), 0.5, 0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 2.0])
def test_a_share_out_of_range_is_named(fraction: float) -> None:
    """All or nothing is no split."""
    with pytest.raises(DataError, match="above 0 and below 1"):
        split_by_group(many_tracks(), fraction, 0)
