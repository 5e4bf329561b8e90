"""Networks for tests: the shipped ones made small, and one that has every other part that can be quantized."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dqmq_deploy.nets.load import build
from dqmq_deploy.quant.initial import initialise
from dqmq_deploy.quant.net import QuantNet, prepare
from dqmq_deploy.train.pixels import normalised

SIZE = 16  # height and width of the images below
NAMES = ("resnet8", "resnet20", "resnet18", "mobilenetv2", "odd")


class Odd(nn.Module):
    """Bias without normalisation, ReLU6, both poolings, depthwise, dilation, a sum of two ReLUs, flatten, Linear."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.six = nn.ReLU6()
        self.largest = nn.MaxPool2d(3, 2, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.point = nn.Conv2d(8, 8, 1)
        self.average = nn.AvgPool2d(2)
        self.hidden = nn.Linear(8 * (SIZE // 4) ** 2, 16)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(16, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[N, classes]`` of images ``[N, 3, 16, 16]``."""
        x = self.largest(self.six(self.stem(x)))
        x = torch.relu(self.norm(self.depthwise(x))) + F.relu(self.point(x))
        x = self.average(x).flatten(1)
        logits: Tensor = self.head(self.drop(F.relu(self.hidden(x))))
        return logits


def network(name: str, classes: int = 5) -> nn.Module:
    """A network in evaluation mode with statistics, scales and biases that are not the ones it is born with."""
    torch.manual_seed(0)
    small: dict[str, dict[str, float | int]] = {
        "resnet8": {"width": 8},
        "resnet20": {"width": 8},
        "resnet18": {"width": 8},
        "mobilenetv2": {"width": 0.25, "stem_stride": 1},
    }
    model = Odd(classes) if name == "odd" else build(name, classes, **small[name])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.6, 1.4)
            nn.init.normal_(module.bias, 0, 0.3)
            assert module.running_mean is not None and module.running_var is not None
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


def pictures(count: int, seed: int = 0, size: int = SIZE) -> npt.NDArray[np.uint8]:
    """Noise on a plain colour of each image's own, uint8 ``[count, size, size, 3]``."""
    rng = np.random.default_rng(seed)
    colour = rng.integers(30, 226, (count, 1, 1, 3))
    return np.clip(colour + rng.normal(0, 40, (count, size, size, 3)), 0, 255).astype(np.uint8)


def inputs(count: int, seed: int = 0, size: int = SIZE) -> Tensor:
    """The same as a network reads them, float32 ``[count, 3, size, size]``."""
    return normalised(pictures(count, seed, size), 1 / 64, 128)


def quantized(name: str, classes: int = 5) -> QuantNet:
    """The network prepared, every step size fitted to 64 images, in evaluation mode."""
    net = prepare(network(name, classes))
    initialise(net, inputs(64, seed=1))
    return net.eval()
