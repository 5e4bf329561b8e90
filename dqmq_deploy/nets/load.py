"""Networks by name: the ones that ship, or ``package.module:factory`` for anybody's ``nn.Module``."""

import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from dqmq_deploy.errors import RecipeError, unknown_key
from dqmq_deploy.nets.mobilenet import mobilenetv2
from dqmq_deploy.nets.resnet import resnet8, resnet18, resnet20

SHIPPED: dict[str, Callable[..., nn.Module]] = {
    "resnet8": resnet8,
    "resnet20": resnet20,
    "resnet18": resnet18,
    "mobilenetv2": mobilenetv2,
}


def build(name: str, classes: int, /, **arguments: Any) -> nn.Module:
    """The network ``name`` for that many classes.

    Only a recipe, which its user wrote, may name a factory in a module; a checkpoint never does: it carries the
    structure itself.

    Raises:
        RecipeError: unknown name, or the factory cannot be imported or called.
    """
    if ":" in name:
        module_name, _, factory_name = name.partition(":")
        try:
            factory = getattr(importlib.import_module(module_name), factory_name)
        except Exception as error:  # importing somebody's module may raise anything
            wanted = "expected 'package.module:factory'"
            raise RecipeError(f"net '{name}': cannot be imported ({error}); {wanted}") from error
    elif name in SHIPPED:
        factory = SHIPPED[name]
    else:
        raise RecipeError(unknown_key(name, SHIPPED, "net") + "; or give 'package.module:factory'")
    try:
        network = factory(classes, **arguments)
    except Exception as error:  # and so may calling it
        raise RecipeError(f"net '{name}': cannot be built with {arguments}: {error}") from error
    if not isinstance(network, nn.Module):
        raise RecipeError(f"net '{name}': expected the factory to return an nn.Module, got {type(network).__name__}")
    return network
