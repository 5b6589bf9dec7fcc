"""A run knows from what it was made: other data or weights under the same name are refused, and said."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import torch

from gholm_lib import provenance, records, runs, training
from gholm_lib.__main__ import main
from gholm_lib.backbone import packaged_weights
from gholm_lib.config import _ADDED_LATER, Config, RunOptions
from gholm_lib.datasets import load_dataset
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import records_folder
from gholm_lib.provenance import (
    OtherOriginError,
    lacking,
    of_record,
    origin,
    split_data,
    starting_weights_sha256,
)
from gholm_lib.records import RecordError, load_record
from gholm_lib.runs import evaluate_run, keep_network, kept_network, trained_network
from gholm_lib.training import train
from tests.noise import noise_in_cubs_layout

pytestmark = pytest.mark.usefixtures("one_thread")

RAW = Config(
    dataset="cub",
    crop=False,
    sup=False,
    drop=False,
    weights="none",
    image_size=32,
    resize=36,
    epochs=1,
    lr=0.01,
    lr_decay_epochs=(),
    batch_size=4,
    evaluate_every=1,
)


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """Two classes of noise in the CUB layout, six and four pictures of each."""
    return noise_in_cubs_layout(tmp_path_factory.mktemp("own"))


@pytest.fixture
def options(own, tmp_path) -> RunOptions:
    return RunOptions(data_root=own, runs=tmp_path / "runs", device="cpu", quiet=True)


# ---------------------------------------------------------------------- how a data set can differ


def rewrite(name: str, change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / f"{name}.txt"
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    return apply


def a_third_class(folder: Path) -> None:
    rewrite("classes", lambda lines: [*lines, "3 003.Class"])(folder)
    rewrite("image_class_labels", lambda lines: [lines[0][:-1] + "3", *lines[1:]])(folder)


def drawn_by(version: int) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / "ground_truth").mkdir(exist_ok=True)
        (folder / "ground_truth/truth.json").write_text(json.dumps({"version": version, "images": {}}))

    return apply


# Pictures 1 to 6 and 11 to 16 are trained on, 7 to 10 and 17 to 20 are tests.
CHANGES = {
    "a corrected training label": (
        rewrite("image_class_labels", lambda lines: [lines[0][:-1] + "2", *lines[1:]]),
        "other labels of the training images",
    ),
    "a corrected test label": (
        rewrite("image_class_labels", lambda lines: [*lines[:6], "7 2", *lines[7:]]),
        "other labels of the test images",
    ),
    "other class names": (rewrite("classes", lambda _: ["1 001.Finch", "2 002.Wren"]), "other class names"),
    "another split": (
        rewrite("train_test_split", lambda lines: ["1 0", *lines[1:]]),
        "other training images, other test images",
    ),
    "another number of classes": (a_third_class, "2 classes, not 3"),
    "another version of the drawing": (drawn_by(4), "version None of the drawing, not 4"),
}


@pytest.fixture(params=CHANGES)
def other(request, own, tmp_path) -> tuple[Path, str]:
    """The same set but for one change; and what the message must say."""
    change, words = CHANGES[request.param]
    root = shutil.copytree(own, tmp_path / "other")
    change(root / "CUB_200_2011")
    return root, words


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ---------------------------------------------------------------------- runs


def test_a_finished_run_is_refused_for_other_data_and_given_for_its_own(options, other, own, tmp_path):
    root, words = other
    record = train(RAW, options)
    before = contents(options.runs)
    elsewhere = RunOptions(root, options.runs, "cpu", quiet=True)
    for call in (train, trained_network):
        with pytest.raises(OtherOriginError) as error:
            call(RAW, elsewhere)
        for said in (words, RAW.run_id, str(root), "--data-root", "--runs"):
            assert said in str(error.value)
    assert contents(options.runs) == before
    moved = RunOptions(shutil.copytree(own, tmp_path / "moved"), options.runs, "cpu", quiet=True)
    assert train(RAW, moved).results == record.results, "where the data lie is no part of them"


def test_a_checkpoint_is_refused_for_other_data(options, other, monkeypatch):
    root, words = other
    with monkeypatch.context() as patched:  # die between the last checkpoint and the record
        patched.setattr(training._Run, "_finish", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(RAW, options)
    before = contents(options.runs)
    with pytest.raises(OtherOriginError, match=rf"checkpoint\.pt .*{words}"):
        train(RAW, RunOptions(root, options.runs, "cpu", quiet=True))
    assert contents(options.runs) == before
    assert train(RAW, options).curve[-1]["epoch"] == 1


def test_the_command_says_it_in_a_sentence(options, own, tmp_path, capsys):
    root = shutil.copytree(own, tmp_path / "own2")
    CHANGES["a corrected test label"][0](root / "CUB_200_2011")
    args = ["train", "--dataset", "cub", "--no-crop", "--no-sup", "--no-drop", "--weights", "none"]
    args += ["--image-size", "32", "--resize", "36", "--epochs", "1", "--batch-size", "4", "--device", "cpu"]
    args += ["--quiet", "--runs", str(options.runs), "--data-root"]
    assert main([*args, str(own)]) == 0
    capsys.readouterr()
    assert main([*args, str(root)]) == 1
    said = capsys.readouterr()
    assert "other labels of the test images" in said.err
    assert "%" not in said.out, "no result of the other set"


def older_checkpoint(options: RunOptions, monkeypatch) -> Path:
    with monkeypatch.context() as patched:
        patched.setattr(training._Run, "_finish", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(RAW, options)
    path = options.runs / RAW.run_id / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    del state["data"]
    torch.save(state, path)
    return path


def test_an_older_checkpoint_goes_on_and_it_is_said(options, monkeypatch, capsys):
    older_checkpoint(options, monkeypatch)
    assert train(RAW, options).curve[-1]["epoch"] == 1
    assert "is older and does not record its training images" in capsys.readouterr().out


def test_an_older_checkpoint_of_another_number_of_classes_is_a_sentence(options, own, tmp_path, monkeypatch):
    older_checkpoint(options, monkeypatch)
    root = shutil.copytree(own, tmp_path / "other")
    a_third_class(root / "CUB_200_2011")
    with pytest.raises(RecordError, match=r"checkpoint\.pt is from a different network .*--runs"):
        train(RAW, RunOptions(root, options.runs, "cpu", quiet=True))


NEW = (
    "test_labels_sha256",
    "train_ids_sha256",
    "train_labels_sha256",
    "class_names_sha256",
    "drawing_version",
    "weights_sha256",
)


def make_older(run: Path) -> None:
    """As records were before they said all of this."""
    record = json.loads((run / "record.json").read_text())
    for name in NEW:
        del record["data"][name]
    (run / "record.json").write_text(json.dumps(record))
    (run / "data_root.json").unlink()


def test_an_older_record_is_valid_and_what_it_lacks_is_said(options, own, tmp_path, capsys):
    train(RAW, options)
    run = options.runs / RAW.run_id
    make_older(run)
    for call in (lambda: train(RAW, options), lambda: evaluate_run(run, options)):
        capsys.readouterr()
        call()
        said = capsys.readouterr().out
        assert "is older and does not record its " in said
        assert "class names" in said
        assert "labels of the test images" not in said, "they are among its predictions"
    root = shutil.copytree(own, tmp_path / "other")
    CHANGES["a corrected test label"][0](root / "CUB_200_2011")
    with pytest.raises(OtherOriginError, match="other labels of the test images"):
        train(RAW, RunOptions(root, options.runs, "cpu", quiet=True))


def test_a_test_needs_the_run_s_test_images_and_no_training_images(options, own, tmp_path):
    train(RAW, options)
    root = shutil.copytree(own, tmp_path / "other")
    CHANGES["a corrected training label"][0](root / "CUB_200_2011")
    elsewhere = RunOptions(root, options.runs, "cpu", quiet=True)
    assert evaluate_run(options.runs / RAW.run_id, elsewhere).predictions.raw.min() >= 0
    CHANGES["other class names"][0](root / "CUB_200_2011")
    with pytest.raises(OtherOriginError, match="other class names"):
        evaluate_run(options.runs / RAW.run_id, elsewhere)


def test_the_kept_records_agree_with_the_drawn_sets():
    """What they say must be what is drawn today; most are older and do not say all."""
    data = {n: load_dataset(n) for n in ("mini_birds", "mini_cars", "mini_aircraft", "mini_dogs")}
    kept = records.load_records(records_folder() / "mini")
    assert len(kept) > 100
    for record in kept:
        config = record.settings
        now = origin(config, split_data(config, data[config.dataset]))
        assert provenance.differences(of_record(record), now) == [], config.run_id
        assert now["drawing_version"] is not None
        assert (lacking(of_record(record)) or ["training images"])[0] == "training images"


# ---------------------------------------------------------------------- weights


def a_weights_file(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    net = GHOLMNet.from_config(RAW, 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(net.backbone.state_dict(), path)
    return path


def test_weights_are_known_by_their_content_and_not_by_where_they_lie(options, tmp_path, monkeypatch):
    config = RAW.replace(weights=str(a_weights_file(tmp_path / "a/start.safetensors", 1)))
    same = RAW.replace(weights=str(a_weights_file(tmp_path / "b/other-name.safetensors", 1)))
    assert same.run_id == config.run_id != RAW.run_id
    record = train(config, options)
    assert record.data["weights_sha256"] == config.weights_sha256
    with monkeypatch.context() as patched:
        patched.setattr(training, "_Run", None)  # nothing is trained
        assert train(same, options).results == record.results
    before = config.run_id
    a_weights_file(tmp_path / "a/start.safetensors", 2)  # replaced under its name
    os.utime(tmp_path / "a/start.safetensors", (1, 1))  # whatever the clock says
    assert config.run_id != before
    assert train(config, options).data["weights_sha256"] != record.data["weights_sha256"]
    assert len(list(options.runs.iterdir())) == 2


def test_packaged_weights_of_another_version_are_refused(options, tmp_path, monkeypatch):
    config = RAW.replace(weights="packaged")
    record = train(config, options)
    assert record.data["weights_sha256"] == origin(
        config, split_data(config, load_dataset("cub", options.data_root))
    ).get("weights_sha256")
    newer = tmp_path / "newer.safetensors"
    newer.write_bytes(packaged_weights(config.backbone).read_bytes() + b"0")
    monkeypatch.setattr(provenance, "packaged_weights", lambda _: newer)
    with pytest.raises(OtherOriginError, match="other starting weights"):
        train(config, options)


@pytest.mark.parametrize("weights", ["packaged", "timm", "none", "no/such/file.safetensors"])
def test_the_names_of_runs_without_a_file_stay(weights):
    """Computed by hand from the settings, as before weights files counted by content."""
    config = Config(weights=weights)
    later = _ADDED_LATER  # the fields that were not there yet
    settings = {k: v for k, v in config.to_dict().items() if k not in ("seed", *later)}
    text = json.dumps(settings, sort_keys=True)
    assert config.digest == hashlib.sha256(text.encode()).hexdigest()[:8]


def test_weights_of_the_hub_are_known_by_the_file_in_its_cache(tmp_path, monkeypatch):
    config = RAW.replace(weights="timm", backbone="convnext_small.fb_in22k")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    cache = {("timm/convnext_small.fb_in22k", "model.safetensors"): str(tmp_path / "model.safetensors")}
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *key: cache.get(key))
    assert starting_weights_sha256(config) == hashlib.sha256(b"weights").hexdigest()
    cache.clear()
    assert starting_weights_sha256(config) is None, "not fetched yet"
    assert starting_weights_sha256(RAW) is None


# ---------------------------------------------------------------------- kept networks


@pytest.fixture
def kept(options, tmp_path, monkeypatch) -> Path:
    """A finished run whose network is kept, in a folder of records of its own."""
    monkeypatch.setattr(runs, "records_folder", lambda: tmp_path / "records")
    train(RAW, options)
    return keep_network(options.runs / RAW.run_id)


def test_a_kept_network_is_given_for_the_data_of_its_run_only(options, kept, other):
    root, words = other
    assert kept_network(RAW, options) is not None
    with pytest.raises(OtherOriginError, match=words):
        kept_network(RAW, RunOptions(root, options.runs, "cpu"))


def test_an_older_kept_network_is_held_against_the_kept_record_of_its_run(options, kept, own, tmp_path):
    safetensors.torch.save_file(safetensors.torch.load_file(kept), kept)  # without a word about the data
    shutil.copytree(options.runs / RAW.run_id, tmp_path / "records/some" / RAW.run_id)
    make_older(tmp_path / "records/some" / RAW.run_id)
    assert kept_network(RAW, options) is not None
    root = shutil.copytree(own, tmp_path / "other")
    CHANGES["another split"][0](root / "CUB_200_2011")
    with pytest.raises(OtherOriginError, match="other test images"):
        kept_network(RAW, RunOptions(root, options.runs, "cpu"))


# ---------------------------------------------------------------------- where the data were


def test_a_run_remembers_where_its_data_lie(options):
    train(RAW, options)
    run = options.runs / RAW.run_id
    record = load_record(run)
    assert str(options.data_root) not in (run / "record.json").read_text(), "a record names nobody's folders"
    again = evaluate_run(run, RunOptions(runs=options.runs, device="cpu", quiet=True))
    assert again.predictions.raw.tolist() == record.predictions.raw.tolist()


def test_a_run_that_moves_with_its_data_finds_them(own, tmp_path):
    shutil.copytree(own, tmp_path / "work/data")
    options = RunOptions(tmp_path / "work/data", tmp_path / "work/runs", "cpu", quiet=True)
    train(RAW, options)
    (tmp_path / "work").rename(tmp_path / "moved")
    evaluate_run(tmp_path / "moved/runs" / RAW.run_id, RunOptions(device="cpu", quiet=True))


def test_data_that_have_moved_away_are_a_sentence(own, tmp_path, monkeypatch):
    monkeypatch.setenv("GHOLM_DATA", str(tmp_path / "nothing"))
    root = shutil.copytree(own, tmp_path / "data")
    train(RAW, RunOptions(root, tmp_path / "runs", "cpu", quiet=True))
    root.rename(tmp_path / "away")
    run, quiet = tmp_path / "runs" / RAW.run_id, RunOptions(device="cpu", quiet=True)
    with pytest.raises(
        ValueError, match=r"made with the data in .*CUB_200_2011, which no longer exists.*--data-root"
    ):
        evaluate_run(run, quiet)
    monkeypatch.setenv("GHOLM_DATA", str(tmp_path / "away"))
    assert evaluate_run(run, quiet).predictions.raw.min() >= 0, "the usual place is looked at next"
