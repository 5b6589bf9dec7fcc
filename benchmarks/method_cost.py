"""What the method adds to the plain backbone: ratios measured in one run, medians of interleaved repeats.

    python benchmarks/method_cost.py [--model gholm_convnext_mini] [--size 112] [--batch 16]

heatmap / forward       gradcam of the head (eq. 1-2), given the features, over one forward pass
evaluation / 2 forward  net.predict (Raw, heatmap, box, crop, Crop) over two forward passes
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import tyro

import gholm_lib as g


def interleaved(tasks: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each task, the tasks taking turns so that a slow moment hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    for _ in range(repeats):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


@torch.no_grad()
def measure(model: str = "gholm_convnext_mini", size: int = 112, batch: int = 16, repeats: int = 15) -> None:
    """Print the table.

    Args:
        model: Any timm model.
        size: Side of the images in pixels.
        batch: Images at a time.
        repeats: Interleaved repeats.
    """
    net = g.GHOLMNet(model, num_classes=11).eval()
    net = net.to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    features = net.backbone.forward_features(images)
    seconds = interleaved(
        {
            "forward": lambda: net.backbone(images),
            "heatmap": lambda: g.gradcam(net.head, features),
            "two forward": lambda: (net.backbone(images), net.backbone(images)),
            "evaluation": lambda: net.predict(images),
        },
        repeats,
    )
    print(f"{model}, {batch} x {size} x {size}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, value in seconds.items():
        print(f"  {name:12s} {1000 * value:8.2f} ms")
    print(f"  heatmap / forward      {seconds['heatmap'] / seconds['forward']:.4f}")
    print(f"  evaluation / 2 forward {seconds['evaluation'] / seconds['two forward']:.4f}")


if __name__ == "__main__":
    tyro.cli(measure)
