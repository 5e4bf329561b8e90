"""Networks by name: the shipped ones have their papers' sizes; what cannot be built is named."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from dqmq_deploy.errors import RecipeError
from dqmq_deploy.nets.load import SHIPPED, build

MODULE = """
from torch import nn

def plain(classes, width=4):
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))

def none(classes):
    return None
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module with two factories."""
    (tmp_path / "somebodys_nets.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "somebodys_nets", raising=False)
    return "somebodys_nets"


@pytest.mark.parametrize(
    ("name", "size", "parameters"),
    [("resnet20", 32, 272_474), ("resnet18", 64, 11_689_512), ("mobilenetv2", 64, 3_504_872)],
)
def test_parameters_are_those_of_the_papers(name: str, size: int, parameters: int) -> None:
    """0.27 M for ResNet-20 with 10 classes, 11.7 M and 3.5 M for the others with 1,000."""
    classes = 10 if name == "resnet20" else 1000
    model = build(name, classes).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    with torch.no_grad():
        assert model(torch.zeros(1, 3, size, size)).shape == (1, classes)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_network_takes_classes_and_width(name: str) -> None:
    """Every shipped network is built for any number of classes and a width of one's own."""
    model = build(name, 7, width=8 if name.startswith("resnet") else 0.25)
    with torch.no_grad():
        assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_anybodys_factory_is_taken(own_module: str) -> None:
    """``package.module:factory`` is imported and called with the classes and the recipe's arguments."""
    model = build(f"{own_module}:plain", 5, width=6)
    assert isinstance(model, nn.Sequential)
    assert model[0].out_channels == 6
    assert model[3].out_features == 5


def test_what_cannot_be_built_is_named(own_module: str) -> None:
    """A wrong name, module, factory or argument is one line that says what was expected."""
    with pytest.raises(RecipeError, match=r"net: unknown key 'resnet21'; did you mean 'resnet20'\?; or give"):
        build("resnet21", 5)
    for name in ("no_such_module:plain", f"{own_module}:nothing", ":", "os:"):
        with pytest.raises(RecipeError, match=r"cannot be imported .*expected 'package\.module:factory'"):
            build(name, 5)
    with pytest.raises(RecipeError, match=r"cannot be built with {'depth': 3}.*depth"):
        build(f"{own_module}:plain", 5, depth=3)
    with pytest.raises(RecipeError, match=r"cannot be built with {'width': -1}"):
        build("resnet8", 5, width=-1)
    with pytest.raises(RecipeError, match=r"cannot be built with {'name': 'x'}"):
        build("resnet8", 5, name="x")
    with pytest.raises(RecipeError, match=r"return an nn.Module, got NoneType"):
        build(f"{own_module}:none", 5)
