"""The core idea: one network, several precisions a layer, a price for each choice.

A *precision* is a bit-width for a layer's weights and its input activations: precision 4 is W4A4.
A *configuration* picks one precision per layer. Its cost on paper is counted in BitOPs:

    BitOPs = sum over layers of  MACs x weight bits x activation bits      (per image)

so a layer at 2 bits costs a sixteenth of what it costs at 8. The first and the last layer stay at 8 bits.
Paper is not a clock: every report shows measured latency beside BitOPs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LADDER = (2, 4, 8)
"""The precisions a layer may take, in bits."""

EDGE_BITS = 8
"""The precision of the first and the last layer."""


@dataclass(frozen=True)
class Layer:
    """A layer that multiplies: what counting BitOPs and bytes needs to know of it.

    ``macs`` are multiply-accumulates per image; ``edge`` marks the first and the last layer, whose precision is fixed.
    """

    name: str
    macs: int
    weight_count: int
    edge: bool = False


@dataclass(frozen=True)
class Configuration:
    """One deployable choice: a name and the precision of every layer, ``{layer: bits}``."""

    name: str
    bits: Mapping[str, int]


def bitops(layers: Sequence[Layer], bits: Mapping[str, int]) -> int:
    """BitOPs per image of ``layers`` at the given precisions.

    >>> bitops([Layer("conv", macs=1000, weight_count=9)], {"conv": 4})
    16000
    """
    return sum(layer.macs * bits[layer.name] ** 2 for layer in layers)


def weight_bytes(layers: Sequence[Layer], bits: Mapping[str, int]) -> int:
    """Bytes of the packed weights of ``layers`` at the given precisions, padding not counted.

    >>> weight_bytes([Layer("conv", macs=1000, weight_count=9)], {"conv": 4})
    5
    """
    return sum(-(-layer.weight_count * bits[layer.name] // 8) for layer in layers)


def mean_bits(layers: Sequence[Layer], bits: Mapping[str, int]) -> float:
    """Mean precision, each layer weighted by its MACs."""
    return sum(layer.macs * bits[layer.name] for layer in layers) / sum(layer.macs for layer in layers)


def uniform(layers: Sequence[Layer], bits: int, name: str = "") -> Configuration:
    """The configuration with ``bits`` in every inner layer and :data:`EDGE_BITS` at both edges."""
    return Configuration(name or f"w{bits}", {layer.name: EDGE_BITS if layer.edge else bits for layer in layers})
