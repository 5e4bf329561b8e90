"""Recipes: every wrong key, type and range is named with what was expected; overrides reach every section."""

from dataclasses import replace
from pathlib import Path

import pytest

from dqmq_deploy.errors import RecipeError
from dqmq_deploy.train.recipe import DataSettings, NetSettings, Recipe, from_plain, read_recipe
from tests.train.runs import RECIPE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small recipe's file."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path / "tiny.toml"


def test_a_recipe_is_read_and_written_as_plain_values(path: Path) -> None:
    """What the file says, defaults for the rest; ``to_plain`` and ``from_plain`` are inverses."""
    recipe = read_recipe(path)
    assert recipe.net == NetSettings("resnet8", {"width": 8})
    assert recipe.data == replace(DataSettings(), height=16, width=16, held_out=0.25, kinds=("noise", "low_light"))
    assert recipe.train.average == 0.8
    assert recipe.compile.price == Recipe("", NetSettings("resnet8")).compile.price
    assert from_plain(recipe.to_plain()) == recipe


@pytest.mark.parametrize("shipped", sorted(Path("models").glob("*/recipe.toml")), ids=lambda path: path.parent.name)
def test_shipped_recipes_are_valid(shipped: Path) -> None:
    """Each is named as its folder."""
    assert read_recipe(shipped).name == shipped.parent.name


def test_overrides_reach_every_section_and_type(path: Path) -> None:
    """``section.key=value`` with TOML values; bare words are strings; a whole number will do for a fraction."""
    overrides = (
        "train.epochs=7",
        "train.learning_rate=1",
        "train.bf16=false",
        "data.kinds=['fog']",
        "net.name=resnet20",
        "augment.shift=0.25",
        "net.arguments.width=12",
        "seed=9",
    )
    recipe = read_recipe(path, overrides)
    assert (recipe.train.epochs, recipe.train.learning_rate, recipe.train.bf16) == (7, 1.0, False)
    assert isinstance(recipe.train.learning_rate, float)
    assert (recipe.data.kinds, recipe.net, recipe.augment.shift) == (
        ("fog",),
        NetSettings("resnet20", {"width": 12}),
        0.25,
    )
    assert recipe.seed == 9


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "unknown key 'epoch'; did you mean 'epochs'?"),
        ("trian.epochs=3", "unknown key 'trian'; did you mean 'train'?"),
        ("policy.colour=1", "unknown key 'colour'; "),
        ("augment.mirrored=true", "unknown key 'mirrored'; did you mean 'mirror'?"),
        ("data.kinds=['shot_noize']", "unknown key 'shot_noize'; did you mean 'shot_noise'?"),
        ("net.arguments=5", "arguments: expected a section, got 5"),
    ],
)
def test_an_unknown_key_names_the_nearest(path: Path, override: str, message: str) -> None:
    """Sections, keys and names of degradations alike."""
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=1.5", "expected int, got 1.5"),
        ("train.epochs=true", "expected int, got True"),
        ("train.epochs=many", "expected int, got 'many'"),
        ("train.bf16=1", "expected bool, got 1"),
        ("train.learning_rate='0.1'", "expected float, got '0.1'"),
        ("train.learning_rate=true", "expected float, got True"),
        ("name=5", "expected str, got 5"),
        ("data.kinds=fog", "expected a list, got 'fog'"),
        ("train.ladder=[2, '4', 8]", "expected int, got '4'"),
        ("train=5", "expected a section, got 5"),
        ("name.first=5", "'name' is a value, not a section"),
        ("train.epochs", "expected key=value, for example train.epochs=3"),
    ],
)
def test_a_wrong_type_is_named(path: Path, override: str, message: str) -> None:
    """What was expected, and what came."""
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, [override])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "override",
    [
        "train.batch_size=1",
        "train.epochs=0",
        "train.float_epochs=-1",
        "train.learning_rate=-0.1",
        "train.learning_rate=nan",
        "train.float_learning_rate=inf",
        "train.momentum=1.0",
        "train.average=1.0",
        "train.distill=1.5",
        "train.label_smoothing=1.0",
        "train.threads=-1",
        "train.ladder=[2, 4]",
        "train.ladder=[4, 2, 8]",
        "train.ladder=[3, 8]",
        "train.ladder=[]",
        "train.teacher=me",
        "train.bits_shares=[1, 2]",
        "train.bits_shares=[0, 0, 0]",
        "train.shrunk_bits=3",
        "train.shrunk_share=1.5",
        "train.start=float.pt",
        "train.settle_epochs=-1",
        "train.settle_epochs=15",
        "compile.bits=best",
        "data.shrinks=[]",
        "data.shrinks=[2]",
        "data.shrinks=[1, 5]",
        "data.shrunk_crop=2",
        "data.shrunk_crop=-1",
        "train.settle_shares=[1, 2]",
        "train.own_weights=true",
        "data.again_share=2",
        "data.held_out=0",
        "data.held_out=1",
        "data.degrade_share=1.01",
        "data.kinds=[]",
        "data.height=4",
        "data.image_scale=0",
        "data.image_zero_point=100",
        "seed=-1",
        "policy.every=0",
        "policy.price_low=0",
        "policy.price_low=2",
        "policy.temperature_end=0",
        "compile.configurations=1",
        "compile.configurations=27",
        "estimator.strides=[2]",
        "estimator.widths=[0, 4]",
        "augment.shift=0.6",
    ],
)
def test_a_value_out_of_range_is_named(path: Path, override: str) -> None:
    """The message has the key, and what was expected."""
    with pytest.raises(RecipeError, match="expected") as caught:
        read_recipe(path, [override])
    key = override.partition("=")[0]
    assert key.rpartition(".")[2].removeprefix("price_").split("_")[0] in str(caught.value)


def test_what_is_no_recipe_is_named(tmp_path: Path) -> None:
    """A missing file, another format, bytes, and a recipe without its two required keys."""
    path = tmp_path / "x.toml"
    with pytest.raises(RecipeError, match=r"x\.toml: a recipe file is expected"):
        read_recipe(path)
    with pytest.raises(RecipeError, match="a recipe file is expected"):
        read_recipe(tmp_path)
    path.write_text("name: tiny")
    with pytest.raises(RecipeError, match=r"x\.toml: not valid TOML"):
        read_recipe(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not valid TOML"):
        read_recipe(path)
    path.write_text('name = "x"')
    with pytest.raises(RecipeError, match="'net' is missing"):
        read_recipe(path)
    path.write_text('name = "x"\n[net]\n')
    with pytest.raises(RecipeError, match="'name' is missing"):
        read_recipe(path)
