"""How numbers are written: for reading, three digits that matter, the unit beside them."""

import math

NOTHING = "-"
"""Stands where there is no number."""


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one in percent.

    >>> percent(0.9612), percent(None)
    ('96.1 %', '-')
    """
    return NOTHING if share is None else f"{100 * share:.{digits}f} %"


def interval(low: float, high: float) -> str:
    """Two shares as a range in percent.

    >>> interval(0.954, 0.967)
    '95.4 to 96.7'
    """
    return f"{100 * low:.1f} to {100 * high:.1f}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, signed.

    >>> points(0.0031), points(-0.02), points(-0.0001)
    ('+0.3', '\u22122.0', '+0.0')
    """
    rounded = round(100 * difference, 1) + 0.0  # no minus before a zero
    return f"{rounded:+.1f}".replace("-", "\u2212")


def points_interval(difference: dict[str, float]) -> str:
    """A difference's interval in percentage points.

    >>> points_interval({"difference": 0.0, "low": -0.01, "high": 0.01})
    '\u22121.0 to +1.0'
    """
    return f"{points(difference['low'])} to {points(difference['high'])}"


def digits3(value: float) -> str:
    """Three significant digits without an exponent.

    >>> digits3(0.35214), digits3(12.345), digits3(4321.0)
    ('0.352', '12.3', '4,321')
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else NOTHING
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def ms(value: float | None, unit: bool = False) -> str:
    """Milliseconds.

    >>> ms(0.35214, unit=True)
    '0.352 ms'
    """
    return NOTHING if value is None else digits3(value) + (" ms" if unit else "")


def bitops(value: float | None) -> str:
    """BitOPs with a decimal prefix.

    >>> bitops(1_234_000_000), bitops(45_600_000)
    ('1.23 G', '45.6 M')
    """
    if value is None:
        return NOTHING
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{digits3(value / factor)} {prefix}"
    return digits3(value)


def size(value: float | None) -> str:
    """Bytes with a decimal prefix.

    >>> size(301_000), size(12)
    ('301 kB', '12 B')
    """
    if value is None:
        return NOTHING
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= factor:
            return f"{digits3(value / factor)} {unit}"
    return f"{value:.0f} B"


def times(value: float) -> str:
    """A factor.

    >>> times(1.0312)
    '1.03x'
    """
    return f"{value:.2f}x" if value < 10 else f"{value:.1f}x"
