"""The tables and the curve of the search for each row's best recipe."""

from __future__ import annotations

from collections.abc import Sequence

from gholm_kit.reproduction import verdicts
from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.paper_tables import NUMBERS_NOTE
from gholm_kit.reproduction.paper_tables import Row as PaperRow
from gholm_kit.reproduction.tuning import DIVERGED, Progress, Recipe, Search
from gholm_kit.table import Change, PValue, Table


def tuning_table(search: Search, state: Progress, archive: Archive) -> Table:
    """Each row's best recipe, and what it has with the recipe that is best for the first row."""
    assert state.bests is not None
    one, rows = state.bests[search.rows[0].name].recipe, []
    for row in search.rows:
        best = state.bests[row.name]
        shared = search.accuracy(row, one, archive)
        rows.append(
            {
                "row": row.name,
                "tries": len(search.recipes(state.grid)),
                "learning rate": f"{search.rate(best.recipe.power):g}",
                "epochs": search.config(row, best.recipe).epochs,
                "held out, own best": f"{best.accuracy:.1f}",
                "held out, one recipe": "diverged" if shared == DIVERGED else f"{shared:.1f}",
                "inside the grid": "no" if best.at_edge else "yes",
            }
        )
    held_out = search.tries(search.rows[0], one)[0].config.holdout
    first, last = search.rate(state.grid.low), search.rate(state.grid.high)
    notes = [
        f"Accuracy in % on the {100 * held_out:.0f} % of each class's training images that were held out; no test "
        f"image was used. Each row had the same tries: learning rates {first:g} to {last:g} in factors of two, "
        f"{len(search.lengths)} lengths of schedule, {search.seeds} seed(s). *One recipe*: rate and length that are "
        f"best for {search.rows[0].name}. The own best is the best of all tries, so it is optimistic by itself; the "
        "test images tell what it is worth.",
        *state.said,
    ]
    return Table(f"tuning_{search.name}", f"Equal tuning on {search.ours.dataset}", rows, notes)


def tuned_table(search: Search, state: Progress, archive: Archive) -> Table:
    """On test images, and against Raw: each row at its own best, on which the verdict depends, and at one recipe."""
    assert state.bests is not None
    one = state.bests[search.rows[0].name].recipe
    own, shared = own_best(search, state, archive), _against_first(search, archive, [one] * len(search.rows))
    words = _verdicts(own), _verdicts(shared)
    rows = [
        {
            "row": row.name,
            "seeds": len(mine.records) or None,
            "own best": mine.measured,
            "95 % interval": mine.interval,
            "difference to Raw": mine.change and Change(mine.change),
            "p": mine.change and PValue(mine.change.p),
            "verdict": verdict,
            "one recipe": same.measured,
            "difference to Raw at one recipe": same.change and Change(same.change),
            "what one recipe would have suggested": suggested,
        }
        for row, mine, same, verdict, suggested in zip(search.rows, own, shared, *words, strict=True)
    ]
    recipe = f"{search.rate(one.power):g}, schedule times {one.length}"
    notes = [
        "*Own best*: each row with the learning rate and the schedule that were "
        f"best for it on held-out training images. *One recipe*: those that were best for Raw ({recipe}), for all "
        "rows. *Better* or *worse* than Raw: significant at 5 % after Holm's correction over the rows of a column; "
        f"*{verdicts.UNCLEAR}*: not.",
        NUMBERS_NOTE,
    ]
    return Table(f"tuned_{search.name}", f"Equally tuned rows on {search.ours.dataset}", rows, notes)


def own_best(search: Search, state: Progress, archive: Archive) -> list[PaperRow]:
    """Each row at its own best, compared with the first one."""
    assert state.bests is not None
    return _against_first(search, archive, [state.bests[row.name].recipe for row in search.rows])


def _against_first(search: Search, archive: Archive, recipes: Sequence[Recipe]) -> list[PaperRow]:
    """The recorded rows with these recipes, each compared with the first one; the paper's number is not used."""
    rows: list[PaperRow] = []
    for row, recipe in zip(search.rows, recipes, strict=True):
        config = search.config(row, recipe)
        first = rows[0] if rows else None
        rows.append(PaperRow(0.0, archive.row(config), archive.failed(config), against=first))
    return rows


def _verdicts(rows: Sequence[PaperRow]) -> list[str | None]:
    """In words, corrected over the rows; None for the first one, which the others are compared with."""
    signs = verdicts.directions([None if row.failures else row.tested for row in rows[1:]])
    words = [
        "diverged" if row.failures else row.unjudged or verdicts.of_effect(sign)
        for row, sign in zip(rows[1:], signs, strict=True)
    ]
    return [None, *words]


def curves(search: Search, state: Progress, archive: Archive) -> dict[str, list[tuple[float, float]]]:
    """For each row, learning rates and held-out accuracies in percent, of the better length at each rate.

    Rates without a finite run are left out.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for row in search.rows:
        points = []
        for power in state.grid.powers:
            tried = [search.accuracy(row, Recipe(power, n), archive) for n in search.lengths]
            finite = [a for a in tried if a is not None and a != DIVERGED]
            if finite:
                points.append((search.rate(power), max(finite)))
        found[row.name] = points
    return found
