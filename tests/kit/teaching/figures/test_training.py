"""Chapter 05's tables and pictures: what they say is what the config, the run and the record say."""

from dataclasses import fields

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from gholm_kit.speed.cases import kept_results, save
from gholm_kit.speed.timing import Measurement
from gholm_kit.teaching.figures import training as pictures
from gholm_lib.config import Config, RunOptions, load_config
from gholm_lib.datasets import FineGrainedData, Sample
from gholm_lib.predictions import Predictions
from gholm_lib.records import Record
from gholm_lib.training import train
from tests.kit.teaching.figures.reading import words

matplotlib.use("Agg")


# ---------------------------------------------------------------------- the recipe


def test_every_setting_has_a_note_from_the_source():
    assert set(pictures.notes()) == {f.name for f in fields(Config)}
    assert "section 3.4" in pictures.notes()["gamma"].text
    assert pictures.notes()["gamma"].group.startswith("losses")
    assert pictures.notes()["lr"].group == "optimisation"
    assert pictures.notes()["dataset"].group == ""


def test_the_recipe_shows_each_presets_value_beside_its_source():
    table = pictures.recipe(
        {"mini": load_config("mini"), "paper": load_config("paper")}, ["optimisation", "images"]
    )
    rows = {line.split("|")[1].strip(): line for line in table.splitlines()}
    epochs = [cell.strip() for cell in rows["`epochs`"].strip("|").split("|")]
    assert epochs[1:3] == [str(load_config("mini").epochs), str(load_config("paper").epochs)]
    assert epochs[3] == pictures.notes()["epochs"].text
    assert "| 15, 30 |" in rows["`lr_decay_epochs`"]
    assert "| yes | yes |" in rows["`random_crop`"]
    assert "`mu`" not in rows
    assert list(rows).index("`epochs`") < list(rows).index("`image_size`")  # in the order asked for
    assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1
    short = pictures.recipe({"mini": load_config("mini")}, ["gamma", "lr"])
    assert [line.split("|")[1].strip() for line in short.splitlines()[2:]] == ["`gamma`", "`lr`"]


def test_a_group_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"no group 'optics'.*optimisation"):
        pictures.recipe({"mini": load_config("mini")}, ["optics"])


def test_the_schedule_is_drawn_from_the_rates_of_training():
    fig = pictures.schedule({"paper": load_config("paper")})
    values, edges, _ = fig.axes[0].patches[0].get_data()
    assert list(edges) == list(range(46))
    np.testing.assert_allclose(values[[0, 14, 15, 29, 30, 44]], [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


# ---------------------------------------------------------------------- a run


@pytest.fixture
def tiny(tmp_path):
    """A set of three classes of noise, each with a colour of its own."""
    rng, samples = np.random.default_rng(0), []
    for k in range(36):
        coarse = rng.integers(0, 200, (5, 5, 3), dtype=np.uint8)
        coarse[..., k % 3] //= 2
        path = tmp_path / f"{k}.png"
        Image.fromarray(coarse).resize((72, 72)).save(path)
        samples.append(Sample(path, k % 3, path.name))
    return FineGrainedData("mini_birds", tmp_path, ("a", "b", "c"), tuple(samples[:24]), tuple(samples[24:]))


@pytest.fixture
def config():
    size = {"image_size": 64, "resize": 72, "batch_size": 8, "weights": "none"}
    return Config(epochs=2, lr_decay_epochs=(1,), evaluate_every=1, **size)


def test_a_run_that_was_stopped_goes_on_to_the_same_record(tiny, config, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = train(config, RunOptions(runs=tmp_path / "whole", device="cpu", quiet=True), tiny)
    options = RunOptions(runs=tmp_path / "cut", device="cpu", quiet=True)
    with pytest.raises(KeyboardInterrupt), pictures.stopped_after(1):
        train(config, options, tiny)
    assert [p.name for p in (options.runs / config.run_id).iterdir()] == ["checkpoint.pt"]
    after = train(config, options, tiny)
    torch.set_num_threads(threads)
    assert (after.curve, after.results) == (whole.curve, whole.results)
    np.testing.assert_array_equal(after.predictions.both, whole.predictions.both)
    assert len(pictures.total_made_of(whole).axes[0].containers) == 4


@pytest.fixture
def record(config):
    """Six test images of three classes; the sum repairs one image of each kind but the last."""
    label = np.array([0, 0, 1, 1, 2, 2], np.int16)
    found = Predictions(
        label=label,
        raw=np.array([0, 0, 0, 1, 2, 0], np.int16),
        crop=np.array([0, 1, 1, 0, 2, 1], np.int16),
        both=np.array([0, 0, 0, 1, 2, 2], np.int16),
        box=np.zeros((6, 4), np.int16),
        fallback=np.zeros(6, bool),
        image_size=64,
    )
    curve = [
        {"epoch": 1, "losses": {"raw": 1.0, "crop": 2.0, "drop": 5.0, "sup": 3.0, "total": 7.0}},
        {"epoch": 2, "losses": {"raw": 0.5, "crop": 1.0, "drop": 4.0, "sup": 2.0, "total": 4.3}},
    ]
    return Record(config.to_dict(), {}, {}, curve, {}, {}, found)


def test_the_stack_is_as_high_as_the_total(record):
    bars = pictures.total_made_of(record).axes[0].containers
    heights = [sum(bar.patches[e].get_height() for bar in bars) for e in range(2)]
    assert heights == pytest.approx([e["losses"]["total"] for e in record.curve])


def test_agreement_counts_every_image_once(record):
    table = pictures.agreement(record.predictions)
    assert table["images"].to_dict() == {"both right": 2, "only Raw": 2, "only Crop": 1, "both wrong": 1}
    assert table["sum is right"].to_dict() == {
        "both right": 2,
        "only Raw": 2,
        "only Crop": 0,
        "both wrong": 1,
    }


def test_the_record_is_drawn_as_confusions_and_agreement(record):
    fig = pictures.predictions_picture(record, ["a", "b", "c"])
    confusion = fig.axes[0].images[0].get_array()
    assert confusion.tolist() == [[2, 0, 0], [1, 1, 0], [0, 0, 2]]
    assert [bar.get_width() for bar in fig.axes[1].containers[0]] == [2, 2, 1, 1]


def test_a_record_of_raw_alone_has_no_agreement(record):
    record.config |= {"crop": False, "sup": False, "drop": False}
    fig = pictures.predictions_picture(record, ["a", "b", "c"])
    assert len(fig.axes) == 1
    assert fig.axes[0].images[0].get_array()[2].tolist() == [1, 0, 1]  # Raw's own answers


STAGES = [("raw forward", 20.0, 0.2), ("heatmap", 4.0, 0.04), ("crop", 1.0, 0.01), ("backward", 75.0, 0.75)]


def measured(whole, floor):
    rows = [*STAGES, (whole, 100.0, None), (floor, 80.0, None)]
    return pd.DataFrame(
        [("training step", stage, ms, share, ms / 80) for stage, ms, share in rows],
        columns=["pass", "stage", "milliseconds", "share of step", "ratio to floor"],
    )


@pytest.mark.parametrize("names", [("whole", "floor"), ("whole, this kit", "whole, floor")])
def test_bars_of_a_step_show_shares_and_the_ratio_to_the_floor(names):
    (ax,) = pictures.step_time(measured(*names)).axes
    assert [bar.get_width() for bar in ax.containers[0]] == pytest.approx([20, 4, 1, 75])
    assert "1.25 ×" in ax.get_title()
    assert pictures.own_stages(measured(*names)) == pytest.approx((0.05, 1.25))


def test_results_are_drawn_as_the_bench_kept_them(tmp_path):
    assert kept_results(tmp_path) == {}
    ways = pd.DataFrame(
        [("training step", way, 1.0, ratio, 5.0) for way, ratio in (("this kit", 1.1), ("floor", 1.0))],
        columns=["pass", "way", "milliseconds", "ratio to floor", "peak MiB"],
    )
    about = {"device": "cpu", "model": "m", "size": 112, "batch": 16, "precision": "no", "threads": 2}
    case = Measurement(measured("whole", "floor"), ways, about | {"checkpointing": False})
    save(case, tmp_path)
    pd.DataFrame({"images": [1]}).to_csv(tmp_path / "scale.csv")
    (name,) = (kept := kept_results(tmp_path))
    assert name == "m, 112 pixels, batch 16, cpu, 2 threads"
    assert pictures.own_stages(kept[name]) == pytest.approx((0.05, 1.1))
    pictures.step_time(kept[name])


# ---------------------------------------------------------------------- last or best


def test_flat_runs_have_the_spread_of_their_coins():
    found = pictures.flat_runs(images=1000, wavering=0.1, epochs=50, runs=400)
    assert found.shape == (400, 50)
    assert found.mean() == pytest.approx(0, abs=0.02)
    assert found.std() == pytest.approx(100 * np.sqrt(100 / 4) / 1000, rel=0.02)


def test_optimism_is_nothing_for_one_epoch_and_grows_with_their_number():
    gain = pictures.optimism(pictures.flat_runs(1000, 0.1, 45, 2000))
    assert gain[0] == 0
    assert (np.diff(gain) > -0.07).all()  # four standard errors
    # The largest of 45 normal numbers lies 2.19 standard deviations above their mean (order statistics).
    assert gain[-1] == pytest.approx(2.19 * 0.5, rel=0.05)


def test_optimism_of_a_run_that_ends_at_its_best_is_nothing():
    assert pictures.optimism(np.array([[1.0, 2.0, 5.0]])).tolist() == [0, 0, 0]
    assert pictures.optimism(np.array([[1.0, 5.0, 2.0]])).tolist() == [0, 0, 3]


def test_best_and_last_are_marked():
    one = np.array([0.1, 0.4, -0.2])
    fig = pictures.best_or_last(one, {"2 %": np.array([0.0, 0.1, 0.2])}, [(3, 0.6, "birds")], step=0.2)
    _, _, best, last = fig.axes[0].lines
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (2, 0.4)
    assert (last.get_xdata()[0], last.get_ydata()[0]) == (3, -0.2)
    assert len(pictures.best_or_last(one, {}, [], step=0.2).axes[1].lines) == 1


def test_one_run_far_above_the_others_is_named_and_leaves_them_their_scale():
    one, gains = np.array([0.1, 0.4, -0.2]), {"2 %": np.array([0.0, 0.1, 0.2])}
    usual = [(2, y, "birds") for y in (0.0, 0.1, 0.3, 0.4)]
    plain = pictures.best_or_last(one, gains, usual, step=0.2).axes[1]
    fig = pictures.best_or_last(one, gains, [*usual, (3, 40.0, "cars, seed 7")], step=0.2)
    assert fig.axes[1].get_ylim() == pytest.approx(plain.get_ylim())
    assert "40.0: cars, seed 7" in words(fig)
    assert "cars, seed 7" not in words(plain.figure)


def test_the_fence_is_tukeys():
    # Tukey, Exploratory Data Analysis (1977): inner fences lie 1.5 times the spread of the hinges beyond them.
    assert pictures.fence([1, 2, 3, 4, 5]) == 4 + 1.5 * 2
    assert pictures.fence([0] * 20 + [1, 2, 3, 4, 5]) == 4 + 1.5 * 2
    assert pictures.fence([0, 0]) == 0
