"""The library's command line, ``python -m gholm_lib COMMAND``: data sets, training, evaluation.

The command ``gholm`` of gholm_kit has these commands and more. Only the options are imported before parsing, so
``--help`` does not load PyTorch.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gholm_lib.config import PRESETS, Config, RunOptions, load_config

if TYPE_CHECKING:
    from gholm_lib.records import Record

Commands = Mapping[str, Callable[[list[str]], int | None]]

_USAGE = """usage: python -m gholm_lib COMMAND [options]

  data list              the data sets, and whether they are installed
  data check NAME        what is missing, by exact path   [--images: open every image]; also of a folder of your own
  data get NAME          download a data set
  train                  train one network    [--preset mini|paper|photos or FILE] [--dataset NAME or FOLDER]
                         [--no-crop ...]
                         [--dry-run: estimate time, memory and disk space]
  evaluate RUN           accuracy of a finished run: Raw, Crop, Raw + Crop, with intervals
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one library command; returns the exit status."""
    return run(COMMANDS, _USAGE, argv)


def run(commands: Commands, usage: str, argv: Sequence[str] | None = None) -> int:
    """Run one of ``commands``; returns the exit status. An error that the user can correct is one message."""
    # PyTorch's waiting threads must not spin: beside other programs, a step would take ten times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    args = list(sys.argv[1:] if argv is None else argv)
    # On Windows, output to a pipe would use a code page without μ and −.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8")
    if not args or args[0] in ("-h", "--help"):
        print(usage, end="")
        return 0 if args else 2
    if args[0] not in commands:
        print(f"gholm: no command {args[0]!r}\n\n{usage}", file=sys.stderr, end="")
        return 2
    try:
        return commands[args[0]](args[1:]) or 0
    except (ValueError, FloatingPointError, OSError) as error:
        print(f"gholm {args[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"\ngholm {args[0]}: interrupted; start a run again and it continues where it stopped",
            file=sys.stderr,
        )
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("gholm_"):
            raise
        print(
            f"gholm {args[0]}: the package {error.name} is not installed; install it with pip install -e '.[kit]'",
            file=sys.stderr,
        )
        return 1
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # PyTorch's; by name, as torch may not be loaded
            raise
        advice = "Try --checkpointing, or a smaller --batch-size."
        print(f"gholm {args[0]}: {str(error).splitlines()[0]} {advice}", file=sys.stderr)
        return 1


# ---------------------------------------------------------------------- train


@dataclass(frozen=True)
class _Train:
    config: tyro.conf.OmitArgPrefixes[Config]
    options: tyro.conf.OmitArgPrefixes[RunOptions]
    dry_run: bool = False
    """Do not train: measure for a few seconds, then print the steps, time, memory and disk space of the run."""


def _train(args: list[str]) -> None:
    """Train one network; every field of the Config is an option."""
    default, options, rest = _train_defaults(args)
    chosen = tyro.cli(
        _Train,
        args=rest,
        default=_Train(default, options),
        prog="gholm train",
        description=f"Train one network. --preset {'|'.join(PRESETS)} (or a JSON file) sets the defaults below.",
    )
    from gholm_lib.rehearsal import rehearse
    from gholm_lib.training import is_main_process, say, train

    config, options = chosen.config, chosen.options
    if chosen.dry_run:
        say(rehearse(config, options))
        leave_group()
        return
    folder = Path(options.runs) / config.run_id
    done = (folder / "record.json").exists()
    record = train(config, options)
    if is_main_process():
        if done:
            print(f"{config.run_id} is already done; remove {folder} to train it again")
        print(f"{config.dataset}, {config.branches}, seed {config.seed}")
        print(_result_lines(record))
        print(_cost_line(config, record, folder))
    leave_group()


def _train_defaults(args: list[str]) -> tuple[Config, RunOptions, list[str]]:
    """The defaults that --preset, --dataset and --data-root set, and the other arguments.

    A folder given as --dataset becomes a name and a data root, and its preset is "photos".
    """
    from gholm_lib.datasets.registry import DATASETS, locate

    preset, rest = _take(args, "--preset")
    dataset, rest = _take(rest, "--dataset")
    root, rest = _take(rest, "--data-root")
    place = None if root is None else Path(root)
    if dataset is None:
        return load_config("mini" if preset is None else preset), RunOptions(data_root=place), rest
    name, place = locate(dataset, place)
    if preset is None:
        preset = "mini" if name in DATASETS else "photos"
    return load_config(preset, dataset=name), RunOptions(data_root=place), rest


def _cost_line(config: Config, record: Record, folder: Path) -> str:
    cost = record.cost
    line = (
        f"  {cost['seconds']:.0f} s in total, training at {cost['images_per_second']:g} images/s, "
        f"peak memory {cost['peak_memory_bytes'] / 2**30:.1f} GiB; record in {folder}"
    )
    if config.max_steps is None:
        return line
    tested = record.data["test"]
    return f"  a trial of {config.max_steps} steps: accuracies on {tested} test images are not meaningful\n{line}"


def leave_group() -> None:
    """Exit one of several processes directly: a normal exit sometimes aborts in gloo after the work is done."""
    import torch.distributed as dist

    if "WORLD_SIZE" in os.environ and dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _take(args: list[str], name: str) -> tuple[str | None, list[str]]:
    """(the value of an option, None if it is not given; the other arguments).

    raises  ValueError for an option without a value
    """
    for k, arg in enumerate(args):
        option, _, value = arg.partition("=")
        if option != name:
            continue
        value, rest = (value, args[k + 1 :]) if "=" in arg else ("".join(args[k + 1 : k + 2]), args[k + 2 :])
        if not value:
            raise ValueError(f"{name} needs a value")
        return value, args[:k] + rest
    return None, args


def _result_lines(record: Record) -> str:
    from gholm_lib.uncertainty import accuracy_interval, correct_answers

    names = {"raw": "Raw", "crop": "Crop", "both": "Raw + Crop"}
    lines = []
    for key, name in names.items():
        if key not in record.results["last"]:
            continue
        correct = correct_answers(record, key)
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


# ---------------------------------------------------------------------- evaluate


def _evaluate(args: list[str]) -> None:
    def evaluate(
        run: tyro.conf.Positional[Path],
        options: tyro.conf.OmitArgPrefixes[RunOptions] = RunOptions(),  # noqa: B008
        mu: float | None = None,
    ) -> None:
        """Test a finished run's network again: Raw, Crop and Raw + Crop, with eq. (13) and its interval.

        Args:
            run: Folder of the run (it contains model.safetensors and record.json).
            options: Folders and device.
            mu: Threshold of eq. (5) to test with (default: as in training).
        """
        from gholm_lib.runs import evaluate_run
        from gholm_lib.training import is_main_process

        record = evaluate_run(run, options, mu)
        if is_main_process():
            mu = record.config["mu"]
            print(f"{record.config['dataset']}, trained as {record.settings.branches}, mu {mu}")
            print(_result_lines(record))
        leave_group()

    tyro.cli(evaluate, args=args, prog="gholm evaluate")


# ---------------------------------------------------------------------- data


@dataclass(frozen=True)
class List:
    """List the data sets, and whether they are installed."""

    data_root: Path | None = None
    """Folder of the data sets (default: $GHOLM_DATA, else data/)."""


@dataclass(frozen=True)
class Check:
    """Show which files exist and which are missing, by exact path, and compare the counts with Table 1."""

    name: tyro.conf.Positional[str]
    """Name of the data set, or a folder of your own pictures, one folder a class."""
    data_root: Path | None = None
    """Folder of the data sets (default: $GHOLM_DATA, else data/)."""
    images: bool = False
    """Open every image and name the damaged ones."""


@dataclass(frozen=True)
class Get:
    """Download a data set; with gholm_kit, also draw the mini sets ("mini" for all four)."""

    name: tyro.conf.Positional[str]
    """Name of the data set; "samples": 500 photographs of ImageNet's classes, for tests without training."""
    data_root: Path | None = None
    """Folder of the data sets (default: $GHOLM_DATA, else data/)."""


def _data(args: list[str]) -> int:
    command = data_command(args)
    if isinstance(command, Get):
        get_data(command)
        return 0
    return show_data(command)


def get_data(command: Get) -> None:
    """Download a data set or the sample photographs."""
    from gholm_lib.datasets import samples
    from gholm_lib.datasets.download import get_dataset, get_samples

    if command.name == samples.NAME:
        get_samples(command.data_root)
    else:
        get_dataset(command.name, command.data_root)


def data_command(args: list[str]) -> List | Check | Get:
    """Parse the arguments of ``gholm data``."""
    return tyro.cli(
        Annotated[List, tyro.conf.subcommand("list")]
        | Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Get, tyro.conf.subcommand("get")],
        args=args,
        prog="gholm data",
    )


def show_data(command: List | Check) -> int:
    """Print the list of data sets, or the check of one; returns the exit status."""
    from gholm_lib.datasets import samples
    from gholm_lib.datasets.check import check_dataset, check_samples, list_datasets
    from gholm_lib.datasets.registry import locate

    if isinstance(command, List):
        print(list_datasets(command.data_root))
        return 0
    if command.name == samples.NAME:
        report = check_samples(command.data_root)
    else:
        name, root = locate(command.name, command.data_root)
        report = check_dataset(name, root, images=command.images)
    print(report)
    return 0 if report.ok else 1


COMMANDS: Commands = {"data": _data, "train": _train, "evaluate": _evaluate}

if __name__ == "__main__":
    sys.exit(main())
