"""The options of ``gholm reproduce``, apart from what it does: help answers without loading PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gholm_lib.config import RunOptions


@dataclass(frozen=True)
class Request:
    """Make the runs behind the paper's tables and figures and the ledger of its open questions, then make these.

    Runs that several need are made once; recorded ones are skipped. Stopped at any moment, the same command goes on.
    """

    table: tuple[int, ...] = ()
    """Tables of the paper, 1 to 9."""
    figure: tuple[int, ...] = ()
    """Figures of the paper, 1 to 6."""
    ledger: bool = False
    """What the paper leaves open: each reading measured."""
    all: bool = False
    """All tables, figures and the ledger."""
    preset: Literal["mini", "paper"] = "mini"
    """"paper": section 4.2 on the four real sets; "mini": the same on the four drawn families."""
    seeds: int = 3
    """Seeds 0 to seeds - 1 of each run."""
    dry_run: bool = False
    """Say which runs are lacking, with hours, disk and memory, and start none."""
    check: bool = False
    """Start no long run and write nothing: fail if a table is not what the records give, if a figure says that it
    was drawn from other settings, weights or images, or if a run of seconds, made again, gives another result."""
    redraw: bool = False
    """Also draw figures again that were drawn from the same settings, weights and images."""
    from_records: bool = False
    """Make tables and figures from the records that there are; start no run."""
    records: Path | None = None
    """Folder of the records (default: data/records/PRESET)."""
    weights: tuple[Path, ...] = ()
    """Where the model hub is out of reach: the files from which the preset "paper" starts, each with the name of its
    timm model: convnext_small.fb_in22k.safetensors; for dogs convnext_small.fb_in1k.safetensors, and for the ledger
    convnext_small.fb_in22k_ft_in1k.safetensors as well."""
    shard: str = "1/1"
    """i/n: make the i-th of n shares of the runs, so that n processes share the work."""
    threads: int | None = None
    """CPU threads of this process (default: PyTorch's choice)."""
    options: RunOptions = field(default_factory=RunOptions)
