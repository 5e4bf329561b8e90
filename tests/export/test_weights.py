"""``weights.bin`` holds every tensor once, aligned, and gives back what went in."""

import numpy as np

from dqmq_deploy.bundle.packing import pack, unpack
from dqmq_deploy.export import graph
from dqmq_deploy.export.plan import ConvStage, LinearStage
from dqmq_deploy.export.weights import ALIGNMENT, WeightStore, external_bytes
from tests.export.plans import resnet20


def random_codes(shape: tuple[int, ...], bits: int, seed: int) -> np.ndarray:
    """Codes over the whole range of a precision."""
    half = 2 ** (bits - 1)
    return np.random.default_rng(seed).integers(-half, half, shape, dtype=np.int8)


def test_a_tensor_is_stored_once() -> None:
    """A second configuration that uses a layer at the same precision costs nothing."""
    store = WeightStore()
    codes = random_codes((16, 3, 3, 3), 2, 0)
    first = store.add("conv", codes, 2)
    size = len(store.to_bytes())
    assert store.add("conv", codes.copy(), 2) == first
    assert len(store.to_bytes()) == size
    assert store.add("conv", codes, 4).offset != first.offset


def test_tensors_are_aligned_and_come_back() -> None:
    """Every tensor starts on a cache line, and unpacks to the codes that went in."""
    store = WeightStore()
    placed = []
    for seed, (shape, bits) in enumerate([((5, 3, 3, 3), 2), ((7, 1, 1, 1), 4), ((9, 11), 8), ((1, 1), 2)]):
        codes = random_codes(shape, bits, seed)
        placed.append((codes, bits, store.add(f"layer{seed}", codes, bits)))
    data = np.frombuffer(store.to_bytes(), np.uint8)
    for codes, bits, tensor in placed:
        assert tensor.offset % ALIGNMENT == 0
        packed = data[tensor.offset : tensor.offset + tensor.length].reshape(tensor.shape)
        np.testing.assert_array_equal(unpack(packed, bits, codes.shape), codes)


def test_bytes_of_a_configuration() -> None:
    """A graph's share of the weights is the packed size of its layers."""
    plan = resnet20(2, size=8, width=4)
    store = WeightStore()
    model = graph.build(plan, store)
    layers = [stage for stage in plan.stages if isinstance(stage, ConvStage | LinearStage)]
    assert external_bytes(model) == sum(pack(layer.weight_codes, layer.weight_bits).size for layer in layers)
