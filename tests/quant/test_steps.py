"""Learned step sizes: values and gradients against the plain straight-through formula, and by hand."""

import shutil

import numpy as np
import pytest
import torch
from torch import Tensor

from dqmq_deploy.quant import steps
from dqmq_deploy.quant.steps import best_step, clip, quantize, quantize_rows

RANGES = [(0, 3), (0, 15), (0, 255), (-2, 1), (-8, 7), (-128, 127)]


def plain_quantize(x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    """LSQ written with a detached rounding, for autograd: the gradient passes straight through ``round``."""
    ratio = torch.clamp(x / step, low, high)
    return (ratio + (ratio.round() - ratio).detach()) * step


def values(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers, scaled so that some lie outside of every range."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3


def gradients(result: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    """Gradients of a weighted sum of ``result``, each place with a weight of its own."""
    weight = torch.linspace(-1, 2, result.numel()).reshape(result.shape)
    return torch.autograd.grad((result * weight).sum(), of)


@pytest.mark.parametrize(("low", "high"), RANGES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_values_and_gradients_are_those_of_the_plain_formula(low: int, high: int, channels_last: bool) -> None:
    """One step for a whole tensor; its gradient is scaled by 1 / sqrt(values an image x highest code)."""
    x = values(4, 3, 5, 6)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    step = torch.tensor(0.37, requires_grad=True)
    expected = plain_quantize(x, step, low, high)
    found = quantize(x, step, low, high)
    assert found.stride() == x.stride()
    torch.testing.assert_close(found, expected)
    (x_expected, step_expected), (x_found, step_found) = gradients(expected, x, step), gradients(found, x, step)
    torch.testing.assert_close(x_found, x_expected)
    torch.testing.assert_close(step_found, step_expected * (90 * high) ** -0.5, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("low", "high"), [(-2, 1), (-8, 7), (-128, 127)])
def test_rows_have_a_step_each(low: int, high: int) -> None:
    """Weights: the same formula with one step per output channel."""
    x = values(5, 3, 2, 2, seed=1).requires_grad_()
    step = torch.linspace(0.1, 2, 5).reshape(5, 1, 1, 1).requires_grad_()
    expected = plain_quantize(x, step, low, high)
    found = quantize_rows(x, step, low, high)
    torch.testing.assert_close(found, expected)
    (x_expected, step_expected), (x_found, step_found) = gradients(expected, x, step), gradients(found, x, step)
    torch.testing.assert_close(x_found, x_expected)
    torch.testing.assert_close(step_found, step_expected * (12 * high) ** -0.5)


def test_quantize_by_hand() -> None:
    """Codes 0..3 at step 0.5: halves go to the even code, what is outside saturates and teaches the step alone."""
    x = torch.tensor([[-1.0, 0.2, 0.3, 0.75, 1.25, 9.0]], requires_grad=True)
    step = torch.tensor(0.5, requires_grad=True)
    y = quantize(x, step, 0, 3)
    assert y.tolist() == [[0.0, 0.0, 0.5, 1.0, 1.0, 1.5]]
    x_grad, step_grad = torch.autograd.grad(y.sum(), (x, step))
    assert x_grad.tolist() == [[0, 1, 1, 1, 1, 0]]
    by_hand = 0 + (0 - 0.4) + (1 - 0.6) + (2 - 1.5) + (2 - 2.5) + 3
    assert float(step_grad) == pytest.approx(by_hand / (6 * 3) ** 0.5)


@pytest.mark.parametrize(("low", "high"), RANGES[:5])
def test_clip_cuts_codes_and_teaches_the_step_where(low: int, high: int) -> None:
    """On numbers that are on the grid: the value and gradients of a clamp between ``low`` and ``high`` steps."""
    step = torch.tensor(0.37, requires_grad=True)
    codes = values(2, 3, 4, 4, seed=2).mul(8).round()
    x = (codes * 0.37).requires_grad_()
    expected = torch.minimum(torch.maximum(x, low * step), high * step)
    found = clip(x, step, low, high)
    torch.testing.assert_close(found, expected)
    inside = ((codes >= low) & (codes <= high)).float()
    weight = torch.linspace(-1, 2, x.numel()).reshape(x.shape)
    x_found, step_found = gradients(found, x, step)
    torch.testing.assert_close(x_found, weight * inside)
    by_hand = (weight * (codes > high) * high + weight * (codes < low) * low).sum() * (48 * max(high, 1)) ** -0.5
    torch.testing.assert_close(step_found, by_hand, rtol=1e-4, atol=1e-5)


def test_clip_after_quantize_is_quantization_to_fewer_codes() -> None:
    """What a 2-bit layer sees of an 8-bit tensor: value and gradients equal those of 2-bit quantization at once."""
    x = values(2, 3, 4, 4, seed=4).requires_grad_()
    step = torch.tensor(0.6, requires_grad=True)
    both = clip(quantize(x, step, 0, 255), step, 0, 3)
    torch.testing.assert_close(both, plain_quantize(x, step, 0, 3))
    (x_grad,) = gradients(both, x)
    (expected,) = gradients(plain_quantize(x, step, 0, 3), x)
    inside = (x / step).round() <= 3  # straight through to the rounded code, 3.4 counts as 3
    torch.testing.assert_close(x_grad[x / step < 3], expected[x / step < 3])
    assert not x_grad[~inside].any()


def test_half_precision_goes_in_and_out() -> None:
    """bfloat16 activations: computed in float32, given back as bfloat16; the step's gradient stays float32."""
    x = values(2, 8).bfloat16().requires_grad_()
    step = torch.tensor(0.25, requires_grad=True)
    y = quantize(x, step, -128, 127)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), ((x.float() / 0.25).round() * 0.25))
    x_grad, step_grad = torch.autograd.grad(y.float().sum(), (x, step))
    assert (x_grad.dtype, step_grad.dtype) == (torch.bfloat16, torch.float32)


def test_a_memory_order_of_the_gradients_own_is_taken() -> None:
    """A gradient that comes in another memory order than the tensor lands at the right places."""
    x = values(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = quantize(x, torch.tensor(0.3), -128, 127)
    weight = torch.arange(120.0).reshape(2, 3, 4, 5)
    (found,) = torch.autograd.grad(y, x, weight)
    torch.testing.assert_close(found, weight)


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_best_step_has_the_least_error_of_many(low: int, high: int) -> None:
    """No other step of a fine search is better by more than the coarseness of 40 candidates."""
    x = values(3, 400, seed=6)
    x[1] *= 10
    found = best_step(x, low, high)

    def error(step: Tensor) -> Tensor:
        return ((x / step[:, None]).round().clamp(low, high) * step[:, None] - x).square().mean(1)

    least = torch.stack([error(found * share) for share in np.linspace(0.3, 3, 200).tolist()]).min(0).values
    assert (error(found) <= least * 1.15 + 1e-7).all()
    assert float(found[1] / found[0]) == pytest.approx(10, rel=0.6)


def test_best_step_of_numbers_on_a_grid_is_the_grids() -> None:
    """Codes -2..1 at step 0.3 come back exactly; of nothing but zeros the step is still positive."""
    codes = torch.tensor([[-2.0, -1.0, 0.0, 1.0, 1.0]])
    assert float(best_step(codes * 0.3, -2, 1)) == pytest.approx(0.3)
    assert float(best_step(torch.zeros(1, 4), -2, 1)) > 0


def everything(seed: int) -> list[Tensor]:
    """Values and gradients of both functions, on numbers of that seed."""
    x = values(3, 2, 4 + seed, 4, seed=seed).requires_grad_()
    step = torch.tensor(0.37, requires_grad=True)
    found: list[Tensor] = []
    for function in (quantize, clip):
        y = function(x.round() * step.detach() if function is clip else x, step, 0, 3)
        found += [y.detach(), *gradients(y, x, step)]
    return found


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # torch.compile warns of its own doings
def test_fused_functions_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile's single passes give what the plain functions give, for two shapes."""
    plain = everything(1) + everything(2)
    monkeypatch.setattr(steps, "_whole", dict(steps._whole))
    assert steps.fuse()
    for found, expected in zip(everything(1) + everything(2), plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_without_a_compiler_the_plain_functions_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without C++ trains too, only slower."""

    def broken(function: object, **options: object) -> object:
        def call(*arguments: object) -> None:
            raise RuntimeError("no working C++ compiler")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    before = dict(steps._whole)
    assert not steps.fuse()
    assert steps._whole == before
