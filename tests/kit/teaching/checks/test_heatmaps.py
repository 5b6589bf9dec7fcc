"""Chapter 01's exercises: typical wrong answers get their own reason, right ones pass."""

import pytest
import torch

import gholm_lib as g
from gholm_kit.teaching import checks


def side(size, stride):
    return size // stride


WRONG_SHAPES = {
    "returns nothing": lambda b, c, s, t: None,
    "return four shapes": lambda b, c, s, t: ((b, c, s // t, s // t), (b, c)),
    "A for .* one position of A": lambda b, c, s, t: ((b, c, s, s), (b, c), (b, s // t, s // t), (b, s, s)),
    r"A is \(batch, channels": lambda b, c, s, t: (
        (b, s // t, s // t),
        (b, c),
        (b, s // t, s // t),
        (b, s, s),
    ),
    "the batch is the first axis": lambda b, c, s, t: (
        (c, s // t, s // t),
        (b, c),
        (b, s // t, s // t),
        (b, s, s),
    ),
    "one number per channel": lambda b, c, s, t: (
        (b, c, s // t, s // t),
        (b, c, s // t, s // t),
        (b, s // t, s // t),
        (b, s, s),
    ),
    "that axis is gone": lambda b, c, s, t: (
        (b, c, s // t, s // t),
        (b, c),
        (b, c, s // t, s // t),
        (b, s, s),
    ),
    r"only eq. \(3\) enlarges": lambda b, c, s, t: (
        (b, c, s // t, s // t),
        (b, c),
        (b, s, s),
        (b, s, s),
    ),
    "no colours": lambda b, c, s, t: ((b, c, s // t, s // t), (b, c), (b, s // t, s // t), (b, 3, s, s)),
    "for 4 images of 96": lambda b, c, s, t: ((b, c, s // t, s // t), (b, c), (b, 14, 14), (b, s, s)),
}


@pytest.mark.parametrize("reason", WRONG_SHAPES)
def test_wrong_shapes_are_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.heatmaps.shapes(WRONG_SHAPES[reason])


def cam(weights_of=lambda gradient: gradient.mean((2, 3)), sum_of=torch.einsum, end=torch.relu):
    """Eq. (1)-(2) with one slip."""

    def answer(head, features, target):
        a = features.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(head(a).gather(1, target[:, None]).sum(), a)
        return end(sum_of("bk,bkij->bij", weights_of(gradient), features))

    return answer


def elementwise(head, features, target):
    a = features.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(head(a).gather(1, target[:, None]).sum(), a)
    return (gradient * features).sum(1).relu()


def mean_over_images(head, features, target):
    a = features.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(head(a).gather(1, target[:, None]).mean(), a)
    return torch.einsum("bk,bkij->bij", gradient.mean((2, 3)), features).relu()


def sum_of_gradients(head, features, target):
    a = features.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(head(a).gather(1, target[:, None]).sum(), a)
    return torch.einsum("bk,bkij->bij", gradient.mean((2, 3)), gradient).relu()


WRONG_CAMS = {
    "returns nothing": lambda h, a, c: None,
    "must return a tensor": lambda h, a, c: a.numpy(),
    "the shape must be": lambda h, a, c: a.mean(0).relu(),
    "without their weights": lambda h, a, c: a.sum(1).relu(),
    "ReLU is missing": cam(end=lambda x: x),
    "absolute value": cam(end=torch.abs),
    "h·w times too large": cam(weights_of=lambda gradient: gradient.sum((2, 3))),
    "at each position": elementwise,
    "the class c is `target`": lambda h, a, c: g.gradcam(h, a),
    "divided by the number of images": mean_over_images,
    "mean over the channels": cam(sum_of=lambda _, w, a: (w[:, :, None, None] * a).mean(1)),
    "scaled by its maximum": cam(end=lambda x: x.relu() / x.relu().amax((1, 2), keepdim=True)),
    "it is the gradient of the probability|gradient of the probability": lambda h, a, c: g.gradcam(
        lambda x: h(x).softmax(1), a, c
    ),
    "not before it": cam(sum_of=lambda _, w, a: (w[:, :, None, None] * a).relu().sum(1)),
    "not to the weights": cam(weights_of=lambda gradient: gradient.mean((2, 3)).relu()),
    "negative features to 0": cam(sum_of=lambda _, w, a: torch.einsum("bk,bkij->bij", w, a.relu())),
    "a weight has its sign": cam(weights_of=lambda gradient: gradient.mean((2, 3)).abs()),
    "mean over the images too": cam(weights_of=lambda gradient: gradient.mean((0, 2, 3)).expand(3, -1)),
    "largest gradient": cam(weights_of=lambda gradient: gradient.amax((2, 3))),
    "sum of all logits": lambda h, a, c: g.gradcam(lambda x: h(x).sum(1, keepdim=True), a),
    "first image's class": lambda h, a, c: g.gradcam(h, a, c[:1].expand(3)),
    "sum of the gradients": sum_of_gradients,
    "divides by the sum": cam(end=lambda x: x.relu() / x.relu().sum((1, 2), keepdim=True)),
    "axes in another order": lambda h, a, c: g.gradcam(h, a, c).mT,
    "none of the usual slips": lambda h, a, c: g.gradcam(h, a, c) + 1,
}


@pytest.mark.parametrize("reason", WRONG_CAMS)
def test_a_wrong_gradcam_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.heatmaps.gradcam(WRONG_CAMS[reason])


def test_the_librarys_gradcam_is_right():
    assert checks.heatmaps.gradcam(g.gradcam) == "Right."
    assert checks.heatmaps.gradcam(cam()) == "Right."


WRONG_MEANS = {
    "returns nothing": lambda: None,
    "you return positive": lambda: "positive",
    "without a norm": lambda: "above 0",
    "against its answer": lambda: "below 0",
    "1.01": lambda: "above 0",
}


@pytest.mark.parametrize("reason", WRONG_MEANS)
def test_a_wrong_guess_of_the_mean_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.heatmaps.signed_mean(WRONG_MEANS[reason])


@pytest.mark.parametrize("said", ["0", 0, 0.0, " 0 "])
def test_the_mean_before_the_relu_is_zero(said):
    assert checks.heatmaps.signed_mean(lambda: said).startswith("Right")


def test_what_the_check_of_the_mean_says_is_so():
    """The mean over mean size, of three images: it vanishes with a norm in the head, and would not without."""
    assert max(map(abs, checks.heatmaps._signed_means())) < 1e-3
    generator = torch.Generator().manual_seed(2)
    a, w = torch.randn(3, 8, 5, 5, generator=generator) + 0.5, torch.randn(4, 8, generator=generator)
    summed = torch.einsum(
        "bk,bkij->bij", checks.heatmaps.channel_weights(lambda x: x.mean((2, 3)) @ w.T, a), a
    )
    assert (summed.mean((1, 2)) > 0.05 * summed.abs().mean((1, 2))).all()


def of_log(head, a, c):
    return g.gradcam(lambda x: head(x).log_softmax(1), a, c)


def times_p(head, a, c):
    p = head(a).softmax(1).gather(1, c[:, None])
    return p[:, :, None] * g.gradcam(head, a, c)


WRONG_PROBABILITIES = {
    "returns nothing": lambda h, a, c: None,
    "still the map of the logit": lambda h, a, c: g.gradcam(h, a, c),
    r"over the classes \(dim 1\)": lambda h, a, c: g.gradcam(lambda x: h(x).softmax(0), a, c),
    "times p": times_p,
    "log p": of_log,
    "the shape must be": lambda h, a, c: a.softmax(1),
    "largest probability": lambda h, a, c: g.gradcam(lambda x: h(x).softmax(1), a),
    "of the largest logit": lambda h, a, c: g.gradcam(h, a),
    "without a gradient": lambda h, a, c: (
        (h(a).softmax(1).gather(1, c[:, None])[:, :, None, None] * a).sum(1).relu()
    ),
    "differentiate p instead": lambda h, a, c: (
        g.gradcam(h, a, c) / g.gradcam(h, a, c).amax((1, 2), keepdim=True)
    ),
    "h·w times too large": lambda h, a, c: 24 * g.gradcam(lambda x: h(x).softmax(1), a, c),
    "ReLU is missing": lambda h, a, c: torch.einsum(
        "bk,bkij->bij", checks.heatmaps.channel_weights(lambda x: h(x).softmax(1), a, c), a
    ),
    "none of the usual slips": lambda h, a, c: 2 * g.gradcam(lambda x: h(x).softmax(1), a, c),
}


@pytest.mark.parametrize("reason", WRONG_PROBABILITIES)
def test_a_wrong_map_of_the_probability_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.heatmaps.probability_map(WRONG_PROBABILITIES[reason])


def test_the_map_of_the_probability_shows_the_class_against_its_rivals():
    """p^c (a^c - sum_j p^j a^j), the closed form that the chapter names."""

    def closed_form(head, a, target):
        p = head(a).softmax(1)  # (B, K)
        every = [torch.full_like(target, j) for j in range(p.shape[1])]
        weights = torch.stack([checks.heatmaps.channel_weights(head, a, j) for j in every], 1)  # (B, K, C)
        own = weights[torch.arange(len(a)), target] - (p[:, :, None] * weights).sum(1)
        return torch.einsum("bk,bkij->bij", p.gather(1, target[:, None]) * own, a).relu()

    assert checks.heatmaps.probability_map(closed_form) == "Right."
