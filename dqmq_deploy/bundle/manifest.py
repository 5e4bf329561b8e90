"""What ``manifest.json`` says, as frozen dataclasses. Reading is strict: no key too many, none too few, no wrong type.

Manifest
├── preprocessing        Preprocessing          what the graphs expect of a picture
├── image_quant          ImageQuant             how its codes are read as numbers
├── layers               LayerEntry ...         what BitOPs and bytes are counted from
├── configurations       ConfigurationEntry ... cheapest first; one graph each
├── estimator            EstimatorEntry
├── policies             PolicyEntry ...        how an image may find its configuration
│   └── curve            PricePoint ...         what a price buys, by rising price
├── calibration          CalibrationEntry
└── files                FileEntry ...          size and sha256 of every file but the manifest itself
"""

import json
from bisect import bisect_right
from dataclasses import asdict, dataclass, field
from typing import Any

from dqmq_deploy.bundle.schema import parse
from dqmq_deploy.errors import BundleError
from dqmq_deploy.routing import Cascade

SCHEMA_VERSION = 3
"""Raised with every change that an older reader cannot understand."""

MANIFEST = "manifest.json"
WEIGHTS = "weights.bin"

ESCALATE = "escalate"
ROUTE = "route"
POLICIES = (ESCALATE, ROUTE)
"""The names of the policies, as :mod:`dqmq_deploy.routing` explains them."""


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
    """One configuration. ``cost`` is its time over that of the slowest, above 0 and at most 1; it never falls.

    ``bytes`` counts its graph and the packed weights it refers to; ``accuracy`` (0 to 1) is over held-out images;
    ``latency_ms`` is for one image on one thread of the machine that exported. ``shrink``: the graph itself shrinks the
    picture to 1/shrink of its height and width first.
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
    shrink: int
    flat: str | None = None


@dataclass(frozen=True)
class EstimatorEntry:
    """The graph of the quality estimator; ``latency_ms`` and ``cost`` are as of a configuration."""

    graph: str
    latency_ms: float
    cost: float


@dataclass(frozen=True)
class PricePoint:
    """What a policy does from this price on, and what that comes to on held-out images.

    Mean BitOPs (those of the estimator not among them) and latency per image count all that an image runs: both graphs
    where it escalates, the estimator where it is asked. ``mix`` is the share of images whose answer comes from each
    configuration, at last.

    The other keys belong to ``escalate`` alone: the cascade, ``first`` and ``last`` by name; the share of images that
    are run twice, and the share that goes to ``last`` at once. There ``accuracy`` is told by halves: on each half of
    the images, of the threshold and skip that suit the other half best; all else is of those that suit all images.
    """

    price: float
    accuracy: float
    bitops: float
    latency_ms: float
    mix: dict[str, float]
    first: str | None = None
    last: str | None = None
    threshold: float | None = None
    skip: float | None = None
    escalated: float | None = None
    skipped: float | None = None

    @property
    def asks_estimator(self) -> bool:
        """Whether the estimator is run."""
        return self.skip is None or self.skip > 0


@dataclass(frozen=True)
class PolicyEntry:
    """A way to dispatch, ``escalate`` or ``route``; its curve starts at price 0."""

    name: str
    curve: list[PricePoint]

    def at(self, price: float) -> PricePoint:
        """The point in force at ``price``: that of the highest price which is not above it."""
        return self.curve[max(0, bisect_right([point.price for point in self.curve], price) - 1)]


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
    """All that a bundle says of itself. ``notes`` are what whoever deploys it should know, a sentence each.

    ``memory``, a row and a column a configuration: how much of the answer of one, 0 to 1, counts beside that of another
    which an image escalates to.
    """

    name: str
    classes: list[str]
    preprocessing: Preprocessing
    image_quant: ImageQuant
    layers: list[LayerEntry]
    configurations: list[ConfigurationEntry]
    estimator: EstimatorEntry
    policies: list[PolicyEntry]
    memory: list[list[float]]
    default_policy: str
    default_price: float
    calibration: CalibrationEntry
    baselines: dict[str, str]
    versions: dict[str, str]
    notes: list[str] = field(default_factory=list)
    files: dict[str, FileEntry] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def policy(self, name: str) -> PolicyEntry:
        """The policy of one of the names in :data:`POLICIES`."""
        return next(entry for entry in self.policies if entry.name == name)

    def cascade(self, point: PricePoint) -> Cascade:
        """The cascade of a point of ``escalate``."""
        assert point.first is not None and point.last is not None and point.threshold is not None
        names = [entry.name for entry in self.configurations]
        first, last = names.index(point.first), names.index(point.last)
        return Cascade(first, last, point.threshold, point.skip or 0.0, self.memory[first][last])

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
    if type(version) is int and version > SCHEMA_VERSION:
        raise BundleError(
            f"{MANIFEST}: schema_version {version} is newer than {SCHEMA_VERSION}, the newest known here; "
            "update dqmq-deploy"
        )
    if version is not None and (type(version) is not int or version != SCHEMA_VERSION):
        _refuse(f"expected schema_version {SCHEMA_VERSION}, got {repr(version)[:40]}")
    manifest: Manifest = parse(Manifest, tree, MANIFEST)
    _check(manifest)
    return manifest


_OF_A_CASCADE = ("first", "last", "threshold", "skip", "escalated", "skipped")


def _check(manifest: Manifest) -> None:
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
        if entry.shrink < 1:
            _refuse(f"configuration '{entry.name}': expected a shrink of at least 1, got {entry.shrink}")
    costs = [entry.cost for entry in manifest.configurations]
    if costs != sorted(costs):
        _refuse(f"expected configurations by rising cost, got {costs}")
    if manifest.estimator.cost < 0 or manifest.estimator.latency_ms < 0:
        _refuse("estimator: expected a cost and a latency_ms of at least 0")
    policies = [policy.name for policy in manifest.policies]
    if sorted(policies) != sorted(POLICIES):
        _refuse(f"expected policies {' and '.join(POLICIES)}, got {policies}")
    if manifest.default_policy not in POLICIES:
        _refuse(f"expected a default_policy {' or '.join(POLICIES)}, got {manifest.default_policy!r}")
    if manifest.default_price < 0:
        _refuse(f"expected a default_price of at least 0, got {manifest.default_price}")
    if [len(row) for row in manifest.memory] != [len(names)] * len(names):
        _refuse(f"memory: expected {len(names)} rows of {len(names)}, got {[len(row) for row in manifest.memory]}")
    for share in (share for row in manifest.memory for share in row):
        if not 0 <= share <= 1:
            _refuse(f"memory: expected values from 0 to 1, got {share}")
    for policy in manifest.policies:
        _check_curve(policy, manifest)


def _check_curve(policy: PolicyEntry, manifest: Manifest) -> None:
    names = [entry.name for entry in manifest.configurations]
    prices = [point.price for point in policy.curve]
    if not prices or prices[0] != 0 or prices != sorted(set(prices)):
        _refuse(f"policy '{policy.name}': expected a curve by rising price that starts at price 0")
    for point in policy.curve:
        where = f"policy '{policy.name}' at price {point.price}"
        if set(point.mix) != set(names):
            _refuse(f"{where}: expected a share for each of {names}")
        cascade = {name: getattr(point, name) for name in _OF_A_CASCADE}
        given = [name for name, value in cascade.items() if value is not None]
        if given != (list(_OF_A_CASCADE) if policy.name == ESCALATE else []):
            _refuse(f"{where}: expected {', '.join(_OF_A_CASCADE)} for '{ESCALATE}' and for no other, got {given}")
        shares = {"accuracy": point.accuracy, **{f"share of '{name}'": share for name, share in point.mix.items()}}
        if policy.name == ESCALATE:
            for name in (point.first, point.last):
                if name not in names:
                    _refuse(f"{where}: expected one of {names} as first and as last, got {name!r}")
            found = manifest.cascade(point)
            if found.first > found.last:
                _refuse(f"{where}: expected a last that is no cheaper than first")
            if found.threshold < 0:
                _refuse(f"{where}: expected a threshold of at least 0, got {found.threshold}")
            shares.update({name: cascade[name] for name in ("skip", "escalated", "skipped")})
        for name, share in shares.items():
            if not 0 <= share <= 1:
                _refuse(f"{where}: expected a value from 0 to 1 as {name}, got {share}")


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
