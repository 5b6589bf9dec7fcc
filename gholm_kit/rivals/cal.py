"""CAL: WS-DAN, whose attention must answer better than random attention does.

Y. Rao, G. Chen, J. Lu, J. Zhou, "Counterfactual Attention Learning for Fine-Grained Visual Categorization and
Re-identification", ICCV 2021, arXiv:2108.08728. In the paper's words and symbols (section 3):

    h_i = phi(X * A_i), h = normalize([h_1, ..., h_M])                attention maps A pool the features X
    Y(do(A = A'), X = X) = C([phi(X * A'_1), ..., phi(X * A'_M)])     the same with other maps A'
    Y_effect = E_A' [ Y(A = A, X = X) - Y(do(A = A'), X = X) ]        the effect of the learnt attention
    L = L_ce(Y_effect, y) + L_others                                  it, too, must give the class

One A' is drawn for each image and step instead of the expectation, as the paper does. Of its counterfactuals
(random, uniform, reversed) this is random attention, uniform in 0..2 at each place, as in the authors' code
(github.com/raoyongming/CAL). L_others are WS-DAN's losses, its crop and drop included; the effect is measured on
all three images. At test time there is no counterfactual. The paper's further crops and mirror images at test time
are left out: every method here answers from two passes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gholm_kit.rivals.wsdan import SCALE, WSDAN, Look, bilinear_attention_pooling, unit_vector
from gholm_lib import losses
from gholm_lib.model import Output


class CAL(WSDAN):
    """CAL; as many passes through the backbone as WS-DAN."""

    name = "CAL"
    paper = "Rao et al., ICCV 2021"

    def effect(self, look: Look, counterfactual: Tensor) -> Tensor:
        """Y_effect (b, K) of the learnt maps against ``counterfactual`` ones (b, M, h, w)."""
        vectors = unit_vector(bilinear_attention_pooling(look.features, counterfactual))
        return look.logits - self.classifier(SCALE * vectors)

    def _losses(self, out: Output, labels: Tensor, whole: Look, both: Look) -> dict[str, Tensor]:
        terms = super()._losses(out, labels, whole, both)
        effects = [self.effect(look, 2 * torch.rand_like(look.maps)) for look in (whole, both)]
        terms["effect"] = losses.branch_loss(torch.cat(effects), labels.repeat(3))
        return terms | {"total": terms["total"] + terms["effect"]}
