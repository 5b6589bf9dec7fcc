"""How the cost grows with resolution, classes, images per step and processes.

Operations are *computed* (PyTorch's counter on tensors without memory; it counts convolutions and matrix products, a
multiply-add as two). Times are *measured* on the machine at hand. Each row says which it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence

import pandas as pd
import torch
import torch.distributed as dist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from gholm_kit import style
from gholm_kit.speed import timing
from gholm_lib.backbone import create_backbone
from gholm_lib.config import Config
from gholm_lib.losses import supcon_loss

COLUMNS = ["axis", "value", "what", "number", "unit", "how"]
COMPUTED, MEASURED = "computed", "measured"


def growth(
    computed_for: str = "convnext_small",
    measured_on: str = Config.backbone,
    size: int = 112,
    repeats: int = 5,
    processes: Sequence[int] = (1, 2),
) -> pd.DataFrame:
    """All rows, columns axis, value, what, number, unit, how ("computed" or "measured")."""
    parts = [
        resolution(computed_for),
        classes(computed_for),
        measured_resolution(measured_on, repeats=repeats),
        measured_batch(measured_on, size, repeats=repeats),
        contrast(repeats=repeats),
        several_processes(measured_on, size, counts=processes, repeats=repeats),
    ]
    return pd.concat(parts, ignore_index=True)


# ---------------------------------------------------------------------- computed


def operations(model: str, size: int, num_classes: int) -> dict[str, float]:
    """Operations for one image: a forward pass, a training step of three branches, and a heatmap (eq. 1-2)."""
    with torch.device("meta"):
        net = create_backbone(model, num_classes, "none")
        image = torch.empty(1, 3, size, size)
    forward = _count(lambda: net(image))
    # Raw, Crop and Drop: each one forward pass, and backward counted as two, as is usual. (PyTorch's own count of a
    # backward pass treats a depthwise convolution as a full one.)
    step = 3 * (1 + 2) * forward
    features = net.requires_grad_(False).forward_features(image).requires_grad_()

    def heatmap() -> None:  # eq. (1)-(2) as in gradcam, which the counter cannot follow itself
        net.forward_head(features).sum().backward()
        torch.einsum("bc,bchw->bhw", features.grad.mean((2, 3)), features.detach())

    return {"forward": forward, "training step": step, "heatmap": _count(heatmap)}


def _count(task: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        task()
    return float(counter.get_total_flops())


def resolution(model: str, sizes: Sequence[int] = (112, 224, 336, 448, 560)) -> pd.DataFrame:
    """Operations per image, by its side in pixels."""
    found = [(s, operations(model, s, 200)) for s in sizes]
    rows = [("resolution", s, f"{model}: {k}", v, "operations") for s, o in found for k, v in o.items()]
    return _table(rows, COMPUTED)


def classes(model: str, counts: Sequence[int] = (10, 100, 1000, 10000), size: int = 448) -> pd.DataFrame:
    """Operations per image, by number of classes K; only the head and the heatmap depend on K."""
    found = [(k, operations(model, size, k)) for k in counts]
    rows = [("classes", k, f"{model}: {n}", v, "operations") for k, o in found for n, v in o.items()]
    return _table(rows, COMPUTED)


# ---------------------------------------------------------------------- measured


def measured_resolution(
    model: str, sizes: Sequence[int] = (64, 112, 160, 224), batch: int = 8, repeats: int = 5
):
    """Milliseconds per image of a training step and of its floor, by the image's side in pixels."""
    cases = {s: _case(model, s, batch) for s in sizes}
    return _steps("resolution", cases, repeats)


def measured_batch(model: str, size: int, batches: Sequence[int] = (4, 8, 16, 32), repeats: int = 5):
    """Milliseconds per image of a training step and of its floor, by images per step."""
    cases = {b: _case(model, size, b) for b in batches}
    return _steps("images a step", cases, repeats)


def _case(model: str, size: int, batch: int) -> timing.Case:
    config = Config(backbone=model, weights="none", image_size=size, resize=size, batch_size=batch)
    return timing.Case(config, 100, "cpu")


def _steps(axis: str, cases: dict[int, timing.Case], repeats: int) -> pd.DataFrame:
    tasks = {(v, timing.OURS): c.step for v, c in cases.items()}
    tasks |= {(v, timing.FLOOR): c.floor_step for v, c in cases.items()}
    rows = []
    for (v, way), seconds in timing.interleaved(tasks, repeats).items():
        rows.append((axis, v, way, 1000 * seconds / cases[v].config.batch_size, "ms an image"))
    return _table(rows, MEASURED)


def contrast(
    batches: Sequence[int] = (16, 64, 256, 1024), width: int = 200, repeats: int = 5
) -> pd.DataFrame:
    """Milliseconds per image of eq. (11), forward and backward, by global batch: it compares all pairs."""
    rows, generator = [], torch.Generator().manual_seed(0)
    tasks = {}
    for b in batches:
        z = torch.randn(2 * b, width, generator=generator, requires_grad=True)
        labels = torch.randint(width, (b,), generator=generator).repeat(2)
        tasks[b] = lambda z=z, labels=labels: torch.autograd.grad(supcon_loss(z, labels), z)
    for b, t in timing.interleaved(tasks, repeats).items():
        rows.append(("global batch", b, "contrastive loss", 1000 * t / b, "ms an image"))
    return _table(rows, MEASURED)


def several_processes(
    model: str, size: int, batch: int = 16, counts=(1, 2), repeats: int = 5
) -> pd.DataFrame:
    """Images per second of a training step, by number of processes with one thread each, sharing one batch."""
    rows = []
    for count in counts:
        order = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
        order += ["-m", "gholm_kit.speed.growth", model, str(size), str(batch), str(repeats)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, *order], env=environment, capture_output=True, text=True)
        found = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if not found:
            raise RuntimeError(f"no timing came from {count} processes; they said: {done.stderr[-2000:]}")
        rows.append(("processes", count, "training step", json.loads(found[0])["images"], "images a second"))
    return _table(rows, MEASURED)


def _one_process(model: str, size: int, batch: int, repeats: int) -> None:
    """The work of each process of :func:`several_processes`; the first process prints the rate."""
    dist.init_process_group("gloo")
    count = dist.get_world_size()
    case = _case(model, size, batch // count)
    net = torch.nn.parallel.DistributedDataParallel(case.net)

    def step() -> None:
        case.learn(lambda: net(case.images, case.labels).losses["total"], case.optimiser)

    seconds = timing.interleaved({"step": step}, repeats)["step"]
    if dist.get_rank() == 0:
        print(json.dumps({"processes": count, "images": batch // count * count / seconds}), flush=True)
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)  # gloo's own end sometimes aborts, after the work is done


def _table(rows: list[tuple], how: str) -> pd.DataFrame:
    return pd.DataFrame([(*row, how) for row in rows], columns=COLUMNS)


# ---------------------------------------------------------------------- the picture

_STYLES = (("#000000", "-", "o"), ("#0072B2", "--", "s"), ("#D55E00", ":", "^"))
_PANELS = (
    ("resolution", "operations", "side of the image in pixels"),
    ("classes", "operations", "classes"),
    ("processes", "images a second", "processes (one thread each)"),
    ("resolution", "ms an image", "side of the image in pixels"),
    ("images a step", "ms an image", "images a step"),
    ("global batch", "ms an image", "images of all processes a step"),
)
_UNITS = {"operations": "operations an image", "ms an image": "milliseconds an image"}


def growth_curves(table: pd.DataFrame, machine: str) -> Figure:
    """One panel for each axis and unit of the table of :func:`growth`.

    machine  on which the measured rows were measured
    """
    fig, axes = style.styled(3, 2, size=(5.4, 4.2))
    for ax, (axis, unit, words) in zip(axes.flat, _PANELS, strict=True):
        rows = table[(table["axis"] == axis) & (table["unit"] == unit)]
        for (what, own), (colour, dash, marker) in zip(
            rows.groupby("what", sort=False), _STYLES, strict=False
        ):
            label = what.split(": ")[-1]
            ax.plot(own["value"], own["number"], color=colour, linestyle=dash, marker=marker, label=label)
        ax.set(xlabel=words, ylabel=_UNITS.get(unit, unit))
        ax.set_title(", ".join(sorted(set(rows["how"]))), fontsize=15)
        ax.set_ylim(0, None) if unit != "operations" else ax.set_yscale("log")
        _ticks(ax, rows["value"])
        ax.legend(frameon=False, fontsize=14)
    fig.supxlabel(_note(table, machine), fontsize=12, color="0.35")
    return fig


def _ticks(ax: Axes, values: pd.Series) -> None:
    ticks = sorted(set(values))
    if ticks[-1] >= 10 * ticks[0]:
        ax.set_xscale("log")
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()


def _note(table: pd.DataFrame, machine: str) -> str:
    computed = sorted({w.split(": ")[0] for w in table.loc[table["how"] == "computed", "what"]})
    return (
        f"computed: operations of {', '.join(computed)}; a multiply-add is two, backward is twice forward. "
        f"measured: the mini network on this processor, {machine};\n"
        "floor: the plain network on as many images. Several GPUs: not measured"
    )


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    _one_process(name, *map(int, numbers))
