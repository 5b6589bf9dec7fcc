"""Three tests of a heatmap: does it match other libraries, does it depend on the model, does it find what decides?

The second test is the sanity check of Adebayo et al. (NeurIPS 2018). The third is the pointing game of Zhang et al.
(IJCV 2018), applied to drawn pictures, whose deciding parts are known.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import stats
from torch import Tensor, nn

from gholm_kit.drawn import MiniTruth
from gholm_kit.drawn.scene import SIZE
from gholm_kit.teaching.deciding_parts import BATCH, class_parts
from gholm_lib.config import Config
from gholm_lib.datasets import Sample
from gholm_lib.gradcam import gradcam, upsample
from gholm_lib.loading import to_input, to_picture
from gholm_lib.model import GHOLMNet
from gholm_lib.uncertainty import accuracy_interval

# Part → x, y, radius of a disc, in pixels of the network's input.
Regions = dict[str, tuple[float, float, float]]


# ---------------------------------------------------------------------- how similar are two maps?


def rank_correlation(a: Tensor, b: Tensor) -> np.ndarray:
    """Spearman's rank correlation of maps, (B, h, w) each → (B,) in -1..1; NaN where a map is constant."""
    ranks = [stats.rankdata(m.flatten(1).cpu().numpy(), axis=1) for m in (a, b)]
    first, second = (r - r.mean(1, keepdims=True) for r in ranks)
    size = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    with np.errstate(invalid="ignore"):
        return (first * second).sum(1) / np.where(size > 0, size, np.nan)


def mean_interval(values: np.ndarray, confidence: float = 0.95, seed: int = 0) -> tuple[float, float, float]:
    """Mean over images and its interval: (mean, low, high); NaN is ignored.

    Bools (N,) get Wilson's interval, whose width is above zero even if all are equal; numbers get a bootstrap over
    images.
    """
    if values.dtype == bool:
        return float(values.mean()), *accuracy_interval(values, confidence)
    values = values[~np.isnan(values)]
    if not len(values):
        return (float("nan"),) * 3
    draws = np.random.default_rng(seed).choice(values, (2000, len(values))).mean(1)
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(values.mean()), float(low), float(high)


# ---------------------------------------------------------------------- the same map by other libraries


class Seam(nn.Module):
    """A backbone split at the GradCAM layer: ``features`` is a module, so that other libraries can hook it."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.features = _Features(backbone)

    def forward(self, images: Tensor) -> Tensor:
        return self.features.backbone.forward_head(self.features(images))


class _Features(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone.forward_features(images)


def other_libraries(backbone: nn.Module) -> dict[str, Callable[[Tensor], Tensor] | None]:
    """GradCAM of the predicted class by captum, torch-cam and pytorch-grad-cam: images → maps (B, h, w).

    Each works on a copy of the backbone, in eval mode. None stands for a library that is not installed;
    ``pip install -e '.[test]'`` installs them. pytorch-grad-cam returns maps scaled to 0..1 and enlarged.
    """
    found: dict[str, Callable | None] = {}
    for name, make in (
        ("captum", _captum),
        ("torch-cam", _torch_cam),
        ("pytorch-grad-cam", _pytorch_grad_cam),
    ):
        try:
            found[name] = make(Seam(copy.deepcopy(backbone)).eval())
        except ImportError:
            found[name] = None
    return found


def _captum(model: Seam) -> Callable[[Tensor], Tensor]:
    from captum.attr import LayerGradCam

    method = LayerGradCam(model, model.features)

    def run(images: Tensor) -> Tensor:
        with torch.no_grad():
            target = model(images).argmax(1)  # captum needs the class
        return method.attribute(images, target, relu_attributions=True)[:, 0].detach()

    return run


def _torch_cam(model: Seam) -> Callable[[Tensor], Tensor]:
    from torchcam.methods import GradCAM

    method = GradCAM(model, target_layer=model.features)

    def run(images: Tensor) -> Tensor:
        scores = model(images)
        (cam,) = method(scores.argmax(1).tolist(), scores, normalized=False)
        return cam.detach()

    return run


def _pytorch_grad_cam(model: Seam) -> Callable[[Tensor], Tensor]:
    from pytorch_grad_cam import GradCAM

    method = GradCAM(model, [model.features])
    return lambda images: torch.from_numpy(method(images, None))


def min_max(heat: Tensor) -> Tensor:
    """Each map (B, H, W) scaled to 0..1, as pytorch-grad-cam returns it; a constant map becomes zeros."""
    low, high = heat.amin((1, 2), keepdim=True), heat.amax((1, 2), keepdim=True)
    return (heat - low) / (high - low).clamp(min=1e-12)


# ---------------------------------------------------------------------- does the map depend on the model?


def shuffled_from_the_top(backbone: nn.Module, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Cascading randomisation (Adebayo et al.): the head forgets first, then one more block at a time.

    A block forgets when each of its weight tensors is randomly permuted: the values stay, what was learnt is lost.
    Yields the block's name and a copy of the backbone in which this block and all above it are shuffled; the next
    step changes the same copy.
    """
    backbone = copy.deepcopy(backbone)
    generator = torch.Generator().manual_seed(seed)
    for name, block in reversed(_blocks(backbone)):
        for parameter in block.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.data = parameter.detach().flatten()[order].view_as(parameter).contiguous()
        yield name, backbone


def forgetting(
    backbone: nn.Module, images: Tensor, classes: Tensor, weighted: bool = True, seed: int = 0
) -> dict[str, np.ndarray]:
    """How similar each heatmap stays when the network forgets, block by block from the top.

    images (N, 3, H, W); classes (N,) of the heatmaps. Returns the name of the last block to forget → (N,) rank
    correlation with the trained network's map. A map that becomes zero everywhere counts as 0; NaN where the trained
    network's own map is zero everywhere.
    """
    before = _maps(backbone, images, classes, weighted)
    shown = np.where(before.flatten(1).amax(1).cpu().numpy() > 0, 1.0, np.nan)
    kept = {"trained": shown}
    for name, shuffled in shuffled_from_the_top(backbone, seed):
        after = _maps(shuffled, images, classes, weighted)
        kept[name] = shown * np.nan_to_num(rank_correlation(before, after))
    return kept


@torch.no_grad()
def _maps(backbone: nn.Module, images: Tensor, classes: Tensor, weighted: bool) -> Tensor:
    head = backbone.forward_head
    pairs = zip(images.split(BATCH), classes.split(BATCH), strict=True)
    return torch.cat([gradcam(head, backbone.forward_features(x), c, weighted) for x, c in pairs])


def _blocks(backbone: nn.Module) -> list[tuple[str, nn.Module]]:
    """Blocks from input to classifier; timm's lists of stages or blocks are expanded."""
    found = []
    for name, child in backbone.named_children():
        inner = child.named_children() if name in ("stages", "blocks") else [("", child)]
        found += [(f"{name}.{n}".rstrip("."), m) for n, m in inner]
    return [(n, m) for n, m in found if any(True for _ in m.parameters())]


# ---------------------------------------------------------------------- does it find what decides?


def heat_by(net: GHOLMNet, images: Tensor, target: Tensor | None = None, **reading: object) -> Tensor:
    """Heatmaps (N, H, W) under another reading of the paper, for example ``cam_layer="norm"``.

    The network is not changed. target (N,) classes; None: the predicted ones.
    """
    other = copy.copy(net)  # shares all weights; only the config differs
    other.config = net.config.replace(**reading)
    targets = [None] * len(images) if target is None else target.split(BATCH)
    return torch.cat([other.heatmap(x, t) for x, t in zip(images.split(BATCH), targets, strict=False)])


def deciding_regions(truth: MiniTruth, samples: Sequence[Sample], config: Config) -> list[Regions]:
    """For each image of a mini set, the discs of the parts that tell its class from the nearest classes.

    In pixels of the network's input: resized to a square, centre cropped, as a test image is. A part whose centre
    lies outside the crop is left out.
    """
    side = config.resize if config.random_crop else config.image_size
    scale, cut = side / SIZE, round((side - config.image_size) / 2)
    found = []
    for sample in samples:
        regions = truth.regions(sample.image_id)
        discs = {}
        for part in class_parts(truth, truth.classes[sample.label]):
            x, y, radius = regions[part]
            discs[part] = ((x + 0.5) * scale - 0.5 - cut, (y + 0.5) * scale - 0.5 - cut, radius * scale)
        found.append({p: d for p, d in discs.items() if _in_view(d, config.image_size)})
    return found


def _in_view(disc: tuple[float, float, float], size: int) -> bool:
    return all(0 <= round(c) < size for c in disc[:2])


def region_masks(regions: Sequence[Regions], size: int) -> Tensor:
    """(B, size, size) bool: the pixels within any deciding part's disc."""
    y, x = np.mgrid[0:size, 0:size]
    masks = np.zeros((len(regions), size, size), bool)
    for mask, discs in zip(masks, regions, strict=True):
        for cx, cy, radius in discs.values():
            mask |= (x - cx) ** 2 + (y - cy) ** 2 <= radius**2
    return torch.from_numpy(masks)


def object_masks(truth: MiniTruth, samples: Sequence[Sample], config: Config) -> Tensor:
    """(B, s, s) bool: the pixels that show the object, in the network's input."""
    masks = []
    for sample in samples:
        drawn = Image.fromarray(np.where(truth.part_map(sample.image_id) > 0, 255, 0).astype(np.uint8))
        masks.append(to_picture(to_input(drawn.convert("RGB"), config), config)[0] > 0.5)
    return torch.stack(masks)


def ceiling_map(masks: Tensor, cells: int) -> Tensor:
    """The truth's own map: masks (N, s, s) bool, averaged to cells x cells and enlarged by eq. (3) → (N, s, s).

    A map of so few cells cannot lie on the object any better than this.
    """
    coarse = F.adaptive_avg_pool2d(masks.float()[:, None], cells)[:, 0]
    return upsample(coarse, masks.shape[-1])


def hottest_pixels(heat: Tensor) -> Tensor:
    """(B, H, W) → (B, 2) int64 x, y of the hottest pixel; -1, -1 for a map that is zero everywhere."""
    flat = heat.flatten(1)
    top, where = flat.max(1)
    points = torch.stack([where % heat.shape[2], where // heat.shape[2]], 1)
    return torch.where(top[:, None] > 0, points, -1)


def hottest_share(heat: Tensor, share: float) -> Tensor:
    """The hottest ``share`` of the pixels of each map, (B, H, W) → bool, or fewer: a pixel of heat 0 is never hot.

    Masks of one share have the same area, so that erasures by different maps can be compared.
    """
    count = round((1 - share) * heat[0].numel())
    level = heat.flatten(1).sort(1).values[:, count - 1] if count else heat.new_full((len(heat),), -torch.inf)
    return heat > level[:, None, None]


def points_into(heat: Tensor, masks: Tensor) -> np.ndarray:
    """The pointing game: (B,) bool, is the hottest pixel inside the mask? A map of zeros counts as a miss."""
    x, y = hottest_pixels(heat).unbind(1)
    inside = masks[torch.arange(len(masks)), y.clamp(min=0), x.clamp(min=0)] & (x >= 0)
    return inside.cpu().numpy()


def part_hits(masks: Tensor, regions: Sequence[Regions]) -> np.ndarray:
    """(B,) share of each image's deciding parts whose centre lies in the mask (eq. 5: heat above mu means)."""
    shares = [
        np.mean([float(mask[round(y), round(x)]) for x, y, _ in discs.values()]) if discs else np.nan
        for mask, discs in zip(masks.cpu().numpy(), regions, strict=True)
    ]
    return np.array(shares)


def centred_discs(masks: Tensor) -> Tensor:
    """For each mask (B, H, W), a disc of the same area at the image's centre: the baseline "look at the middle"."""
    height, width = masks.shape[1:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    distance = (x - (width - 1) / 2) ** 2 + (y - (height - 1) / 2) ** 2
    rank = distance.flatten().argsort(stable=True).argsort().view(height, width).to(masks.device)
    return rank < masks.flatten(1).sum(1)[:, None, None]
