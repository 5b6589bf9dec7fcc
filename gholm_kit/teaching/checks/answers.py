"""What all checks share: the error that tells a reader what to look at, and the first questions to any answer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


class OneSentence(Exception):
    """An exception that a notebook shows as one sentence, without the frames that led to it."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for this
        return [f"{type(self).__name__}: {self}"]


class NotYet(OneSentence, AssertionError):
    """The answer is not right yet; the message says what to look at."""


class Unsolved(OneSentence, NotImplementedError):
    """The stub of an exercise; the message is its first hint."""


def described(found: Any) -> str:
    """What a reader gave, in words: a value if it is short, else its type and size."""
    if isinstance(found, Tensor):
        return f"a tensor of shape {tuple(found.shape)}"
    if isinstance(found, np.ndarray):
        return f"a NumPy array of shape {found.shape}"
    if isinstance(found, tuple | list | dict | set):
        return f"a {type(found).__name__} of {len(found)}"
    if found is None:
        return "nothing (None)"
    if callable(found):
        return "a function, not its value"
    text = repr(found)
    return text if len(text) <= 40 and " at 0x" not in text else f"an object of type {type(found).__name__}"


def returned(found: T | None) -> T:
    """What a reader's function returned; NotYet if that is nothing."""
    if found is None or found is ...:
        raise NotYet("your function returns nothing: end it with `return ...`")
    return found


def array(found: Any, wanted: str) -> np.ndarray:
    """Numbers or truth values as an array; ``wanted`` says what the answer should be, for the message."""
    value = returned(found)
    try:
        plain = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError):  # for example rows of unequal length
        plain = np.asarray("")
    if plain.dtype.kind not in "biuf":
        raise NotYet(f"your function must return {wanted}; it returns {described(found)}")
    return plain


def number(found: Any, hint: str = "") -> float:
    """One number; ``hint`` says how to turn several into one."""
    plain = array(found, "one number")
    if plain.size != 1:
        raise NotYet(
            f"your function must return one number; it returns an array of shape {plain.shape}{hint}"
        )
    if plain.dtype.kind == "b":
        raise NotYet(f"your function must return one number; it returns {bool(plain.item())}")
    return float(plain.item())


def tensor(found: Any) -> Tensor:
    """A tensor, without its gradient."""
    if isinstance(returned(found), np.ndarray):
        raise NotYet(
            "your function must return a tensor, not a NumPy array: use PyTorch's functions throughout"
        )
    if not isinstance(found, Tensor):
        raise NotYet(f"your function must return a tensor; it returns {described(found)}")
    return found.detach()


def shaped(found: T | None, shape: tuple[int, ...], why: str) -> T:
    """An array or tensor of this shape; ``why`` is the reason for it, as a sentence."""
    yours = array(found, f"an array of shape {shape}").shape
    if yours != shape:
        order = "; these are the right axes in another order" if sorted(yours) == sorted(shape) else ""
        raise NotYet(f"{why}, so the shape must be {shape}; yours is {yours}{order}")
    return returned(found)


def heatmap(found: Any) -> Tensor:
    """One heatmap (H, W) float32, as GradCAM could give it."""
    heat = torch.as_tensor(array(found, "one heatmap (H, W)"), dtype=torch.float32)
    if heat.ndim != 2 or not heat.numel():
        raise NotYet(f"the answer is one heatmap (H, W); yours has the shape {tuple(heat.shape)}")
    if not torch.isfinite(heat).all() or (heat < 0).any():
        raise NotYet("GradCAM ends with a ReLU: a heatmap is finite and never negative")
    return heat


def fitting(answer: Callable[..., T], *given: Any, shapes: str) -> T:
    """``answer(*given)``; NotYet with ``shapes``, the shapes that meet in it, if two of them do not fit."""
    try:
        return answer(*given)
    except NotImplementedError:  # a stub; to Python it is a RuntimeError too
        raise
    except RuntimeError as error:
        if not re.search("size|shape|broadcast|dimension", str(error)):
            raise
        raise NotYet(f"the shapes do not fit ({error}): {shapes}") from error


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6)


def explain(found: T, wrong: Mapping[str, T], same: Callable[[T, T], bool] = close) -> None:
    """Raise NotYet if the answer is what a usual mistake gives; ``wrong`` maps the reason to that value."""
    for reason, value in wrong.items():
        if same(found, value):
            raise NotYet(reason)


def predicted(guess: Any, name: str) -> Any:
    """A prediction that was made before anything is run: a number or a word."""
    if not isinstance(guess, Mapping):
        raise NotYet(f"the answers are a dict with {name!r} in it; yours is {described(guess)}")
    said = guess.get(name)
    if said is None or said is ...:
        raise NotYet(f"{name}: replace the dots with your answer")
    return said


def predicted_number(guess: Any, name: str) -> float:
    """A predicted number."""
    said = predicted(guess, name)
    try:
        return number(said)
    except NotYet:
        raise NotYet(f"{name}: the answer is one number; yours is {described(said)}") from None


def predictions(guess: Any, questions: Mapping[str, tuple[Any, dict[Any, str], str]]) -> str:
    """``questions``: name → right answer, what to say to some wrong ones, and a hint for all others."""
    for name, (right, wrong, hint) in questions.items():
        if isinstance(right, str):
            said: Any = predicted(guess, name)
            said = said.strip().lower() if isinstance(said, str) else described(said)
        else:
            said = predicted_number(guess, name)
            if right >= 10 and close(100 * said, right):  # smaller ones are counts
                raise NotYet(f"{name}: that is a share; the answer is wanted in percent")
        if said != right:
            raise NotYet(f"{name}: {wrong.get(said, hint)}")
    return "Right."
