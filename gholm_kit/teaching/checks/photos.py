"""Checks of chapter 09: a mu at which the crop loses a part, and features whose map is zero everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gholm_kit.teaching.checks.answers import NotYet, explain, number, tensor
from gholm_kit.teaching.checks.verdict import hints
from gholm_lib.gradcam import gradcam
from gholm_lib.masking import largest_component_boxes, threshold

MUS = [round(0.5 + 0.1 * k, 1) for k in range(46)]
Losing = Callable[[Tensor, Tensor, Sequence[float]], float | None]


@hints(
    "For each mu in turn: mask (eq. 5), box of its largest component, and how much of the part lies in the box.",
    "`x0, y0, x1, y1 = g.largest_component_boxes(g.threshold(heat[None], mu))[0].tolist()`; y are rows.",
    "Return mu as soon as part[y0:y1, x0:x1].sum() < 0.5 * part.sum(); after the loop return None.",
)
def losing_mu(answer: Losing) -> str:
    """``answer(heat, part, mus)`` → the first mu whose box (eq. 5) holds less than half of the part, else None.

    heat (H, W), part (H, W) bool, mus ascending
    """
    cases = _cases()
    found = [_one(answer(heat.clone(), part.clone(), list(MUS))) for heat, part in cases]
    right = [_first(heat, part, _in_box) for heat, part in cases]
    if all(f is None for f in found):
        raise NotYet(
            "your function gives None for every picture: return the first mu that loses the part, and None if none "
            "does"
        )
    if _same(found, right):
        return f"Right. On the four test pictures: {', '.join(map(str, right))}."
    wrong = {reason: [_first(heat, part, kept) for heat, part in cases] for reason, kept in _WRONG.items()}
    wrong |= {
        "that is the last mu that still keeps the part; return the first that loses it": [
            _last_that_keeps(heat, part) for heat, part in cases
        ],
        "that is the last mu that loses the part; return the first, as soon as you find it": [
            _last_that_loses(heat, part) for heat, part in cases
        ],
    }
    explain(found, wrong, _same)
    k = next(k for k, pair in enumerate(zip(found, right, strict=True)) if not _same(*([v] for v in pair)))
    if found[k] is not None and right[k] is None:
        raise NotYet(
            f"on test picture {k + 1} the part is never lost, so the answer is None; yours is {found[k]}. What is "
            "the box when nothing is above the threshold?"
        )
    raise NotYet(
        f"on test picture {k + 1} the first mu that loses the part is {right[k]}; yours is {found[k]}"
    )


def _one(found: object) -> float | None:
    return None if found is None else number(found, ": return the first mu alone, not all of them")


def _same(found: Sequence[float | None], right: Sequence[float | None]) -> bool:
    return all(
        (f is None) == (r is None) and (f is None or math.isclose(float(f), r, abs_tol=1e-6))
        for f, r in zip(found, right, strict=True)
    )


@hints(
    "The same vector at every position is enough: which condition must w_k · v meet for every class k?",
    "Find v with weight @ v = (−1, …, −1). There are at least as many channels as classes, so it exists.",
    "v = torch.linalg.pinv(weight) @ -torch.ones(len(weight)); then `v.view(1, -1, 1, 1).expand(1, -1, 7, 7)`.",
)
def blind(answer: Callable[[Tensor], Tensor]) -> str:
    """``answer(weight)`` → features A (1, C, h, w), not all zero, whose map is zero everywhere.

    weight (K, C): the head is the mean over positions, then this matrix; no norm, no bias. c is the predicted class.
    """
    generator = torch.Generator().manual_seed(4)
    for classes, channels in ((3, 5), (11, 112), (2, 6)):
        weight = torch.randn(classes, channels, generator=generator)
        features = _features(answer(weight.clone()), channels)
        logits = features.mean((2, 3)) @ weight.T
        cam = gradcam(lambda a, w=weight: a.mean((2, 3)) @ w.T, features)[0]
        if cam.any():
            c = int(logits.argmax())
            hot = 100 * float((cam > 0).float().mean())
            raise NotYet(
                f"for a head of {classes} classes the map of the predicted class ({c}) is above 0 at {hot:.0f} % "
                f"of the positions; its logit is {float(logits[0, c]):.2g}. At each position, w_c times the "
                "features must be 0 or less; and your choice of A decides which class is predicted"
            )
    return "Right: the map is zero everywhere, and nothing is above mu times zero."


def _features(found: object, channels: int) -> Tensor:
    found = tensor(found)
    if found.ndim != 4 or tuple(found.shape[:2]) != (1, channels):
        raise NotYet(f"A must be (1, {channels}, h, w) for this head; yours is {tuple(found.shape)}")
    if not torch.isfinite(found).all():
        raise NotYet("A contains NaN or infinite numbers")
    if not found.any():
        raise NotYet(
            "A is all zero, and so is its map, but no picture gives that: find features that are not zero"
        )
    return found.float()


# ---------------------------------------------------------------------- pictures, and ways to go wrong


def _blob(x: float, y: float, width: float, shape: tuple[int, int] = (60, 80)) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
    return torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2))


def _part(x0: int, y0: int, x1: int, y1: int, shape: tuple[int, int] = (60, 80)) -> Tensor:
    part = torch.zeros(shape, dtype=torch.bool)
    part[y0:y1, x0:x1] = True
    return part


def _cases() -> list[tuple[Tensor, Tensor]]:
    """A part beside the peak; a part under the smaller of two blobs; a corner of the box; a part under the peak."""
    two = _blob(22, 22, 8) + 0.9 * _blob(50, 36, 7)
    return [
        (_blob(40, 30, 12) + 0.05, _part(52, 26, 60, 34)),
        (two, _part(46, 32, 54, 40)),
        (_blob(30, 25, 14) + 0.02, _part(15, 10, 21, 16)),
        (_blob(50, 20, 9) + 0.4, _part(47, 17, 54, 24)),
    ]


def _first(heat: Tensor, part: Tensor, kept: Callable[[Tensor, Tensor, float], bool]) -> float | None:
    return next((mu for mu in MUS if not kept(heat, part, mu)), None)


def _box_share(mask: Tensor, part: Tensor) -> float:
    x0, y0, x1, y1 = largest_component_boxes(mask[None])[0].tolist()
    return float(part[y0:y1, x0:x1].sum() / part.sum())


def _in_box(heat: Tensor, part: Tensor, mu: float) -> bool:
    return _box_share(threshold(heat[None], mu)[0], part) >= 0.5


def _in_mask(heat: Tensor, part: Tensor, mu: float) -> bool:
    return bool((threshold(heat[None], mu)[0] & part).sum() >= 0.5 * part.sum())


def _in_box_of_all(heat: Tensor, part: Tensor, mu: float) -> bool:
    where = threshold(heat[None], mu)[0].nonzero()
    if not len(where):
        return True
    (y0, x0), (y1, x1) = where.amin(0).tolist(), (where.amax(0) + 1).tolist()
    return bool(part[y0:y1, x0:x1].sum() >= 0.5 * part.sum())


def _whole(heat: Tensor, part: Tensor, mu: float) -> bool:
    return _box_share(threshold(heat[None], mu)[0], part) == 1


def _anything(heat: Tensor, part: Tensor, mu: float) -> bool:
    return _box_share(threshold(heat[None], mu)[0], part) > 0


def _absolute(heat: Tensor, part: Tensor, mu: float) -> bool:
    return _box_share(heat > mu, part) >= 0.5


def _empty_is_lost(heat: Tensor, part: Tensor, mu: float) -> bool:
    return _in_box(heat, part, mu) and bool(threshold(heat[None], mu).any())


def _turned(heat: Tensor, part: Tensor, mu: float) -> bool:
    x0, y0, x1, y1 = largest_component_boxes(threshold(heat[None], mu))[0].tolist()
    return bool(part[x0:x1, y0:y1].sum() >= 0.5 * part.sum())


def _last_that_keeps(heat: Tensor, part: Tensor) -> float | None:
    first = _first(heat, part, _in_box)
    return MUS[-1] if first is None else MUS[MUS.index(first) - 1]


def _last_that_loses(heat: Tensor, part: Tensor) -> float | None:
    return next((mu for mu in reversed(MUS) if not _in_box(heat, part, mu)), None)


_WRONG = {
    "you count the part's pixels under the mask; the crop is the *box* around the largest component": _in_mask,
    "your box goes around the whole mask; eq. (5) takes the largest connected component": _in_box_of_all,
    "you call the part lost if any of its pixels is outside; it is lost if less than half is inside": _whole,
    "you call the part lost if none of its pixels is inside; it is lost if less than half is inside": _anything,
    "your threshold is mu itself; in eq. (5) it is mu times the mean of the heat": _absolute,
    "you call the part lost if the mask is empty; but then the box is the whole picture, part included": (
        _empty_is_lost
    ),
    "x and y are swapped: a box is x0, y0, x1, y1, but a picture is indexed [y, x]": _turned,
}
