"""The same steps as in public projects, for comparison; written from their descriptions, not from their code.

A heatmap comes from a second backward pass through the whole network, with a hook that catches the gradients
(pytorch-grad-cam), and is enlarged image by image. Crops are cut and enlarged in a loop over images, and Crop and
Drop go through the network one after the other (WS-DAN, MMAL). All is in float32 and PyTorch's default memory
format. One point favours the peers: the map reuses the forward pass, whereas pytorch-grad-cam makes another.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gholm_lib import losses
from gholm_lib.config import Config


def training_step(
    backbone: nn.Module, optimiser: torch.optim.Optimizer, images: Tensor, labels: Tensor, config: Config
) -> Tensor:
    """One step of the branches that ``config`` switches on; returns the total loss. Call ``train()`` first."""
    raw, heat = hooked_heat(backbone, images, keep_graph=True)
    optimiser.zero_grad()
    terms = {"raw": F.cross_entropy(raw, labels)}
    if config.crop:
        crop = backbone(crop_loop(images, heat, config.mu))
        terms["crop"] = F.cross_entropy(crop, labels)
    if config.drop:
        theta = config.theta_low + torch.rand(len(images)) * (config.theta_high - config.theta_low)
        terms["drop"] = F.cross_entropy(backbone(erase_loop(images, heat, theta)), labels)
    ce = losses.total_cross_entropy(terms["raw"], terms.get("crop"), terms.get("drop"), config.gamma)
    sup = losses.supcon_loss(torch.cat([raw, crop]), labels.repeat(2), config.tau) if config.sup else None
    total = losses.total_loss(ce, sup, config.sup_weight)
    total.backward()
    optimiser.step()
    return total.detach()


def evaluate(backbone: nn.Module, images: Tensor, config: Config) -> tuple[Tensor, Tensor]:
    """Raw and Crop logits. The map needs gradients, so Raw cannot run under no_grad. Call ``eval()`` first."""
    raw, heat = hooked_heat(backbone, images)
    backbone.zero_grad()
    with torch.no_grad():
        return raw.detach(), backbone(crop_loop(images, heat, config.mu))


def hooked_heat(backbone: nn.Module, images: Tensor, keep_graph: bool = False) -> tuple[Tensor, np.ndarray]:
    """Logits (B, K), and heat (B, H, W) of the predicted class from a backward pass through the whole network."""
    caught: dict[str, Tensor] = {}
    features = backbone.forward_features(images)
    hook = features.register_hook(lambda gradient: caught.update(gradient=gradient))
    logits = backbone.forward_head(features)
    logits.amax(1).sum().backward(retain_graph=keep_graph)  # fills every .grad on the way
    hook.remove()
    weights = caught["gradient"].mean((2, 3), keepdim=True)
    cams = (weights * features).sum(1).relu().detach().cpu().numpy()
    width_height = images.shape[-1], images.shape[-2]
    return logits, np.stack([cv2.resize(cam, width_height) for cam in cams])


def crop_loop(images: Tensor, heat: np.ndarray, mu: float) -> Tensor:
    """Cut out and enlarge the largest component of each image, one after the other."""
    size, crops = images.shape[-2:], []
    for image, h in zip(images, heat, strict=True):
        count, _, stats, _ = cv2.connectedComponentsWithStats((h > mu * h.mean()).astype(np.uint8))
        x, y, w, h = (0, 0, size[1], size[0])
        if count > 1:
            x, y, w, h = stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax(), :4]
        part = image[None, :, y : y + h, x : x + w]
        crops.append(F.interpolate(part, size=size, mode="bilinear", align_corners=False))
    return torch.cat(crops)


def erase_loop(images: Tensor, heat: np.ndarray, theta: Tensor) -> Tensor:
    """Set to zero where the heat is above theta times its mean, one image after the other."""
    erased = []
    for image, h, t in zip(images, heat, theta.tolist(), strict=True):
        keep = torch.from_numpy(h <= t * h.mean()).to(images.device)
        erased.append(image * keep)
    return torch.stack(erased)
