"""Several processes (gloo, on a CPU) against one: same loss, same gradients, every image tested once, one writer.

The file is its own worker: torchrun runs it with a task and a folder.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gholm_kit.__main__ import main
from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.jobs import Job
from gholm_kit.reproduction.make import make_runs
from gholm_lib import records, training
from gholm_lib.config import Config, RunOptions
from gholm_lib.datasets import FineGrainedData, Sample
from gholm_lib.evaluation import predict_all
from gholm_lib.loading import Batches, ImageView, loader
from gholm_lib.losses import supcon_loss
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import project_root
from gholm_lib.records import load_records
from gholm_lib.training import make_accelerator, train
from tests.noise import noise_in_cubs_layout
from tests.rounding import HALF_THE_DIGITS, assert_same, use_float64

pytestmark = pytest.mark.usefixtures("one_thread")

PROJECT = project_root()
CLASSES, BATCH = 3, 8
BASE = Config(weights="none", image_size=64, resize=72, batch_size=BATCH, epochs=1, lr=0.01, holdout=0.0)
# theta is drawn, for each image or for the batch; each reading of eq. (11) gathers what it needs.
READINGS = {
    "plain": {},
    "khosla": {"denominator": "all", "z": "features"},
    "sum": {"reduction": "sum", "z": "projection", "theta_per": "batch"},
    "checkpointing": {"checkpointing": True},
    "two branches": {"drop": False},
}
COUNTS = (7, 2)  # test images for three processes: uneven, and fewer than processes


# ---------------------------------------------------------------------- what a process does


def network(config: Config) -> GHOLMNet:
    """In float64: processes see fewer images at a time, which are added up in another order."""
    torch.manual_seed(0)
    net = GHOLMNet.from_config(config, CLASSES).double()
    with torch.no_grad():
        net.backbone.get_classifier().weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    return net


def global_batch() -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(BATCH, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    return images.double(), torch.arange(BATCH) % CLASSES


def step(config: Config, rank: int = 0, processes: int = 1) -> dict:
    """Losses and gradients of one training step on this process's share of the global batch."""
    accelerator = make_accelerator(config, RunOptions(device="cpu"))
    assert (accelerator.process_index, accelerator.num_processes) == (rank, processes)
    net = accelerator.prepare(network(config))
    images, labels = (t[rank::processes] for t in global_batch())
    torch.manual_seed(7)
    out = net(images, labels)
    accelerator.backward(out.losses["total"])
    gradients = {k: p.grad for k, p in accelerator.unwrap_model(net).named_parameters()}
    return {
        "losses": {k: float(v.detach()) for k, v in out.losses.items()},
        "gradients": gradients,
        "logits": out.raw_logits.detach(),
        "drop_mask": out.drop_mask,
    }


def data(folder: Path, count: int) -> FineGrainedData:
    """Noise pictures: two batches to train on, and ``count`` to test on."""
    rng, samples = np.random.default_rng(0), []
    for i in range(2 * BATCH + count):
        path = folder / f"{i}.png"
        if not path.exists():
            Image.fromarray(rng.integers(0, 255, (72, 72, 3), dtype=np.uint8)).save(path)
        samples.append(Sample(path, i % CLASSES, path.name))
    names = tuple("abc")
    return FineGrainedData("noise", folder, names, tuple(samples[: 2 * BATCH]), tuple(samples[2 * BATCH :]))


def evaluate(folder: Path, count: int, rank: int = 0, processes: int = 1):
    """Predictions for all test images, and how often this process looked at each."""
    accelerator = make_accelerator(BASE, RunOptions(device="cpu"))
    view = ImageView(data(folder, count).test, BASE, train=False)
    images = loader(view, Batches(count, 2, None, rank, processes), 0, False)
    looks = torch.zeros(count, dtype=torch.int64)
    for _, _, index in images:
        looks[index] += 1
    with pytest.MonkeyPatch.context() as patch:
        use_float64(patch.setattr)
        return predict_all(network(BASE), images, accelerator), looks


def watched_training(folder: Path, rank: int) -> list[str]:
    """A whole run; the names of the files that this process wrote."""
    written, plain = [], records.write_whole

    def write_whole(path: Path, write) -> None:
        written.append(path.name)
        plain(path, write)

    records.write_whole = training.write_whole = write_whole
    rates, plain_rate = [], training.learning_rate

    def learning_rate(*args) -> float:
        rates.append(plain_rate(*args))
        return rates[-1]

    training.learning_rate = learning_rate
    train(BASE, RunOptions(runs=folder / "runs", device="cpu", quiet=True), data(folder, 5))
    assert rates == [BASE.lr]
    return written


def reproduced(folder: Path) -> dict:
    """Two jobs of a reproduction, each run over all processes."""
    config = BASE.replace(dataset="cub", evaluate_every=1, lr_decay_epochs=())
    jobs = [Job(config), Job(config, tested_mu=2.0)]
    options = RunOptions(data_root=folder / "data", runs=folder / "runs", device="cpu", quiet=True)
    said = []
    make_runs(jobs, folder / "records", options, said.append)
    return {"said": said}


def work(task: str, folder: Path) -> None:
    rank, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.set_num_threads(1)
    if task == "train":
        found = {name: step(BASE.replace(**more), rank, processes) for name, more in READINGS.items()}
        found["written"] = watched_training(folder, rank)
    elif task == "reproduce":
        found = reproduced(folder)
    else:
        found = {count: evaluate(folder, count, rank, processes) for count in COUNTS}
    torch.save(found, folder / f"{task}-{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    os._exit(0)  # gloo's own end sometimes aborts, after the work is done


# ---------------------------------------------------------------------- the tests


def launch(task: str, processes: int, folder: Path) -> list[dict]:
    """What each process found."""
    data(folder, max(*COUNTS, 5))  # drawn before, so that the processes only read
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GHOLM_")}
    done = subprocess.run(
        [sys.executable, *words, __file__, task, str(folder)],
        env=kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [torch.load(folder / f"{task}-{rank}.pt", weights_only=False) for rank in range(processes)]


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[dict]:
    return launch("train", 2, tmp_path_factory.mktemp("two"))


@pytest.mark.slow
@pytest.mark.parametrize("reading", READINGS)
def test_two_processes_have_the_loss_and_the_gradients_of_one(two, reading):
    one = step(BASE.replace(**READINGS[reading]))
    first, second = (found[reading] for found in two)
    for name, value in one["losses"].items():
        both = first["losses"][name], second["losses"][name]
        assert_same(np.mean(both), value)
    assert_same(first["losses"]["sup"], second["losses"]["sup"])  # of one global batch
    assert first["gradients"].keys() == one["gradients"].keys()
    largest = max(value.abs().max() for value in one["gradients"].values())
    for name, value in one["gradients"].items():
        assert torch.equal(first["gradients"][name], second["gradients"][name]), name
        assert (first["gradients"][name] - value).abs().max() <= HALF_THE_DIGITS * largest, name


@pytest.mark.slow
@pytest.mark.parametrize("reading", ["plain", "sum"])
def test_theta_is_that_of_the_global_batch(two, reading):
    """Processes draw different thetas for different images, the ones that a single process would draw."""
    one = step(BASE.replace(**READINGS[reading]))["drop_mask"]
    for rank, found in enumerate(two):
        assert torch.equal(found[reading]["drop_mask"], one[rank::2])


@pytest.mark.slow
def test_the_contrast_is_over_the_global_batch_and_not_over_shares(two):
    labels = global_batch()[1]
    shares = [supcon_loss(f["plain"]["logits"], labels[r::2]) for r, f in enumerate(two)]
    together = torch.cat([f["plain"]["logits"] for f in two])
    whole = supcon_loss(together, torch.cat([labels[0::2], labels[1::2]]))
    assert abs(float(sum(shares)) / 2 - float(whole)) > 0.01  # so the equality above says something


@pytest.mark.slow
def test_a_reproduction_over_two_processes_records_each_job_once(tmp_path):
    noise_in_cubs_layout(tmp_path / "data")
    first, second = (found["said"] for found in launch("reproduce", 2, tmp_path))
    assert len(first) == 3  # what is to do, and a line for each job
    assert second == []
    archive = Archive.read(tmp_path / "records")
    assert {job.tested_mu for job in archive.records} == {None, 2.0}
    assert {r.environment["processes"] for r in archive.records.values()} == {2}
    assert {r.data["test"] for r in archive.records.values()} == {8}


@pytest.mark.slow
def test_a_notebooks_launcher_trains_with_two_processes(tmp_path):
    """As chapter 05 says: in an interpreter that has not trained yet."""
    noise_in_cubs_layout(tmp_path / "data")
    code = f"""
from accelerate import notebook_launcher
from gholm_lib.config import Config
from gholm_lib.training import RunOptions, train
config = Config(dataset="cub", weights="none", image_size=64, resize=72, batch_size=8, epochs=1, evaluate_every=1,
                lr_decay_epochs=())
options = RunOptions(data_root={str(tmp_path / "data")!r}, runs={str(tmp_path / "runs")!r}, device="cpu", quiet=True)
notebook_launcher(train, (config, options), num_processes=2)
"""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GHOLM_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    (record,) = load_records(tmp_path / "runs")  # whatever gloo says at its own end
    assert record.environment["processes"] == 2, done.stdout + done.stderr


@pytest.mark.slow
def test_only_one_process_writes(two):
    first, second = (found["written"] for found in two)
    assert second == []
    finished = {"model.safetensors", "record.json", "predictions.npz", "data_root.json"}
    finished |= {"split.json"}  # the set is none of the eight, so the run keeps its own split
    assert set(first) == finished | {"checkpoint.pt"}


@pytest.mark.slow
def test_three_processes_test_every_image_once(tmp_path):
    found = launch("evaluate", 3, tmp_path)
    for count in COUNTS:
        assert sum(f[count][1] for f in found).tolist() == [1] * count
        alone, _ = evaluate(tmp_path, count)
        for predictions, _ in (f[count] for f in found):  # each process ends with all of them
            for name in ("label", "raw", "crop", "both", "fallback", "box"):
                assert np.array_equal(getattr(predictions, name), getattr(alone, name)), name


# ---------------------------------------------------------------------- the page about clusters

BLOCKS = re.findall(
    r"```sh\n(.*?)```", (PROJECT / "docs" / "slurm.md").read_text(encoding="utf-8"), re.DOTALL
)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize("block", BLOCKS)
def test_the_scripts_of_the_page_parse(block):
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_options_of_the_page_exist(capsys):
    text = (PROJECT / "docs" / "slurm.md").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"gholm(?:_lib)? (train|reproduce|bench)\b([^`\n]*)", text)
    assert {name for name, _ in commands} == {"train", "reproduce", "bench"}
    for name, words in commands:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        known = capsys.readouterr().out
        for option in re.findall(r"--[a-z-]+", words):
            there = re.search(rf"{option}[ ,\n]", known) or option == "--preset"
            assert there, f"gholm {name} has no {option}"


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]))
