"""The numbers that the paper prints, with the table of each; accuracies in percent."""

from __future__ import annotations

from dataclasses import dataclass

TITLES = {
    1: "Data sets",
    2: "Branches on CUB-200-2011",
    3: "Branches on Stanford Cars",
    4: "The crop's threshold μ on CUB-200-2011",
    5: "Which logits answer, on CUB-200-2011",
    6: "Stanford Cars",
    7: "CUB-200-2011",
    8: "FGVC-Aircraft",
    9: "Stanford Dogs",
}
NAMES = {"cub": "CUB-200-2011", "aircraft": "FGVC-Aircraft", "cars": "Stanford Cars", "dogs": "Stanford Dogs"}

# Table 1: classes, training images, test images
COUNTS = {
    "cub": (200, 5994, 5794),
    "aircraft": (100, 6667, 3333),
    "cars": (196, 8144, 8041),
    "dogs": (120, 12000, 8580),
}

# Tables 2 and 3: each row adds one branch
BRANCHES = {
    "cub": {"Raw": 90.6, "Raw + Crop": 91.4, "Raw + Crop + Sup": 91.6, "Raw + Crop + Sup + Drop": 91.8},
    "cars": {"Raw": 93.2, "Raw + Crop": 94.3, "Raw + Crop + Sup": 94.6, "Raw + Crop + Sup + Drop": 94.9},
}

# Table 4
MU = {1.6: 91.5, 1.7: 91.8, 1.8: 91.7, 1.9: 91.6, 2.0: 91.5, 2.1: 91.4}

# Table 5: answers of one network
LOGITS = {"raw": 91.6, "crop": 91.5, "both": 91.8}


@dataclass(frozen=True)
class Published:
    """A row of Tables 6 to 9. ``source`` is the paper's reference; ``row`` is set for the two that we measure."""

    method: str
    backbone: str
    accuracy: float
    source: str
    row: str | None = None


def _compared(baseline: float, ours: float, *others: tuple[str, str, float, str]) -> tuple[Published, ...]:
    return (
        *(Published(*other) for other in others),
        Published("ConvNeXt", "ConvNeXt-S", baseline, "[9]", "Raw"),
        Published("GHOLM-Net", "ConvNeXt-S", ours, "this paper", "Raw + Crop + Sup + Drop"),
    )


COMPARED = {
    6: _compared(
        93.2,
        94.9,
        ("WS-DAN", "ResNet-50", 94.5, "[5]"),
        ("TransFG", "ViT-B_16", 94.8, "[27]"),
        ("SEB + EffNet-B5", "EfficientNet", 94.6, "[28]"),
        ("ViT", "ViT-B_16", 93.7, "[19]"),
    ),
    7: _compared(
        90.6,
        91.8,
        ("MMAL", "ResNet-50", 89.6, "[4]"),
        ("TransFG", "ViT-B_16", 91.7, "[27]"),
        ("AFTrans", "ViT-B_16", 91.5, "[7]"),
        ("RAMS", "ViT-B_16", 91.3, "[6]"),
        ("ViT", "ViT-B_16", 90.2, "[19]"),
    ),
    8: _compared(
        91.9,
        94.0,
        ("M-Granularity", "ResNet-50", 93.8, "[29]"),
        ("API-Net", "DenseNet-161", 93.9, "[30]"),
        ("CAL", "ResNet-50", 94.2, "[31]"),
        ("ViT-SAC", "ViT-B_16", 93.1, "[32]"),
        ("ViT", "ViT-B_16", 92.1, "[19]"),
    ),
    9: _compared(
        93.4,
        94.4,
        ("API-Net", "DenseNet-161", 90.3, "[30]"),
        ("FFVT", "ViT-B_16", 91.5, "[33]"),
        ("TransFG", "ViT-B_16", 92.3, "[27]"),
        ("WS_DAN-SAC", "ViT-B_16", 93.1, "[32]"),
        ("ViT", "ViT-B_16", 91.7, "[19]"),
    ),
}

# What a reader should know of a cited row, by table.
REMARKS = {
    6: "WS-DAN: the paper prints ResNet-50 as its backbone; the code of WS-DAN's authors (GitHub, "
    "tau-yihouxiang/WS_DAN) trains Inception v3 on Cars. Which of the two gave the 94.5 of [5] was not checked.",
}
