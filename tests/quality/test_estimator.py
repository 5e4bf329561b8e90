"""The quality estimator: learns what configurations get right, starts from their rates, is seeded."""

import numpy as np
import pytest
import torch
from torch import Tensor

from dqmq_deploy.quality.estimator import Estimator, fit, predict


def noisy(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images, half of them noisy, and what is right: the first configuration on clean ones only, the second always."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, 1, 1, generator=generator).expand(-1, -1, 16, 16).clone()
    spoilt = torch.arange(count) % 2 == 1
    images[spoilt] += torch.randn(int(spoilt.sum()), 3, 16, 16, generator=generator)
    return images, torch.stack([(~spoilt).float(), torch.ones(count)], 1)


def estimator(configurations: int = 2) -> Estimator:
    """A small one, always the same."""
    torch.manual_seed(0)
    return Estimator([4, 8], [2, 2], configurations)


def test_it_learns_who_is_right_where() -> None:
    """After a few epochs unseen noisy images get a low chance for the configuration that fails on them."""
    model = estimator()
    losses = fit(model, *noisy(256), epochs=12, learning_rate=0.02, seed=0, batch_size=32)
    assert len(losses) == 12
    assert losses[-1] < 0.5 * losses[0]
    images, right = noisy(100, seed=1)
    found = predict(model, images)
    assert found.shape == (100, 2)
    assert found.dtype == np.float32
    assert ((found[:, 0] > 0.5) == (right[:, 0].numpy() > 0.5)).mean() > 0.95
    assert found[:, 1].min() > 0.9
    assert not model.training


def test_it_starts_from_each_configurations_rate() -> None:
    """Before the first step every image gets the share that the configuration gets right, within 1 to 99 %."""
    model = estimator(3)
    right = torch.tensor([[1.0, 1.0, 0.0]] * 3 + [[0.0, 1.0, 0.0]])
    fit(model, torch.zeros(4, 3, 16, 16), right, epochs=1, learning_rate=1e-9, seed=0)
    assert predict(model, noisy(5)[0]).tolist() == [pytest.approx([0.75, 0.99, 0.01], abs=1e-3)] * 5


def test_the_same_seed_fits_the_same() -> None:
    """Bit for bit; another seed visits images in another order."""
    found = []
    for seed in (0, 0, 1):
        model = estimator()
        fit(model, *noisy(64), epochs=2, learning_rate=0.01, seed=seed, batch_size=16)
        found.append(predict(model, noisy(8, seed=3)[0]))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


@pytest.mark.parametrize(("count", "epochs"), [(1, 1), (33, 1), (2, 2)])
def test_any_number_of_images_and_epochs_will_do(count: int, epochs: int) -> None:
    """Also a single step, and a last batch of one image."""
    losses = fit(estimator(), *noisy(count), epochs=epochs, learning_rate=0.01, seed=0, batch_size=32)
    assert len(losses) == epochs
    assert np.isfinite(losses).all()


def test_features_are_means_at_every_depth() -> None:
    """Logits are the head's linear map of each convolution's mean response."""
    model = estimator()
    with torch.no_grad():
        model.head.weight.normal_(generator=torch.Generator().manual_seed(2))
        x = noisy(3)[0]
        first = torch.relu(model.convs[0](x))
        second = torch.relu(model.convs[1](first))
        features = torch.cat([first.mean((2, 3)), second.mean((2, 3))], 1)
        torch.testing.assert_close(model(x), features @ model.head.weight.T + model.head.bias)
    assert first.shape[2:] == (8, 8)
    assert second.shape[2:] == (4, 4)
