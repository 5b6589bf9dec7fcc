"""A few drawn pictures, and rivals on the mini backbone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gholm_kit.drawn import get_family
from gholm_kit.rivals import Rival, network
from gholm_lib.config import Config
from gholm_lib.loading import to_input


@pytest.fixture(scope="session")
def pictures() -> tuple[Tensor, Tensor]:
    """Six mini birds of three classes as network inputs (6, 3, 112, 112), and their labels."""
    family, config = get_family("mini_birds"), Config()
    images, labels = [], []
    for label, name in enumerate(list(family.classes)[:3]):
        for number in range(2):
            pixels, _ = family.picture(family.traits(name), np.random.default_rng([5, label, number]))
            images.append(to_input(Image.fromarray(pixels), config))
            labels.append(label)
    return torch.stack(images), torch.tensor(labels)


@pytest.fixture
def make() -> Callable[..., Rival]:
    """A rival for three classes, from the packaged weights; the same each time."""

    def build(method: str, **changes) -> Rival:
        torch.manual_seed(0)
        return network(Config(method=method, sup=False, **changes), 3)

    return build
