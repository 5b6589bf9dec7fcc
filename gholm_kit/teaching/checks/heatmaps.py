"""Checks of chapter 01: shapes, eq. (1) and (2), the map before its ReLU, the map of a probability."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gholm_kit.teaching.checks.answers import NotYet, described, explain, returned, shaped, tensor
from gholm_kit.teaching.checks.verdict import hints
from gholm_lib.gradcam import channel_weights

Answer = Callable[..., Tensor]


@hints(
    "Count the axes first: A has four, a two, gradcam three, heat three. The first axis is always the batch.",
    "Each position of A stands for stride × stride pixels, so a side of A has size // stride positions.",
    "(batch, channels, side, side), (batch, channels), (batch, side, side), (batch, size, size).",
)
def shapes(answer: Callable) -> str:
    """``answer(batch, channels, size, stride)`` → the shapes of A, a, gradcam and heat."""
    for batch, channels, size, stride in ((16, 768, 448, 32), (4, 112, 96, 16)):
        shapes = returned(answer(batch, channels, size, stride))
        try:
            found = tuple(tuple(int(n) for n in shape) for shape in shapes)
        except (TypeError, ValueError):
            raise NotYet(
                f"return four tuples of whole numbers: A, a, gradcam, heat; you return {described(shapes)}"
            ) from None
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


@hints(
    "Three steps: the logit y^c of each image; its gradient with respect to the features; the weighted sum.",
    "`head(A).gather(1, target[:, None])` picks the logits. Images are independent, so differentiate their sum.",
    "The weights are the gradient's mean over axes 2 and 3; then `einsum('bk,bkij->bij', a, features).relu()`.",
)
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
        "the ReLU comes after the sum over the channels, not before it": (
            (weights[:, :, None, None] * a).relu().sum(1)
        ),
        "the ReLU belongs to the sum, not to the weights: channels may also oppose the class": (
            _summed(weights.relu(), a).relu()
        ),
        "you set negative features to 0; only the sum goes through the ReLU": _summed(
            weights, a.relu()
        ).relu(),
        "a weight has its sign: you took the absolute value of a_k^c": _summed(weights.abs(), a).relu(),
        "that is the mean over the images too: each image has its own weights, so only axes 2 and 3 go": (
            _summed(gradient.mean((0, 2, 3)).expand_as(weights), a).relu()
        ),
        "that takes the largest gradient over the positions; eq. (1) is their mean": (
            _summed(gradient.amax((2, 3)), a).relu()
        ),
        "that differentiates the sum of all logits; y^c is the logit of one class, `target`": (
            _summed(_sum_weights(head, a), a).relu()
        ),
        "that uses the first image's class for all; each image has its own `target`": (
            _summed(channel_weights(head, a, target[:1].expand_as(target)), a).relu()
        ),
        "that is the weighted sum of the gradients; eq. (2) sums the features A^k": (
            (weights[:, :, None, None] * gradient).sum(1).relu()
        ),
        "that divides by the sum of the map; eq. (2) does not scale": right / right.sum((1, 2), keepdim=True),
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
        "that is scaled by its maximum; eq. (2) is not": _over_maximum(right),
        "that uses the gradient of the probability; y^c is the logit": (
            _summed(_probability_weights(head, a, target), a).relu()
        ),
    }
    _compare(found, right, wrong)
    return "Right."


@hints(
    "Multiply all of A by 1.01. What does the norm make of it, and what happens to the logits?",
    "If the logits stay the same, the derivative in the direction of A itself is known.",
    "This derivative is the sum over k, i, j of dy/dA times A: exactly the sum of the map before the ReLU.",
)
def signed_mean(answer: Callable) -> str:
    """``answer()`` → "above 0", "0" or "below 0": the mean of sum_k a_k^c A^k for a head pool → norm → linear."""
    said = returned(answer())
    choices = ("above 0", "0", "below 0")
    if isinstance(said, str):
        said = said.strip().lower()
    else:
        said = "0" if isinstance(said, int | float) and said == 0 else described(said)
    if said not in choices:
        raise NotYet(f"return one of {choices}; you return {said}")
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


@hints(
    "Only one thing changes: what is differentiated. It comes after the head.",
    "Everything else can stay as in exercise 3, if the head is replaced by a function of A.",
    "`g.gradcam(lambda A: head(A).softmax(1), features, target)` differentiates the probability.",
)
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
        "that is the map of the largest probability; the class c is `target`": (
            _summed(_probability_weights(head, a, head(a).argmax(1)), a).relu()
        ),
        "that is the logit's map of the largest logit; use p of the class `target`": (
            _summed(channel_weights(head, a), a).relu()
        ),
        "that is p^c times A, without a gradient": (p[:, :, None, None] * a).sum(1).relu(),
        "that scales the logit's map by its maximum; differentiate p instead": _over_maximum(
            _summed(logit, a).relu()
        ),
        "that is h·w times too large: eq. (1) is the mean over the positions, not the sum": (
            right * a.shape[2] * a.shape[3]
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
    w = torch.randn(5, 7, generator=generator)  # 7 classes: no two axes are equally long

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


def _sum_weights(head: Callable, a: Tensor) -> Tensor:
    """Eq. (1) for the sum of all logits."""
    a = a.clone().requires_grad_()
    return torch.autograd.grad(head(a).sum(), a)[0].mean((2, 3))


def _over_maximum(maps: Tensor) -> Tensor:
    return maps / maps.amax((1, 2), keepdim=True)


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
    return shaped(tensor(found), (len(a), *a.shape[2:]), "each image has one map").float()


def _compare(found: Tensor, right: Tensor, wrong: dict[str, Tensor]) -> None:
    explain(found, wrong, _close)
    if _close(found, right):
        return
    ratio = float((found - right).abs().max() / right.abs().max())
    b, i, j = (int(n) for n in torch.unravel_index((found - right).abs().argmax(), right.shape))
    raise NotYet(
        f"none of the usual slips explains your map: the largest difference is {100 * ratio:.0f} % of the "
        f"largest value. In the check's image {b}, at position {i}, {j}, the map is {right[b, i, j]:.4f}; yours is "
        f"{found[b, i, j]:.4f}"
    )


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-6)
