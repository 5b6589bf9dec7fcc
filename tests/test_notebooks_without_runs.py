"""A reader who asks a chapter for the paper's setting, without its data and runs, gets commands and no traceback."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from gholm_kit.pages.execute import WakingOutput
from gholm_lib.paths import data_root, project_root

PAPER = ('PRESET = "mini"', 'PRESET = "paper"')


@pytest.fixture
def no_real_set(tmp_path, monkeypatch):
    """The drawn sets only, and no finished run."""
    for name in ("mini_birds", "mini_cars", "mini_aircraft", "mini_dogs"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(data_root() / name)
    monkeypatch.setenv("GHOLM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GHOLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("GHOLM_MODE", "quick")
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")


def chapter(name: str, change: tuple[str, str]) -> nbformat.NotebookNode:
    """A chapter with an edited parameter."""
    book = nbformat.read(project_root() / "notebooks" / f"{name}.ipynb", as_version=4)
    (parameters,) = [c for c in book.cells if "parameters" in c.metadata.get("tags", [])]
    assert change[0] in parameters.source
    parameters.source = parameters.source.replace(*change)
    return book


def printed(name: str, change: tuple[str, str]) -> dict[str, str]:
    """What each cell printed, by its id; a cell that fails is an error."""
    book = chapter(name, change)
    where = {"metadata": {"path": str(project_root() / "notebooks")}}
    client = NotebookClient(book, timeout=600, kernel_name="python3", resources=where)
    client.widget_registry["@jupyter-widgets/output"]["OutputModel"] = WakingOutput
    client.execute()
    outputs = {c.id: c.outputs for c in book.cells if c.cell_type == "code"}
    return {k: "".join(o.get("text", "") for o in found) for k, found in outputs.items()}


@pytest.mark.slow
def test_chapter_06_says_the_command_in_each_cell_that_needs_the_run(no_real_set):
    said = printed("06_figures", PAPER)
    command = "make it with `gholm data get cub`, then `gholm train --preset paper --dataset cub`"
    needy = [text for text in said.values() if command in text]
    assert len(needy) == 5, "the start of the chapter, Figures 2, 3 and 5, and the heatmap in three lines"
    assert all(text.startswith(("skipped: no finished run", "network: no finished run")) for text in needy)
    sheets = [text for text in said.values() if "`gholm reproduce --figure 6 --preset paper`" in text]
    assert len(sheets) == 2
    assert sum("give the same output as the block" in text for text in said.values()) == 1


@pytest.mark.slow
def test_chapter_07_says_how_to_make_records(no_real_set):
    said = printed("07_tables", PAPER)
    command = "`gholm reproduce --all --preset paper` makes them"
    assert sum(command in text for text in said.values()) == 4
    assert not any("do not match" in text for text in said.values())
    assert any("gholm reproduce --photographs" in text for text in said.values())


CUB = ('DATASET = "mini_birds"', 'DATASET = "cub"')
NO_RUN = ('RUN = ""', 'RUN = "no/such/run"')


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("00_start_here", CUB, "cub is not here, so mini_birds is used instead; `gholm data get cub`"),
        ("01_heatmaps", CUB, "`gholm data get cub`, then `gholm train --preset mini --dataset cub`"),
        ("01_heatmaps", PAPER, "make it with `gholm train --preset paper --dataset mini_birds`"),
        ("02_threshold_crops", CUB, "`gholm data get cub`, then `gholm train --preset paper --dataset cub`"),
        (
            "03_attention_erasure",
            CUB,
            "`gholm data get cub`, then `gholm train --preset paper --dataset cub`",
        ),
        ("04_contrastive_pairs", CUB, "`gholm data get cub`, then `gholm train --preset mini --dataset cub`"),
        ("05_training", CUB, "cub is not here, so mini_birds is used instead; `gholm data get cub`"),
        ("09_your_own_photos", CUB, "`gholm data get cub`, then `gholm train --preset mini --dataset cub`"),
        ("09_your_own_photos", NO_RUN, "mini_birds is used instead of no/such/run: no/such/run/record.json"),
    ],
)
def test_a_chapter_goes_on_with_the_drawn_set(name, change, said, no_real_set, capsys):
    known = {}
    for source in opening(name, change):
        exec(source, known)
    printed = capsys.readouterr().out
    assert sum(said in line for line in printed.splitlines()) == 1
    assert known["config"].dataset == "mini_birds"
    assert getattr(known["data"], "data", known["data"]).name == "mini_birds"
    assert known.get("DATASET", "mini_birds") == "mini_birds" or name.startswith("09"), (
        "09 does not use it again"
    )


def opening(name: str, change: tuple[str, str]) -> list[str]:
    """The cells of a chapter up to the one that opens its data; those after it are as with the drawn set."""
    cells = [c for c in chapter(name, change).cells if c.cell_type == "code"]
    (last,) = [k for k, c in enumerate(cells) if "ready." in c.source or "open_subject(DATASET" in c.source]
    return [c.source for c in cells[: last + 1]]
