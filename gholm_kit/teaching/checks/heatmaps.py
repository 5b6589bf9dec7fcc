"""Checks of chapter 01: shapes, eq. (1) and (2), the map before its ReLU, the map of a probability."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gholm_kit.teaching.checks.answers import NotYet, explain, returned, shaped, tensor
from gholm_lib.gradcam import channel_weights

Answer = Callable[..., Tensor]


def shapes(answer: Callable) -> str:
    """``answer(batch, channels, size, stride)`` → the shapes of A, a, gradcam and heat."""
    for batch, channels, size, stride in ((16, 768, 448, 32), (4, 112, 112, 16)):
        shapes = returned(answer(batch, channels, size, stride))
        found = tuple(tuple(int(n) for n in shape) for shape in shapes)
        if len(found) != 4:
            raise NotYet(f"return four shapes: A, a, gradcam, heat; your function returns {len(found)}")
        side = size // stride
        wanted = {
            "A": (batch, channels, side, side),
            "a": (batch, channels),
            "gradcam": (batch, side, side),
            "heat": (batch, size, size),
        }
        for (name, right), given in zip(wanted.items(), found, strict=True):
            if given != right:
                setting = f"for {batch} images of {size} pixels, {channels} channels, stride {stride}"
                raise NotYet(f"{name} {setting}: not {given}; {_shape_hint(name, given, right)}")
    return "Right."


def _shape_hint(name: str, given: tuple, right: tuple) -> str:
    if len(given) == len(right) - 1 and given == right[1:]:
        return "each image has its own, so the batch is the first axis"
    if name == "A" and given[-2:] != right[-2:]:
        return "one position of A covers `stride` pixels of the image in each direction"
    if name == "A":
        return "A is (batch, channels, height, width)"
    if name == "a":
        return "eq. (1) takes the mean over the positions i, j; one number per channel remains"
    if name == "gradcam" and len(given) == 4:
        return "eq. (2) sums over the channels k, so that axis is gone"
    if name == "gradcam":
        return "eq. (2) keeps the positions of A; only eq. (3) enlarges the map"
    return "eq. (3) enlarges the map to the size of the image; a map has no colours"


def gradcam(answer: Answer) -> str:
    """``answer(head, features, target)`` → eq. (2), ReLU( sum_k a_k^c A^k ), (B, h, w)."""
    head, a, target = _curved_case()
    found = _maps(answer(head, a.clone(), target), a)
    weights = channel_weights(head, a, target)
    gradient = _gradient(head, a, target)
    right = _summed(weights, a).relu()
    wrong = {
        "that is the sum of the channels without their weights, as eq. (2) is printed; weight each by a_k^c": (
            a.sum(1).relu()
        ),
        "the ReLU is missing: there are negative numbers": _summed(weights, a),
        "you took the absolute value; the ReLU sets negative numbers to 0": _summed(weights, a).abs(),
        "that is h·w times too large: eq. (1) is the mean over the positions, not the sum": (
            right * a.shape[2] * a.shape[3]
        ),
        "the gradient is multiplied by A at each position; eq. (1) first takes its mean over i, j": (
            (gradient * a).sum(1).relu()
        ),
        "those are the maps of the predicted classes; the class c is `target`": (
            _summed(channel_weights(head, a), a).relu()
        ),
        "that is divided by the number of images: add the logits up, do not average them": (right / len(a)),
        "that is the mean over the channels; eq. (2) is their sum": right / a.shape[1],
        "that is scaled by its maximum; eq. (2) is not": right / right.amax((1, 2), keepdim=True),
        "that uses the gradient of the probability; y^c is the logit": (
            _summed(_probability_weights(head, a, target), a).relu()
        ),
    }
    _compare(found, right, wrong)
    return "Right."


def signed_mean(answer: Callable) -> str:
    """``answer()`` → "above 0", "0" or "below 0": the mean of sum_k a_k^c A^k for a head pool → norm → linear."""
    said = returned(answer())
    said = "0" if said == 0 else str(said).strip()
    if said not in ("above 0", "0", "below 0"):
        raise NotYet(f'return "above 0", "0" or "below 0", not {said!r}')
    means = _signed_means()
    if said != "0":
        reason = {
            "above 0": "That is true of a head without a norm, when the logit is large.",
            "below 0": "That would mean that the network sees more evidence against its answer than for it.",
        }[said]
        raise NotYet(
            f"on three random images it is {', '.join(f'{m:.0e}' for m in means)}. {reason} But the norm removes "
            "the scale: multiply all of A by 1.01, and every logit stays the same. What does this say about the "
            "sum over k, i, j of dy/dA times A?"
        )
    return f"Right: on three random images it is {', '.join(f'{m:.0e}' for m in means)}."


def probability_map(answer: Answer) -> str:
    """``answer(head, features, target)`` → eq. (1)-(2) with p^c, the softmax of the logits, instead of y^c."""
    head, a, target = _curved_case()
    found = _maps(answer(head, a.clone(), target), a)
    right = _summed(_probability_weights(head, a, target), a).relu()
    logit = channel_weights(head, a, target)
    p = head(a).detach().softmax(1).gather(1, target[:, None])
    wrong = {
        "that is still the map of the logit y^c: apply a softmax after the head": _summed(logit, a).relu(),
        "the softmax runs over the images; it must run over the classes (dim 1)": (
            _summed(_softmax_over_images(head, a, target), a).relu()
        ),
        "that is the logit's map times p: the softmax has its own gradient, so differentiate through it": (
            _summed(p * logit, a).relu()
        ),
        "that is the map of log p; use p itself": (
            _summed(_probability_weights(head, a, target) / p, a).relu()
        ),
        "the ReLU is missing: there are negative numbers": _summed(_probability_weights(head, a, target), a),
    }
    _compare(found, right, wrong)
    return "Right."


# ---------------------------------------------------------------------- cases


def _curved_case() -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """A head whose gradient differs between positions, features, and classes that it does not predict."""
    generator = torch.Generator().manual_seed(1)
    a = torch.randn(3, 5, 4, 6, generator=generator)
    w = torch.randn(5, 4, generator=generator)

    def head(x: Tensor) -> Tensor:
        return x.pow(2).mul(x.sign()).mean((2, 3)) @ w + 0.3 * x.amax((2, 3)) @ w

    return head, a, head(a).argsort(1)[:, 1]


def _gradient(head: Callable, a: Tensor, target: Tensor) -> Tensor:
    a = a.clone().requires_grad_()
    return torch.autograd.grad(head(a).gather(1, target[:, None]).sum(), a)[0]


def _probability_weights(head: Callable, a: Tensor, target: Tensor) -> Tensor:
    return channel_weights(lambda x: head(x).softmax(1), a, target)


def _softmax_over_images(head: Callable, a: Tensor, target: Tensor) -> Tensor:
    return channel_weights(lambda x: head(x).softmax(0), a, target)


def _summed(weights: Tensor, a: Tensor) -> Tensor:
    return torch.einsum("bk,bkij->bij", weights, a)


def _signed_means() -> list[float]:
    """Mean over mean size of sum_k a_k^c A^k, for three random images and a random head pool → norm → linear."""
    generator = torch.Generator().manual_seed(2)
    a = torch.randn(3, 8, 5, 5, generator=generator) + 0.5
    w = torch.randn(4, 8, generator=generator)
    summed = _summed(channel_weights(lambda x: torch.layer_norm(x.mean((2, 3)), (8,)) @ w.T, a), a)
    return (summed.mean((1, 2)) / summed.abs().mean((1, 2))).tolist()


def _maps(found: object, a: Tensor) -> Tensor:
    return shaped(tensor(found), (len(a), *a.shape[2:]), "each image has one map").detach()


def _compare(found: Tensor, right: Tensor, wrong: dict[str, Tensor]) -> None:
    explain(found, wrong, _close)
    if _close(found, right):
        return
    ratio = float((found - right).abs().max() / right.abs().max())
    raise NotYet(f"not correct yet: the largest difference is {100 * ratio:.0f} % of the largest value")


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-6)
