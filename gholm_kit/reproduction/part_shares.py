"""Beyond the paper: does the crop keep, and does the erasure remove, the parts that decide the class?

These parts are known only for drawn sets. ``parts.npz``, beside a run's record, contains one number per test image
for each measure: the shares of the deciding map (see ``deciding_parts``) inside the crop's box and under the erased
region. There are two baselines: the same shape moved to a random place (chance), and the box moved to the centre of
the image, where most objects are. Older measurements do not have the second baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gholm_kit.drawn import load_truth
from gholm_kit.reproduction.archive import PARTS
from gholm_kit.reproduction.jobs import MUS, Job
from gholm_kit.teaching.deciding_parts import Study, box_masks, heat_of, moved, share, study_images
from gholm_lib import masking
from gholm_lib.config import RunOptions
from gholm_lib.datasets import load_dataset
from gholm_lib.model import GHOLMNet
from gholm_lib.records import RECORD, load_record, write_whole
from gholm_lib.runs import load_network
from gholm_lib.training import require_own

THETAS = (1.0, 1.5, 2.0)


def part_shares(net: GHOLMNet, study: Study) -> dict[str, np.ndarray]:
    """Measures of N images, each (N,) float16: for each mu of Table 4, area, kept, kept_moved and kept_centred of
    the box; for each of ``THETAS`` in eq. (6), erased (the area), removed and removed_moved."""
    heat, size = heat_of(net, study.images), study.images.shape[-1]
    found = {}
    for mu in MUS:
        boxes = net.boxes(heat, mu)
        inside = box_masks(boxes, size)
        found[f"area_{mu:g}"] = inside.float().mean((1, 2))
        found[f"kept_{mu:g}"] = share(study.deciding, inside)
        found[f"kept_moved_{mu:g}"] = share(study.deciding, moved(inside))
        found[f"kept_centred_{mu:g}"] = share(study.deciding, box_masks(centred(boxes, size), size))
    for theta in THETAS:
        mask = masking.threshold(heat, theta)
        found[f"erased_{theta:g}"] = mask.float().mean((1, 2))
        found[f"removed_{theta:g}"] = share(study.deciding, mask)
        found[f"removed_moved_{theta:g}"] = share(study.deciding, moved(mask))
    return {k: v.numpy().astype(np.float16) for k, v in found.items()}  # three digits are sufficient


def centred(boxes: torch.Tensor, size: int) -> torch.Tensor:
    """Boxes (B, 4) with the same sides, centred in an image of ``size`` x ``size`` pixels, rounded down."""
    sides = boxes[:, 2:] - boxes[:, :2]
    low = (size - sides) // 2
    return torch.cat([low, low + sides], 1)


@torch.no_grad()
def measure_parts(jobs: Sequence[Job], records: Path, options: RunOptions) -> int:
    """Write ``parts.npz`` for recorded drawn runs without one whose network is available; return their number.

    raises OtherOriginError for a network that was trained on other images than the current ones
    """
    studies: dict[str, Study] = {}
    todo = [j for j in jobs if _lacks_parts(j, records, options)]
    for job in todo:
        config, run = job.config, Path(options.runs) / job.config.run_id
        data = load_dataset(config.dataset, options.data_root)
        require_own(run, load_record(run), config, data)
        if config.dataset not in studies:
            truth = load_truth(data.root)
            studies[config.dataset] = study_images(data, config, truth, count=len(data.test))
        shares = part_shares(load_network(run), studies[config.dataset])
        write_whole(records / job.name / PARTS, lambda f, s=shares: np.savez_compressed(f, **s))
    return len(todo)


def _lacks_parts(job: Job, records: Path, options: RunOptions) -> bool:
    trained = (Path(options.runs) / job.config.run_id / "model.safetensors").exists()
    folder = records / job.name
    return trained and (folder / RECORD).exists() and not (folder / PARTS).exists()
