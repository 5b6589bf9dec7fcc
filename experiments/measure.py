"""Where a network's heat lies, against the truth of a mini set.

    python measure.py RUN_FOLDER [--data ../data] [--count 220]     (test images)

All shares in percent, means over images. `ceiling`: the same numbers for the deciding map (where the class is
decided), averaged to the network's own cells and upsampled, in place of the heat.
"""
import argparse, json, sys
from dataclasses import replace
from pathlib import Path
import cv2, numpy as np, torch, torch.nn.functional as F

from gholm_lib import masking
from gholm_lib.datasets import load_dataset
from gholm_lib.datasets.images import load_image
from gholm_kit.drawn import load_truth
from gholm_lib.gradcam import upsample
from gholm_kit.teaching.deciding_parts import Study, box_masks, deciding_map, erased, heat_of, logits_of, moved, share
from gholm_lib.loading import to_input

MU, NEAR, AREA = 1.7, 8, 0.25
_studies = {}


def object_mask(truth, sample, config):
    side = config.resize if config.random_crop else config.image_size
    whole = (truth.part_map(sample.image_id) > 0).astype(np.float32)
    small = torch.from_numpy(cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA)) > 0.5
    cut = round((side - config.image_size) / 2)
    return small[cut:cut + config.image_size, cut:cut + config.image_size]


def study(samples, config, truth, key=None):
    if key not in _studies:
        samples = tuple(samples)
        s = Study(samples, torch.stack([to_input(load_image(x.path), config) for x in samples]),
                  torch.tensor([x.label for x in samples]), None,
                  torch.stack([deciding_map(truth, x, config) for x in samples]))
        _studies[key] = s, torch.stack([object_mask(truth, x, config) for x in samples])
    return _studies[key]


def near(objects, pixels=NEAR):
    y, x = np.mgrid[-pixels:pixels + 1, -pixels:pixels + 1]
    disc = torch.from_numpy((x**2 + y**2 <= pixels**2).astype(np.float32))[None, None]
    return F.conv2d(objects.float()[:, None], disc, padding=pixels)[:, 0] > 0


def boxes_of(heat, mu):
    return masking.largest_component_boxes(masking.threshold(heat, mu))


def centred(boxes, size):
    wh = boxes[:, 2:] - boxes[:, :2]
    low = (size - wh) // 2
    return torch.cat([low, low + wh], 1)


def box_numbers(heat, s, objects, mu):
    size = heat.shape[-1]
    boxes = boxes_of(heat, mu)
    inside = box_masks(boxes, size)
    objects_share = (objects & inside).sum((1, 2)) / inside.sum((1, 2))
    return {
        "area": inside.float().mean(), "kept": share(s.deciding, inside).mean(),
        "kept_moved": share(s.deciding, moved(inside)).mean(),
        "kept_centred": share(s.deciding, box_masks(centred(boxes, size), size)).mean(),
        "crop_under_5": (objects_share < .05).float().mean(),
        "edge": ((boxes[:, :2] == 0).any(1) | (boxes[:, 2:] == size).any(1)).float().mean(),
    }


def at_area(heat, s, objects, area=AREA):
    """Box numbers at the mu whose mean box area is `area` of the picture."""
    low, high = 0.3, 6.0
    for _ in range(12):
        mu = (low + high) / 2
        a = box_masks(boxes_of(heat, mu), heat.shape[-1]).float().mean()
        low, high = (mu, high) if a > area else (low, mu)
    return {"mu": mu, **box_numbers(heat, s, objects, mu)}


def map_numbers(heat, s, objects):
    b = box_numbers(heat, s, objects, MU)
    e = at_area(heat, s, objects)
    return {"on": share(heat, objects).mean(), "near": share(heat, near(objects)).mean(),
            "deciding": share(heat, s.deciding > 0).mean(), **b,
            "kept25": e["kept"], "kept25_moved": e["kept_moved"], "kept25_centred": e["kept_centred"],
            "none25": e["crop_under_5"]}


@torch.no_grad()
def measure(net, s, objects, full=True):
    net = net.eval()
    heat = heat_of(net, s.images)
    logits = logits_of(net, s.images)
    said, p = logits.argmax(1), logits.softmax(1)
    r = {"n": len(s), "raw": (said == s.labels).float().mean(), **map_numbers(heat, s, objects)}
    hot = masking.threshold(heat, MU)
    conf = lambda l: l.softmax(1).gather(1, said[:, None]).mean()
    r["conf"] = conf(logits)
    for name, m in {"hot_object": hot & objects, "hot_background": hot & ~objects,
                    "hot_far": hot & ~near(objects)}.items():
        r[f"{name}_area"] = m.float().mean()
        r[f"{name}_conf"] = conf(logits_of(net, erased(net, s.images, m, "mean")))
    h, w = net.backbone.forward_features(s.images[:1]).shape[-2:]
    r["map"] = h / 100
    for name, truth_map in {"ceil": s.deciding, "ceilobj": objects.float()}.items():
        cells = F.adaptive_avg_pool2d(truth_map[:, None], (h, w))[:, 0]
        r |= {f"{name}_{k}": v for k, v in map_numbers(upsample(cells, s.images.shape[-1]), s, objects).items()
              if k in ("on", "near", "kept", "kept25", "area", "crop_under_5")}
    r["of_ceiling"], r["near_of_ceiling"] = r["on"] / r["ceil_on"], r["near"] / r["ceil_near"]
    if full:
        r["shift"] = {}
        for d in (-8, -6, -4, -2, 0, 2, 4, 6, 8):  # heat moved by d pixels right and down
            moved_heat = torch.roll(heat, (d, d), (1, 2))
            r["shift"][d] = round(100 * float(share(moved_heat, objects).mean()), 1)
        centres = torch.nonzero  # placate linters
    out = {}
    for k, v in r.items():
        out[k] = v if isinstance(v, dict) or k == "n" else round(100 * float(v), 1)
    return out


if __name__ == "__main__":
    a = argparse.ArgumentParser()
    a.add_argument("runs", nargs="+"); a.add_argument("--data", default="../data"); a.add_argument("--count", type=int, default=220)
    a = a.parse_args()
    from gholm_lib.runs import load_network
    for run in a.runs:
        net = load_network(run)
        data = load_dataset(net.config.dataset, Path(a.data))
        truth = load_truth(data.root)
        samples = data.test[::max(1, len(data.test) // a.count)]
        s, o = study(samples, net.config, truth, data.name)
        print(json.dumps({"run": Path(run).name, "backbone": net.config.backbone, **measure(net, s, o)}), flush=True)
