"""Accuracy (eq. 13), its uncertainty, paired tests, and the test-time pass over a data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator
from scipy import stats
from torch.utils.data import DataLoader

from gholm_lib.model import GHOLMNet

ANSWERS = ("raw", "crop", "both")


@dataclass
class Predictions:
    """What the network said of each of N images, in the data set's order.

    label, raw, crop, both: (N,) int16 classes, -1 where a branch was not run; box (N, 4) int16 pixels of the
    network's input; fallback (N,) bool, the box is the whole image for want of anything above the threshold.
    """

    label: np.ndarray
    raw: np.ndarray
    crop: np.ndarray
    both: np.ndarray
    box: np.ndarray
    fallback: np.ndarray
    image_size: int

    @classmethod
    def empty(cls, count: int, image_size: int) -> Predictions:
        classes = {k: np.full(count, -1, np.int16) for k in ("label", *ANSWERS)}
        return cls(
            **classes,
            box=np.zeros((count, 4), np.int16),
            fallback=np.zeros(count, bool),
            image_size=image_size,
        )

    def correct(self, answer: str = "both") -> np.ndarray:
        """(N,) bool for "raw", "crop" or "both" (the logits added)."""
        return getattr(self, answer) == self.label

    def summary(self) -> dict[str, float]:
        """Accuracies in percent of the branches that were run; share of fall-backs and mean box area."""
        ran = [a for a in ANSWERS if (getattr(self, a) >= 0).any()]
        result = {a: 100 * accuracy(self.correct(a)) for a in ran}
        if "crop" in ran:
            x0, y0, x1, y1 = self.box.astype(float).T
            result["fallback_share"] = float(self.fallback.mean())
            result["box_area"] = float(((x1 - x0) * (y1 - y0)).mean() / self.image_size**2)
        return result


def accuracy(correct: np.ndarray) -> float:
    """Eq. (13): T_num / A_num, in 0..1."""
    return float(np.mean(correct))


def accuracy_interval(correct: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of an accuracy over (N,) bool, in 0..1."""
    result = stats.binomtest(int(np.sum(correct)), len(correct))
    interval = result.proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Exact McNemar test of two classifiers on the same images, (N,) bool each: the two-sided p value.

    Only the images on which they disagree count; with none the classifiers cannot be told apart (p = 1).
    """
    if first.shape != second.shape:
        raise ValueError(f"the two need the same images, got {first.shape} and {second.shape}")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


@torch.no_grad()
def predict_all(
    net: GHOLMNet, images: DataLoader, accelerator: Accelerator, with_crop: bool = True
) -> Predictions:
    """Run the test-time network over a loader of ``ImageView``; every image counts once, over all processes."""
    was_training = net.training
    net.eval()
    device, view = accelerator.device, images.dataset
    found = Predictions.empty(len(view), view.config.image_size)
    found.label[:] = [s.label for s in view.samples]
    for pixels, _, index in images:
        pixels = pixels.to(device, non_blocking=True)
        i = index.numpy()
        with accelerator.autocast():
            if not with_crop:
                found.raw[i] = net.head(net._features(pixels)[0]).argmax(1).cpu()
                continue
            out = net.attend(pixels)
        raw, crop = out.raw_logits.float(), out.crop_logits.float()
        answers = torch.stack([raw.argmax(1), crop.argmax(1), (raw + crop).argmax(1)]).cpu().numpy()
        found.raw[i], found.crop[i], found.both[i] = answers
        found.box[i] = out.crop_boxes.cpu()
        found.fallback[i] = out.attention.fallback
    net.train(was_training)
    return _merge(found) if accelerator.num_processes > 1 else found


def _merge(own: Predictions) -> Predictions:
    """Put together what several processes found; each image was seen by exactly one."""
    everyone: list[Predictions | None] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, own)
    merged = Predictions.empty(len(own.label), own.image_size)
    merged.label[:] = own.label
    for part in everyone:
        seen = part.raw >= 0
        for name in (*ANSWERS, "box", "fallback"):
            getattr(merged, name)[seen] = getattr(part, name)[seen]
    return merged
