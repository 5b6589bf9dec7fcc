"""Not a test: trains one small network twice, once straight through and once killed at every awkward moment.

    python tests/killed_run.py DATA_ROOT FOLDER

FOLDER/straight and FOLDER/killed receive the two runs; what the killed run's folder held after each kill is
copied to FOLDER/after/<moment>. Every session is a forked child that ends by SIGKILL, as kill -9 would end it; the
parent only imports the library (which takes longer than the training) and never uses a thread.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from gholm_lib import training
from gholm_lib.config import Config, RunOptions
from gholm_lib.records import Record
from gholm_lib.training import train

CONFIG = Config(
    dataset="cub",
    weights="none",
    drop_path=0.2,  # random in training, like theta, order and augmentation
    image_size=64,
    resize=72,
    epochs=4,
    lr=0.01,
    lr_decay_epochs=(2,),
    batch_size=8,
    evaluate_every=2,
    holdout=0.2,
)


def die(*_args, **_kwargs) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(number: int) -> Callable[[], None]:
    """Die in the middle of this session's step ``number``."""

    def install() -> None:
        plain, steps = torch.optim.SGD.step, []

        def step(self, *args, **kwargs):
            steps.append(1)
            return die() if len(steps) == number else plain(self, *args, **kwargs)

        torch.optim.SGD.step = step

    return install


def while_saving(number: int) -> Callable[[], None]:
    """Die when half of this session's checkpoint ``number`` is on disk."""

    def install() -> None:
        plain, saves = torch.save, []

        def save(state, file):
            saves.append(1)
            if len(saves) < number:
                return plain(state, file)
            buffer = io.BytesIO()
            plain(state, buffer)
            file.write(buffer.getvalue()[: buffer.tell() // 2])
            file.flush()
            return die()

        torch.save = save

    return install


def in_evaluation() -> None:
    training.predict_all = die


def before_the_record() -> None:
    Record.save = die


MOMENTS = {
    "epoch 1, step 2": at_step(2),
    "half of checkpoint 1": while_saving(1),
    "epoch 2, step 1": at_step(4),
    "evaluation after epoch 2": in_evaluation,
    "half of checkpoint 3": while_saving(2),
    "weights without record": before_the_record,
}


def session(data_root: Path, runs: Path, install: Callable[[], None] | None) -> int:
    """Train in a child; returns its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        if install is not None:
            install()
        train(CONFIG, RunOptions(data_root=data_root, runs=runs, device="cpu", quiet=True))
        os._exit(0)
    finally:
        os._exit(1)


def main(data_root: Path, folder: Path) -> None:
    assert session(data_root, folder / "straight", None) == 0
    for moment, install in MOMENTS.items():
        status = session(data_root, folder / "killed", install)
        assert os.WIFSIGNALED(status), f"{moment} never came (status {status})"
        run = folder / "killed" / CONFIG.run_id
        run.mkdir(parents=True, exist_ok=True)
        shutil.copytree(run, folder / "after" / moment)
    assert session(data_root, folder / "killed", None) == 0


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
