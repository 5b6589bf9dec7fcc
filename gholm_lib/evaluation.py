"""The test-time pass over a data set."""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from gholm_lib.gradcam import NonFiniteError
from gholm_lib.model import GHOLMNet
from gholm_lib.predictions import ANSWERS, Predictions


@torch.no_grad()
def predict_all(
    net: GHOLMNet, images: DataLoader, accelerator: Accelerator, with_crop: bool = True
) -> Predictions:
    """Run the test-time network over a loader of ``ImageView``; every image counts once, over all processes.

    raises NonFiniteError, with the images of the batch, for answers or heatmaps that are not finite
    """
    was_training = net.training
    net.eval()
    found = Predictions.empty(len(images.dataset), images.dataset.config.image_size)
    found.label[:] = [s.label for s in images.dataset.samples]
    for pixels, _, index in images:
        try:
            with accelerator.autocast():
                _predict(
                    net, pixels.to(accelerator.device, non_blocking=True), index.numpy(), found, with_crop
                )
        except NonFiniteError as error:
            error.images = tuple(images.dataset.samples[i].image_id for i in index.tolist())
            raise
    net.train(was_training)
    return _merge(found) if accelerator.num_processes > 1 else found


def _predict(net: GHOLMNet, pixels: Tensor, i: np.ndarray, found: Predictions, with_crop: bool) -> None:
    """Put the answers for one batch into the places ``i`` of ``found``."""
    if not with_crop:
        logits = net.classify(pixels)
        _require_finite(logits)
        found.raw[i] = logits.argmax(1).cpu()
        return
    out = net.attend(pixels)
    _require_finite(out.logits)
    answers = [logits.float().argmax(1) for logits in (out.raw_logits, out.crop_logits, out.logits)]
    stacked = torch.stack(answers).cpu().numpy()  # one transfer
    found.raw[i], found.crop[i], found.both[i] = stacked
    found.box[i] = out.crop_boxes.cpu()
    found.fallback[i] = out.attention.fallback


def _require_finite(logits: Tensor) -> None:
    """The largest of NaN is some class, and would count as an answer."""
    if not torch.isfinite(logits).all():
        raise NonFiniteError("The network answered test images with NaN or infinite numbers.")


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
