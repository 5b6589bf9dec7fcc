"""Does heat off the object need an uneven background?   python even.py RUN...
The same test pictures with the background (everything 4 pixels beyond the object) as it is, painted in the mean
colour (a flat 0 after normalisation), and with the background of the next picture pasted in."""
import json, sys
from pathlib import Path
import torch
import variants, measure as M
from gholm_lib.datasets import load_dataset
from gholm_lib.datasets.mini import load_truth
from gholm_lib.experiments import load_network
from gholm_lib.gradcam import channel_weights
from gholm_lib.part_truth import heat_of, logits_of, share
for run in sys.argv[1:]:
    net = load_network(run); data = load_dataset(net.config.dataset, Path("../data")); truth = load_truth(data.root)
    s, o = M.study(data.test[::max(1, len(data.test) // 220)], net.config, truth, data.name)
    keep = M.near(o, 4)[:, None]
    other, hidden = s.images.roll(1, 0), keep.roll(1, 0)
    mean = s.images.mean((2, 3), keepdim=True)
    sets = {"as it is": s.images, "mean colour": torch.where(keep, s.images, 0.0)}
    for name, images in sets.items():
        heat = heat_of(net, images)
        with torch.no_grad():
            f = net.backbone.forward_features(images)
            w = channel_weights(net.head, f, net.head(f).argmax(1))
            signed = torch.einsum("bc,bchw->bhw", w, f)
        pos, neg = signed.clamp(min=0).sum((1, 2)), signed.clamp(max=0).sum((1, 2))
        inner = signed[:, 1:-1, 1:-1].clamp(min=0).sum((1, 2))
        print(json.dumps({"run": Path(run).name, "background": name,
            "raw": round(100 * float((logits_of(net, images).argmax(1) == s.labels).float().mean()), 1),
            "heat on object": round(100 * float(share(heat, o).mean()), 1), "near": round(100 * float(share(heat, M.near(o)).mean()), 1),
            "signed sum / positive sum": round(float(((pos + neg) / pos.clamp(min=1e-9)).mean()), 3),
            "heat in border cells": round(100 * float((1 - inner / pos.clamp(min=1e-9)).mean()), 1),
            "crops under 5": round(100 * float(M.box_numbers(heat, s, o, 1.7)["crop_under_5"]), 1)}), flush=True)
