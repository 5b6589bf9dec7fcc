"""One kept network and its files, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gholm_kit.export.files import write_graph
from gholm_kit.export.source import Source, open_source, pictures_of
from gholm_lib.config import load_config
from gholm_lib.datasets import read_image
from gholm_lib.loading import to_input


@pytest.fixture(scope="session")
def kept() -> Source:
    """The network that the chapters use, with its record."""
    return open_source(load_config("mini", dataset="mini_birds").run_id)


@pytest.fixture(scope="session")
def pictures(kept: Source) -> torch.Tensor:
    """100 test images as the network takes them: (100, 3, s, s)."""
    files = pictures_of(kept)
    assert len(set(files)) == 100
    return torch.stack([to_input(read_image(path).image, kept.net.config) for path in files])


@pytest.fixture(scope="session")
def files(kept: Source, tmp_path_factory) -> dict[str, Path]:
    """The graph in each format."""
    folder = tmp_path_factory.mktemp("graphs")
    return {kind: write_graph(kept, folder / f"model.{kind}", kind) for kind in ("onnx", "pt2")}
