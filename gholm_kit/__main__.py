"""The command ``gholm COMMAND``: each command is a thin face of the packages; ``gholm COMMAND --help`` lists its
options. What a command needs is imported when it runs, so that help answers at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tyro

from gholm_lib import __main__ as lib
from gholm_lib.config import RunOptions
from gholm_lib.paths import data_root

_USAGE = """usage: gholm COMMAND [options]        (gholm COMMAND --help tells more)

  doctor                 versions, device, data found, and what to do next
  data list              the data sets and whether they are here
  data check NAME        what is missing, by exact path   [--images opens every image]; also of a folder of your own
  data get NAME          download a set, or draw the mini sets: gholm data get mini; samples: photographs
  look PHOTO...          heatmap, crop, erased image and five best classes of any photo   [--run RUN] [--out FOLDER]
  train                  train one network    [--preset mini|paper|photos or FILE] [--dataset NAME or FOLDER]
                         [--no-crop ...] [--dry-run says what it would take]
  evaluate RUN           accuracy of a finished run: Raw, Crop, Raw + Crop, with intervals
  reproduce              the runs behind tables, figures and ledger, then these   [--table 2 | --all] [--dry-run]
  results [FOLDER]       table of your own finished runs (default: runs/)
  figure RUN...          Figure 6 and its wrong answers for finished runs   [--out FILE.png or FOLDER]
  keep RUN               put a finished run's network into data/records/networks, for notebooks and figures
  export RUN             a network as one graph for other programs, with a model card: RUN or imagenet
                         [--format onnx|pt2] [--hub-folder: a folder that timm loads]
  live [RUN...]          a network and the whole method in one HTML file, for any browser   [--out FOLDER]
  bench                  what the method costs against the plain network   [--suite cpu|gpu] [--scale] [--machine]
  class prepare          for instructors: the students' copy of the chapters, without solutions
  class grade FOLDER     grade hand-ins: points, and a page of feedback for each student
  class merge FOLDER     pool a class's runs into one table beside the kept ones
  pretrain               make the mini backbone's starting weights
  notebooks run          execute the notebooks (GHOLM_MODE=quick|full)
  notebooks html         the chapters as web pages that need no network   [--out FOLDER]
  notebooks slides       the chapters as slides that need no network      [--out FOLDER]
  notebooks slides-pdf   the same, and each deck as a PDF; needs Chromium  [--out FOLDER]
  sheet                  the method on two pages, English and Chinese, as HTML and PDF   [--out FOLDER]
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    return lib.run(COMMANDS, _USAGE, argv)


def _look(args: list[str]) -> int:
    def look(
        photos: tyro.conf.Positional[tuple[Path, ...]],
        run: Path | None = None,
        backbone: str = "tf_efficientnet_lite0",
        weights: str | None = None,
        mu: float | None = None,
        theta: float | None = None,
        fill: str | None = None,
        target: str | None = None,
        out: Path | None = None,
        json: bool = False,
    ) -> int:
        """The whole method on any photos: heatmap, box and crop, erased image, five best classes of each branch.

        Args:
            photos: Picture files, or folders of them.
            run: Folder of a finished run (default: a network with ImageNet's 1000 classes).
            backbone: Another network with ImageNet's classes, such as convnext_tiny.fb_in22k_ft_in1k.
            weights: Its weights: lite0, timm (the model hub) or a file.
            mu: Threshold of the crop, eq. (5), in means of the heatmap (default: as in training).
            theta: Threshold of the erasure, eq. (6) (default: the middle of its range in training).
            fill: What erased pixels become: mean, black, noise or channel_mean.
            target: Class of the heatmap, such as "Egyptian cat" (default: the predicted class).
            out: A .png file for one photo, or a folder (default: look; with --json, nothing is written).
            json: Print one JSON object a line instead of words.
        """
        from gholm_kit.look import look_at_all, open_eye

        eye = open_eye(run, backbone, weights, mu, theta, fill, target)
        place = out or (None if json else Path("look"))
        return 1 if look_at_all(photos, eye, place, json) else 0

    return tyro.cli(look, args=args, prog="gholm look")


def _data(args: list[str]) -> int:
    command = lib.data_command(args)
    if not isinstance(command, lib.Get):
        return lib.show_data(command)
    from gholm_kit.drawn.write import draw_all, draw_family
    from gholm_lib.datasets import samples
    from gholm_lib.datasets.registry import DATASETS

    root = data_root(command.data_root)
    if command.name == "mini":
        folders = draw_all(root)
        print(f"The mini sets are in {root}: {', '.join(f.name for f in folders)}.")
    elif command.name not in (*DATASETS, samples.NAME):
        raise ValueError(
            f"no data set {command.name!r}; there are mini, {', '.join(DATASETS)}, {samples.NAME}"
        )
    elif command.name in DATASETS and DATASETS[command.name].is_mini:
        folder = root / DATASETS[command.name].folder
        drawn = draw_family(command.name, folder)
        print(f"{command.name} is {'drawn' if drawn else 'complete'} in {folder}.")
    else:
        lib.get_data(command)
    return 0


def _reproduce(args: list[str]) -> int:
    from gholm_kit.reproduction.request import Request

    request = tyro.cli(
        Request,
        args=args,
        prog="gholm reproduce",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )
    from gholm_kit.reproduction.cli import reproduce

    status = reproduce(request)
    if status == 0:
        lib.leave_group()
    return status


def _results(args: list[str]) -> None:
    def results(folder: tyro.conf.Positional[Path | None] = None) -> None:
        """Markdown table of any finished runs below a folder, and the commands that make them again.

        Args:
            folder: Folder of runs (default: $GHOLM_RUNS, else runs/).
        """
        from gholm_kit.table import commands, results_table
        from gholm_lib.paths import records_folder, runs_folder
        from gholm_lib.records import load_records

        folder = folder or runs_folder()
        records = load_records(folder)
        if not records:
            print(f"no finished run below {folder}")
            return
        print(results_table(records).markdown())
        print("Each row again, with its first seed:", *commands(records), sep="\n  ")
        if folder.resolve() == (records_folder() / "photographs").resolve():
            print("All of them: gholm reproduce --photographs --weights FILE")

    tyro.cli(results, args=args, prog="gholm results")


def _figure(args: list[str]) -> None:
    def figure(
        run: tyro.conf.Positional[tuple[str, ...]],
        out: Path = Path("figure_6.png"),
        seed: int = 0,
        images: int = 2,
        options: tyro.conf.OmitArgPrefixes[RunOptions] = RunOptions(),  # noqa: B008
    ) -> None:
        """Figure 6 for finished runs: test images with heatmap, box, crop and erased image; and the same for answers
        that are wrong, in a second file whose name ends in _failures.

        Args:
            run: Folders of runs, or their ids (the names of their folders in --runs).
            out: File name that ends in .png, or a folder; an SVG is written beside each PNG.
            seed: Picks the images.
            images: Images of each run.
            options: Folders and device.
        """
        from gholm_kit.reproduction.sheets import write_sheets

        print("\n".join(map(str, write_sheets(run, out, options, seed, images))))

    tyro.cli(figure, args=args, prog="gholm figure")


def _keep(args: list[str]) -> None:
    def keep(run: tyro.conf.Positional[Path]) -> None:
        """Put a finished run's network into data/records/networks, in half precision, for notebooks and figures.

        Args:
            run: Folder of the run (it contains model.safetensors and record.json).
        """
        from gholm_lib.runs import keep_network

        print(f"kept in {keep_network(run)}")

    tyro.cli(keep, args=args, prog="gholm keep")


def _export(args: list[str]) -> None:
    def export(
        run: tyro.conf.Positional[str],
        format: Literal["onnx", "pt2"] = "onnx",
        out: Path | None = None,
        hub_folder: bool = False,
        options: tyro.conf.OmitArgPrefixes[RunOptions] = RunOptions(),  # noqa: B008
    ) -> None:
        """A network as one graph for other programs, compared with PyTorch, and its model card.

        The graph gives Raw's logits, the coarse maps of the predicted and of a given class, and Crop's logits for a
        given box.

        Args:
            run: Folder of a finished run, the id of a run whose network is kept, or imagenet.
            format: onnx (needs pip install -e '.[export]') or pt2, which PyTorch loads.
            out: Folder to write to (default: export/NAME).
            hub_folder: Also write weights and settings in the model hub's layout, which timm loads.
            options: Folders of runs and data.
        """
        from gholm_kit.export.command import export as write

        print(write(run, format, out, hub_folder, options))

    tyro.cli(export, args=args, prog="gholm export", config=(tyro.conf.FlagCreatePairsOff,))


def _live(args: list[str]) -> None:
    def live(
        run: tyro.conf.Positional[tuple[str, ...]] = ("mini_birds", "imagenet"),
        out: Path = Path("build/live"),
        options: tyro.conf.OmitArgPrefixes[RunOptions] = RunOptions(),  # noqa: B008
    ) -> None:
        """A network and the whole method in one HTML file, which needs neither a server nor a network. To make it,
        npm fetches ONNX Runtime Web once.

        Args:
            run: Mini sets, imagenet, folders of finished runs, ids of runs whose network is kept: a file of each.
            out: Folder to write to.
            options: Folders of runs and data.
        """
        from gholm_kit.live.build import live as write

        for path in write(run, out, options):
            print(f"{path}  ({path.stat().st_size / 1e6:.1f} MB): open it in a browser")

    tyro.cli(live, args=args, prog="gholm live")


def _bench(args: list[str]) -> None:
    from gholm_kit.speed.cases import bench

    tyro.cli(bench, args=args, prog="gholm bench")


def _class(args: list[str]) -> int:
    from gholm_kit.teaching.classroom.cli import command

    return command(args)


def _pretrain(args: list[str]) -> None:
    from gholm_kit.drawn.pretrain import pretrain

    tyro.cli(pretrain, args=args, prog="gholm pretrain", config=(tyro.conf.OmitArgPrefixes,))


def _notebooks(args: list[str]) -> int:
    named = args[:1] and args[0] in ("run", "html", "slides", "slides-pdf")
    kind, rest = (args[0], args[1:]) if named else ("run", args)

    def notebooks(notebooks: tyro.conf.Positional[tuple[Path, ...]] = (), out: Path | None = None) -> bool:
        """run: execute notebooks. html, slides: web pages, or a deck of each, that open without a network; a
        notebook runs first if its executed copy in build/notebooks is out of date. slides-pdf: each deck also as a
        PDF beside it, which needs Chromium.

        Args:
            notebooks: Notebooks (none: all of them).
            out: Folder to write to (default: build/notebooks, build/html or build/slides).
        """
        from gholm_kit.pages.execute import publish, run_notebooks

        if kind == "run":
            return all(result.ok for result in run_notebooks(list(notebooks) or None, out))
        return not publish(kind, list(notebooks) or None, out)

    return 0 if tyro.cli(notebooks, args=rest, prog=f"gholm notebooks {kind}") else 1


def _sheet(args: list[str]) -> None:
    def sheet(out: Path | None = None) -> None:
        """The method on two pages of A4: network, symbols, equations with their functions, words; in English and
        Chinese, as HTML and PDF. The PDF needs Chromium.

        Args:
            out: Folder to write to (default: docs/sheet).
        """
        from gholm_kit.pages.sheet import write_sheets

        print(*write_sheets(out), sep="\n")

    tyro.cli(sheet, args=args, prog="gholm sheet")


def _doctor(args: list[str]) -> None:
    def doctor(data_root: Path | None = None) -> None:
        """Versions, device, data found, and what to do next.

        Args:
            data_root: Folder of the data sets (default: $GHOLM_DATA, else data/).
        """
        from gholm_kit.doctor import diagnose

        print(diagnose(data_root))

    tyro.cli(doctor, args=args, prog="gholm doctor")


COMMANDS: lib.Commands = {
    **lib.COMMANDS,
    "look": _look,
    "doctor": _doctor,
    "data": _data,
    "reproduce": _reproduce,
    "results": _results,
    "figure": _figure,
    "keep": _keep,
    "export": _export,
    "live": _live,
    "bench": _bench,
    "class": _class,
    "pretrain": _pretrain,
    "notebooks": _notebooks,
    "sheet": _sheet,
}

if __name__ == "__main__":
    sys.exit(main())
