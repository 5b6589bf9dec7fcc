"""Where things are: the one place that knows the checkout, the data, the runs and the records."""

from __future__ import annotations

import os
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[1]


def project_root() -> Path:
    """The checkout: the folder that contains ``pyproject.toml``, the two packages and the notebooks.

    raises FileNotFoundError when the package was installed outside its checkout
    """
    if not is_checkout():
        raise FileNotFoundError(
            f"no pyproject.toml in {_CHECKOUT}: the notebooks are not part of the installed package. "
            "Work in a clone of the project (make reproduce), or install it there with pip install -e ."
        )
    return _CHECKOUT


def is_checkout() -> bool:
    """Whether this package is part of a checkout of the project."""
    return (_CHECKOUT / "pyproject.toml").is_file()


def _home() -> Path:
    """The checkout, else the working folder."""
    return _CHECKOUT if is_checkout() else Path.cwd()


def data_root(explicit: str | Path | None = None) -> Path:
    """The folder of the data sets: ``explicit``, else $GHOLM_DATA, else data/ of the checkout or working folder."""
    chosen = explicit or os.environ.get("GHOLM_DATA")
    return Path(chosen).expanduser().resolve() if chosen else _home() / "data"


def runs_folder() -> Path:
    """The folder of the runs: $GHOLM_RUNS, else runs/ of the checkout (or working folder)."""
    return Path(os.environ.get("GHOLM_RUNS") or _home() / "runs")


def records_folder() -> Path:
    """``data/records``: the kept records, from which the tables are made."""
    return _CHECKOUT / "data" / "records"


def figures_folder() -> Path:
    """``figures/`` of the project."""
    return project_root() / "figures"
