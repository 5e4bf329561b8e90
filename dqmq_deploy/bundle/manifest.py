"""What ``manifest.json`` says, as frozen dataclasses. Reading is strict: no key too many, none too few, no wrong type.

Manifest
├── preprocessing        Preprocessing          what the graphs expect of a picture
├── image_quant          ImageQuant             how its codes are read as numbers
├── layers               LayerEntry ...         what BitOPs and bytes are counted from
├── configurations       ConfigurationEntry ... cheapest first; one graph each
├── estimator            EstimatorEntry
├── price_curve          PricePoint ...         by rising price
├── calibration          CalibrationEntry
└── files                FileEntry ...          size and sha256 of every file but the manifest itself
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from dqmq_deploy.bundle.schema import parse
from dqmq_deploy.errors import BundleError

SCHEMA_VERSION = 1
"""Raised with every change that an older reader cannot understand."""

MANIFEST = "manifest.json"
WEIGHTS = "weights.bin"


@dataclass(frozen=True)
class Preprocessing:
    """What the graphs expect: pictures of ``height`` x ``width`` pixels in ``mode``, brought there by ``resize``."""

    height: int
    width: int
    mode: str = "RGB"
    resize: str = "stretch"


@dataclass(frozen=True)
class ImageQuant:
    """A pixel code, 0 to 255, is read as ``scale * (code - zero_point)``."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class LayerEntry:
    """A layer that multiplies: multiply-accumulates per image, weights, and whether it is the first or the last."""

    name: str
    macs: int
    weight_count: int
    edge: bool


@dataclass(frozen=True)
class Parity:
    """How well the graph on onnxruntime agrees with torch on ``images`` calibration images; agreement from 0 to 1."""

    images: int
    top1_agreement: float
    max_abs_logit_difference: float


@dataclass(frozen=True)
class ConfigurationEntry:
    """One configuration. ``cost`` is its BitOPs over those of the dearest, above 0 and at most 1.

    ``bytes`` counts its graph and the packed weights it refers to; ``accuracy`` (0 to 1) is over held-out images;
    ``latency_ms`` is for one image on one thread of the machine that exported.
    """

    name: str
    bits: dict[str, int]
    bitops: int
    bytes: int
    graph: str
    cost: float
    accuracy: float
    latency_ms: float
    parity: Parity
    flat: str | None = None


@dataclass(frozen=True)
class EstimatorEntry:
    """The graph of the quality estimator."""

    graph: str


@dataclass(frozen=True)
class PricePoint:
    """What a price buys on held-out images: accuracy (0 to 1), mean BitOPs and latency per image, share of each route.

    ``latency_ms`` includes the estimator.
    """

    price: float
    accuracy: float
    bitops: float
    latency_ms: float
    mix: dict[str, float]


@dataclass(frozen=True)
class CalibrationEntry:
    """How many calibration images the checkpoint carried, and the machine that the export ran on."""

    images: int
    machine: str


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and sha256 (64 hexadecimal digits) of a file."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """All that a bundle says of itself."""

    name: str
    classes: list[str]
    preprocessing: Preprocessing
    image_quant: ImageQuant
    layers: list[LayerEntry]
    configurations: list[ConfigurationEntry]
    estimator: EstimatorEntry
    price_curve: list[PricePoint]
    default_price: float
    calibration: CalibrationEntry
    baselines: dict[str, str]
    versions: dict[str, str]
    files: dict[str, FileEntry] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def graphs(self) -> dict[str, str]:
        """Every graph that the manifest refers to, ``{relative path: what refers to it}``."""
        found = {self.estimator.graph: "estimator"}
        for entry in self.configurations:
            found[entry.graph] = f"configuration '{entry.name}'"
            if entry.flat is not None:
                found[entry.flat] = f"configuration '{entry.name}'"
        found.update({path: f"baseline '{name}'" for name, path in self.baselines.items()})
        return found


def to_json(manifest: Manifest) -> bytes:
    """The manifest as the bytes of ``manifest.json``: schema version first, UTF-8, a line feed at the end."""
    tree = _without_none(asdict(manifest))
    tree = {"schema_version": tree.pop("schema_version"), **tree}
    return (json.dumps(tree, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def from_json(data: bytes) -> Manifest:
    """Read and check the bytes of a ``manifest.json``.

    Raises:
        BundleError: not JSON, a newer schema, an unknown, missing or doubled key, a value of the wrong type or range.
    """
    try:
        tree = json.loads(data, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{MANIFEST}: expected JSON, got what cannot be read ({error}); export again") from None
    if not isinstance(tree, dict):
        raise BundleError(f"{MANIFEST}: expected an object, got {type(tree).__name__}; export again")
    version = tree.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(
            f"{MANIFEST}: schema_version {version} is newer than {SCHEMA_VERSION}, the newest known here; "
            "update dqmq-deploy"
        )
    manifest: Manifest = parse(Manifest, tree, MANIFEST)
    _check(manifest)
    return manifest


def _check(manifest: Manifest) -> None:
    if manifest.schema_version != SCHEMA_VERSION:
        _refuse(f"expected schema_version {SCHEMA_VERSION}, got {manifest.schema_version}")
    names = [entry.name for entry in manifest.configurations]
    if not names or len(set(names)) != len(names):
        _refuse(f"expected one or more configurations with different names, got {names}")
    if not manifest.classes:
        _refuse("expected one or more classes, got none")
    if min(manifest.preprocessing.height, manifest.preprocessing.width) < 1:
        _refuse("expected a positive preprocessing height and width")
    if (manifest.preprocessing.mode, manifest.preprocessing.resize) != ("RGB", "stretch"):
        _refuse("expected preprocessing mode 'RGB' and resize 'stretch'")
    layers = {layer.name for layer in manifest.layers}
    for entry in manifest.configurations:
        if set(entry.bits) != layers:
            _refuse(f"configuration '{entry.name}': expected bits for every layer in 'layers' and no other")
        if not 0 < entry.cost <= 1:
            _refuse(f"configuration '{entry.name}': expected a cost above 0 and at most 1, got {entry.cost}")
    prices = [point.price for point in manifest.price_curve]
    if not prices or prices != sorted(prices) or prices[0] < 0 or manifest.default_price < 0:
        _refuse("expected a price_curve by rising price, no price below 0")
    for point in manifest.price_curve:
        if set(point.mix) != set(names):
            _refuse(f"price_curve: expected a share for each of {names} at price {point.price}")


def _refuse(message: str) -> None:
    raise BundleError(f"{MANIFEST}: {message}; export again")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return tree


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _without_none(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_none(value) for key, value in tree.items() if value is not None}
    if isinstance(tree, list):
        return [_without_none(value) for value in tree]
    return tree
