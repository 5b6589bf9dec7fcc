"""The command line, called in this process: options, exit statuses, and errors that are one message."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gholm_kit import __main__ as cli
from gholm_kit.__main__ import main
from gholm_kit.drawn import write
from gholm_lib import runs, training
from gholm_lib.config import PRESETS, Config, RunOptions, load_config
from gholm_lib.datasets import DATASETS
from gholm_lib.paths import project_root
from gholm_lib.records import load_record
from tests.noise import noise_in_cubs_layout

pytestmark = pytest.mark.usefixtures("one_thread")

PROJECT = project_root()
QUICK = ["--weights", "none", "--image-size", "64", "--resize", "72", "--epochs", "2"]
QUICK += ["--batch-size", "8", "--evaluate-every", "1"]


def run(*args) -> int:
    """Exit status of ``gholm ARGS``; the option parser exits, the commands return."""
    try:
        return main([str(a) for a in args])
    except SystemExit as leaving:
        return leaving.code


def said(capsys) -> str:
    """What was printed, without the frames that the option parser draws."""
    captured = capsys.readouterr()
    text = re.sub(r"[│╭╮╰╯─]", " ", captured.out + captured.err)
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A data root with two classes of noise in the CUB layout, each with a colour of its own."""

    def darker(pixels: np.ndarray, label: int) -> None:
        pixels[..., label] //= 2

    return noise_in_cubs_layout(tmp_path_factory.mktemp("data"), 8, 4, (70, 80), darker)


@pytest.fixture
def train_args(root, tmp_path) -> list:
    places = ["--data-root", root, "--runs", tmp_path / "runs", "--device", "cpu", "--quiet"]
    return ["train", "--dataset", "cub", *QUICK, *places]


def test_a_card_that_is_too_small_gets_advice(monkeypatch, capsys):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore lines")

    monkeypatch.setattr(training, "train", full)
    assert main(["train", "--dataset", "mini_birds", "--seed", "77"]) == 1
    said = capsys.readouterr().err
    assert said == (
        "gholm train: CUDA out of memory. Tried to allocate 2 GiB. Try --checkpointing, or a smaller --batch-size.\n"
    )


# ---------------------------------------------------------------------- help


def test_without_a_command_the_usage_is_shown(capsys):
    assert run() == 2
    usage = capsys.readouterr().out
    assert run("--help") == 0
    assert capsys.readouterr().out == usage == cli._USAGE
    assert run("trian") == 2
    assert "no command 'trian'" in said(capsys)


def documented() -> list[list[str]]:
    """The commands that the usage lists: [["doctor"], ["data", "list"], ...]."""
    rows = re.findall(r"^  (\w+(?: [a-z]+)?)", cli._USAGE, re.MULTILINE)
    return [row.split() for row in rows]


def test_the_usage_lists_what_there_is():
    assert [w[0] for w in documented()].count("data") == 3
    first = {words[0] for words in documented()}
    assert {"doctor", "data", "train", "evaluate", "pretrain", "notebooks"} <= first


@pytest.mark.parametrize("words", documented(), ids=" ".join)
def test_every_documented_command_has_help(words, capsys):
    assert run(*words, "--help") == 0
    text = said(capsys)
    assert "usage: gholm " + words[0] in text
    assert len(text) > 100


def test_train_help_lists_every_setting(capsys):
    assert run("train", "--help") == 0
    text = capsys.readouterr().out
    fields = [f.name for f in (*dataclasses.fields(Config), *dataclasses.fields(RunOptions))]
    for name in fields:
        assert f"--{name.replace('_', '-')}" in text, name
    assert all(preset in text for preset in PRESETS)


def test_the_module_is_the_command(tmp_path):
    """``python -m gholm_lib`` starts, and its exit status is the command's."""
    done = subprocess.run(
        [sys.executable, "-m", "gholm_lib", "data", "check", "cub", "--data-root", tmp_path],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert str(tmp_path / "CUB_200_2011" / "classes.txt") in done.stdout
    assert done.stderr == ""


# ---------------------------------------------------------------------- options of train


@pytest.fixture
def chosen(monkeypatch):
    """The Config that a command line stands for."""

    class Stop(Exception):
        pass

    def configure(*args) -> Config:
        kept = []

        def stop(config, options):
            kept.append(config)
            raise Stop

        monkeypatch.setattr(training, "train", stop)
        with pytest.raises(Stop):
            main(["train", *args])
        return kept[0]

    return configure


def test_without_options_it_is_the_default(chosen):
    assert chosen() == Config() == load_config("mini")


@pytest.mark.parametrize("form", [["--preset", "paper"], ["--preset=paper"]])
def test_preset_paper(chosen, form):
    assert chosen(*form) == load_config("paper")
    assert chosen("--mu", "1.8", *form, "--seed", "3") == load_config("paper", mu=1.8, seed=3)


@pytest.mark.parametrize("form", [["--dataset", "{}"], ["--dataset={}"]])
def test_the_presets_exception_for_dogs(chosen, form):
    """Section 4.2: no cropping, and other weights in the preset paper."""

    def given(name):
        return [word.format(name) for word in form]

    assert chosen("--preset", "paper", *given("dogs")) == load_config("paper", dataset="dogs")
    assert chosen(*given("mini_dogs")) == load_config("mini", dataset="mini_dogs")
    assert not chosen(*given("mini_dogs")).random_crop


def test_a_file_of_settings(chosen, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"mu": 2.0, "lr_decay_epochs": [3, 4], "drop": False}))
    config = chosen("--preset", str(path), "--mu", "1.5")
    assert config == Config(mu=1.5, lr_decay_epochs=(3, 4), drop=False)


def test_switches_and_lists(chosen):
    config = chosen("--no-drop", "--no-sup", "--lr-decay-epochs", "2", "5", "--classes", "3")
    assert (config.drop, config.sup, config.crop) == (False, False, True)
    assert (config.lr_decay_epochs, config.classes) == ((2, 5), 3)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--learning-rate", "1"], "--learning-rate"),
        (["--mu", "high"], "could not convert string to float: 'high'"),
        (["--mu", "-1"], "mu must be above 0, got -1.0"),
        (["--fill", "pink"], "pink"),
        (["--no-crop"], "switch sup off too (--no-sup)"),
        (["--classes", "1"], "classes must be None or 2 or more, got 1"),
        (["--dataset", "finches"], "Unknown data set 'finches'. Known: cub, aircraft"),
        (["--preset", "fast"], "no preset and no file 'fast'; expected mini, paper, photos"),
        (["--preset"], "--preset needs a value"),
        (["--device", "tpu"], '"auto", "cpu" or "cuda", got \'tpu\''),
        (["--weights", "nowhere.safetensors"], "no weights file nowhere.safetensors"),
        (["--backbone", "convnext_smal", "--weights", "none"], "timm has no model 'convnext_smal'"),
        (["--classes", "3"], "classes is 3, but cub has only 2"),
        (["--batch-size", "17"], "16 training images do not fill one batch of 17"),
    ],
)
def test_a_mistake_is_one_message(train_args, capsys, args, message):
    assert run(*train_args, *args) in (1, 2)
    text = said(capsys)
    assert message in text
    assert "Traceback" not in text


def test_missing_data_says_what_to_run(tmp_path, capsys):
    assert run("train", "--data-root", tmp_path, "--device", "cpu") == 1
    text = said(capsys)
    assert str(tmp_path / "mini_birds") in text
    assert "gholm data get mini" in text


def test_an_interrupted_command_says_that_it_can_go_on(monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, "train", interrupted)
    assert run("train") == 130
    assert "start a run again and it continues where it stopped" in said(capsys)


def test_a_programming_error_is_not_hidden(monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "train", lambda args: {}["no such key"])
    with pytest.raises(KeyError):
        run("train")


# ---------------------------------------------------------------------- train, evaluate, results


def accuracies(text: str) -> dict[str, tuple[float, int, int, float, float]]:
    """The lines of accuracy: percent, right, all, low, high."""
    line = re.compile(
        r"^ +(Raw|Crop|Raw \+ Crop) +([\d.]+) % +(\d+) of (\d+) \(eq\. 13\), "
        r"95 % interval ([\d.]+) to ([\d.]+)$",
        re.MULTILINE,
    )
    return {m[0]: (float(m[1]), int(m[2]), int(m[3]), float(m[4]), float(m[5])) for m in line.findall(text)}


def test_train_then_evaluate(train_args, root, tmp_path, capsys):
    assert run(*train_args, "--holdout", "0.2", "--batch-size", "4") == 0
    first = capsys.readouterr().out
    (folder,) = (tmp_path / "runs").iterdir()
    record = load_record(folder)
    assert str(folder) in first
    assert "best test epoch" in first
    assert "(optimistic)" in first
    assert "epoch chosen on held-out images" in first

    lines = accuracies(first)
    assert list(lines) == ["Raw", "Crop", "Raw + Crop"]
    for name, key in {"Raw": "raw", "Crop": "crop", "Raw + Crop": "both"}.items():
        percent, right, count, low, high = lines[name]
        assert right == record.predictions.correct(key).sum()
        assert count == 8
        assert percent == pytest.approx(100 * right / count, abs=0.05)
        assert low < percent < high or percent in (0, 100)

    assert run("evaluate", folder, "--data-root", root, "--device", "cpu") == 0
    again = capsys.readouterr().out
    assert accuracies(again) == lines
    assert "cub, trained as raw+crop+sup+drop, mu 1.7" in again
    assert run("evaluate", folder, "--data-root", root, "--device", "cpu", "--mu", "0.9") == 0
    assert "mu 0.9" in capsys.readouterr().out

    assert run(*train_args, "--holdout", "0.2", "--batch-size", "4") == 0
    third = capsys.readouterr().out
    assert "is already done" in third
    assert accuracies(third) == lines


def test_evaluate_measures_crop_for_a_network_trained_without(train_args, root, tmp_path, capsys):
    assert run(*train_args, "--no-crop", "--no-sup", "--no-drop") == 0
    assert list(accuracies(capsys.readouterr().out)) == ["Raw"]
    (folder,) = (tmp_path / "runs").iterdir()
    assert run("evaluate", folder, "--data-root", root, "--device", "cpu") == 0
    text = capsys.readouterr().out
    assert list(accuracies(text)) == ["Raw", "Crop", "Raw + Crop"]
    assert "trained as raw," in text


def test_a_kept_network_is_that_of_the_run_in_half_precision(train_args, root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runs, "records_folder", lambda: tmp_path / "records")
    assert run(*train_args, "--max-steps", "1") == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert run("keep", folder) == 0
    path = tmp_path / "records/networks" / f"{folder.name}.safetensors"
    assert f"kept in {path}" in capsys.readouterr().out
    kept = runs.kept_network(load_record(folder).settings, RunOptions(data_root=root))
    half = kept.state_dict()
    for name, value in runs.load_network(folder).state_dict().items():
        assert torch.equal(half[name], value.half().to(value.dtype)), name


@pytest.mark.parametrize("command", ["evaluate", "results"])
def test_damaged_records_are_named(command, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/record.json").write_text('{"config": ')
    assert run(command, tmp_path / "run") == 1
    assert str(tmp_path / "run/record.json") in said(capsys)


def test_evaluate_wants_a_run(tmp_path, capsys):
    assert run("evaluate", tmp_path) == 1
    assert str(tmp_path / "record.json") in said(capsys)


# ---------------------------------------------------------------------- data


def test_data_list_names_every_set(root, capsys):
    assert run("data", "list", "--data-root", root) == 0
    text = capsys.readouterr().out
    assert str(root) in text
    for name in DATASETS:
        assert re.search(rf"^{name}\b", text, re.MULTILINE), name
    assert re.search(r"^cub .*found in CUB_200_2011", text, re.MULTILINE)
    assert re.search(r"^mini_birds .*missing.*gholm data get mini", text, re.MULTILINE)


def test_the_data_root_may_come_from_the_environment(root, capsys, monkeypatch):
    monkeypatch.setenv("GHOLM_DATA", str(root))
    assert run("data", "list") == 0
    assert f"Data root: {root}" in capsys.readouterr().out


def test_data_check(root, tmp_path, capsys):
    assert run("data", "check", "cub", "--data-root", root, "--images") == 0, "a set of one's own"
    text = said(capsys)
    assert "all 24 images open" in text
    assert "2 classes, 16 training images, 8 test images" in text
    half = tmp_path / "half"
    shutil.copytree(root, half)
    names = ["1 001.Black_footed_Albatross", "2 200.Common_Yellowthroat"]
    (half / "CUB_200_2011/classes.txt").write_text("\n".join(names))
    assert run("data", "check", "cub", "--data-root", half) == 1
    assert "2 classes, but Table 1 has 200" in said(capsys)
    assert run("data", "check", "cub", "--data-root", tmp_path) == 1
    assert f"{tmp_path / 'CUB_200_2011' / 'images.txt'} is missing" in said(capsys)
    assert run("data", "check", "finches") == 1
    assert "Unknown data set 'finches'" in said(capsys)


def test_a_missing_package_is_one_message(monkeypatch, capsys):
    def needs_more(args):
        raise ModuleNotFoundError("No module named 'pandas'", name="pandas")

    monkeypatch.setitem(cli.COMMANDS, "results", needs_more)
    assert run("results") == 1
    assert (
        said(capsys)
        == "gholm results: the package pandas is not installed; install it with pip install -e '.[kit]' "
    )


def test_data_get_and_check_of_a_mini_set(tmp_path, capsys, monkeypatch):
    asked = []

    def draw_all(folder):
        asked.append(folder)
        return [Path(folder) / "mini_birds"]

    monkeypatch.setattr(write, "draw_all", draw_all)
    assert run("data", "get", "mini", "--data-root", tmp_path) == 0
    assert asked == [tmp_path.resolve()]
    assert "mini_birds" in said(capsys)
    assert run("data", "get", "finches", "--data-root", tmp_path) == 1
    assert "no data set 'finches'; there are mini, cub" in said(capsys)


@pytest.mark.parametrize("args", [[], ["fetch"], ["check"], ["get"], ["list", "--deep"]])
def test_data_wants_a_proper_command(args, capsys):
    assert run("data", *args) == 2
    assert "Traceback" not in said(capsys)
