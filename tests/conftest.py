"""Settings for all tests."""

import os
import sys
from pathlib import Path

import jaxtyping
import pytest

# As `gholm` and `make` do, before PyTorch is loaded: threads that spin while they wait slow a busy machine down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The shapes in the method's signatures are checked here, while tests run, and nowhere else.
# An int passes for a float, as Python's typing rules have it. (config.py has no tensors and checks itself.)
jaxtyping.install_import_hook(
    [f"gholm_lib.{name}" for name in ("backbone", "gradcam", "losses", "masking", "model")],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)


def pytest_configure(config: pytest.Config) -> None:
    """Let nbmake fail a notebook whose widget swallowed an error; by itself it passes one, or waits for ever.

    A chapter that ran is kept in `build/notebooks`, so that the tests of pages and slides need not run it again.
    """
    if not config.getoption("nbmake", default=False):
        return
    import nbclient.client
    from nbmake.nb_result import NotebookError, NotebookResult
    from nbmake.nb_run import NotebookRun

    from gholm_kit.pages.execute import WakingOutput, code_digest, keep_copy, swallowed_errors
    from gholm_lib.paths import project_root

    plain = NotebookRun.execute

    def execute(self: NotebookRun) -> NotebookResult:
        path = Path(self.filename).resolve()
        digest = code_digest(path)
        result = plain(self)
        hidden = swallowed_errors(result.nb)
        if result.error is None and hidden:
            trace = "errors that did not stop the notebook:\n" + "\n".join(hidden)
            result.error = NotebookError(summary=hidden[0], trace=trace, failing_cell_index=-1)
        if result.error is None and path.parent == project_root() / "notebooks":
            keep_copy(result.nb, project_root() / "build" / "notebooks" / path.name, digest)
        return result

    NotebookRun.execute = execute
    nbclient.client.OutputWidget = WakingOutput


@pytest.fixture
def unchecked_shapes():
    """Without the check of shapes, to see what a function itself says of a wrong one."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def no_open_figures():
    """pyplot keeps every figure until it is closed: none is handed on to the next test."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="module")
def one_thread():
    """Several threads on networks this small wait for each other, for ever longer on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small_study():
    """An untrained network of 3 classes, 3 pictures of 32 pixels with boxes and deciding places, and their heatmaps.

    In float64, so that no answer and no pixel at the edge of a mask hangs on rounding.

    Heatmaps: 0 one hot patch, 1 a small very hot one and a large warm one, 2 nothing at all. Deciding places: the
    upper left quarter.
    """
    import torch

    from gholm_kit.teaching.deciding_parts import Study
    from gholm_lib.config import Config
    from gholm_lib.datasets import Sample
    from gholm_lib.model import GHOLMNet

    torch.manual_seed(0)
    config = Config(weights="none", image_size=32, resize=36)
    net = GHOLMNet(config.backbone, 3, False, config).eval()
    torch.nn.init.normal_(net.backbone.get_classifier().weight, 0, 0.3)
    net = net.double()
    heat = torch.zeros(3, 32, 32, dtype=torch.float64)
    heat[0, 4:12, 2:14] = 1
    heat[1, 2:4, 2:4] = 9
    heat[1, 16:28, 16:28] = 3
    places = torch.zeros(3, 32, 32, dtype=torch.float64)
    places[:, :16, :16] = 1 / 256
    study = Study(
        samples=tuple(Sample(Path("/nowhere") / f"{k}.jpg", k, f"{k}.jpg") for k in range(3)),
        images=torch.randn(3, 3, 32, 32).double(),
        labels=torch.arange(3),
        boxes=torch.tensor([[2.0, 4.0, 14.0, 12.0], [0.0, 0.0, 16.0, 16.0], [0.0, 0.0, 32.0, 32.0]]),
        deciding=places,
    )
    return net, study, heat, ("first kind", "second kind", "third kind")
