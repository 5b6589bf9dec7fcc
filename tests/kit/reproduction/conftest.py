"""Records made by hand, so that the right table is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gholm_kit.reproduction import jobs
from gholm_kit.reproduction.jobs import Job
from gholm_kit.reproduction.tuning import Tuned
from gholm_lib.config import Config
from gholm_lib.predictions import Predictions
from gholm_lib.records import Record


def made_up(
    config: Config, right: Iterable[bool], tested_mu: float | None = None, classes: int = 200, **answers
) -> Record:
    """A run that answers rightly where ``right`` says so; ``raw`` and ``crop`` may differ from the answer."""
    right = np.asarray(list(right), bool)

    def said(correct) -> np.ndarray:
        return np.where(np.asarray(correct, bool), 1, 0).astype(np.int16)

    nothing = np.full(len(right), -1, np.int16)
    predictions = Predictions(
        label=np.ones(len(right), np.int16),
        raw=said(answers.get("raw", right)),
        crop=said(answers.get("crop", right)) if config.crop else nothing,
        both=said(right) if config.crop else nothing,
        box=np.tile(np.array([0, 0, 56, 56], np.int16), (len(right), 1)),
        fallback=np.zeros(len(right), bool),
        image_size=112,
    )
    last = predictions.summary()
    return Record(
        config=config.to_dict(),
        data={
            "name": config.dataset,
            "classes": classes,
            "train": 8,
            "test": len(right),
            "test_ids_sha256": "same",
        },
        results={
            "last": last,
            "best_test": {"epoch": 5, **{k: v + 1 for k, v in last.items()}},
            "held_out": {"epoch": 3, **{k: v - 1 for k, v in last.items()}} if config.holdout else None,
        },
        curve=[],
        cost={"seconds": 100.0, "images_per_second": 1.0, "peak_memory_bytes": 2**30},
        environment={"device": "cpu", "threads": 1},
        predictions=predictions,
        tested_mu=tested_mu,
    )


@pytest.fixture
def made() -> Callable[..., Record]:
    return made_up


@pytest.fixture
def put(tmp_path) -> Callable[[Record], Path]:
    """Save a record where the reproduction looks for it; returns the folder of all records."""

    def save(record: Record) -> Path:
        record.save(tmp_path / "records" / Job(record.settings, record.tested_mu).name)
        return tmp_path / "records"

    return save


@pytest.fixture
def put_seeds(put) -> Callable[[Record], Path]:
    """Save a run as seeds 0 and 1, which answer alike: a difference of single runs gets no verdict."""

    def save(record: Record) -> Path:
        put(replace(record, config={**record.config, "seed": 1}))
        return put(record)

    return save


@pytest.fixture
def one_recipe_is_best(monkeypatch) -> None:
    """As if every search had found the recipe of Raw best for each row."""

    def own_best(self: Tuned, dataset: str, row: str) -> Config:
        return jobs.config_for(self.preset, dataset, row)

    monkeypatch.setattr(Tuned, "own_best", own_best)
