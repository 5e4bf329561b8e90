"""The operators of domain ``ai.dqmq`` as model-local ONNX functions.

A graph says ``QConv``; the function in the same file says what that means in standard operators. A runtime that has a
kernel of that name uses it; any other inlines the body. Stock onnxruntime folds the unpacking and the ``If`` while it
loads and fuses the rest to one QLinearConv (QConv), QLinearConv and QLinearAdd (QConvAdd) or QGemm (QLinear).

What a node computes, exactly as the fused operators do it, ``round`` being half to even and ``*`` and ``/`` in float32:

    xc  = clamp(x, x_min, x_max)                     the 2**act_bits codes that the layer tells apart
    w   = code * 2**(8 - weight_bits)                codes left-aligned in int8
    acc = sum (xc - x_zp) * w + bias                 int32; padding adds nothing
    y   = clamp(round(acc * (x_scale * w_scale / y_scale)) + y_zp, 0, 255)
    QConvAdd quantizes acc with c_scale, c_zp instead, then adds, with two fused multiply-adds, the inner one first:
    z   = y_zp - (c_scale / y_scale * c_zp + r_scale / y_scale * r_zp)
    y   = clamp(round(fma(c, c_scale / y_scale, fma(r, r_scale / y_scale, z))), 0, 255)
    QLinear gives numbers instead of codes:
    y   = acc * (x_scale * w_scale)
QAveragePool and QGlobalAveragePool, over the `size` codes of a window, padding among them but adding nothing:
    y   = clamp(round(sum (x - x_zp) * (x_scale / size / y_scale)) + y_zp, 0, 255)
MedianFilter and AreaResize make a small picture of a large one, codes of the same scale:
    y   = median of the 3 x 3 codes around each, edges repeated
    y   = round(rows @ x @ transposed columns / area)      sums below 2**24, which float32 holds whole

Inputs: ``x``, ``r``, ``y`` are uint8 ``[N, H, W, C]`` (``[N, C]`` for the linear ones); ``w`` holds packed codes, uint8
``[out, ceil(K * weight_bits / 8)]`` (:mod:`dqmq_deploy.bundle.packing`); ``w_scale`` float32 ``[out]``, either sign;
``bias`` int32 ``[out]`` in units of ``x_scale * w_scale``; scales and zero points of tensors are scalars.

Why the bodies are written as they are, each found by measuring onnxruntime 1.20 to 1.32:

- codes are left-aligned, so that the bias, a whole number of ``x_scale * w_scale``, is fine enough at 2 bits: in units
  of the codes themselves its rounding moved 3 % of a 2-bit layer's outputs by one code;
- offset subtracted in int32, cast to int8 last: int8 has no Sub kernel on 1.20;
- ``w_zp`` spelled out for every channel: without it a Gemm stays in float on 1.32 and fails on 1.20;
- the bias scale is the product of the very two scales: any other loses the fusion without a word;
- ``Clip`` on uint8 narrows the input: masking with BitwiseAnd costs 30 % of the graph;
- transposes on the codes, not on the numbers: else one DequantizeLinear and QuantizeLinear pair stays behind a Clip;
- ``If`` on a constant picks the Clip: function overloads do not resolve on 1.20.
"""

from functools import cache

import onnx

DOMAIN = "ai.dqmq"
DOMAIN_VERSION = 1
OPSET = 21

_NAMES = {
    "QConv": "weight_bits, act_bits, w_shape, w_count, kernel_shape, strides, pads, dilations, group",
    "QLinear": "weight_bits, act_bits, w_shape, w_count",
    "QAveragePool": "kernel_shape, strides, pads",
    "QGlobalAveragePool": "",
    "MedianFilter": "",
    "AreaResize": "",
}

# codes of weight_bits from packed rows, left-aligned in 8 bits, to numbers; w_count is K, w_shape the unpacked shape
_WEIGHTS = """
    zero = Constant <value_int = 0> ()
    eight = Constant <value_int = 8> ()
    bits = Constant <value_int: int = @weight_bits> ()
    shift_list = Range (zero, eight, bits)
    shifts = Cast <to = 2> (shift_list)
    field_axis = Constant <value_ints = [2]> ()
    bytes = Unsqueeze (w, field_axis)
    shifted = BitShift <direction = "RIGHT"> (bytes, shifts)
    spare = Sub (eight, bits)
    spare_u8 = Cast <to = 2> (spare)
    all_ones = Constant <value = uint8 {255}> ()
    mask = BitShift <direction = "RIGHT"> (all_ones, spare_u8)
    fields = BitwiseAnd (shifted, mask)
    row_shape = Constant <value_ints = [0, -1]> ()
    rows = Reshape (fields, row_shape)
    first = Constant <value_ints = [0]> ()
    count = Constant <value_ints: ints = @w_count> ()
    along = Constant <value_ints = [1]> ()
    kept = Slice (rows, first, count, along)
    shape = Constant <value_ints: ints = @w_shape> ()
    unsigned = Reshape (kept, shape)
    aligned = BitShift <direction = "LEFT"> (unsigned, spare_u8)
    aligned_i32 = Cast <to = 6> (aligned)
    half = Constant <value = int32 {128}> ()
    signed = Sub (aligned_i32, half)
    codes = Cast <to = 3> (signed)
    channels = Shape (w_scale)
    w_zp = ConstantOfShape <value = int8[1] {0}> (channels)
    w_real = DequantizeLinear <axis = 0> (codes, w_scale, w_zp)
    bias_scale = Mul (x_scale, w_scale)
    bias_real = DequantizeLinear <axis = 0> (bias, bias_scale)
"""

_INPUT = """
    act_bits_here = Constant <value_int: int = @act_bits> ()
    is_narrow = Less (act_bits_here, eight)
    xc = If (is_narrow) <
        then_branch = narrow () => (uint8[] clipped) { clipped = Clip (x, x_min, x_max) },
        else_branch = wide () => (uint8[] kept_whole) { kept_whole = Identity (x) }
    >
"""

_CONV = """
    x_nchw = Transpose <perm = [0, 3, 1, 2]> (xc)
    x_real = DequantizeLinear (x_nchw, x_scale, x_zp)
    c_real = Conv <kernel_shape: ints = @kernel_shape, strides: ints = @strides, pads: ints = @pads,
        dilations: ints = @dilations, group: int = @group> (x_real, w_real, bias_real)
"""

_ADD = """
    c = QuantizeLinear (c_real, c_scale, c_zp)
    c_again = DequantizeLinear (c, c_scale, c_zp)
    r_nchw = Transpose <perm = [0, 3, 1, 2]> (r)
    r_real = DequantizeLinear (r_nchw, r_scale, r_zp)
    y_real = Add (c_again, r_real)
"""

_TO_NHWC = """
    y = Transpose <perm = [0, 2, 3, 1]> (y_nchw)
"""

_LINEAR = """
    x_real = DequantizeLinear (xc, x_scale, x_zp)
"""

_POOL = """
    x_real = DequantizeLinear (x, x_scale, x_zp)
    x_nchw = Transpose <perm = [0, 3, 1, 2]> (x_real)
    pooled = {pool} (x_nchw)
    pooled_nhwc = Transpose <perm = [0, 2, 3, 1]> (pooled)
    y = QuantizeLinear (pooled_nhwc, y_scale, y_zp)
"""

_AVERAGE = """AveragePool <kernel_shape: ints = @kernel_shape, strides: ints = @strides, pads: ints = @pads,
        count_include_pad = 1>"""


def _three(name: str, source: str, axis: str) -> str:
    """Each value's neighbour before, itself, and the one after, along an axis that is padded by one."""
    return f"""
    {name}_before = Slice ({source}, zero, less_two, {axis})
    {name}_at = Slice ({source}, one, less_one, {axis})
    {name}_after = Slice ({source}, two, end, {axis})
"""


def _sorted(name: str, a: str, b: str, c: str) -> str:
    """Three numbers element by element: ``name_low``, ``name`` and ``name_high``."""
    return f"""
    {name}_low = Min ({a}, {b}, {c})
    {name}_high = Max ({a}, {b}, {c})
    {name}_sum = Sum ({a}, {b}, {c})
    {name}_less = Sub ({name}_sum, {name}_low)
    {name} = Sub ({name}_less, {name}_high)
"""


# columns of three are sorted; the median of nine is that of the largest low, the middle middle, the smallest high code
_MEDIAN = (
    """
    x_real = Cast <to = 1> (x)
    pads = Constant <value_ints = [0, 1, 1, 0, 0, 1, 1, 0]> ()
    padded = Pad <mode = "edge"> (x_real, pads)
    zero = Constant <value_ints = [0]> ()
    one = Constant <value_ints = [1]> ()
    two = Constant <value_ints = [2]> ()
    less_one = Constant <value_ints = [-1]> ()
    less_two = Constant <value_ints = [-2]> ()
    end = Constant <value_ints = [9223372036854775807]> ()
"""
    + _three("column", "padded", "one")
    + _sorted("middle", "column_before", "column_at", "column_after")
    + _three("lows", "middle_low", "two")
    + "largest = Max (lows_before, lows_at, lows_after)"
    + _three("highs", "middle_high", "two")
    + "smallest = Min (highs_before, highs_at, highs_after)"
    + _three("middles", "middle", "two")
    + _sorted("between", "middles_before", "middles_at", "middles_after")
    + _sorted("median", "largest", "between", "smallest")
    + "y = Cast <to = 2> (median)"
)

_RESIZE = """
    x_real = Cast <to = 1> (x)
    down = Cast <to = 1> (rows)
    across = Cast <to = 1> (columns)
    flat_shape = Constant <value_ints = [0, 0, -1]> ()
    flat = Reshape (x_real, flat_shape)
    fewer_rows = MatMul (down, flat)
    kept = Constant <value_ints = [0, 0]> ()
    width = Shape <start = 1> (columns)
    rest = Constant <value_ints = [-1]> ()
    tall_shape = Concat <axis = 0> (kept, width, rest)
    tall = Reshape (fewer_rows, tall_shape)
    total = MatMul (across, tall)
    mean = Div (total, area)
    rounded = Round (mean)
    y = Cast <to = 2> (rounded)
"""

_COMMON_INPUTS = "x, x_scale, x_zp, w, w_scale, bias, x_min, x_max"

_BODIES = {
    "QConv": (
        "QConv",
        f"{_COMMON_INPUTS}, y_scale, y_zp",
        _WEIGHTS + _INPUT + _CONV + "y_nchw = QuantizeLinear (c_real, y_scale, y_zp)" + _TO_NHWC,
    ),
    "QConvAdd": (
        "QConv",
        f"{_COMMON_INPUTS}, y_scale, y_zp, c_scale, c_zp, r, r_scale, r_zp",
        _WEIGHTS + _INPUT + _CONV + _ADD + "y_nchw = QuantizeLinear (y_real, y_scale, y_zp)" + _TO_NHWC,
    ),
    "QLinear": (
        "QLinear",
        _COMMON_INPUTS,
        _WEIGHTS + _INPUT + _LINEAR + "y = Gemm <transB = 1> (x_real, w_real, bias_real)",
    ),
    "QLinearCodes": (
        "QLinear",
        f"{_COMMON_INPUTS}, y_scale, y_zp",
        _WEIGHTS
        + _INPUT
        + _LINEAR
        + "y_real = Gemm <transB = 1> (x_real, w_real, bias_real)\ny = QuantizeLinear (y_real, y_scale, y_zp)",
    ),
    "QAveragePool": ("QAveragePool", "x, x_scale, x_zp, y_scale, y_zp", _POOL.format(pool=_AVERAGE)),
    "QGlobalAveragePool": (
        "QGlobalAveragePool", "x, x_scale, x_zp, y_scale, y_zp", _POOL.format(pool="GlobalAveragePool"),
    ),
    "MedianFilter": ("MedianFilter", "x", _MEDIAN),
    "AreaResize": ("AreaResize", "x, rows, columns, area", _RESIZE),
}  # fmt: skip

OPERATORS = tuple(_BODIES)
"""Names of the operators: a convolution, one with a residual, a linear layer to numbers, a linear layer to codes, the

mean over windows, the mean over the whole picture, a median filter, means over areas."""


@cache
def _text(operator: str) -> str:
    attributes, inputs, body = _BODIES[operator]
    named = f" <{_NAMES[attributes]}>" if _NAMES[attributes] else ""
    return f'<domain: "{DOMAIN}", opset_import: ["": {OPSET}]>\n{operator}{named} ({inputs}) => (y) {{\n{body}\n}}'


def function(operator: str) -> onnx.FunctionProto:
    """The model-local function of one of :data:`OPERATORS`."""
    return onnx.parser.parse_function(_text(operator))
