"""The losses: equations (7) to (12).

Supervised contrastive learning: Khosla et al., NeurIPS 33 (2020), reference [26] of the paper.

In the shapes: b images, k classes, n vectors z of d numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from gholm_lib.precision import at_least_float32

Scalar = Float[Tensor, ""]


def branch_loss(logits: Float[Tensor, "b k"], labels: Int64[Tensor, " b"]) -> Scalar:
    """Eq. (7), (8), (9): -log P(c), averaged over the batch."""
    return F.cross_entropy(at_least_float32(logits), labels)


def total_cross_entropy(
    raw: Scalar,
    crop: Scalar | None = None,
    drop: Scalar | None = None,
    gamma: float = 0.2,
    raw_weight: float = 1.0,
    reduction: str = "sum",
) -> Scalar:
    """Eq. (10): L_raw + L_crop + gamma L_drop; None for a branch that is switched off.

    raw_weight  weight of L_raw; the paper: 1
    reduction   "sum" (as printed) · "mean": divided by the weights, so that no further branch enlarges the step
    raises      ValueError for another reduction
    """
    if reduction not in ("sum", "mean"):
        raise ValueError(f'reduction must be "sum" or "mean", got {reduction!r}')
    total, weights = raw_weight * raw, raw_weight
    if crop is not None:
        total, weights = total + crop, weights + 1
    if drop is not None:
        total, weights = total + gamma * drop, weights + gamma
    return total if reduction == "sum" else total / weights


def supcon_loss(
    z: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    temperature: float = 0.7,
    denominator: str = "negatives",
    normalize: bool = True,
    reduction: str = "mean",
) -> Scalar:
    """Eq. (11): supervised contrastive loss over one batch, Raw and Crop vectors together.

    z            one vector for each sample
    labels       its class
    temperature  tau, 0.7 in the paper
    denominator  "negatives": A(i) contains the samples of other classes (as printed) ·
                 "all": every sample but i (Khosla)
    normalize    scale z to unit length; otherwise the printed form has no lower bound
    reduction    "mean" over the anchors (Khosla's code) · "sum" (as printed)
    returns      the loss, float32 (float64 for z in float64). The term of an anchor without a positive (for
                 "negatives": or without a negative) is undefined and left out; with no anchor left the loss is 0.
    raises       ValueError for another denominator or reduction, or shapes that do not match
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
        # An anchor that is left out is compared with everything, so that no infinity enters the gradient.
        contrast = contrast | ~defined[:, None]
        log_denominator = similarity.masked_fill(~contrast, -torch.inf).logsumexp(1, keepdim=True)
        log_ratio = similarity - log_denominator
        per_anchor = -(log_ratio * positives).sum(1) / positives.sum(1).clamp(min=1)
        per_anchor = torch.where(defined, per_anchor, 0.0)
        total = per_anchor.sum()
        return total if reduction == "sum" else total / defined.sum().clamp(min=1)


def total_loss(cross_entropy: Scalar, contrastive: Scalar | None, weight: float = 1.0) -> Scalar:
    """Eq. (12): L_total_ce + weight L_c; the paper has no weight (1)."""
    return cross_entropy if contrastive is None else cross_entropy + weight * contrastive
