"""Recipes: everything that decides how a model is trained, in one TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from dqmq_deploy.bits import EDGE_BITS, LADDER
from dqmq_deploy.degradations.kinds import KINDS, TRAINING_KINDS
from dqmq_deploy.errors import RecipeError, unknown_key
from dqmq_deploy.quant.shrink import is_exact
from dqmq_deploy.train.augment import AugmentSettings


@dataclass(frozen=True)
class NetSettings:
    """Which network: a shipped name or ``package.module:factory``, and its arguments."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSettings:
    """Images as the network sees them, and how they are split and degraded."""

    height: int = 32
    width: int = 32
    image_scale: float = 1 / 64  # real value of one step of a pixel
    image_zero_point: int = 128  # the pixel value that means zero
    held_out: float = 0.1  # share of the images, whole tracks at a time, that no weight is trained on
    degrade_share: float = 0.5  # probability that a training image is degraded
    again_share: float = 0.0  # probability that a degraded training image is degraded once more, by another draw
    shrinks: tuple[int, ...] = (1,)  # by how much configurations may shrink the image: 2 halves height and width
    shrunk_crop: int = 0  # pixels on each side that shrunk images leave out, where nothing but background is
    shrunk_median: bool = False  # whether a 3 x 3 median filters an image before it is shrunk
    kinds: tuple[str, ...] = TRAINING_KINDS


@dataclass(frozen=True)
class TrainSettings:
    """The supervised part: float epochs first, then epochs with sampled precisions."""

    ladder: tuple[int, ...] = (2, 4, 8)
    batch_size: int = 128
    float_epochs: int = 5
    epochs: int = 15
    float_learning_rate: float = 0.1
    learning_rate: float = 0.05
    warmup_steps: int = 200
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    start: str = ""  # a finished checkpoint, by its path from the recipe, whose float network saves float epochs
    distill: float = 0.0  # share of the loss that follows the teacher's answers
    teacher: str = "float"  # the float network; "average": the weight average at the highest precision
    bits_shares: tuple[float, ...] = ()  # of the uniform steps, by ladder position; empty: even
    settle_epochs: int = 0  # the last of the epochs, which train the compiled configurations and nothing else
    settle_shares: tuple[float, ...] = ()  # of their steps, cheapest configuration first; empty: see trainer
    own_weights: bool = False  # whether precisions share no weights from then on; a bundle holds each anyway
    shrunk_share: float = 0.25  # of the steps that see shrunk images, if there are any
    shrunk_bits: int = 4  # precision of those steps, and of the configurations made from them
    average: float = 0.998  # decay of the weight average that is evaluated and exported; 0: none
    clip_gradient: float = 5.0
    uniform_share: float = 0.6  # of the steps run at one precision throughout; the others at the policy's mixtures
    bf16: bool = True  # where the CPU multiplies bfloat16; else float32
    fuse: bool = True  # compile the element-wise parts of fake quantization
    threads: int = 0  # 0: all cores
    save_seconds: float = 60.0
    evaluate_images: int = 1500


@dataclass(frozen=True)
class PolicySettings:
    """The policy's optimisation."""

    every: int = 8  # supervised steps per policy step
    images: int = 32  # per policy step
    learning_rate: float = 0.02
    price_low: float = 0.005
    price_high: float = 0.5
    temperature_start: float = 2.0
    temperature_end: float = 0.4
    cost_table: str = ""  # JSON of measured latencies, by its path from the recipe; empty: BitOPs


@dataclass(frozen=True)
class CompileSettings:
    """From the policy to configurations, and their specialisation."""

    configurations: int = 4
    bits: str = "policy"  # "uniform" or "random" (of the same cost): what the policy is to be compared with
    images: int = 512
    rounds: int = 2
    steps: int = 150  # per configuration and round; 0: plain slots
    learning_rate: float = 0.01
    price: float = 0.02
    own_share: float = 0.5  # of each specialising batch, images that the configuration would serve


@dataclass(frozen=True)
class EstimatorSettings:
    """The quality estimator."""

    widths: tuple[int, ...] = (8, 16, 24)
    strides: tuple[int, ...] = (4, 2, 2)
    copies: int = 4  # differently degraded copies of each held-out image
    training_images: int = 24000
    degrade_share: float = 0.8  # more than the network sees: it is the wrong answers that teach
    epochs: int = 16
    learning_rate: float = 0.005
    calibration_images: int = 256


@dataclass(frozen=True)
class Recipe:
    """A whole training run."""

    name: str
    net: NetSettings
    seed: int = 0
    data: DataSettings = DataSettings()
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    train: TrainSettings = TrainSettings()
    policy: PolicySettings = PolicySettings()
    compile: CompileSettings = CompileSettings()
    estimator: EstimatorSettings = EstimatorSettings()

    def __post_init__(self) -> None:
        _check(self)

    def to_plain(self) -> dict[str, Any]:
        """As nested plain values."""
        return asdict(self)


_MANY, _TINY, _HUGE = 10**9, 1e-9, 1e9
_RANGES: dict[str, tuple[float, float]] = {
    "data.height": (8, 4096), "data.width": (8, 4096), "data.image_scale": (_TINY, _HUGE),
    "data.held_out": (0.001, 0.9), "data.degrade_share": (0, 1),
    "data.again_share": (0, 1), "data.shrunk_crop": (0, 4096), "train.shrunk_share": (0, 1),
    "train.batch_size": (2, _MANY), "train.float_epochs": (0, _MANY), "train.epochs": (1, _MANY),
    "train.settle_epochs": (0, _MANY),
    "train.float_learning_rate": (0, _HUGE), "train.learning_rate": (0, _HUGE), "train.warmup_steps": (0, _MANY),
    "train.momentum": (0, 0.9999), "train.weight_decay": (0, _HUGE), "train.label_smoothing": (0, 0.9999),
    "train.distill": (0, 1), "train.average": (0, 0.999999), "train.clip_gradient": (0, _HUGE),
    "train.uniform_share": (0, 1), "train.threads": (0, 4096), "train.save_seconds": (0, _HUGE),
    "train.evaluate_images": (1, _MANY),
    "policy.every": (1, _MANY), "policy.images": (2, _MANY), "policy.learning_rate": (0, _HUGE),
    "policy.price_low": (_TINY, _HUGE), "policy.price_high": (_TINY, _HUGE),
    "policy.temperature_start": (_TINY, _HUGE), "policy.temperature_end": (_TINY, _HUGE),
    "compile.configurations": (2, 26), "compile.images": (2, _MANY), "compile.rounds": (0, _MANY),
    "compile.steps": (0, _MANY), "compile.learning_rate": (0, _HUGE), "compile.price": (0, _HUGE),
    "compile.own_share": (0, 1),
    "estimator.copies": (1, _MANY), "estimator.training_images": (0, _MANY), "estimator.epochs": (1, _MANY),
    "estimator.learning_rate": (_TINY, _HUGE), "estimator.calibration_images": (8, _MANY),
}  # fmt: skip


def _check(recipe: Recipe) -> None:
    for key, (lowest, highest) in _RANGES.items():
        section, name = key.split(".")
        value = getattr(getattr(recipe, section), name)
        if not lowest <= value <= highest:
            raise RecipeError(f"{key}: expected {lowest:g} to {highest:g}, got {value}")
    if recipe.seed < 0:
        raise RecipeError(f"seed: expected 0 or more, got {recipe.seed}")
    if recipe.data.image_zero_point not in (0, 128):
        raise RecipeError(f"data.image_zero_point: expected 0 or 128, got {recipe.data.image_zero_point}")
    if not recipe.policy.price_low < recipe.policy.price_high:
        raise RecipeError("policy: expected price_low below price_high")
    data, train, ladder = recipe.data, recipe.train, recipe.train.ladder
    if ladder[-1:] != (EDGE_BITS,) or tuple(bits for bits in LADDER if bits in ladder) != ladder:
        raise RecipeError(f"train.ladder: expected rising bit-widths out of {LADDER} that end in 8, got {list(ladder)}")
    if data.shrinks[:1] != (1,) or sorted(set(data.shrinks)) != list(data.shrinks):
        raise RecipeError(f"data.shrinks: expected rising whole numbers from 1, got {list(data.shrinks)}")
    for shrink in data.shrinks:
        if data.height % shrink or data.width % shrink:
            raise RecipeError(f"data.shrinks: expected divisors of {data.height} and {data.width}, got {shrink}")
    if data.shrunk_crop and any(
        size - 2 * data.shrunk_crop < size // shrink
        for size in (data.height, data.width) for shrink in (data.shrinks[1:] or (1,))
    ):  # fmt: skip
        raise RecipeError(
            "data.shrunk_crop: expected data.shrinks beside it, and as many pixels left as shrunk images have or more, "
            f"got {data.shrunk_crop}"
        )
    if not all(is_exact((data.height, data.width), data.shrunk_crop, shrink) for shrink in data.shrinks[1:]):
        raise RecipeError(
            f"data.shrunk_crop: {data.shrunk_crop} of {data.height} x {data.width} makes areas too fine to be exact; "
            "expected one that leaves a rounder part of the shrunk size"
        )
    if train.shrunk_bits not in ladder:
        raise RecipeError(f"train.shrunk_bits: expected one of train.ladder, got {train.shrunk_bits}")
    if train.teacher not in ("float", "average"):
        raise RecipeError(f"train.teacher: expected float or average, got '{train.teacher}'")
    if recipe.compile.bits not in ("policy", "uniform", "random"):
        raise RecipeError(f"compile.bits: expected policy, uniform or random, got '{recipe.compile.bits}'")
    shares = train.bits_shares
    if shares and (len(shares) != len(ladder) or min(shares) < 0 or sum(shares) <= 0):
        raise RecipeError(f"train.bits_shares: expected {len(ladder)} shares of at least 0, got {list(shares)}")
    if train.start and train.float_epochs:
        raise RecipeError("train.start: expected train.float_epochs = 0 beside it; the float network is there already")
    if train.settle_epochs >= train.epochs:
        raise RecipeError(f"train.settle_epochs: expected fewer than train.epochs, which is {train.epochs}")
    configurations = recipe.compile.configurations + len(data.shrinks) - 1
    if train.settle_shares and (len(train.settle_shares) != configurations or min(train.settle_shares) <= 0):
        raise RecipeError(
            f"train.settle_shares: expected {configurations} shares above 0, one for each configuration, "
            f"got {list(train.settle_shares)}"
        )
    if train.own_weights and not train.settle_epochs:
        raise RecipeError("train.own_weights: expected train.settle_epochs beside it, when precisions part; got 0")
    if not recipe.data.kinds:
        raise RecipeError("data.kinds: expected at least one; for none set data.degrade_share to 0")
    for kind in recipe.data.kinds:
        if kind not in KINDS:
            raise RecipeError(unknown_key(kind, KINDS, "data.kinds"))
    if len(recipe.estimator.widths) != len(recipe.estimator.strides):
        raise RecipeError("estimator: expected as many strides as widths")
    if not recipe.estimator.widths or min(recipe.estimator.widths + recipe.estimator.strides) < 1:
        raise RecipeError("estimator: expected at least one convolution, widths and strides of 1 or more")


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a TOML file, with ``section.key=value`` overrides.

    Raises:
        RecipeError: no such file, not TOML, an unknown key (the nearest is named) or a value out of range.
    """
    try:
        plain = tomllib.loads(path.read_text())
    except OSError as error:
        raise RecipeError(f"{path}: a recipe file is expected ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from error
    for override in overrides:
        _override(plain, override)
    return from_plain(plain, str(path))


def from_plain(plain: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from nested plain values; the inverse of :meth:`Recipe.to_plain`."""
    recipe: Recipe = _build(Recipe, plain, where)
    return recipe


def _override(plain: dict[str, Any], override: str) -> None:
    key, sign, text = override.partition("=")
    if not sign:
        raise RecipeError(f"--set {override}: expected key=value, for example train.epochs=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, last = key.strip().split(".")
    for section in sections:
        inner = plain.setdefault(section, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {override}: '{section}' is a value, not a section")
        plain = inner
    plain[last] = value


def _build(kind: type[Any], plain: Mapping[str, Any], where: str) -> Any:
    hints = get_type_hints(kind)
    if not isinstance(plain, Mapping):
        raise RecipeError(f"{where}: expected a section, got {plain!r}")
    for key in plain:
        if key not in hints:
            raise RecipeError(unknown_key(key, hints, where))
    missing = [f.name for f in fields(kind) if f.name in ("name", "net") and f.name not in plain]
    if missing:
        raise RecipeError(f"{where}: '{missing[0]}' is missing")
    values = {key: _value(hints[key], value, f"{where}: {key}") for key, value in plain.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return _build(hint, value, where)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        if not isinstance(value, list | tuple):
            raise RecipeError(f"{where}: expected a list, got {value!r}")
        return tuple(_value(item, entry, where) for entry in value)
    if get_origin(hint) is dict:
        if not isinstance(value, Mapping):
            raise RecipeError(f"{where}: expected a section, got {value!r}")
        return dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise RecipeError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value
