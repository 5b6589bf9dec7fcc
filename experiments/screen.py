"""Screening: warm start from version 0.1's weights, a short pretraining, Raw on the families, numbers on held-out
training images.   python screen.py [--steps 400] [--families a,b] [--lr .002] NAME..."""
import argparse, json, time, math
from dataclasses import replace
from pathlib import Path
import safetensors.torch, torch
import variants, measure as M
from gholm_lib import pretrain as P
from gholm_lib.config import load_config
from gholm_lib.datasets import load_dataset
from gholm_lib.datasets.mini import load_truth
from gholm_lib.experiments import load_network
from gholm_lib.training import RunOptions, split_data, train

LAB = Path("..")


def warm(net):
    """Version 0.1's weights; smaller kernels take the middle of the larger; 2 x 2 same -> 1 x 1: the sum."""
    old = safetensors.torch.load_file(LAB / "main/gholm_lib/weights/gholm_convnext_mini.safetensors")
    own = net.backbone.state_dict()
    for k, v in old.items():
        t = own[k]
        if t.shape == v.shape:
            t.copy_(v)
        elif "conv_dw" in k:
            n, m = v.shape[-1], t.shape[-1]
            c = (n - m) // 2
            t.copy_(v[..., c:c + m, c:c + m])
        elif "downsample.1" in k:
            t.copy_(v.sum((2, 3), keepdim=True))
        elif "stem" in k:
            t.zero_(); t[..., :v.shape[-2], :v.shape[-1]] = v
        else:
            raise ValueError(k)


def pretrain(name, steps, size=112, lr=1e-3, init=True):
    out = LAB / f"weights/{name}-{steps}.safetensors"
    if out.exists():
        return out
    s = replace(P.PretrainSettings(), resize=182, image_size=size)
    d = torch.load(LAB / "pre.pt", mmap=True)
    tr, te = P.Drawn(*d["train"]), P.Drawn(*d["test"])
    torch.manual_seed(0)
    P.create_backbone = lambda n, k, w: variants.B.create_backbone(f"lab_{name}", k, w)
    net = P.PartNet()
    if init:
        with torch.no_grad():
            warm(net)
    net = net.to(memory_format=torch.channels_last)
    opt = torch.optim.AdamW(net.parameters(), lr, weight_decay=s.weight_decay)
    g = torch.Generator().manual_seed(0)
    t, c, total, n = time.time(), time.process_time(), 0, 0
    order = [i for _ in range(math.ceil(steps * 32 / 12000)) for i in torch.randperm(12000, generator=g).split(32)][:steps]
    for k, index in enumerate(order):
        rate = lr * min(1, k / 30) * .5 * (1 + math.cos(math.pi * k / steps))
        for group in opt.param_groups: group["lr"] = rate
        batch = P.augmented(tr, index, s, g)
        with torch.autocast("cpu", torch.bfloat16):
            whole, places = net(batch[0])
        forward = net.forward
        net.forward = lambda _x: (whole.float(), places.float())
        terms = net.loss(*batch); net.forward = forward
        loss = terms["whole"] + terms["place"]
        opt.zero_grad(set_to_none=True); loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0); opt.step()
        if k >= steps - 50: total += float(loss); n += 1
    te = P.Drawn(te.images[:400], te.labels[:400], te.points[:400])
    acc = P.part_accuracy(net, te, s)
    mean = sum(acc.values()) / len(acc)
    out.parent.mkdir(exist_ok=True)
    safetensors.torch.save_file({k: v.contiguous() for k, v in net.backbone.state_dict().items() if not k.startswith("head.fc")}, out)
    print(json.dumps({"pretrained": name, "steps": steps, "size": size, "loss": round(total / n, 3), "parts": round(100 * mean, 1),
                      "wall": round(time.time() - t), "cpu": round(time.process_time() - c)}), flush=True)
    return out


def finetune(name, weights, family, lr, tag="", **changes):
    data = load_dataset(family, LAB / "data")
    changes = dict(holdout=.2, crop=False, sup=False, drop=False) | changes
    config = load_config("mini", dataset=family, backbone=f"lab_{name}" if name in variants.NAMES else name,
                         weights=str(weights), lr=lr, **changes)
    config = config.replace(evaluate_every=config.epochs)
    short = replace(data, test=data.test[:2])  # the test images are not looked at here
    c = time.process_time()
    options = RunOptions(runs=LAB / "runs", quiet=True, device="cpu")
    train(config, options, short)
    truth = load_truth(data.root)
    held = split_data(config, data).held_out
    s, o = M.study(held, config, truth, (family, len(held)))
    r = M.measure(load_network(LAB / "runs" / config.run_id), s, o)
    r = {"net": name, "weights": Path(weights).stem, "family": family, "lr": lr, "tag": tag, **r, "cpu": round(time.process_time() - c)}
    with open(LAB / "screen.jsonl", "a") as f: f.write(json.dumps(r) + "\n")
    keys = ("net", "family", "lr", "tag", "raw", "on", "ceil_on", "of_ceiling", "near", "ceil_near", "near_of_ceiling", "crop_under_5", "area", "kept", "kept25",
            "kept25_moved", "kept25_centred", "ceil_kept25", "none25", "edge", "cpu", "shift")
    print(json.dumps({k: r[k] for k in keys}), flush=True)
    return r


if __name__ == "__main__":
    a = argparse.ArgumentParser()
    a.add_argument("names", nargs="+"); a.add_argument("--steps", type=int, default=400)
    a.add_argument("--families", default="mini_birds,mini_aircraft"); a.add_argument("--lr", type=float, default=.002)
    a.add_argument("--weights")
    a = a.parse_args()
    for name in a.names:
        w = a.weights or pretrain(name, a.steps)
        for family in a.families.split(","):
            finetune(name, w, family, a.lr)
