"""Numbers as they are written, and the examples in the report's docstrings."""

import doctest
import importlib
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dqmq_deploy.report
from dqmq_deploy.report.numbers import digits3

MODULES = [module.name for module in pkgutil.iter_modules(dqmq_deploy.report.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    """Every ``>>>`` of the part gives what stands below it."""
    result = doctest.testmod(importlib.import_module(f"dqmq_deploy.report.{name}"))
    assert result.failed == 0


@given(st.floats(1e-4, 1e8))
def test_three_digits_are_close(value: float) -> None:
    """What is written is within half a unit of the third digit, and never in exponents."""
    text = digits3(value)
    assert "e" not in text
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.0051)
