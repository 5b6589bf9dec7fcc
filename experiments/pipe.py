import sys, torch, time
from pathlib import Path
from gholm_kit.drawn import pretrain as P, write as W
if __name__ == "__main__":
    torch.set_num_threads(1)
    t=time.time()
    if not Path("pre.pt").exists():
        s=P.PretrainSettings(backbone="gholm_convnext_mini2", image_size=112)
        d=[P.draw(s.images,0,s,"tr"),P.draw(s.held_out,s.images,s,"te")]
        torch.save([(x.images,x.labels,x.points) for x in d],"pre.pt")
        print("drawn",time.time()-t,flush=True)
    d=[P.Drawn(*x) for x in torch.load("pre.pt")]
    it=iter(d); P.draw=lambda *a,**k: next(it)
    P.pretrain(P.PretrainSettings(backbone="gholm_convnext_mini2", image_size=112), Path("w/gholm_convnext_mini2.safetensors"))
    print("all",time.time()-t,flush=True)
