"""Draw the pretraining pictures once: 12000 + 800, exactly those of `gholm pretrain`."""
import torch
from gholm_lib import pretrain as P
if __name__ == "__main__":
    s = P.PretrainSettings()
    tr = P.draw(s.images, 0, s, "drawing"); te = P.draw(s.held_out, s.images, s, "held")
    torch.save({"train": [tr.images, tr.labels, tr.points], "test": [te.images, te.labels, te.points]}, "../pre.pt")
