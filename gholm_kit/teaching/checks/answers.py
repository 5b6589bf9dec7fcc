"""What all checks share: the error that tells a reader what to look at, and the first questions to any answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


class NotYet(AssertionError):
    """The answer is not right yet; the message says what to look at."""


def returned(found: T | None) -> T:
    """What a reader's function returned; NotYet if that is nothing."""
    if found is None:
        raise NotYet("your function returns nothing: end it with `return ...`")
    return found


def number(found: Any, hint: str = "") -> float:
    """One number; ``hint`` says how to turn several into one."""
    shape = tuple(np.shape(returned(found)))
    if math.prod(shape) != 1:
        raise NotYet(f"your function must return one number; it returns an array of shape {shape}{hint}")
    return float(found)


def tensor(found: Any) -> Tensor:
    if not isinstance(returned(found), Tensor):
        raise NotYet(
            f"your function must return a tensor; it returns an object of type {type(found).__name__}"
        )
    return found


def shaped(found: T | None, shape: tuple[int, ...], why: str) -> T:
    """An array or tensor of this shape; ``why`` is the reason for it, as a sentence."""
    yours = tuple(np.shape(returned(found)))
    if yours != shape:
        raise NotYet(f"{why}, so the shape must be {shape}; yours is {yours}")
    return found


def heatmap(found: Any) -> Tensor:
    """One heatmap (H, W) float32, as GradCAM could give it."""
    heat = torch.as_tensor(np.asarray(returned(found)), dtype=torch.float32)
    if heat.ndim != 2:
        raise NotYet(f"the answer is one heatmap (H, W); yours has the shape {tuple(heat.shape)}")
    if not torch.isfinite(heat).all() or (heat < 0).any():
        raise NotYet("GradCAM ends with a ReLU: a heatmap is finite and never negative")
    return heat


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6)


def explain(found: T, wrong: Mapping[str, T], same: Callable[[T, T], bool] = close) -> None:
    """Raise NotYet if the answer is what a usual mistake gives; ``wrong`` maps the reason to that value."""
    for reason, value in wrong.items():
        if same(found, value):
            raise NotYet(reason)


def predicted(guess: Mapping[str, Any], name: str) -> Any:
    """A prediction that was made before anything is run."""
    if guess.get(name, ...) in (..., None):
        raise NotYet(f"{name}: replace the dots with your answer")
    return guess[name]


def predictions(guess: Mapping[str, Any], questions: Mapping[str, tuple[Any, dict[Any, str], str]]) -> str:
    """``questions``: name → right answer, what to say to some wrong ones, and a hint for all others."""
    for name, (right, wrong, hint) in questions.items():
        said = predicted(guess, name)
        if said != right:
            raise NotYet(f"{name}: {wrong.get(said, hint)}")
    return "Right."
