"""The options of ``gholm reproduce``, in a separate module so that ``--help`` does not load PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gholm_lib.config import RunOptions


@dataclass(frozen=True)
class Request:
    """Make the runs behind the paper's tables, its figures and the ledger of open questions, then make these.

    Runs that several of them need are made once, and recorded runs are skipped. The command can be stopped at any
    moment; given again, it continues.
    """

    table: tuple[int, ...] = ()
    """Tables of the paper, 1 to 9."""
    figure: tuple[int, ...] = ()
    """Figures of the paper, 1 to 6."""
    ledger: bool = False
    """The ledger: what the paper leaves open, with each reading measured."""
    tune: tuple[str, ...] = ()
    """Data sets (cub, cars, aircraft, dogs) on which each row and each control searches its learning rate and length
    of schedule, on held-out training images; then the runs at these, and at the one recipe that is best for Raw."""
    tune_seeds: int = 1
    """Number of seeds of each try of --tune."""
    rivals: tuple[Literal["wsdan", "mmal", "cal"], ...] = ()
    """Runs of other methods on every data set, with the same recipe: our re-implementations of WS-DAN, MMAL, CAL.
    With --tune: the search for their rates and schedules."""
    all: bool = False
    """All tables, figures and the ledger."""
    photographs: bool = False
    """The kept runs on photographs, made again from one --weights file; alone, without tables or figures."""
    second_looks: bool = False
    """Crop and its controls without any training: an ImageNet network at the 500 photographs of `gholm data get
    samples`, in a quarter of an hour on one core; alone. --from-records shows the kept table instead."""
    preset: Literal["mini", "paper"] = "mini"
    """"paper": section 4.2 on the four real sets; "mini": the same on the four drawn families."""
    seeds: int = 3
    """Number of seeds of each run: 0 to seeds - 1."""
    dry_run: bool = False
    """List the missing runs, with time, disk space and memory; start no run."""
    check: bool = False
    """Start no long run and write nothing: fail if a table does not match the records, if a figure was drawn from
    other settings, weights or images, or if a run of a few seconds gives a different result when repeated."""
    redraw: bool = False
    """Draw figures again even if their settings, weights and images have not changed."""
    from_records: bool = False
    """Make tables and figures from the existing records; start no run."""
    records: Path | None = None
    """Folder of the records (default: data/records/PRESET; with --photographs build/photographs, with --second-looks
    build/second_looks)."""
    weights: tuple[Path, ...] = ()
    """For machines without access to the model hub: the starting weights of the preset "paper", as files with the
    names of their timm models: convnext_small.fb_in22k.safetensors; for dogs convnext_small.fb_in1k.safetensors, and
    for the ledger convnext_small.fb_in22k_ft_in1k.safetensors as well."""
    shard: str = "1/1"
    """i/n: make only the i-th of n shares of the runs, so that n processes can divide the work."""
    threads: int | None = None
    """CPU threads of this process (default: PyTorch's choice)."""
    options: RunOptions = field(default_factory=RunOptions)
