"""Candidate mini backbones, each a registered timm model `lab_<name>`; imported by all lab scripts."""
import torch
from timm.models import register_model
from timm.models.convnext import ConvNeXt
from torch import nn
import gholm_lib.backbone as B

torch.set_num_threads(1)
BASE = dict(depths=(1, 2, 3, 1), dims=(24, 48, 96, 112), stem_type="overlap_tiered", ls_init_value=None)


def build(kernels=(7, 7, 3, 3), old=False, s8=False, padding="zeros", stem=None, depths=None, **kwargs):
    kw = {k: v for k, v in kwargs.items() if not k.startswith(("pretrained", "cache_dir"))}
    settings = dict(BASE, kernel_sizes=kernels)
    if depths:
        settings["depths"] = depths
    if old:  # version 0.1: dilation, and the 2 x 2 "same" convolution that shifts by half a cell
        return ConvNeXt(**(settings | {"output_stride": 16} | kw))
    if old is None:  # only the depthwise dilation out, the shifting 2 x 2 kept (what was tried before)
        model = ConvNeXt(**(settings | {"output_stride": 16} | kw))
        for b in model.stages[-1].blocks:
            b.conv_dw.dilation, b.conv_dw.padding = (1, 1), (kernels[3] // 2,) * 2
        return model
    model = ConvNeXt(**(settings | kw))
    d = settings["dims"]
    model.stages[3].downsample[1] = nn.Conv2d(d[2], d[3], 1)
    if s8:
        model.stages[2].downsample[1] = nn.Conv2d(d[1], d[2], 1)
    if stem == "aligned":  # 4 x 4, stride 2: symmetric about the 2 x 2 pixels it stands for
        model.stem[0] = nn.Conv2d(3, d[0] // 2 if False else model.stem[0].out_channels, 4, 2, 1)
        model.stem[1] = nn.Conv2d(model.stem[0].out_channels, d[0], 4, 2, 1)
    if padding != "zeros":
        for m in model.modules():
            if isinstance(m, nn.Conv2d) and m.groups > 1:
                m.padding_mode = padding
                p = m.padding[0]
                m._reversed_padding_repeated_twice = [p, p, p, p]
    return model


NAMES = {
    "OLD": dict(kernels=(7, 7, 7, 7), old=True),
    "A0": dict(kernels=(7, 7, 3, 3), old=None),
    "A": dict(kernels=(7, 7, 3, 3)),
    "B": dict(kernels=(7, 3, 3, 1)),
    "B53": dict(kernels=(7, 5, 3, 1)),
    "B73": dict(kernels=(7, 7, 3, 1)),
    "E": dict(kernels=(7, 3, 1, 1)),
    "C": dict(kernels=(7, 7, 3, 3), padding="reflect"),
    "CB": dict(kernels=(7, 3, 3, 1), padding="reflect"),
    "D": dict(kernels=(7, 7, 3, 3), s8=True),
    "DB": dict(kernels=(7, 3, 3, 1), s8=True),
    "DCB": dict(kernels=(7, 3, 3, 1), s8=True, padding="reflect"),
    "S": dict(kernels=(7, 3, 3, 1), stem="aligned"),
    "K7": dict(kernels=(7, 7, 7, 7)),
}
for name, spec in NAMES.items():
    def make(pretrained=False, _spec=spec, **kw):
        return build(**_spec, **kw)
    make.__name__, make.__module__ = f"lab_{name}", __name__
    __all__ = [*globals().get("__all__", []), make.__name__]
    globals()[make.__name__] = make
    register_model(make)
