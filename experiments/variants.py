"""Candidates for the mini backbone, by name."""
from typing import Any, cast
from torch import nn
from timm.models import register_model
from timm.models.convnext import ConvNeXt
from gholm_lib.backbone import _MINI_SETTINGS, _for_timm

def build(kernels, halve, depths=(1,2,3,1), dims=(24,48,96,112), pad="reflect", **kw):
    m = ConvNeXt(**(_MINI_SETTINGS | {"depths":depths,"dims":dims,"kernel_sizes": kernels} | _for_timm(kw)))
    for k, conv in enumerate(list(m.stem[:2])):
        m.stem[k] = nn.Conv2d(conv.in_channels, conv.out_channels, kernel_size=4, stride=2, padding=1)
    for i in range(1, 4):
        if i not in halve:
            d = m.stages[i].downsample; d[1] = nn.Conv2d(d[1].in_channels, d[1].out_channels, kernel_size=1)
    for x in m.modules():
        if isinstance(x, nn.Conv2d) and any(x.padding): x.padding_mode = pad
    return m

@register_model
def lab_e(pretrained=False, **kw): return build((7,3,1,1), (1,2), **kw)
@register_model
def lab_f(pretrained=False, **kw): return build((7,3,3,1), (1,), **kw)
@register_model
def lab_g(pretrained=False, **kw): return build((7,3,1,1), (1,), **kw)
