"""The command line: ``gholm COMMAND``, also ``python -m gholm_lib COMMAND``. Each command is a thin face of the
library; ``gholm COMMAND --help`` lists its options, which for ``train`` are the fields of the Config."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import torch.distributed as dist
import tyro

from gholm_lib.config import PRESETS, Config, load_config
from gholm_lib.training import RunOptions, is_main_process, train

_USAGE = """usage: gholm COMMAND [options]        (gholm COMMAND --help tells more)

  doctor                 versions, device, data found, and what to do next
  data list              the data sets and whether they are here
  data check NAME        what is missing, by exact path   [--images opens every image]
  data get NAME          download a set, or draw the mini sets: gholm data get mini
  train                  train one network    [--preset mini|paper or FILE] [--dataset NAME] [--no-crop ...]
  evaluate RUN           accuracy of a finished run: Raw, Crop, Raw + Crop, with intervals
  reproduce              the runs behind tables, figures and ledger, then these   [--table 2 | --all] [--dry-run]
  results [FOLDER]       table of your own finished runs (default: runs/)
  bench                  what the method costs against the plain network [--suite cpu|gpu] [--scale] [--loader]
  pretrain               make a mini backbone's starting weights   [--backbone gholm_convnext_mini2]
  notebooks run          execute the notebooks (GHOLM_MODE=quick|full)
  notebooks html         the chapters as web pages that need no network   [--out FOLDER]
  notebooks slides       the chapters as slides that need no network      [--out FOLDER]
"""


@dataclass(frozen=True)
class _Train:
    config: tyro.conf.OmitArgPrefixes[Config]
    options: tyro.conf.OmitArgPrefixes[RunOptions]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors that a user can mend are one message, no traceback."""
    args = list(sys.argv[1:] if argv is None else argv)
    # Into a pipe, Windows would write in a code page without μ and −.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8")
    commands = {
        "doctor": _doctor,
        "data": _data,
        "train": _train,
        "evaluate": _evaluate,
        "reproduce": _reproduce,
        "results": _results,
        "bench": _bench,
        "pretrain": _pretrain,
        "notebooks": _notebooks,
    }
    if not args or args[0] in ("-h", "--help"):
        print(_USAGE, end="")
        return 0 if args else 2
    if args[0] not in commands:
        print(f"gholm: no command {args[0]!r}\n\n{_USAGE}", file=sys.stderr, end="")
        return 2
    try:
        return commands[args[0]](args[1:]) or 0
    except (ValueError, FloatingPointError, OSError) as error:
        print(f"gholm {args[0]}: {error}", file=sys.stderr)
        return 1
    except torch.OutOfMemoryError as error:
        print(
            f"gholm {args[0]}: {str(error).splitlines()[0]} Try --checkpointing, or a smaller --batch-size.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(
            f"\ngholm {args[0]}: interrupted; a run goes on where it stopped when started again",
            file=sys.stderr,
        )
        return 130


def _train(args: list[str]) -> None:
    """Train one network; every field of the Config is an option."""
    preset, rest = _take_preset(args)
    known = _given(rest, "--dataset")
    default = load_config(preset, **({"dataset": known} if known else {}))
    chosen = tyro.cli(
        _Train,
        args=rest,
        default=_Train(default, RunOptions()),
        prog="gholm train",
        description=f"Train one network. --preset {'|'.join(PRESETS)} (or a JSON file) sets the defaults below.",
    )
    config, options = chosen.config, chosen.options
    folder = Path(options.runs) / config.run_id
    if (folder / "record.json").exists():
        print(f"{config.run_id} is done already; remove {folder} to make it again")
    record = train(config, options)
    if is_main_process():
        print(f"{config.dataset}, {config.branches}, seed {config.seed}")
        print(_result_lines(record))
        print(
            f"  {record.cost['seconds']:.0f} s, {record.cost['images_per_second']} images/s; record in {folder}"
        )
    _leave_group()


def _leave_group() -> None:
    """End one of several processes: the interpreter's own end sometimes aborts in gloo, after the work is done."""
    if "WORLD_SIZE" in os.environ and dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _take_preset(args: list[str]) -> tuple[str, list[str]]:
    rest, preset = [], "mini"
    iterator = iter(args)
    for arg in iterator:
        if arg == "--preset":
            preset = next(iterator, "")
        elif arg.startswith("--preset="):
            preset = arg.split("=", 1)[1]
        else:
            rest.append(arg)
    return preset, rest


def _given(args: list[str], name: str) -> str | None:
    for k, arg in enumerate(args):
        if arg == name:
            return args[k + 1] if k + 1 < len(args) else None
        if arg.startswith(f"{name}="):
            return arg.split("=", 1)[1]
    return None


def _result_lines(record) -> str:
    from gholm_lib.evaluation import accuracy_interval

    names = {"raw": "Raw", "crop": "Crop", "both": "Raw + Crop"}
    lines = []
    for key, name in names.items():
        if key not in record.results["last"]:
            continue
        correct = record.predictions.correct(key)
        low, high = accuracy_interval(correct)
        lines.append(
            f"  {name:10s} {100 * correct.mean():5.1f} %   {int(correct.sum())} of {len(correct)} (eq. 13), "
            f"95 % interval {100 * low:.1f} to {100 * high:.1f}"
        )
    best, held = record.results["best_test"], record.results["held_out"]
    lines.append(f"  best test epoch: {best['epoch']}, {best[record.answer]:.1f} % (optimistic)")
    if held:
        lines.append(f"  epoch chosen on held-out images: {held['epoch']}, {held[record.answer]:.1f} %")
    return "\n".join(lines)


def _evaluate(args: list[str]) -> None:
    from gholm_lib.experiments import evaluate_run

    def evaluate(
        run: tyro.conf.Positional[Path],
        options: tyro.conf.OmitArgPrefixes[RunOptions] = RunOptions(),  # noqa: B008
        mu: float | None = None,
    ) -> None:
        """Test a finished run's network again: Raw, Crop and Raw + Crop, with eq. (13) and its interval.

        Args:
            run: Folder of the run (it holds model.safetensors and record.json).
            options: Where and on what.
            mu: Another threshold of eq. (5) than the run was trained with.
        """
        record = evaluate_run(run, options, mu)
        if is_main_process():
            mu = record.config["mu"]
            print(f"{record.config['dataset']}, trained as {record.settings.branches}, mu {mu}")
            print(_result_lines(record))
        _leave_group()

    tyro.cli(evaluate, args=args, prog="gholm evaluate")


def _reproduce(args: list[str]) -> int:
    from gholm_lib.reproduce.command import Request, reproduce

    request = tyro.cli(
        Request,
        args=args,
        prog="gholm reproduce",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )
    status = reproduce(request)
    if status == 0:
        _leave_group()
    return status


def _results(args: list[str]) -> None:
    from gholm_lib.tables import load_records, results_table
    from gholm_lib.training import runs_folder

    def results(folder: tyro.conf.Positional[Path | None] = None) -> None:
        """Markdown table of any finished runs below a folder.

        Args:
            folder: Folder of runs (default: $GHOLM_RUNS, else runs/).
        """
        folder = folder or runs_folder()
        records = load_records(folder)
        print(results_table(records).markdown() if records else f"no finished run below {folder}")

    tyro.cli(results, args=args, prog="gholm results")


def _bench(args: list[str]) -> None:
    from gholm_lib.suites import bench

    tyro.cli(bench, args=args, prog="gholm bench")


def _pretrain(args: list[str]) -> None:
    from gholm_lib.pretrain import pretrain

    tyro.cli(pretrain, args=args, prog="gholm pretrain", config=(tyro.conf.OmitArgPrefixes,))


def _data(args: list[str]) -> int:
    from gholm_lib.datasets.check import check_dataset, list_datasets
    from gholm_lib.datasets.download import get_dataset
    from gholm_lib.datasets.mini.write import draw_all
    from gholm_lib.datasets.registry import DATASETS, data_root

    @dataclass(frozen=True)
    class List:
        """The data sets and whether they are here."""

        data_root: Path | None = None
        """Folder of the data sets (default: $GHOLM_DATA, else data/)."""

    @dataclass(frozen=True)
    class Check:
        """Say what is there and what is missing, by exact path; hold the counts against Table 1."""

        name: tyro.conf.Positional[str]
        """Data set."""
        data_root: Path | None = None
        """Folder of the data sets (default: $GHOLM_DATA, else data/)."""
        images: bool = False
        """Open every image and name those that are broken."""

    @dataclass(frozen=True)
    class Get:
        """Download a data set, or draw the mini sets ("mini" for all four)."""

        name: tyro.conf.Positional[str]
        """Data set, or "mini"."""
        data_root: Path | None = None
        """Folder of the data sets (default: $GHOLM_DATA, else data/)."""

    command = tyro.cli(
        Annotated[List, tyro.conf.subcommand("list")]
        | Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Get, tyro.conf.subcommand("get")],
        args=args,
        prog="gholm data",
    )
    root = data_root(command.data_root)
    if isinstance(command, List):
        print(list_datasets(root))
        return 0
    if isinstance(command, Check):
        report = check_dataset(command.name, root, images=command.images)
        print(report)
        return 0 if report.ok else 1
    if command.name == "mini":
        folders = draw_all(root)
        print(f"The mini sets are in {root}: {', '.join(f.name for f in folders)}.")
    elif command.name in DATASETS:
        get_dataset(command.name, root)
    else:
        raise ValueError(f"no data set {command.name!r}; there are mini, {', '.join(DATASETS)}")
    return 0


def _notebooks(args: list[str]) -> int:
    from gholm_lib.notebooks import publish, run_notebooks

    kind, rest = (args[0], args[1:]) if args[:1] in (["run"], ["html"], ["slides"]) else ("run", args)

    def notebooks(notebooks: tyro.conf.Positional[tuple[Path, ...]] = (), out: Path | None = None) -> bool:
        """run: execute notebooks. html, slides: web pages, or a deck of each, that open without a network; a
        notebook runs first if its executed copy in build/notebooks is out of date.

        Args:
            notebooks: Notebooks (none: all of them).
            out: Folder to write to (default: build/notebooks, build/html or build/slides).
        """
        if kind == "run":
            return all(result.ok for result in run_notebooks(list(notebooks) or None, out))
        return not publish(kind, list(notebooks) or None, out)

    return 0 if tyro.cli(notebooks, args=rest, prog=f"gholm notebooks {kind}") else 1


def _doctor(args: list[str]) -> None:
    from gholm_lib.doctor import diagnose

    def doctor(data_root: Path | None = None) -> None:
        """Versions, device, data found, and what to do next.

        Args:
            data_root: Folder of the data sets (default: $GHOLM_DATA, else data/).
        """
        print(diagnose(data_root))

    tyro.cli(doctor, args=args, prog="gholm doctor")


if __name__ == "__main__":
    sys.exit(main())
