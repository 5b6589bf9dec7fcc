"""GHOLM-Net: one backbone, three branches (section 3.1 and Figure 2).

Raw image → features A → logits; GradCAM of the head → heatmap → box and mask → Crop and Drop images, which go
through the same backbone as one batch.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

from gholm_lib import losses, masking
from gholm_lib.backbone import PACKAGED, create_backbone
from gholm_lib.config import Config, ConfigError
from gholm_lib.gradcam import require_finite, unchecked_gradcam, upsample


@dataclass
class Attention:
    """What the heatmap says about a batch of B images of H x W pixels."""

    heat: Tensor  # (B, H, W) float32 >= 0
    crop_boxes: Tensor | None = None  # (B, 4) int64 x0, y0, x1, y1
    fallback: Tensor | None = None  # (B,) bool, on the host: empty mask, so the whole image is the box
    drop_mask: Tensor | None = None  # (B, H, W) bool

    @property
    def box_area(self) -> Tensor:
        """(B,) share of the image inside the box."""
        x0, y0, x1, y1 = self.crop_boxes.unbind(1)
        return (x1 - x0) * (y1 - y0) / (self.heat.shape[1] * self.heat.shape[2])


@dataclass
class Output:
    """A forward pass. Branches that are switched off are None."""

    raw_logits: Tensor  # (B, K)
    crop_logits: Tensor | None = None
    drop_logits: Tensor | None = None
    attention: Attention | None = None
    losses: dict[str, Tensor] | None = None  # "raw", "crop", "drop", "sup", "total" (eq. 7-12); scalars

    @property
    def logits(self) -> Tensor:
        """The answer at test time: Raw + Crop."""
        if self.crop_logits is None:
            return self.raw_logits
        return self.raw_logits.float() + self.crop_logits.float()  # half precision would round near ties

    @property
    def heat(self) -> Tensor | None:
        return self.attention and self.attention.heat

    @property
    def crop_boxes(self) -> Tensor | None:
        return self.attention and self.attention.crop_boxes

    @property
    def drop_mask(self) -> Tensor | None:
        return self.attention and self.attention.drop_mask


class GHOLMNet(nn.Module):
    """The network of the paper on any timm backbone.

    backbone     timm name, for example "convnext_small.fb_in22k"
    num_classes  K
    pretrained   True: the backbone's own weights (the hub's, or the packaged ones of a mini backbone);
                 False: random; a path: that file
    config       branches, thresholds, losses; a default Config when None
    """

    def __init__(
        self,
        backbone: str,
        num_classes: int,
        pretrained: bool | str | Path = False,
        config: Config | None = None,
        **backbone_kwargs: Any,
    ) -> None:
        super().__init__()
        self.config = config or Config()
        if isinstance(pretrained, bool):
            own = "packaged" if backbone in PACKAGED else "timm"
            pretrained = own if pretrained else "none"
        self.backbone = create_backbone(backbone, num_classes, pretrained, **backbone_kwargs)
        self.projection = self._projection() if self.config.sup and self.config.z == "projection" else None
        if self.config.cam_layer != "features":
            _require_convnext(self.backbone, self.config.cam_layer)
        if self.config.checkpointing:
            _checkpoint(self.backbone, self.config.freeze_batchnorm)
        self.train()  # so that freeze_batchnorm holds from the start

    @classmethod
    def from_config(cls, config: Config, num_classes: int) -> GHOLMNet:
        """The network that a config describes, with its starting weights."""
        kwargs = dict(_option(o) for o in config.backbone_options)
        if config.drop_path:
            kwargs["drop_path_rate"] = config.drop_path
        return cls(config.backbone, num_classes, config.weights, config, **kwargs)

    # ------------------------------------------------------------------ branches

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Output:
        """All branches that the config switches on.

        images (B, 3, H, W) normalised; labels (B,) int64, needed for the losses; H = W.
        """
        features, tap = self._features(images)  # (B, C, h, w)
        out = Output(raw_logits=self.head(features))
        if self.config.crop or self.config.drop:
            target = labels if self.config.cam_class == "label" else None
            cam, check = self._cam(features, tap, out.raw_logits, target)
            out.attention = self._attend(images, cam, check, drop=self.config.drop)
            crop_features = self._run_branches(images, out)
        if labels is not None:
            z = None
            if self.config.sup:
                z = torch.cat([self._z(features, out.raw_logits), self._z(crop_features, out.crop_logits)])
            out.losses = self._losses(out, labels, z)
        return out

    def _run_branches(self, images: Tensor, out: Output) -> Tensor | None:
        """Crop and Drop through the backbone as one batch; returns the Crop features."""
        batches = []
        if self.config.crop:
            batches.append(masking.crop(images, out.crop_boxes, images.shape[-1]))
        if self.config.drop:
            batches.append(self._erase(images, out.drop_mask))
        features = self.backbone.forward_features(self._format(torch.cat(batches)))
        logits = self.head(features)
        pieces = list(logits.split(len(images)))
        if self.config.crop:
            out.crop_logits = pieces.pop(0)
        if self.config.drop:
            out.drop_logits = pieces.pop(0)
        return features[: len(images)] if self.config.crop else None

    def head(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) → logits (B, K)."""
        return self.backbone.forward_head(features)

    @torch.no_grad()
    def attend(self, images: Tensor) -> Output:
        """Test time: Raw, heatmap of the predicted class, and Crop; whatever branches were trained.

        Call ``eval()`` first: the images go through the backbone in the mode it is in.
        """
        features, tap = self._features(images)
        out = Output(raw_logits=self.head(features))
        cam, check = self._cam(features, tap, out.raw_logits, None)
        out.attention = self._attend(images, cam, check, drop=False)
        crops = masking.crop(images, out.crop_boxes, images.shape[-1])
        out.crop_logits = self.head(self.backbone.forward_features(self._format(crops)))
        return out

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Test time (section 3.1): Raw and Crop logits, (B, K) each; their sum is the answer."""
        out = self.attend(images)
        return out.raw_logits, out.crop_logits

    # ------------------------------------------------------------------ heatmap, box, mask

    def heatmap(self, images: Tensor, target: Tensor | None = None) -> Tensor:
        """Eq. (1)-(3) for a batch: (B, 3, H, W) → (B, H, W). ``target`` None: the predicted class."""
        with torch.no_grad():
            features, tap = self._features(images)
            cam, check = self._cam(features, tap, self.head(features), target)
        check(torch.isfinite(cam).flatten(1).all(1))
        return upsample(cam, tuple(images.shape[-2:]))

    def _cam(
        self, features: Tensor, tap: Tap | None, logits: Tensor, target: Tensor | None
    ) -> tuple[Tensor, Callable[[Tensor], None]]:
        # The class is settled on the real logits: with dropout, the head would not give them twice.
        target = logits.detach().argmax(1) if target is None else target
        with _quiet(self.backbone):
            if tap is None:
                layer, head = features, self.head
            else:
                layer, head = tap.layer, tap.head
            cam, weights = unchecked_gradcam(head, layer, target, self.config.cam_weighted)
        return cam, lambda finite: require_finite(layer, weights, cam, finite)

    def _attend(self, images: Tensor, cam: Tensor, check: Callable, drop: bool) -> Attention:
        cfg, size = self.config, tuple(images.shape[-2:])
        attention = Attention(heat=upsample(cam, size))
        if drop:
            attention.drop_mask = masking.threshold(attention.heat, self._theta(images))
        mask = masking.threshold(attention.heat, cfg.mu)
        # One transfer to the host carries both the mask and whether the map is finite.
        finite = torch.isfinite(cam).flatten(1).all(1)
        packed = torch.cat([mask.flatten(1), finite[:, None]], 1).cpu()
        check(packed[:, -1])
        mask = packed[:, :-1].view(mask.shape)
        boxes = masking.largest_component_boxes(mask, int(cfg.connectivity))
        # NumPy stops at the first pixel of a mask, PyTorch does not.
        fallback = torch.from_numpy(~mask.numpy().any((1, 2)))
        boxes = masking.adjust_boxes(boxes, size, cfg.crop_padding, cfg.crop_min_size, cfg.crop_square)
        attention.crop_boxes = boxes.to(images.device, non_blocking=True)
        attention.fallback = fallback
        return attention

    def _theta(self, images: Tensor) -> Tensor:
        """theta of eq. (6) ~ U(theta_low, theta_high): (B,).

        Several processes, seeded alike, draw for the global batch and each takes the share of its images, so that
        theta does not depend on how many they are.
        """
        if self.config.theta_per == "batch":
            u = torch.rand(1, device=images.device).expand(len(images))
        else:
            rank, processes = _place()
            u = torch.rand(processes * len(images), device=images.device)[rank::processes]
        return self.config.theta_low + u * (self.config.theta_high - self.config.theta_low)

    def _erase(self, images: Tensor, mask: Tensor) -> Tensor:
        return masking.erase(images, mask, self.config.fill, self.config.image_mean, self.config.image_std)

    def _features(self, images: Tensor) -> tuple[Tensor, Tap | None]:
        images = self._format(images)
        layer = self.config.cam_layer
        if layer == "depthwise":
            return _depthwise_tap(self.backbone, images)
        features = self.backbone.forward_features(images)
        return features, _norm_tap(self.backbone, features) if layer == "norm" else None

    def _format(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.config.channels_last else images

    # ------------------------------------------------------------------ losses

    def _losses(self, out: Output, labels: Tensor, z: Tensor | None) -> dict[str, Tensor]:
        cfg = self.config
        terms = {"raw": losses.branch_loss(out.raw_logits, labels)}
        if out.crop_logits is not None:
            terms["crop"] = losses.branch_loss(out.crop_logits, labels)
        if out.drop_logits is not None:
            terms["drop"] = losses.branch_loss(out.drop_logits, labels)
        if z is not None:
            all_z, all_labels = _gather(z, labels.repeat(2))
            terms["sup"] = losses.supcon_loss(
                all_z, all_labels, cfg.tau, cfg.denominator, cfg.normalize, cfg.reduction
            )
        ce = losses.total_cross_entropy(terms["raw"], terms.get("crop"), terms.get("drop"), cfg.gamma)
        terms["total"] = losses.total_loss(ce, terms.get("sup"), cfg.sup_weight)
        return terms

    def _z(self, features: Tensor, logits: Tensor) -> Tensor:
        """The vector z of eq. (11): (B, D)."""
        if self.config.z == "logits":
            return logits
        pooled = self.backbone.forward_head(features, pre_logits=True)
        return pooled if self.projection is None else self.projection(pooled)

    def _projection(self) -> nn.Module:
        """Khosla's projection head: two layers to 128 numbers."""
        width = self.backbone.get_classifier().in_features
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 128))

    def train(self, mode: bool = True) -> GHOLMNet:
        """As usual, but ``freeze_batchnorm`` keeps batch norm in eval mode."""
        super().train(mode)
        if mode and self.config.freeze_batchnorm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def _checkpoint(backbone: nn.Module, frozen: bool) -> None:
    name = type(backbone).__name__
    norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in backbone.modules())
    if norms and not frozen:
        raise ConfigError(
            f"checkpointing runs {name}'s blocks twice a step, which would move its batch norm's statistics twice; "
            "switch freeze_batchnorm on too (--freeze-batchnorm), or checkpointing off"
        )
    try:
        backbone.set_grad_checkpointing(True)
    except (AttributeError, AssertionError) as error:
        raise ConfigError(f"timm's {name} knows no checkpointing; switch it off") from error


def _option(text: str) -> tuple[str, Any]:
    """ "output_stride=16" → ("output_stride", 16); what is no Python literal stays a string."""
    name, value = text.split("=", 1)
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _place() -> tuple[int, int]:
    """Number of this process, and how many share the batch."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _gather(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Over several processes, eq. (11) sees the whole global batch, with gradients."""
    processes = _place()[1]
    if processes == 1:
        return z, labels
    from torch.distributed.nn.functional import all_gather

    everyone = [torch.empty_like(labels) for _ in range(processes)]
    dist.all_gather(everyone, labels)
    return torch.cat(all_gather(z.contiguous())), torch.cat(everyone)


@contextmanager
def _quiet(backbone: nn.Module) -> Iterator[None]:
    """Eval mode while a head runs: no dropout, no batch-norm statistics moved.

    Every module takes part, because timm's ResNet and EfficientNet call the function ``F.dropout`` with their
    own ``training`` flag. The flags are set one by one: ``train()`` would also wake frozen batch norm.
    """
    changed = [m for m in backbone.modules() if m.training]
    for module in changed:
        module.training = False
    try:
        yield
    finally:
        for module in changed:
            module.training = True


# ---------------------------------------------------------------------- which layer is "the last"?


@dataclass
class Tap:
    """A layer to take the map from, and the rest of the network from there to the logits."""

    layer: Tensor  # (B, C, h, w)
    head: Callable[[Tensor], Tensor]


def _require_convnext(backbone: nn.Module, layer: str) -> None:
    if not isinstance(backbone, ConvNeXt):
        raise ConfigError(
            f'cam_layer="{layer}" needs a timm ConvNeXt, this backbone is {type(backbone).__name__}; '
            'take cam_layer="features"'
        )


def _depthwise_tap(backbone: ConvNeXt, images: Tensor) -> tuple[Tensor, Tap]:
    """Output of the last block's depthwise convolution; the head is the rest of that block and the head."""
    block = backbone.stages[-1].blocks[-1]
    caught: dict[str, Tensor] = {}
    hooks = [
        block.register_forward_pre_hook(lambda _, inputs: caught.update(shortcut=inputs[0].detach())),
        block.conv_dw.register_forward_hook(lambda _, __, value: caught.update(layer=value.detach())),
    ]
    try:
        features = backbone.forward_features(images)
    finally:
        for hook in hooks:
            hook.remove()

    def rest(layer: Tensor) -> Tensor:
        if block.use_conv_mlp:
            x = block.mlp(block.norm(layer))
        else:  # timm runs norm and MLP on (B, h, w, C)
            x = block.mlp(block.norm(layer.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        if block.gamma is not None:
            x = x * block.gamma.reshape(1, -1, 1, 1)
        return backbone.forward_head(backbone.norm_pre(x + block.shortcut(caught["shortcut"])))

    return features, Tap(caught["layer"], rest)


def _norm_tap(backbone: ConvNeXt, features: Tensor) -> Tap:
    """Features after the final norm, taken at each position; the head is then pooling and the classifier.

    ConvNeXt pools first and normalises the pooled vector, so a *map* after the norm exists only if the norm is
    applied at each position; that is this reading.
    """
    head = backbone.head
    normed = head.norm(features.detach())
    return Tap(
        normed, lambda layer: head.fc(head.drop(head.pre_logits(head.flatten(head.global_pool(layer)))))
    )
