"""Packed weights: the drawn layout, and packing undone by unpacking for every precision and remainder."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dqmq_deploy.bundle.packing import pack, row_bytes, unpack

BITS = st.sampled_from([2, 4, 8])


@st.composite
def codes(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """Codes of a random precision and a random shape ``[out, ...]``, and the precision."""
    bits = draw(BITS)
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9))
    half = 2 ** (bits - 1)
    return draw(hnp.arrays(np.int8, shape, elements=st.integers(-half, half - 1))), bits


@given(codes())
def test_unpacking_undoes_packing(drawn: tuple[np.ndarray, int]) -> None:
    """Any codes come back as they were, in their shape."""
    values, bits = drawn
    restored = unpack(pack(values, bits), bits, values.shape)
    assert restored.dtype == np.int8
    np.testing.assert_array_equal(restored, values)


@given(codes())
def test_packing_wastes_less_than_a_byte_a_row(drawn: tuple[np.ndarray, int]) -> None:
    """A row takes its bits, rounded up to a byte, and the spare bits are zero."""
    values, bits = drawn
    count = values.size // values.shape[0]
    packed = pack(values, bits)
    assert packed.shape == (values.shape[0], row_bytes(count, bits))
    spare = packed.shape[1] * 8 - count * bits
    assert 0 <= spare < 8
    if spare:
        assert not (packed[:, -1] >> (8 - spare)).any()


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9])
def test_every_remainder(bits: int, count: int) -> None:
    """Rows of every length modulo the codes in a byte come back, lowest and highest code included."""
    half = 2 ** (bits - 1)
    values = np.resize(np.array([-half, half - 1, 0, -1], np.int8), (3, count))
    np.testing.assert_array_equal(unpack(pack(values, bits), bits, values.shape), values)


@pytest.mark.parametrize(
    ("bits", "row", "expected"),
    [(2, [-2, -1, 0, 1, 1], [0b11100100, 0b00000011]), (4, [-8, 7, 0], [0xF0, 0x08]), (8, [-128, 127], [0, 255])],
)
def test_the_layout_is_the_drawn_one(bits: int, row: list[int], expected: list[int]) -> None:
    """The first code lies in the lowest bits, offset by half the range."""
    assert pack(np.array([row], np.int8), bits).tolist() == [expected]


def test_codes_out_of_range_are_refused() -> None:
    """A code that does not fit is an error, not a wrapped number."""
    with pytest.raises(ValueError, match="expected 2-bit codes from -2 to 1, got 0 to 2"):
        pack(np.array([[0, 2]], np.int8), 2)


def test_a_precision_off_the_ladder_is_refused() -> None:
    """Three bits would straddle bytes."""
    with pytest.raises(ValueError, match="expected bits in"):
        pack(np.zeros((1, 1), np.int8), 3)


def test_a_wrong_size_is_refused() -> None:
    """Unpacking needs exactly the bytes of the shape."""
    with pytest.raises(ValueError, match=r"expected packed weights of shape \(1, 2\)"):
        unpack(np.zeros((1, 3), np.uint8), 2, (1, 5))
