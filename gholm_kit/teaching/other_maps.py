"""Chapter 10: many maps of one network, held against the drawn truth; then the judges of maps, held against it too.

A *map* is (N, h, w) >= 0, one value for each cell of the features A. All explain the predicted class. Only the order
of its cells counts here: every measure takes the hottest pixels until a given area is full, so no map gains by being
wider or flatter than another.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import FeatureAblation, Occlusion
from pytorch_grad_cam import EigenCAM, FinerCAM, GradCAMPlusPlus, LayerCAM
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget, FinerWeightedTarget
from scipy import stats
from torch import Tensor, nn

from gholm_kit.drawn import MiniTruth
from gholm_kit.teaching.deciding_parts import Study, logits_of, share
from gholm_kit.teaching.heatmap_tests import (
    object_masks,
    points_into,
    rank_correlation,
    shuffled_from_the_top,
)
from gholm_lib.config import Config
from gholm_lib.datasets import Sample, load_image
from gholm_lib.gradcam import gradcam, upsample
from gholm_lib.loading import to_input
from gholm_lib.masking import erase
from gholm_lib.model import GHOLMNet

AREA = 0.1  # share of the picture that a map may name as its hottest
STEPS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7)  # shares of the picture that insertion and deletion change
ROAD_AREA = 0.2  # share of the picture that ROAD replaces
BLIND = ("centre", "chance")  # these two never look at the network
CEILING = "ceiling"

Head = Callable[[Tensor], Tensor]


# ---------------------------------------------------------------------- the maps


class _Seam(nn.Module):
    """The head as a whole network whose picture is A, so that pytorch-grad-cam need not run the backbone."""

    def __init__(self, head: Head, like: Tensor) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.device_of = nn.Parameter(torch.zeros((), device=like.device))  # pytorch-grad-cam asks for one
        self._head = head

    def forward(self, a: Tensor) -> Tensor:
        return self._head(self.features(a))


def gradient(head: Head, a: Tensor, target: Tensor) -> Tensor:
    """d y^c / d A at every position: (N, C, h, w); target (N,) classes."""
    with torch.enable_grad():
        a = a.detach().requires_grad_()
        score = head(a).gather(1, target[:, None]).sum()
        return torch.autograd.grad(score, a)[0]


def hirescam(head: Head, a: Tensor, target: Tensor) -> Tensor:
    """Draelos & Carin 2020: ReLU( sum_k dy/dA_k * A_k ), without the mean of eq. (1); (N, C, h, w) → (N, h, w)."""
    return (gradient(head, a, target) * a).sum(1).relu().detach()


def ablation_cam(head: Head, a: Tensor, target: Tensor) -> Tensor:
    """Desai & Ramaswamy 2020: a_k is how far y^c falls without channel k; by captum. (N, C, h, w) → (N, h, w).

    Not by pytorch-grad-cam, which puts -10^7 into the channel: after a norm, nothing else would be left.
    """
    channels = torch.arange(a.shape[1], device=a.device).view(1, -1, 1, 1)
    with torch.no_grad():
        drop = FeatureAblation(head).attribute(
            a, target=target, feature_mask=channels, perturbations_per_eval=16
        )
    return (drop * a).sum(1).relu()


def occlusion(net: GHOLMNet, images: Tensor, target: Tensor, cells: tuple[int, int]) -> Tensor:
    """Zeiler & Fergus 2014: how far y^c falls when one cell of the picture is grey; by captum. → (N, h, w)."""
    height, width = (size // n for size, n in zip(images.shape[-2:], cells, strict=True))
    window = (3, height, width)
    with torch.no_grad():
        found = Occlusion(net.classify).attribute(
            images, window, target=target, strides=window, perturbations_per_eval=7
        )
    return F.adaptive_avg_pool2d(found.mean(1, keepdim=True), cells)[:, 0].relu()


def maps_of(
    net: GHOLMNet, images: Tensor, target: Tensor | None = None, seed: int = 0, slow: bool = True
) -> dict[str, Tensor]:
    """Every map of ``images`` (N, 3, s, s): name → (N, h, w) >= 0, one value a cell of A.

    target  classes (N,) to explain; None takes the predicted ones
    seed    of the map "chance"
    slow    False leaves out occlusion, which needs a forward pass for every cell
    """
    net = copy.deepcopy(net).requires_grad_(False)  # else pytorch-grad-cam leaves gradients in its weights
    with torch.no_grad():
        a = net.backbone.forward_features(images)
        logits = net.head(a)
    target = logits.argmax(1) if target is None else target
    cells = a.shape[-2:]
    found = {
        "GradCAM": gradcam(net.head, a, target),
        "HiResCAM": hirescam(net.head, a, target),
        "GradCAM++": _by_grad_cam(GradCAMPlusPlus, net.head, a, target),
        "LayerCAM": _by_grad_cam(LayerCAM, net.head, a, target),
        "EigenCAM": _by_grad_cam(EigenCAM, net.head, a, target),
        "AblationCAM": ablation_cam(net.head, a, target),
        "Finer-CAM": _by_grad_cam(FinerCAM, net.head, a, target),
    }
    if slow:
        found["occlusion"] = occlusion(net, images, target, cells)
    generator = torch.Generator().manual_seed(seed)
    found["centre"] = _centre(*cells).expand(len(images), -1, -1)
    found["chance"] = torch.rand(len(images), *cells, generator=generator)
    return found


def _by_grad_cam(method: type, head: Head, a: Tensor, target: Tensor) -> Tensor:
    """A map of pytorch-grad-cam, which scales each to 0..1: (N, C, h, w) → (N, h, w)."""
    with torch.no_grad():
        near = nearest(head(a), target).tolist()
    if method is FinerCAM:
        wanted = [FinerWeightedTarget(c, n, 1) for c, n in zip(target.tolist(), near, strict=True)]
    else:
        wanted = [ClassifierOutputTarget(c) for c in target.tolist()]
    seam = _Seam(head, a)
    with torch.enable_grad(), method(seam, [seam.features]) as make:
        # A needs a gradient, for the seam has no layer of its own before it.
        return torch.from_numpy(make(a.detach().requires_grad_(), wanted))


def nearest(logits: Tensor, target: Tensor, count: int = 3) -> Tensor:
    """The classes whose logits are closest to that of ``target`` (N,): (N, count), the closest first."""
    own = logits.gather(1, target[:, None])
    gap = (logits - own).abs().scatter(1, target[:, None], torch.inf)
    return gap.argsort(dim=1, stable=True)[:, : min(count, logits.shape[1] - 1)]


def _centre(height: int, width: int) -> Tensor:
    """(h, w), 1 in the middle and falling with the distance from it, 0 in the corners."""
    y, x = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
    return 1 - torch.hypot(y[:, None], x[None, :]) / 2**0.5


def ceiling(deciding: Tensor, cells: tuple[int, int]) -> Tensor:
    """The best map on these cells: the deciding map (N, s, s) itself, averaged to (N, h, w)."""
    return F.adaptive_avg_pool2d(deciding[:, None], cells)[:, 0]


# ---------------------------------------------------------------------- the truth


def hottest(heat: Tensor, area: float) -> Tensor:
    """The hottest ``area`` (0..1) of each map (N, H, W): bool. Exactly as many pixels in each map."""
    count = round(area * heat[0].numel())
    order = heat.flatten(1).argsort(dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros(heat.flatten(1).shape, dtype=torch.bool).scatter(1, order, True).view(heat.shape)


def found(heat: Tensor, where: Tensor, area: float = AREA) -> np.ndarray:
    """Share of the weights ``where`` (N, H, W) that lies in the hottest ``area`` of each map (N, H, W): (N,).

    NaN for an image whose weights are zero everywhere.
    """
    held = share(where, hottest(heat, area))
    return torch.where(where.sum((1, 2)) > 0, held, torch.nan).numpy()


def truth_scores(maps: Mapping[str, Tensor], deciding: Tensor, area: float = AREA) -> dict[str, np.ndarray]:
    """:func:`found` for each map, and for the ceiling: name → (N,); deciding (N, s, s)."""
    cells = next(iter(maps.values())).shape[-2:]
    every = {**maps, CEILING: ceiling(deciding, cells)}
    return {name: found(upsample(m, deciding.shape[-1]), deciding, area) for name, m in every.items()}


# ---------------------------------------------------------------------- the judges


def deletion(net: GHOLMNet, images: Tensor, heat: Tensor) -> np.ndarray:
    """Petsiuk et al. 2018: erase the hottest pixels first; 1 - mean confidence over STEPS: (N,), high is good."""
    return 1 - _confidence(net, images, [hottest(heat, step) for step in STEPS])


def insertion(net: GHOLMNet, images: Tensor, heat: Tensor) -> np.ndarray:
    """Petsiuk et al. 2018: erase all but the hottest pixels; mean confidence over STEPS: (N,), high is good."""
    return _confidence(net, images, [~hottest(heat, step) for step in STEPS])


def _confidence(net: GHOLMNet, images: Tensor, masks: Sequence[Tensor]) -> np.ndarray:
    """Mean probability (N,) of the class predicted for the whole image, with each of the masks erased."""
    config = net.config
    wiped = [erase(images, m, "mean", config.image_mean, config.image_std) for m in masks]
    return _kept_probability(net, images, torch.cat(wiped)).view(len(masks), -1).mean(0).numpy()


def _kept_probability(net: GHOLMNet, images: Tensor, changed: Tensor) -> Tensor:
    """Probability (M,) of what is said of ``images`` (N, …), for ``changed`` (M, …), a whole number of copies."""
    said = logits_of(net, images).argmax(1).repeat(len(changed) // len(images))
    return logits_of(net, changed).softmax(1).gather(1, said[:, None])[:, 0]


def road(net: GHOLMNet, images: Tensor, heat: Tensor, seed: int = 0) -> np.ndarray:
    """Rong et al. 2022: replace the hottest ROAD_AREA by what its rim suggests; 1 - confidence: (N,).

    pytorch-grad-cam's imputer solves a linear system for each image, so that no edge of a mask is left to be seen.
    """
    fill = NoisyLinearImputer()
    keep = (~hottest(heat, ROAD_AREA)).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        filled = torch.stack([fill(x, mask) for x, mask in zip(images, keep, strict=True)])
    return 1 - _kept_probability(net, images, filled).numpy()


def sanity(maps: Mapping[str, Tensor], shuffled: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Adebayo et al. 2018: 1 - rank correlation with the map of a network that forgot everything: name → (N,).

    A map that is constant has no rank; it counts as unlike any other.
    """
    return {name: 1 - np.nan_to_num(rank_correlation(m, shuffled[name])) for name, m in maps.items()}


def forgotten(net: GHOLMNet, seed: int = 0) -> GHOLMNet:
    """A copy of the network with all weights shuffled, as the sanity check asks."""
    other = copy.deepcopy(net)
    *_, (_, other.backbone) = shuffled_from_the_top(net.backbone, seed)
    return other


def judge(net: GHOLMNet, study: Study, maps: Mapping[str, Tensor], truth: MiniTruth) -> dict[str, dict]:
    """What five judges say: judge → name of a map → (N,), one score an image, high is good.

    The pointing game asks for the object, as where only boxes or outlines are known.
    """
    size = study.images.shape[-1]
    heats = {name: upsample(m, size) for name, m in maps.items()}
    on_object = object_masks(truth, study.samples, net.config)
    said = logits_of(net, study.images).argmax(1)
    blind = maps_of(forgotten(net), study.images, said, slow="occlusion" in maps)
    return {
        "insertion": {n: insertion(net, study.images, h) for n, h in heats.items()},
        "deletion": {n: deletion(net, study.images, h) for n, h in heats.items()},
        "ROAD": {n: road(net, study.images, h) for n, h in heats.items()},
        "pointing game": {n: points_into(h, on_object).astype(float) for n, h in heats.items()},
        "sanity check": sanity(maps, blind),
    }


def agreement(
    judged: Mapping[str, np.ndarray], true: Mapping[str, np.ndarray], draws: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Do the two rank the maps alike? Spearman's correlation of the maps' mean scores, and its 95 % interval.

    judged, true  name of a map → (N,) scores of the same images; the names of ``judged`` are compared
    returns       value, low, high; the interval draws images, the same ones for both
    """
    names = list(judged)
    scores = np.stack([[judged[n] for n in names], [true[n] for n in names]])  # (2, maps, N)
    scores = scores[:, :, ~np.isnan(scores).any((0, 1))]
    count = scores.shape[-1]
    picks = np.random.default_rng(seed).integers(count, size=(draws, count))
    drawn = [_spearman(*scores[:, :, pick].mean(-1)) for pick in picks]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return _spearman(*scores.mean(-1)), float(low), float(high)


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; NaN where one of the two is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1])


# ---------------------------------------------------------------------- a planted short cut

MARK = 32  # pixels, two by two cells: the head averages over the picture, so a smaller mark is hardly learnt
MARK_COLOUR = (1.0, -1.0, 1.0)  # after normalisation: magenta, which no drawn family has
EPOCHS = 8


def mark_places(images: Tensor) -> Tensor:
    """Where the mark is put, in the top left corner: (N, s, s) float, 1 inside."""
    places = torch.zeros(len(images), *images.shape[-2:])
    places[:, :MARK, :MARK] = 1
    return places


def marked(images: Tensor) -> Tensor:
    """The images (N, 3, s, s), normalised, with a magenta square in the corner."""
    colour = 2 * images.new_tensor(MARK_COLOUR).view(1, 3, 1, 1)
    return torch.where(mark_places(images)[:, None] > 0, colour, images)


def pictures_of(samples: Sequence[Sample], config: Config, classes: int) -> tuple[Tensor, Tensor]:
    """Images (N, 3, s, s) and labels (N,) of the first ``classes`` classes, cropped at the centre."""
    few = [s for s in samples if s.label < classes]
    images = torch.stack([to_input(load_image(s.path), config) for s in few])
    return images, torch.tensor([s.label for s in few])


def learn_short_cut(
    config: Config, images: Tensor, labels: Tensor, epochs: int = EPOCHS, seed: int = 0
) -> GHOLMNet:
    """A network trained, Raw alone, on images of which all of class 0 have the mark and no other has it.

    images (N, 3, s, s) normalised and unmarked, labels (N,) from 0. AdamW, batches of 16; from the starting weights
    of ``config``; half a minute on a laptop CPU.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = GHOLMNet.from_config(config, int(labels.max()) + 1).train()
    images = torch.where((labels == 0)[:, None, None, None], marked(images), images)
    order = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for _ in range(epochs):
        for pick in torch.randperm(len(images), generator=order).split(16):
            loss = F.cross_entropy(net.head(net.backbone.forward_features(images[pick])), labels[pick])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return net.eval()
