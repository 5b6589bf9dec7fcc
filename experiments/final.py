"""`gholm pretrain --backbone gholm_convnext_mini2 ...` with the pictures drawn before; keeps each epoch's weights."""
import sys
import torch
torch.set_num_threads(1)
import safetensors.torch
from dataclasses import replace
from pathlib import Path
from gholm_lib import pretrain as P
from gholm_lib.backbone import MINI2
size = int(sys.argv[1]); out = Path(sys.argv[2]); epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 8
def draw(count, start, settings, desc):
    d = torch.load("../pre.pt", mmap=True)
    return P.Drawn(*d["train" if start == 0 else "test"])
inner = P.part_accuracy
def part_accuracy(net, drawn, settings):
    state = {k: v.contiguous() for k, v in net.backbone.state_dict().items() if not k.startswith("head.fc")}
    safetensors.torch.save_file(state, out.with_suffix(".epoch"))
    return inner(net, drawn, settings)
P.draw, P.part_accuracy = draw, part_accuracy
P.pretrain(replace(P.PretrainSettings(), backbone=MINI2, image_size=size, epochs=epochs), out)
