"""What surrounds a run changes it not at all, is refused, or stands in its record."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from accelerate import Accelerator

from gholm_lib import environment
from gholm_lib.config import Config, RunOptions
from gholm_lib.environment import (
    SurroundingsError,
    describe_environment,
    ignored_variables,
    precision_in_use,
    undisturbed,
)
from gholm_lib.paths import project_root
from gholm_lib.runs import evaluate_run, load_network
from gholm_lib.training import train
from tests.noise import noise_in_cubs_layout

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = Config(
    dataset="cub",
    weights="none",
    image_size=32,
    resize=36,
    epochs=1,
    lr=0.01,
    lr_decay_epochs=(),
    batch_size=4,
    evaluate_every=1,
)
# Each, left alone, gives other weights, other names of weights, or no run at all.
LAUNCHER = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "3",
    "ACCELERATE_DYNAMO_BACKEND": "eager",
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_USE_DEEPSPEED": "true",
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_USE_MEGATRON_LM": "true",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "true",
    "ACCELERATE_TORCH_DEVICE": "meta",
    "FSDP_OFFLOAD_PARAMS": "true",
}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory) -> Path:
    return noise_in_cubs_layout(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def plain(data_root, tmp_path_factory) -> Path:
    """The folder of a run that nothing surrounds."""
    options = RunOptions(data_root, tmp_path_factory.mktemp("plain"), "cpu", quiet=True)
    train(CONFIG, options)
    return options.runs / CONFIG.run_id


def same_weights(first: Path, second: Path) -> bool:
    return (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


# ---------------------------------------------------------------------- accelerate's variables


@pytest.mark.parametrize("name", LAUNCHER)
def test_a_variable_for_accelerate_changes_nothing_and_is_said(
    name, data_root, plain, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv(name, LAUNCHER[name])
    options = RunOptions(data_root, tmp_path, "cpu", quiet=True)
    train(CONFIG, options)
    assert same_weights(plain, tmp_path / CONFIG.run_id)
    assert (
        f"ignored, as a run depends only on its settings and options: {name}={LAUNCHER[name]}"
        in capsys.readouterr().out
    )
    load_network(tmp_path / CONFIG.run_id)
    evaluate_run(tmp_path / CONFIG.run_id, options)
    assert os.environ[name] == LAUNCHER[name], "it stays for others"


def test_what_the_launcher_sets_by_itself_is_not_spoken_of(monkeypatch):
    for name, value in {
        "DYNAMO_BACKEND": "no",
        "USE_CPU": "False",
        "GRADIENT_ACCUMULATION_STEPS": "1",
    }.items():
        monkeypatch.setenv(f"ACCELERATE_{name}", value)
    assert ignored_variables() == []


@pytest.mark.slow
def test_accelerate_launch_gives_the_same_network(data_root, plain, tmp_path):
    words = ["accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1"]
    words += ["--dynamo_backend", "eager", "--gradient_accumulation_steps", "4", "--mixed_precision", "bf16"]
    words += [
        "-m",
        "gholm_lib",
        "train",
        "--device",
        "cpu",
        "--quiet",
        "--dataset",
        "cub",
        "--weights",
        "none",
    ]
    words += ["--image-size", "32", "--resize", "36", "--epochs", "1", "--lr", "0.01", "--lr-decay-epochs"]
    words += [
        "--batch-size",
        "4",
        "--evaluate-every",
        "1",
        "--runs",
        str(tmp_path),
        "--data-root",
        str(data_root),
    ]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(project_root())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ACCELERATE_DYNAMO_BACKEND=" in done.stdout
    names = safetensors.torch.load_file(tmp_path / CONFIG.run_id / "model.safetensors")
    assert not [n for n in names if "_orig_mod" in n]
    assert same_weights(plain, tmp_path / CONFIG.run_id)


# ---------------------------------------------------------------------- precision


def test_a_precision_that_the_process_was_set_to_changes_nothing(data_root, plain, tmp_path):
    try:
        torch.set_float32_matmul_precision("medium")  # oneDNN then multiplies in bf16
        train(CONFIG, RunOptions(data_root, tmp_path, "cpu", quiet=True))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert same_weights(plain, tmp_path / CONFIG.run_id)


def test_an_autocast_around_a_run_changes_nothing(data_root, plain, tmp_path):
    with torch.autocast("cpu", torch.bfloat16):
        train(CONFIG, RunOptions(data_root, tmp_path, "cpu", quiet=True))
    assert same_weights(plain, tmp_path / CONFIG.run_id)


def test_an_accelerator_of_the_same_process_changes_nothing(data_root, plain, tmp_path):
    """A notebook's own, in the middle of accumulating: its next optimiser's step would be none."""
    other = Accelerator(cpu=True, gradient_accumulation_steps=4)
    with other.accumulate(torch.nn.Linear(1, 1)):
        assert not other.sync_gradients
    train(CONFIG, RunOptions(data_root, tmp_path, "cpu", quiet=True))
    assert same_weights(plain, tmp_path / CONFIG.run_id)


@pytest.mark.parametrize("on_gpu", [True, False])
def test_tf32_ends_with_the_run(on_gpu):
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with contextlib.suppress(ZeroDivisionError), undisturbed(on_gpu):
        assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == on_gpu
        raise ZeroDivisionError
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


@pytest.mark.parametrize(
    ("capability", "mixed", "said"),
    [((9, 0), "no", "tf32"), ((7, 0), "no", "float32"), ((9, 0), "bf16", "bf16"), ((7, 0), "fp16", "fp16")],
)
def test_the_record_says_the_precision_in_use(monkeypatch, capability, mixed, said):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    with undisturbed(on_gpu=True):
        assert describe_environment(torch.device("cuda"), 1, mixed)["precision"] == said
    with undisturbed(on_gpu=False):
        assert precision_in_use(torch.device("cpu"), "no") == "float32"


def test_a_world_size_left_over_in_the_shell_is_refused(monkeypatch):
    for name in ("MASTER_ADDR", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SurroundingsError, match=r"WORLD_SIZE is '2'.*unset WORLD_SIZE"), undisturbed(False):
        pass
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")  # as torchrun and accelerate launch do
    with undisturbed(False):
        pass


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        ("NVIDIA_TF32_OVERRIDE", "0", True),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16", True),
        ("DNNL_DEFAULT_FPMATH_MODE", "ANY", True),
        ("DNNL_DEFAULT_FPMATH_MODE", "strict", False),
    ],
)
def test_a_variable_that_cannot_be_undone_is_refused(name, value, refused, data_root, tmp_path, monkeypatch):
    monkeypatch.setenv(name, value)
    options = RunOptions(data_root, tmp_path, "cpu", quiet=True)
    if not refused:
        assert train(CONFIG, options).curve
        return
    with pytest.raises(SurroundingsError, match=rf"{name} is '{value}'.*unset {name}"):
        train(CONFIG, options)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- the record


def test_the_record_names_processor_instructions_threads_and_precision(plain, monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    found = describe_environment(torch.device("cpu"), 1)
    assert found["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert (found["threads"], found["precision"]) == (1, "float32")
    assert found["variables"]["MKL_CBWR"] == "COMPATIBLE"
    assert found["processor"] == environment.processor()
    assert found["processor"]
