"""Plans of every odd shape that a convolution may have."""

from typing import Any

from hypothesis import strategies as st

from dqmq_deploy.export.plan import Plan
from tests.export.plans import PlanMaker


@st.composite
def odd_plans(draw: st.DrawFn) -> Plan:
    """Two convolutions of random geometry, the second perhaps with a residual, between a picture and its logits.

    Depthwise and grouped, dilated and strided, padded unevenly, 1 to 13 channels wide, so that rows of packed codes end
    in every remainder.
    """
    size = (draw(st.integers(6, 13)), draw(st.integers(6, 13)))
    maker = PlanMaker(size, draw(st.integers(0, 2**16)), classes=draw(st.integers(2, 9)))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels = groups * draw(st.integers(1, 13 // groups))
    x = maker.conv("image", channels, (3, 3), 8, pads=(1, 1, 1, 1), signed=draw(st.booleans()))
    depthwise = draw(st.booleans())
    geometry: dict[str, Any] = {
        "groups": channels if depthwise else groups,
        "strides": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "pads": draw(st.tuples(*[st.integers(0, 2)] * 4)),
        "dilations": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
    }
    bits = draw(st.sampled_from([2, 4, 8]))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    out = channels * draw(st.integers(1, 2)) if depthwise else groups * draw(st.integers(1, 5))
    act_bits = draw(st.sampled_from([2, 4, 8]))
    if draw(st.booleans()):
        residual = maker.conv(x, out, kernel, bits, signed=draw(st.booleans()), **geometry)
        return maker.plan(maker.conv(x, out, kernel, bits, act_bits=act_bits, residual=residual, **geometry))
    return maker.plan(maker.conv(x, out, kernel, bits, act_bits=act_bits, signed=draw(st.booleans()), **geometry))
