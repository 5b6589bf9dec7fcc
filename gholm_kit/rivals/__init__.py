"""Other methods for fine-grained classification on our backbone and data, each written from its paper.

They take the training loop, the recipe, the seeds and the test of GHOLM-Net, and as many passes through the
backbone. Their records say that they are re-implementations: the accuracies are not those of their authors.
"""

from __future__ import annotations

from gholm_kit.rivals.cal import CAL
from gholm_kit.rivals.mmal import MMAL
from gholm_kit.rivals.rival import Rival
from gholm_kit.rivals.wsdan import WSDAN
from gholm_lib.config import Config, ConfigError
from gholm_lib.model import GHOLMNet

METHODS: dict[str, type[Rival]] = {"wsdan": WSDAN, "mmal": MMAL, "cal": CAL}


def network(config: Config, num_classes: int) -> GHOLMNet | Rival:
    """The network of ``config.method`` with its starting weights, for ``gholm_lib.training.train``.

    raises  ConfigError for a method that does not exist
    """
    if config.method == "gholm":
        return GHOLMNet.from_config(config, num_classes)
    if config.method not in METHODS:
        raise ConfigError(f"no method {config.method!r}; there are gholm, {', '.join(METHODS)}")
    return METHODS[config.method](config, num_classes)
