"""The test-time pass over a data set."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from gholm_lib.gradcam import NonFiniteError
from gholm_lib.loading import ImageView
from gholm_lib.model import GHOLMNet
from gholm_lib.predictions import ANSWERS, Predictions


@torch.no_grad()
def predict_all(
    net: GHOLMNet, images: DataLoader, accelerator: Accelerator, with_crop: bool = True
) -> Predictions:
    """Run the test-time network over a loader of an ``ImageView``; several processes share the images.

    with_crop  False: Raw only
    returns    the answers to all images, in every process
    raises     NonFiniteError, with the images of the batch, for answers or heatmaps that are not finite
    """
    was_training = net.training
    net.eval()
    view = cast(ImageView, images.dataset)
    found = Predictions.empty(len(view), view.config.image_size)
    found.label[:] = [s.label for s in view.samples]
    for pixels, _, index, *aim in images:
        try:
            pixels, *aim = (t.to(accelerator.device, non_blocking=True) for t in (pixels, *aim))
            with accelerator.autocast():
                _predict(net, pixels, aim, index.numpy(), found, with_crop)
        except NonFiniteError as error:
            error.images = tuple(view.samples[i].image_id for i in index.tolist())
            raise
    net.train(was_training)
    return _merge(found) if accelerator.num_processes > 1 else found


def _predict(
    net: GHOLMNet, pixels: Tensor, aim: list[Tensor], i: np.ndarray, found: Predictions, with_crop: bool
) -> None:
    """Write the answers to one batch into ``found``, at the positions ``i``."""
    if not with_crop:
        logits = net.attend_raw(pixels)
        _require_finite(logits)
        found.raw[i] = logits.argmax(1).cpu()
        return
    out = net.attend(pixels, *aim)
    _require_finite(out.logits)
    answers = [logits.float().argmax(1) for logits in (out.raw_logits, out.crop_logits, out.logits)]
    stacked = torch.stack(answers).cpu().numpy()  # one transfer
    found.raw[i], found.crop[i], found.both[i] = stacked
    found.box[i] = out.attention.crop_boxes.cpu()
    found.fallback[i] = out.attention.fallback


def _require_finite(logits: Tensor) -> None:
    """The largest of NaN is some class, and would count as an answer."""
    if not torch.isfinite(logits).all():
        raise NonFiniteError("The network answered test images with NaN or infinite numbers.")


def _merge(own: Predictions) -> Predictions:
    """The answers of all processes together; each image was seen by exactly one of them."""
    everyone = [own] * dist.get_world_size()
    dist.all_gather_object(everyone, own)
    merged = Predictions.empty(len(own.label), own.image_size)
    merged.label[:] = own.label
    for part in everyone:
        seen = part.raw >= 0
        for name in (*ANSWERS, "box", "fallback"):
            getattr(merged, name)[seen] = getattr(part, name)[seen]
    return merged
