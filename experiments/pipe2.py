import sys, torch, time, variants
from pathlib import Path
from gholm_kit.drawn import pretrain as P
if __name__ == "__main__":
    torch.set_num_threads(1); name=sys.argv[1]; n=int(sys.argv[2]) if len(sys.argv)>2 else 8
    t=time.time(); d=[P.Drawn(*x) for x in torch.load("pre.pt")]
    it=iter(d); P.draw=lambda *a,**k: next(it)
    P.pretrain(P.PretrainSettings(backbone=name, image_size=112, epochs=n), Path(f"w/{name}.safetensors"))
    print("all",time.time()-t,flush=True)
