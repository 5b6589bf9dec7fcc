"""The losses: equations (7) to (12).

Supervised contrastive learning: Khosla et al., NeurIPS 33 (2020), reference [26] of the paper.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gholm_lib.precision import at_least_float32


def branch_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Eq. (7), (8), (9): -log P(c), the mean over the batch. logits (B, K), labels (B,) → scalar."""
    return F.cross_entropy(at_least_float32(logits), labels)


def total_cross_entropy(
    raw: Tensor, crop: Tensor | None = None, drop: Tensor | None = None, gamma: float = 0.2
) -> Tensor:
    """Eq. (10): L_raw + L_crop + gamma L_drop; a branch that is switched off is None."""
    total = raw
    if crop is not None:
        total = total + crop
    if drop is not None:
        total = total + gamma * drop
    return total


def supcon_loss(
    z: Tensor,
    labels: Tensor,
    temperature: float = 0.7,
    denominator: str = "negatives",
    normalize: bool = True,
    reduction: str = "mean",
) -> Tensor:
    """Eq. (11): supervised contrastive loss over one batch, Raw and Crop vectors together.

    z            (N, D), one vector a sample
    labels       (N,) int64
    temperature  tau, 0.7 in the paper
    denominator  "negatives": A(i) holds the samples of other classes (as printed) ·
                 "all": every sample but i (Khosla)
    normalize    give z unit length; without it the printed form has no lower bound
    reduction    "mean" over the anchors (Khosla's code) · "sum" (as printed)
    returns      scalar float32 (float64 for z in float64). An anchor without a positive, or, for "negatives",
                 without a negative has no defined term and contributes nothing; with no anchor left the loss is 0.
    """
    if denominator not in ("negatives", "all"):
        raise ValueError(f'denominator must be "negatives" or "all", got {denominator!r}')
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction must be "mean" or "sum", got {reduction!r}')
    if z.ndim != 2 or labels.shape != z.shape[:1]:
        raise ValueError(f"z must be (N, D) and labels (N,), got {tuple(z.shape)} and {tuple(labels.shape)}")
    with torch.autocast(z.device.type, enabled=False):
        z = at_least_float32(z)
        z = F.normalize(z) if normalize else z
        similarity = z @ z.T / temperature  # (N, N): z_i . z_a / tau
        other = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
        same = labels[:, None] == labels[None, :]
        positives = same & other  # P(i)
        contrast = ~same if denominator == "negatives" else other  # A(i)

        defined = positives.any(1) & contrast.any(1)
        # An anchor that is left out compares with everything, so that no infinity enters the gradient.
        contrast = contrast | ~defined[:, None]
        log_denominator = similarity.masked_fill(~contrast, -torch.inf).logsumexp(1, keepdim=True)
        log_ratio = similarity - log_denominator
        per_anchor = -(log_ratio * positives).sum(1) / positives.sum(1).clamp(min=1)
        per_anchor = torch.where(defined, per_anchor, 0.0)
        total = per_anchor.sum()
        return total if reduction == "sum" else total / defined.sum().clamp(min=1)


def total_loss(cross_entropy: Tensor, contrastive: Tensor | None, weight: float = 1.0) -> Tensor:
    """Eq. (12): L_total_ce + L_c; ``weight`` 1 is the paper's."""
    return cross_entropy if contrastive is None else cross_entropy + weight * contrastive
