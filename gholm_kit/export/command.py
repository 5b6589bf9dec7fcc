"""``gholm export``: one network as a graph, with its card, compared with PyTorch before it is called done."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from gholm_kit.export.card import model_card
from gholm_kit.export.files import Parity, compare, open_graph, write_graph
from gholm_kit.export.graph import ExportError
from gholm_kit.export.hub import CARD, write_hub_folder
from gholm_kit.export.source import Source, open_source, pictures_of
from gholm_lib.config import RunOptions
from gholm_lib.datasets import read_image
from gholm_lib.loading import to_input
from gholm_lib.records import write_whole

NOISE = 8  # images to compare on where there are no data


def export(
    name: str,
    kind: str = "onnx",
    out: Path | None = None,
    hub: bool = False,
    options: RunOptions | None = None,
) -> str:
    """Write ``model.onnx`` or ``model.pt2`` and a model card into a folder; returns what was done, in words.

    name    see :func:`open_source`
    out     the folder; None: ``export/NAME``
    hub     also write what timm loads; the card is then called README.md, as on the hub
    raises  ExportError: the network cannot be exported, or the file does not answer as PyTorch does
    """
    source = open_source(name, options)
    folder = out or Path("export") / source.name
    if folder.is_file():
        raise ValueError(f"--out takes a folder, but {folder} is a file")
    path = write_graph(source, folder / f"model.{kind}", kind)
    images, where = _images(source, options)
    parity = compare(open_graph(path), source.net, images)
    if not parity.ok:
        path.unlink()
        raise ExportError(f"{path} was removed: {parity}; please report it, with what `gholm doctor` prints")
    text = model_card(source)
    card = folder / (CARD if hub else "model_card.md")
    write_whole(card, lambda file: file.write(text.encode()))
    if hub:
        write_hub_folder(source, folder)
    return _words(path, card, parity, where, hub)


def _images(source: Source, options: RunOptions | None) -> tuple[Tensor, str]:
    """Inputs to compare on, and where they are from."""
    config = source.net.config
    files = pictures_of(source, options)
    if files:
        inputs = [to_input(read_image(path).image, config) for path in files]
        return torch.stack(inputs), f"test images of {config.dataset}"
    side = config.image_size * config.input_scale
    return torch.randn(NOISE, 3, side, side, generator=torch.Generator().manual_seed(0)), "noise"


def _words(path: Path, card: Path, parity: Parity, where: str, hub: bool) -> str:
    lines = [f"{path}  ({path.stat().st_size / 1e6:.1f} MB; {parity}; the images: {where})", str(card)]
    if hub:
        lines.append(
            f'{path.parent} loads with timm.create_model("local-dir:{path.parent}", pretrained=True)'
        )
    return "\n".join(lines)
