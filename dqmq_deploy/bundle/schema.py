"""Plain JSON values into a frozen dataclass, by its annotations. What does not fit is an error that names the place."""

import math
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from dqmq_deploy.errors import BundleError, unknown_key


def parse(kind: Any, value: Any, where: str) -> Any:
    """``value`` as an instance of ``kind``: a dataclass, ``list[...]``, ``dict[str, ...]``, ``X | None`` or a scalar.

    Raises:
        BundleError: an unknown or a missing key, or a value of another type; the message starts with ``where``.
    """
    if is_dataclass(kind):
        return _parse_dataclass(kind, value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:
        (inner,) = [argument for argument in arguments if argument is not NoneType]
        return parse(inner, value, where)
    if origin is list:
        _expect(isinstance(value, list), "a list", value, where)
        return [parse(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        _expect(isinstance(value, dict), "an object", value, where)
        return {key: parse(arguments[1], item, f"{where}: '{key}'") for key, item in value.items()}
    return _parse_scalar(kind, value, where)


def _parse_dataclass(kind: Any, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), "an object", value, where)
    known = {entry.name: entry for entry in fields(kind)}
    hints = get_type_hints(kind)
    for key in value:
        if key not in known:
            raise BundleError(unknown_key(key, known, where))
    for name, entry in known.items():
        # only a key that may be absent for good, such as "flat", has None as its default
        if name not in value and entry.default is not None:
            raise BundleError(f"{where}: expected key '{name}', which is missing; export again")
    return kind(**{key: parse(hints[key], item, f"{where}: {key}") for key, item in value.items()})


def _parse_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float:
        _expect(isinstance(value, int | float) and not isinstance(value, bool), "a number", value, where)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        _expect(math.isfinite(number), "a finite number", value, where)
        return number
    if kind is int:
        _expect(isinstance(value, int) and not isinstance(value, bool) and value >= 0, "a whole number", value, where)
        return value
    _expect(isinstance(value, kind), {str: "a text", bool: "true or false"}[kind], value, where)
    return value


def _expect(fits: bool, expected: str, value: Any, where: str) -> None:
    if not fits:
        shown = repr(value)
        shown = shown if len(shown) <= 40 else shown[:37] + "..."
        raise BundleError(f"{where}: expected {expected}, got {shown}; export again")
