"""Write a graph as .onnx or .pt2, and compare the file with PyTorch."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gholm_kit.export.graph import INPUTS, OUTPUTS, ExportError, Graph
from gholm_kit.export.source import Source
from gholm_lib import masking
from gholm_lib.gradcam import upsample
from gholm_lib.model import GHOLMNet
from gholm_lib.records import write_whole

FORMATS = ("onnx", "pt2")
ABOUT = "gholm"  # where a file says what it is: metadata of .onnx, an extra file of .pt2; JSON, see Source.described
TOLERANCE = 1e-4  # logits: absolute; maps: of their maximum

Run = Callable[[Tensor, Tensor, Tensor], list[np.ndarray]]


def write_graph(source: Source, path: Path, kind: str = "onnx") -> Path:
    """Write the graph of a network, for batches of any size; returns ``path``.

    kind    "onnx" (one file, weights included; needs the extra ``export``) or "pt2" (``torch.export.load``)
    raises  ExportError naming the backbone, if it cannot be exported
    """
    if kind not in FORMATS:
        raise ValueError(f"format must be {' or '.join(FORMATS)}, got {kind!r}")
    if kind == "onnx":
        _require_packages()
    program = _program(source.net)
    path.parent.mkdir(parents=True, exist_ok=True)
    about = json.dumps(source.described, ensure_ascii=False)
    if kind == "pt2":
        write_whole(path, lambda file: torch.export.save(program, file, extra_files={ABOUT: about}))
        return path
    model = _onnx(program, source.net)
    model.metadata_props.add(key=ABOUT, value=about)
    write_whole(path, lambda file: file.write(model.SerializeToString()))
    return path


def _require_packages() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            raise ExportError(
                f"the package {name} is not installed; pip install -e '.[export]' brings it (--format pt2 "
                "needs none)"
            )


def _program(net: GHOLMNet) -> torch.export.ExportedProgram:
    graph = Graph(net).eval()
    device, side = graph.classifier.weight.device, net.config.image_size
    pixels = side * net.config.input_scale
    example = (
        torch.zeros(2, 3, pixels, pixels, device=device),
        torch.zeros(2, dtype=torch.int64, device=device),
        torch.tensor([[0, 0, side, side]] * 2, device=device),
    )
    batch = torch.export.Dim("batch", min=1)
    try:
        with torch.no_grad(), _quiet():
            return torch.export.export(graph, example, dynamic_shapes=({0: batch},) * 3, strict=False)
    except Exception as error:  # whatever the backbone's own code raises while it is traced
        raise ExportError(_cannot(net, error)) from error


def _onnx(program: torch.export.ExportedProgram, net: GHOLMNet):
    """The program as an ONNX model, without the traces of its making, which name folders of this machine."""
    try:
        with _quiet():
            made = torch.onnx.export(
                program, dynamo=True, input_names=INPUTS, output_names=OUTPUTS, verbose=False
            )
            model = made.model_proto
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(_cannot(net, error)) from error
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    for node in model.graph.node:
        node.ClearField("doc_string")
    del model.graph.value_info[:]
    return model


def _cannot(net: GHOLMNet, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return f"{net.config.backbone} cannot be exported, because PyTorch cannot trace it: {reason}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """PyTorch's exporters warn about their own insides, which no user can change."""
    loud = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loud]
    for logger in loud:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loud, levels, strict=True):
            logger.setLevel(level)


# ---------------------------------------------------------------------- comparison


def open_graph(path: Path) -> Run:
    """A function (image, class, box) → the outputs of a file, in the order of ``OUTPUTS``."""
    if path.suffix == ".pt2":
        program = torch.export.load(path).module()
        return lambda *inputs: [value.detach().numpy() for value in program(*inputs)]
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda *inputs: session.run(
        list(OUTPUTS), {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)}
    )


@dataclass(frozen=True)
class Parity:
    """A file against PyTorch on some images.

    logits  largest difference of Raw and Crop
    maps    largest difference of the two maps, as a share of each image's maximum
    boxes   images with another box, and ``ties`` those of them where a pixel lies within rounding of the threshold
    """

    images: int
    logits: float
    maps: float
    boxes: int
    ties: int

    @property
    def ok(self) -> bool:
        return self.logits <= TOLERANCE and self.maps <= TOLERANCE and self.boxes == self.ties

    def __str__(self) -> str:
        boxes = (
            "all boxes equal" if not self.boxes else f"{self.boxes} boxes differ, {self.ties} of them at ties"
        )
        return (
            f"against PyTorch on {self.images} images: logits within {self.logits:.1g}, maps within "
            f"{self.maps:.1g} of their maximum, {boxes}"
        )


@torch.no_grad()
def compare(run: Run, net: GHOLMNet, images: Tensor, batch: int = 25) -> Parity:
    """Compare a graph with :class:`GHOLMNet` itself, which has its gradient from autograd.

    images  (n, 3, S, S) normalised
    """
    parts = [_compare(run, net, some) for some in images.split(batch)]
    columns = list(zip(*parts, strict=True))
    return Parity(len(images), max(columns[0]), max(columns[1]), sum(columns[2]), sum(columns[3]))


def _compare(run: Run, net: GHOLMNet, images: Tensor) -> tuple[float, float, int, int]:
    seen = net.attend(images)
    target = seen.raw_logits.argsort(1)[:, -2]  # the second best class, whose map is another one
    raw, top, second, crop, _ = (
        torch.from_numpy(np.array(value)) for value in run(images, target, seen.crop_boxes)
    )
    size = seen.heat.shape[-1]
    heat, other = upsample(top, size), upsample(second, size)
    maps = max(_share(heat, seen.heat), _share(other, net.heatmap(images, target)))
    logits = max(float((raw - seen.raw_logits).abs().max()), float((crop - seen.crop_logits).abs().max()))
    if net.config.crop_mask == "coarse":  # its box cuts the coarse map, which `boxes` does not take
        return logits, maps, 0, 0
    differ = (net.boxes(heat) != seen.crop_boxes).any(1)
    return logits, maps, int(differ.sum()), int((differ & _tied(seen.heat, net)).sum())


def _share(found: Tensor, wanted: Tensor) -> float:
    largest = wanted.amax((1, 2)).clamp(min=torch.finfo(wanted.dtype).tiny)
    return float(((found - wanted).abs().amax((1, 2)) / largest).max())


def _tied(heat: Tensor, net: GHOLMNet) -> Tensor:
    """Whether moving the threshold by the tolerance changes an image's mask: (b,)."""
    near = 1e-5
    low = masking.threshold(heat, net.config.mu * (1 - near), net.config.mu_times)
    high = masking.threshold(heat, net.config.mu * (1 + near), net.config.mu_times)
    return (low != high).flatten(1).any(1)
