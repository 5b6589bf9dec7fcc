"""GHOLM-Net: one backbone, three branches (section 3.1 and Figure 2).

Raw image → features A → logits; GradCAM of the head → heatmap → box and mask → Crop and Drop images, which go
through the same backbone as one batch.

Each stage runs in a ``record_function`` span of its name, so a PyTorch profile shows the stages. No span contains
another, so their times can be added.

In the shapes: b images of H x W pixels, k classes, c channels of h x w positions.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn
from torch.profiler import record_function

from gholm_lib import losses, masking
from gholm_lib.backbone import Backbone, create_backbone
from gholm_lib.config import Config, ConfigError
from gholm_lib.gradcam import Head, require_finite, unchecked_gradcam, upsample
from gholm_lib.losses import Scalar
from gholm_lib.precision import at_least_float32


@dataclass
class Attention:
    """What the heatmaps of a batch show."""

    heat: Float[Tensor, "b H W"]  # >= 0
    crop_boxes: Int64[Tensor, "b 4"]  # x0, y0, x1, y1
    fallback: Bool[Tensor, " b"]  # on the host; True: the mask is empty, so the box is the whole image
    drop_mask: Bool[Tensor, "b H W"] | None = None

    @property
    def box_area(self) -> Float[Tensor, " b"]:
        """Share of the image inside the box."""
        x0, y0, x1, y1 = self.crop_boxes.unbind(1)
        return (x1 - x0) * (y1 - y0) / (self.heat.shape[1] * self.heat.shape[2])


@dataclass
class Output:
    """A forward pass. Branches that are switched off are None."""

    raw_logits: Float[Tensor, "b k"]
    crop_logits: Float[Tensor, "b k"] | None = None
    drop_logits: Float[Tensor, "b k"] | None = None
    attention: Attention | None = None
    losses: dict[str, Scalar] | None = None  # "raw", "crop", "drop", "sup", "total" (eq. 7-12)
    answer: str = "logits"  # what is added over the branches: "logits" or "probabilities"

    @property
    def logits(self) -> Float[Tensor, "b k"]:
        """The answer at test time: Raw + Crop; for "probabilities", the logarithm of their mean."""
        if self.crop_logits is None:
            return self.raw_logits
        return _combined(self.raw_logits, self.crop_logits, self.answer)

    @property
    def heat(self) -> Float[Tensor, "b H W"] | None:
        return None if self.attention is None else self.attention.heat

    @property
    def crop_boxes(self) -> Int64[Tensor, "b 4"] | None:
        return None if self.attention is None else self.attention.crop_boxes

    @property
    def drop_mask(self) -> Bool[Tensor, "b H W"] | None:
        return None if self.attention is None else self.attention.drop_mask


def _combined(a: Tensor, b: Tensor, answer: str) -> Tensor:
    """The sum of two answers' logits, or the logarithm of the mean of their probabilities: (B, K)."""
    a, b = at_least_float32(a), at_least_float32(b)  # in half precision, near ties could become ties
    return a + b if answer == "logits" else torch.logaddexp(a.log_softmax(1), b.log_softmax(1)) - math.log(2)


@dataclass(kw_only=True)
class Attended(Output):
    """A forward pass at test time, which always has Raw, heatmap and Crop."""

    crop_logits: Float[Tensor, "b k"]
    attention: Attention


class GHOLMNet(nn.Module):
    """The network of the paper on any timm backbone.

    backbone     timm name, for example "convnext_small.fb_in22k"
    num_classes  K
    pretrained   True: the backbone's own weights (the hub's, or the packaged ones of the mini backbone);
                 False: random; a path: that file
    config       branches, thresholds, losses; None: a default Config
    classifier   keep the classifier of the weights (ImageNet's); else it is fresh
    """

    def __init__(
        self,
        backbone: str,
        num_classes: int,
        pretrained: bool | str | Path = False,
        config: Config | None = None,
        *,
        classifier: bool = False,
        **backbone_kwargs: Any,
    ) -> None:
        super().__init__()
        if isinstance(pretrained, bool):
            own = "packaged" if backbone == Config.backbone else "timm"
            pretrained = own if pretrained else "none"
        self.backbone_options = dict(backbone_kwargs)  # with which timm makes this backbone again
        options = tuple(f"{name}={value!r}" for name, value in backbone_kwargs.items())
        config = config or Config(backbone_options=options)
        if config.method != "gholm":
            raise ConfigError(
                f'method is {config.method!r}, but this network is GHOLM-Net, method "gholm"; '
                "`gholm reproduce --rivals` trains and tests the rivals"
            )
        self.config = config.replace(backbone=backbone, weights=str(pretrained))
        self.backbone = create_backbone(backbone, num_classes, pretrained, classifier, **backbone_kwargs)
        self.projection = self._projection() if self.config.sup and self.config.z == "projection" else None
        if self.config.cam_layer != "features":
            _convnext(self.backbone, self.config.cam_layer)
        if self.config.checkpointing:
            _checkpoint(self.backbone, self.config.freeze_batchnorm)
        self.train()  # so that freeze_batchnorm applies from the start

    @classmethod
    def from_config(cls, config: Config, num_classes: int, classifier: bool = False) -> GHOLMNet:
        """The network that a config describes, with its starting weights; ``classifier``: also with theirs."""
        kwargs = dict(_option(o) for o in config.backbone_options)
        if config.drop_path:
            kwargs["drop_path_rate"] = config.drop_path
        return cls(config.backbone, num_classes, config.weights, config, classifier=classifier, **kwargs)

    # ------------------------------------------------------------------ branches

    def forward(
        self,
        images: Float[Tensor, "b 3 H H"],
        labels: Int64[Tensor, " b"] | None = None,
        aim: Float[Tensor, "b ..."] | None = None,
    ) -> Output:
        """All branches that the config switches on; with ``labels``, also the losses.

        images  normalised; with ``crop_from="original"``, at crop_scale times the network's input
        aim     for a control (``crop_box``), what ``ImageView`` gives beside the image
        raises  ValueError for images of another size or an aim that is missing
        """
        seen = self.seen(images)
        features, tap, raw = self._raw(seen)
        out, crop_features = Output(raw, answer=self.config.answer), None
        if self.config.crop or self.config.drop:
            target = labels if self.config.cam_class == "label" else None
            out.attention = self._attend(seen, tap, raw, target, self.config.drop, aim)
            crop_features = self._run_branches(images, seen, aim, out)
        if labels is not None:
            with record_function("losses"):
                out.losses = self._losses(out, labels, features, crop_features)
        return out

    def seen(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 3 h w"]:
        """What Raw sees: the images, or with ``crop_from="original"`` their average over crop_scale pixels each way.

        raises  ValueError for images that do not have crop_scale times the network's input
        """
        scale, side = self.config.input_scale, self.config.image_size
        if scale == 1:
            return images
        if images.shape[-1] != scale * side:
            raise ValueError(
                f'crop_from="original" needs images of {scale * side} pixels, crop_scale {scale} times image_size '
                f"{side}, got {images.shape[-1]}; load them with loading.to_input or ImageView and the same config"
            )
        return F.avg_pool2d(images, scale)

    def _raw(self, images: Tensor) -> tuple[Tensor, Tap, Tensor]:
        """The Raw branch: features (B, C, h, w), the layer of the map, and the logits (B, K)."""
        with record_function("raw forward"):
            features, tap = self._features(images)
            return features, tap, self.head(features)

    def _run_branches(self, images: Tensor, seen: Tensor, aim: Tensor | None, out: Output) -> Tensor | None:
        """Crop and Drop through the backbone as one batch, logits into ``out``; returns the Crop features."""
        attention, batches = out.attention, []
        assert attention is not None
        if self.config.crop:
            batches.append(self._second_look(images, attention.crop_boxes, aim))
        if attention.drop_mask is not None:
            batches.append(self._erase(seen, attention.drop_mask))
        batch = torch.cat(batches)
        with record_function("second forward"):
            features = self.backbone.forward_features(self._format(batch))
            logits = self.head(features)
        pieces = list(torch.split(logits, len(images)))
        if self.config.crop:
            out.crop_logits = pieces.pop(0)
        if attention.drop_mask is not None:
            out.drop_logits = pieces.pop(0)
        return features[: len(images)] if self.config.crop else None

    def head(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Features → logits."""
        return self.backbone.forward_head(features)

    def fresh_layers(self) -> list[nn.Module]:
        """The layers that no pretraining has seen: the classifier and, if there is one, the projection head."""
        return [m for m in (self.backbone.get_classifier(), self.projection) if m is not None]

    def classify(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k"]:
        """Logits from one pass through backbone and head, without any heatmap."""
        return self.head(self.backbone.forward_features(self._format(images)))

    @torch.no_grad()
    def attend(self, images: Float[Tensor, "b 3 H W"], aim: Float[Tensor, "b ..."] | None = None) -> Attended:
        """Test time: Raw, heatmap of the predicted class, and Crop, whichever branches were trained.

        With ``test_flip``, the logits are means over the image and its mirror image; the attention is the image's.
        Call ``net.eval()`` first: this method leaves the backbone in the mode it is in. ``aim``: see ``forward``.
        """
        out = self._attend_once(images, aim)
        if self.config.test_flip:
            mirrored = self._attend_once(images.flip(-1), aim)
            out.raw_logits = self._mean(out.raw_logits, mirrored.raw_logits)
            out.crop_logits = self._mean(out.crop_logits, mirrored.crop_logits)
        return out

    def _attend_once(self, images: Tensor, aim: Tensor | None) -> Attended:
        seen = self.seen(images)
        _, tap, raw = self._raw(seen)
        attention = self._attend(seen, tap, raw, target=None, drop=False, aim=aim)
        crops = self._second_look(images, attention.crop_boxes, aim)
        with record_function("second forward"):
            logits = self.classify(crops)
        return Attended(raw_logits=raw, crop_logits=logits, attention=attention, answer=self.config.answer)

    @torch.no_grad()
    def attend_raw(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k"]:
        """Test time with Raw alone, without any heatmap; the logits are those that :meth:`attend` gives for Raw."""
        logits = self.classify(self.seen(images))
        if self.config.test_flip:
            logits = self._mean(logits, self.classify(self.seen(images.flip(-1))))
        return logits

    def _mean(self, a: Tensor, b: Tensor) -> Tensor:
        both = _combined(a, b, self.config.answer)
        return both / 2 if self.config.answer == "logits" else both

    def predict(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
        """Test time (section 3.1): the logits of Raw and of Crop; their sum is the answer."""
        out = self.attend(images)
        return out.raw_logits, out.crop_logits

    # ------------------------------------------------------------------ heatmap, box, mask

    def heatmap(
        self, images: Float[Tensor, "b 3 H W"], target: Int64[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b H W"]:
        """Eq. (1)-(3) for a batch. ``target`` is the class to explain; None takes the predicted class.

        raises  NonFiniteError naming the images
        """
        return self.raw_and_heat(images, target)[1]

    @torch.no_grad()
    def raw_and_heat(
        self, images: Float[Tensor, "b 3 H W"], target: Int64[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b H W"]]:
        """The logits of Raw and the heatmap, from one pass through the backbone; see :meth:`heatmap`."""
        raw, cam = self.raw_and_map(images, target)
        return raw, upsample(cam, _size(self.seen(images)))

    @torch.no_grad()
    def raw_and_map(
        self, images: Float[Tensor, "b 3 H W"], target: Int64[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b h w"]]:
        """The logits of Raw and the coarse map of eq. (2), before it is enlarged; see :meth:`heatmap`."""
        _, tap, raw = self._raw(self.seen(images))
        cam, check = self._cam(tap, raw, target)
        check(torch.isfinite(cam).flatten(1).all(1))
        return raw, cam

    def _cam(
        self, tap: Tap, logits: Tensor, target: Tensor | None
    ) -> tuple[Tensor, Callable[[Tensor], None]]:
        # The class comes from these logits: with dropout, a second pass through the head would give others.
        target = logits.detach().argmax(1) if target is None else target
        with _quiet(self.backbone):
            cam, weights = unchecked_gradcam(tap.head, tap.layer, target, self.config.cam_weighted)
        return cam, lambda finite: require_finite(tap.layer, weights, cam, finite)

    def _attend(
        self,
        images: Tensor,
        tap: Tap,
        logits: Tensor,
        target: Tensor | None,
        drop: bool,
        aim: Tensor | None,
    ) -> Attention:
        with record_function("heatmap"):
            cam, check = self._cam(tap, logits, target)
            heat = upsample(cam, _size(images))
        with record_function("threshold and boxes"):
            attention = self._attention(images, heat, cam, check, drop)
            if self.config.crop_box != "heatmap":
                self._aim(attention, aim)
            return attention

    def _attention(
        self, images: Tensor, heat: Tensor, cam: Tensor, check: Callable[[Tensor], None], drop: bool
    ) -> Attention:
        cfg = self.config
        drop_mask = masking.threshold(heat, self._theta(images), cfg.theta_times) if drop else None
        if cfg.crop_mask == "upsampled":
            mask = masking.threshold(heat, cfg.mu, cfg.mu_times)
        else:
            coarse = masking.threshold(cam, cfg.mu, cfg.mu_times)
            mask = F.interpolate(coarse[:, None].float(), _size(images), mode="nearest-exact")[:, 0] > 0
        # One transfer to the host brings both the mask and whether the map is finite.
        finite = torch.isfinite(cam).flatten(1).all(1)
        packed = torch.cat([mask.flatten(1), finite[:, None]], 1).cpu()
        check(packed[:, -1])
        mask = packed[:, :-1].view(mask.shape)
        boxes = self._boxes(mask).to(images.device, non_blocking=True)
        # NumPy stops at the first pixel that is set, PyTorch does not.
        fallback = torch.from_numpy(~mask.numpy().any((1, 2)))
        return Attention(heat, boxes, fallback, drop_mask)

    def boxes(self, heat: Float[Tensor, "b H W"], mu: float | None = None) -> Int64[Tensor, "b 4"]:
        """The boxes of eq. (5), by the config's readings of what the paper leaves open.

        mu      threshold in heat means; None takes the config's
        returns x0, y0, x1, y1 on the heat's device
        raises  ConfigError if the config cuts the coarse map, which an upsampled heatmap does not contain
        """
        cfg = self.config
        if cfg.crop_mask == "coarse":
            raise ConfigError(
                'boxes need the coarse map where crop_mask is "coarse"; take those of net.attend'
            )
        return self._boxes(masking.threshold(heat, cfg.mu if mu is None else mu, cfg.mu_times))

    def _boxes(self, mask: Tensor) -> Tensor:
        cfg = self.config
        boxes = masking.largest_component_boxes(mask, int(cfg.connectivity))
        readings = cfg.crop_padding, cfg.crop_min_size, cfg.crop_square, cfg.crop_margin
        return masking.adjust_boxes(boxes, _size(mask), *readings)

    def _aim(self, attention: Attention, aim: Tensor | None) -> None:
        """Replace the heatmap's boxes by those of a control (``crop_box``)."""
        kind, size, boxes = self.config.crop_box, _size(attention.heat), attention.crop_boxes
        if kind == "centre":
            attention.crop_boxes = masking.move_boxes(boxes, size)
            return
        if aim is None:
            raise ValueError(
                f'crop_box="{kind}" needs the aim that ImageView gives beside each image, got None'
            )
        if kind == "random":
            attention.crop_boxes = masking.move_boxes(boxes, size, aim)
            return
        attention.fallback = torch.zeros_like(attention.fallback)  # the heatmap's mask has no part in the box
        whole = torch.tensor([0, 0, size[1], size[0]], device=boxes.device)
        attention.crop_boxes = whole.expand_as(boxes) if kind == "whole" else aim.round().to(boxes)

    def _second_look(self, images: Tensor, boxes: Tensor, aim: Tensor | None) -> Tensor:
        """The Crop branch's images: (B, 3, s, s)."""
        if self.config.crop_box == "whole" and aim is not None:
            return self.seen(aim)
        return self.crops(images, boxes)

    def _theta(self, images: Tensor) -> Tensor:
        """theta of eq. (6) ~ U(theta_low, theta_high): (B,).

        Several processes, all with the same seed, each draw for the global batch and take the values of their own
        images, so that theta does not depend on the number of processes.
        """
        if self.config.theta_per == "batch":
            u = torch.rand(1, device=images.device).expand(len(images))
        else:
            rank, processes = _place()
            u = torch.rand(processes * len(images), device=images.device)[rank::processes]
        return self.config.theta_low + u * (self.config.theta_high - self.config.theta_low)

    def crops(
        self, images: Float[Tensor, "b 3 H W"], boxes: Int64[Tensor, "b 4"]
    ) -> Float[Tensor, "b 3 s s"]:
        """Cut boxes, in pixels of what Raw sees, out of the images that the network is given, at its input size."""
        scale = self.config.input_scale
        with record_function("crop"):
            return masking.crop(images, boxes * scale, images.shape[-1] // scale)

    def _erase(self, images: Tensor, mask: Tensor) -> Tensor:
        c = self.config
        with record_function("erase"):
            return masking.erase(images, mask, c.fill, c.image_mean, c.image_std)

    def _features(self, images: Tensor) -> tuple[Tensor, Tap]:
        images = self._format(images)
        layer = self.config.cam_layer
        if layer == "depthwise":
            return _depthwise_tap(_convnext(self.backbone, layer), images)
        features = self.backbone.forward_features(images)
        if layer == "norm":
            return features, _norm_tap(_convnext(self.backbone, layer), features)
        return features, Tap(features, self.head)

    def _format(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.config.channels_last else images

    # ------------------------------------------------------------------ losses

    def _losses(
        self, out: Output, labels: Tensor, features: Tensor, crop_features: Tensor | None
    ) -> dict[str, Tensor]:
        cfg = self.config
        terms = {"raw": losses.branch_loss(out.raw_logits, labels)}
        if out.crop_logits is not None:
            terms["crop"] = losses.branch_loss(out.crop_logits, labels)
        if out.drop_logits is not None:
            terms["drop"] = losses.branch_loss(out.drop_logits, labels)
        if cfg.sup and crop_features is not None and out.crop_logits is not None:
            z = torch.cat([self._z(features, out.raw_logits), self._z(crop_features, out.crop_logits)])
            all_z, all_labels = _gather(z, labels.repeat(2))
            terms["sup"] = losses.supcon_loss(
                all_z, all_labels, cfg.tau, cfg.denominator, cfg.normalize, cfg.reduction
            )
        branches = terms["raw"], terms.get("crop"), terms.get("drop")
        ce = losses.total_cross_entropy(*branches, cfg.gamma, cfg.raw_weight, cfg.branch_losses)
        terms["total"] = losses.total_loss(ce, terms.get("sup"), cfg.sup_weight)
        return terms

    def _z(self, features: Tensor, logits: Tensor) -> Tensor:
        """The vector z of eq. (11): (B, D)."""
        if self.config.z == "logits":
            return logits
        pooled = self.backbone.forward_head(features, pre_logits=True).flatten(1)
        if self.projection is None:
            return pooled
        projected: Tensor = self.projection(pooled)
        return projected

    def _projection(self) -> nn.Module:
        """Khosla's projection head: two layers, 128 outputs."""
        # Some heads have a hidden layer before their classifier, and not every classifier is an nn.Linear.
        width = getattr(self.backbone, "head_hidden_size", None) or self.backbone.num_features
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 128))

    def train(self, mode: bool = True) -> GHOLMNet:
        """As in PyTorch, but ``freeze_batchnorm`` keeps batch norm in eval mode."""
        super().train(mode)
        if mode and self.config.freeze_batchnorm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def _checkpoint(backbone: Backbone, frozen: bool) -> None:
    name = type(backbone).__name__
    norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in backbone.modules())
    if norms and not frozen:
        raise ConfigError(
            f"checkpointing runs {name}'s blocks twice a step, which would update its batch-norm statistics twice; "
            "switch freeze_batchnorm on too (--freeze-batchnorm), or checkpointing off"
        )
    try:
        backbone.set_grad_checkpointing(True)
    except (AttributeError, AssertionError) as error:
        raise ConfigError(f"timm's {name} does not support checkpointing; switch it off") from error


def _option(text: str) -> tuple[str, Any]:
    """ "output_stride=16" → ("output_stride", 16); a value that is not a Python literal stays a string."""
    name, value = text.split("=", 1)
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _size(images: Tensor) -> tuple[int, int]:
    """Height and width in pixels."""
    height, width = images.shape[-2:]
    return height, width


def _place() -> tuple[int, int]:
    """This process's rank, and the number of processes that share the batch."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _gather(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """With several processes, eq. (11) is computed over the global batch, with gradients."""
    processes = _place()[1]
    if processes == 1:
        return z, labels
    from torch.distributed.nn.functional import all_gather

    everyone = [torch.empty_like(labels) for _ in range(processes)]
    dist.all_gather(everyone, labels)
    vectors = all_gather(z.contiguous())  # type: ignore[no-untyped-call]  # torch gives it no types
    return torch.cat(vectors), torch.cat(everyone)


@contextmanager
def _quiet(backbone: nn.Module) -> Iterator[None]:
    """Eval mode while a head runs: no dropout, no update of batch-norm statistics.

    Every module is switched, because timm's ResNet and EfficientNet call the function ``F.dropout`` with their
    own ``training`` flag. The flags are set one by one: ``train()`` would also unfreeze batch norm.
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
    """The layer that the map is taken from, and the rest of the network from there to the logits."""

    layer: Float[Tensor, "b c h w"]
    head: Head


def _convnext(backbone: nn.Module, layer: str) -> ConvNeXt:
    """The backbone, which ``layer`` needs to be a ConvNeXt."""
    if not isinstance(backbone, ConvNeXt):
        raise ConfigError(
            f'cam_layer="{layer}" needs a timm ConvNeXt, this backbone is {type(backbone).__name__}; '
            'take cam_layer="features"'
        )
    return backbone


def _depthwise_tap(backbone: ConvNeXt, images: Tensor) -> tuple[Tensor, Tap]:
    """Output of the last block's depthwise convolution; the head is the rest of that block and the head."""
    stage: Any = backbone.stages[-1]
    block = stage.blocks[-1]
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
        logits: Tensor = backbone.forward_head(backbone.norm_pre(x + block.shortcut(caught["shortcut"])))
        return logits

    return features, Tap(caught["layer"], rest)


def _norm_tap(backbone: ConvNeXt, features: Tensor) -> Tap:
    """Features after the final norm, taken at each position; the head is then pooling and the classifier.

    ConvNeXt pools first and normalises the pooled vector. A *map* after the norm exists only if the norm is
    applied at each position, which is what this reading does.
    """
    head: Any = backbone.head
    normed = head.norm(features.detach())
    return Tap(
        normed, lambda layer: head.fc(head.drop(head.pre_logits(head.flatten(head.global_pool(layer)))))
    )
