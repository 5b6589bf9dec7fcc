"""What ``gholm bench`` runs, prints and keeps: sets of settings, a CSV for each in ``benchmarks/results``."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Literal

import pandas as pd
import torch

from gholm_kit.speed.timing import (
    EVALUATION,
    OURS,
    PEER,
    TRAINING,
    Case,
    Measurement,
    about,
    loader_rates,
    measure,
)
from gholm_kit.table import Table
from gholm_lib.config import Config, load_config
from gholm_lib.datasets import load_dataset
from gholm_lib.environment import processor
from gholm_lib.paths import project_root
from gholm_lib.provenance import split_data

# Models, (size, batch) pairs, precisions, checkpointing.
SUITES = {
    "cpu": [
        (["gholm_convnext_mini"], [(112, 16), (224, 16)], ["no"], [False]),
        (["convnext_tiny"], [(224, 8)], ["no"], [False]),
    ],
    "gpu": [
        (["convnext_tiny", "convnext_small"], [(448, 16), (448, 64)], ["bf16"], [False, True]),
    ],
}
# Goals: the method's share on top of the floor.
HEATMAP_GOAL = 0.02  # of a forward pass
STEP_GOAL = {"cpu": 1.10, "cuda": 1.05}  # of the floor
EVALUATION_GOAL = 1.05
LOADER_GOAL = 1.2  # images per second, relative to what training takes
SUMMARY = "README.md"  # in the folder of results
SUMMARY_NOTES = [
    "Written by `gholm bench` from the CSV files in this folder, which name the machine and the versions.",
    "How to read it: [benchmarks](../README.md). What is not here was not measured.",
    "Peer / kit: how many times as long the approach of other projects takes.",
]


def settings(
    suite: str,
    model: str | None = None,
    size: int | None = None,
    batch: int | None = None,
    precision: str | None = None,
) -> Iterator[Config]:
    """The settings of a suite, each once; an argument replaces the suite's own value."""
    if suite not in SUITES:
        raise ValueError(f"suite must be one of {', '.join(SUITES)}, got {suite!r}")
    seen = []
    for models, pairs, precisions, checkpointing in SUITES[suite]:
        for name, (s, b), kind, check in product(models, pairs, precisions, checkpointing):
            config = setting(model or name, size or s, batch or b, precision or kind, check)
            if config not in seen:
                seen.append(config)
                yield config


def setting(model: str, size: int, batch: int, precision: str = "no", checkpointing: bool = False) -> Config:
    """The full method on one backbone."""
    return Config(
        backbone=model,
        weights="none",
        image_size=size,
        resize=size,
        batch_size=batch,
        precision=precision,
        checkpointing=checkpointing,
    )


def results_folder() -> Path:
    """``benchmarks/results`` of the project."""
    return project_root() / "benchmarks" / "results"


def save(measured: Measurement, folder: Path) -> Path:
    """Write one CSV: the stages, then the ways; each row names the machine and the versions."""
    ways = measured.ways.assign(stage="whole, " + measured.ways["way"]).drop(columns="way")
    stages = measured.stages[~measured.stages["stage"].isin(["whole", "floor"])]
    table = pd.concat([stages, ways], ignore_index=True).sort_values("pass", ascending=False, kind="stable")
    a = measured.about
    name = f"{a['device']} {a['model']} {a['size']}x{a['batch']} {a['precision']} t{a['threads']}"
    name += " checkpointing" * bool(a["checkpointing"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace(' ', '-').replace('/', '-').lower()}.csv"
    table.assign(**a).round(4).to_csv(path, index=False)
    return path


def kept_results(folder: Path | None = None) -> dict[str, pd.DataFrame]:
    """The tables that :func:`save` wrote, by setting in words; ``folder`` None: benchmarks/results."""
    found = {}
    for path in sorted((folder or results_folder()).glob("*.csv")):
        table = pd.read_csv(path)
        if {"pass", "stage", "share of step"} <= set(table):  # loader and growth have other columns
            a = table.iloc[0]
            words = (
                f"{a['model']}, {a['size']} pixels, batch {a['batch']}, {a['device']}, {a['threads']} threads"
            )
            words += ("" if a["precision"] == "no" else f", {a['precision']}") + ", checkpointing" * bool(
                a["checkpointing"]
            )
            found[words] = table
    return found


def summary(folder: Path) -> str:
    """All kept results as one Markdown page: the ratios of the goals, peers, memory."""
    rows = [{"setting": words, **_ratios(table)} for words, table in kept_results(folder).items()]
    return Table("summary", "What the method costs", rows, SUMMARY_NOTES).markdown()


def _ratios(table: pd.DataFrame) -> dict[str, str]:
    rows = table.set_index(["pass", "stage"])
    time, peak = rows["milliseconds"], rows["peak MiB"]
    a = table.iloc[0]
    goals = _goals(time, rows["ratio to floor"], a["device"], f"whole, {OURS}")
    columns = {name: _marked(value, goal) for name, value, goal in goals}
    for which in (TRAINING, EVALUATION):
        peer, ours = (time.get((which, f"whole, {way}"), math.nan) for way in (PEER, OURS))
        columns[f"peer / kit, {which}"] = "not measured" if math.isnan(peer) else f"{peer / ours:.2f}"
    columns["peak memory of a step, MiB"] = f"{peak[TRAINING, f'whole, {OURS}']:.0f}"
    return columns | {"processor": a["processor"], "torch": a["torch"], "commit": a["commit"]}


def _marked(value: float, goal: float) -> str:
    return f"{value:.3f}, {'met' if value <= goal else f'above {goal:.2f}'}"


def report(measured: Measurement) -> str:
    """The tables and the goals, for people to read."""
    a = measured.about
    lines = [
        f"{a['model']}, {a['batch']} images of {a['size']} x {a['size']}, {a['classes']} classes, precision "
        f"{a['precision']}{', checkpointing' if a['checkpointing'] else ''}",
        f"{a['device']} ({a['processor']}), {a['threads']} threads, torch {a['torch']}, timm {a['timm']}",
    ]
    for which, rows in measured.stages.groupby("pass", sort=False):
        lines += ["", f"{which} by stages"]
        rows = rows.drop(columns="pass").set_index("stage").rename_axis(None)
        lines.append(rows.to_string(formatters=[_two, _percent, _three]))
    lines += ["", "as a whole (memory on top of weights and optimiser)"]
    ways = measured.ways.set_index(["pass", "way"]).rename_axis([None, None])
    lines += [ways.to_string(formatters=[_two, _three, _whole], na_rep="out of memory"), ""]
    return "\n".join([*lines, *verdicts(measured)])


def verdicts(measured: Measurement) -> list[str]:
    """A line for each goal: the measured value, and whether it meets the goal."""
    time = measured.stages.set_index(["pass", "stage"])["milliseconds"]
    ratio = measured.ways.set_index(["pass", "way"])["ratio to floor"]
    return [
        f"{name:22s} {value:.3f}   goal: at most {goal:.2f}, {'met' if value <= goal else 'NOT met'}"
        for name, value, goal in _goals(time, ratio, measured.about["device"], OURS)
    ]


def _goals(time: pd.Series, ratio: pd.Series, device: str, ours: str) -> list[tuple[str, float, float]]:
    """Name, measured value and goal; ``ours`` is the name of the kit's own whole pass in ``ratio``."""
    step_goal = STEP_GOAL["cpu" if device == "cpu" else "cuda"]
    return [
        ("heatmap / forward", time[EVALUATION, "heatmap"] / time[EVALUATION, "raw forward"], HEATMAP_GOAL),
        ("training step / floor", ratio[TRAINING, ours], step_goal),
        ("evaluation / floor", ratio[EVALUATION, ours], EVALUATION_GOAL),
    ]


def _two(value: float) -> str:
    return f"{value:.2f}"


def _three(value: float) -> str:
    return f"{value:.3f}"


def _whole(value: float) -> str:
    return f"{value:.0f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def trace(config: Config, num_classes: int, device: str, rows: int = 25) -> str:
    """The most expensive operators and stages of one training step, by PyTorch's profiler.

    On a GPU also how often the host waited for it.
    """
    case = Case(config, num_classes, device)
    case.step()
    on_gpu = case.device.type == "cuda"
    kinds = [torch.profiler.ProfilerActivity.CPU]
    kinds += [torch.profiler.ProfilerActivity.CUDA] if on_gpu else []
    with torch.profiler.profile(activities=kinds) as seen:
        case.step()
    averages = seen.key_averages()
    by = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    waits = sum(e.count for e in averages if e.key == "cudaStreamSynchronize")
    note = f"the host waited for the GPU {waits} times\n" if on_gpu else ""
    return f"{averages.table(sort_by=by, row_limit=rows, max_name_column_width=60)}\n{note}"


# ---------------------------------------------------------------------- the command


def bench(
    suite: Literal["cpu", "gpu"] | None = None,
    scale: bool = False,
    loader: bool = False,
    machine: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    model: str | None = None,
    size: int | None = None,
    batch: int | None = None,
    precision: Literal["no", "bf16", "fp16"] | None = None,
    classes: int = 200,
    repeats: int = 9,
    peer: bool = True,
    dataset: str = Config.dataset,
    workers: int = 2,
    data_root: Path | None = None,
    out: Path | None = None,
) -> None:
    """Time a training step and an evaluation by stages, beside the plain network (the floor) and peers.

    Without --suite, --scale, --loader or --machine: one setting, by default the mini one. Use a machine that does
    nothing else.

    Args:
        suite: A set of settings; model, size, batch and precision replace the set's own values.
        scale: How the cost grows with resolution, classes, images and processes; makes figures/scale.png.
        loader: Images per second from the loader, beside what a training step takes.
        machine: How soon the command line answers, and a training step beside other programs.
        device: auto takes a GPU if there is one.
        model: Any timm model.
        size: Side of the images in pixels.
        batch: Images per step.
        precision: no is float32.
        classes: Number of classes.
        repeats: Interleaved repeats; the median counts.
        peer: Also measure the peers' approach.
        dataset: For --loader.
        workers: For --loader: processes that read images.
        data_root: For --loader: folder of the data sets (default: $GHOLM_DATA, else data/).
        out: Folder for the CSV files (default: benchmarks/results of the project).
    """
    folder, place = out or results_folder(), chosen_device(device)
    if scale:
        return _scale(folder, repeats)
    if machine:
        return _machine(folder)
    if loader:
        config = _loader_setting(dataset, model, size, batch, precision)
        return _loader(folder, config, place, data_root, workers, repeats)
    if suite is None:
        configs = [setting(model or Config.backbone, size or 112, batch or 16, precision or "no")]
    else:
        configs = list(settings(suite, model, size, batch, precision))
    fitted = []
    for config in configs:
        try:
            measured = measure(config, classes, place, repeats, with_peer=peer)
        except torch.OutOfMemoryError:
            how = f"{config.precision}{', checkpointing' * config.checkpointing}"
            print(f"{config.backbone}, {config.batch_size} x {config.image_size}, {how}: out of memory\n")
            continue
        fitted.append(config)
        print(report(measured))
        print(f"kept in {save(measured, folder)}\n", flush=True)
    if not fitted:
        return
    path = folder / SUMMARY
    path.write_text(summary(folder), encoding="utf-8")
    print(f"all kept results: {path}")
    if suite == "gpu":
        path = folder / f"trace-{place}.txt"
        path.write_text(trace(fitted[0], classes, place))
        print(f"operators of one step in {path}")


def chosen_device(name: str) -> str:
    """ "cpu" or "cuda"; "auto" takes a GPU when there is one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError('device is "cuda", but PyTorch sees no GPU; `gholm doctor` shows what it finds')
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _scale(folder: Path, repeats: int) -> None:
    from gholm_kit import style
    from gholm_kit.speed.growth import growth, growth_curves

    table = growth(repeats=repeats)
    folder.mkdir(parents=True, exist_ok=True)
    table.assign(processor=processor(), cores=os.cpu_count()).to_csv(folder / "scale.csv", index=False)
    path = style.save(growth_curves(table, processor()), "scale")
    print(f"{table.to_string(index=False)}\nkept in {folder / 'scale.csv'}; picture: {path}")


def _machine(folder: Path) -> None:
    from gholm_kit.speed.machine import busy_steps, start_times

    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("start", start_times()), ("busy", busy_steps())):
        path = folder / f"{name}.csv"
        table.assign(processor=processor(), cores=os.cpu_count()).round(4).to_csv(path, index=False)
        print(f"{table.to_string(index=False)}\nkept in {path}\n")


def _loader_setting(
    dataset: str, model: str | None, size: int | None, batch: int | None, precision: str | None
) -> Config:
    """The mini recipe with the given values; as in training, images are read somewhat larger than they are used."""
    given = {"backbone": model, "image_size": size, "batch_size": batch, "precision": precision}
    given |= {"weights": model and "none", "resize": size and round(size * 510 / 448)}
    return load_config("mini", dataset=dataset, **{k: v for k, v in given.items() if v})


def _loader(
    folder: Path, config: Config, device: str, data_root: Path | None, workers: int, repeats: int
) -> None:
    samples = split_data(config, load_dataset(config.dataset, data_root)).train
    table = loader_rates(config, samples, device, workers, repeats)
    print(table.to_string(index=False, float_format="{:.0f}".format))
    rates = table.set_index("way")["images a second"]
    ratio = rates.drop("training step").max() / rates["training step"]
    met = "met" if ratio >= LOADER_GOAL else "NOT met"
    print(f"loader / training step   {ratio:.2f}   goal: at least {LOADER_GOAL:.1f}, {met}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"loader-{device}-{config.backbone}-{config.image_size}-{config.dataset}.csv"
    table.assign(**about(config, len({s.label for s in samples}), device)).round(1).to_csv(path, index=False)
    print(f"kept in {path}")
