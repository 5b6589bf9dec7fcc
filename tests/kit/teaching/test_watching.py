"""The figure that a run draws while it trains: how often, what it shows, and where it stays away."""

import io
from types import SimpleNamespace

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

from gholm_kit.teaching import watching
from gholm_lib.training import Progress
from tests.kit.teaching.figures.reading import words


def entry(epoch: int, loss: float) -> dict:
    losses = {"raw": loss, "crop": 2 * loss, "total": 3 * loss}
    tested = {"raw": 40.0 + epoch, "crop": 50.0, "both": 60.0 + epoch}
    return {"epoch": epoch, "losses": losses, "train_accuracy": 30.0 + epoch, "test": tested}


def progress(
    done: int, epochs: int = 0, running: bool = True, total: int = 8, seconds: float = 40
) -> Progress:
    """Four steps an epoch, ``epochs`` of them finished."""
    so_far = {"losses": {"raw": 0.5, "crop": 1.0, "total": 1.5}, "train_accuracy": 70.0}
    curve = [entry(e, 1.0) for e in range(1, epochs + 1)]
    return Progress(curve, done, total, 4, seconds, (lambda: so_far) if running else None)


@pytest.fixture
def published(monkeypatch):
    """What is sent to the notebook."""
    publisher = CapturingDisplayPublisher()
    shell = SimpleNamespace(
        display_pub=publisher, display_formatter=InteractiveShell.instance().display_formatter
    )
    monkeypatch.setattr(InteractiveShell, "initialized", classmethod(lambda cls: True))
    monkeypatch.setattr(InteractiveShell, "instance", classmethod(lambda cls, *a, **k: shell))
    return publisher.outputs


class Clock:
    """Stands still unless told; drawing takes ``drawing`` seconds."""

    def __init__(self, monkeypatch, drawing: float) -> None:
        self.now = 0.0
        plain = watching.style.png

        def png(*args, **kwargs):
            self.now += drawing
            return plain(*args, **kwargs)

        monkeypatch.setattr(watching.style, "png", png)

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("drawing", "at_most"), [(0.01, 10), (0.2, 3)])
def test_it_draws_at_most_every_second_and_never_a_twentieth_of_the_time(
    monkeypatch, published, drawing, at_most
):
    clock = Clock(monkeypatch, drawing)
    watch = watching.Curves(clock)
    for _ in range(100):
        clock.now += 0.1
        watch(progress(1))
    assert 2 <= len(published) <= at_most


def test_one_output_is_updated_and_the_end_is_always_drawn(monkeypatch, published):
    clock = Clock(monkeypatch, 0)
    watch = watching.Curves(clock)
    watch(progress(1))
    assert published == []
    clock.now = 1.0
    watch(progress(2))
    watch(progress(8, epochs=2, running=False))
    first, last = published
    assert (first.get("update"), last["update"]) == (False, True)
    assert first["transient"]["display_id"] == last["transient"]["display_id"]
    assert first["metadata"]["image/png"]["alt"] == "step 2 of 8, about 40 s left"
    assert last["metadata"]["image/png"]["alt"] == "8 steps, finished"


def test_the_figure_shows_the_finished_epochs_and_the_one_that_runs():
    fig = watching.figure(progress(6, epochs=1))
    losses, accuracies = fig.axes
    raw, crop = losses.lines
    assert (list(raw.get_xdata()), list(raw.get_ydata())) == ([1, 1.5], [1.0, 0.5])
    assert list(crop.get_ydata()) == [2.0, 1.0]
    train, *tested = accuracies.lines
    assert (list(train.get_xdata()), list(train.get_ydata())) == ([1, 1.5], [31.0, 70.0])
    assert [list(line.get_ydata()) for line in tested] == [[41.0], [50.0], [61.0]]
    assert "step 6 of 8, about 40 s left" in words(fig)
    assert losses.get_xlim()[1] >= 2


def test_the_first_epoch_has_no_test_yet():
    assert len(watching.figure(progress(1)).axes[1].lines) == 1


def test_minutes_are_told_as_minutes():
    assert watching.in_words(progress(1, seconds=600)) == "step 1 of 8, about 10 min left"


# ---------------------------------------------------------------------- where it stays away


def kernel(**content) -> SimpleNamespace:
    return SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda channel: {"content": content}))


@pytest.mark.parametrize(
    ("shell", "ci", "looks"),
    [
        (kernel(allow_stdin=True), "", True),
        (kernel(allow_stdin=True), "true", False),
        (kernel(allow_stdin=False), "", False),  # nbconvert, nbclient, papermill
        (kernel(), "", False),
        (SimpleNamespace(), "", False),  # IPython in a terminal
        (None, "", False),
    ],
)
def test_it_draws_only_where_somebody_looks(monkeypatch, shell, ci, looks):
    monkeypatch.setattr(watching, "get_ipython", lambda: shell)
    monkeypatch.setenv("CI", ci)
    assert watching.someone_looks() == looks
    assert (watching.curves() is not None) == looks


@pytest.mark.slow
@pytest.mark.parametrize("answers", [True, False])
def test_a_real_kernel_says_whether_somebody_looks(monkeypatch, answers):
    """JupyterLab lets the kernel ask questions, nbclient does not."""
    from jupyter_client.manager import start_new_kernel

    monkeypatch.delenv("CI", raising=False)
    manager, client = start_new_kernel(kernel_name="python3")
    said: list[str] = []
    try:
        client.execute_interactive(
            "from gholm_kit.teaching import live; print(watching.someone_looks())",
            allow_stdin=answers,
            stdin_hook=lambda message: None,
            output_hook=lambda message: said.append(message["content"].get("text", "")),
            timeout=120,
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert "".join(said).strip() == str(answers)


def test_the_picture_is_a_png():
    data = watching.style.png(watching.figure(progress(6, epochs=1)), dpi=watching.DPI)
    assert Image.open(io.BytesIO(data)).format == "PNG"
