"""Shares of the deciding parts against numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gholm_kit.reproduction.archive import PARTS, load_parts
from gholm_kit.reproduction.jobs import MUS, Job
from gholm_kit.reproduction.make import make_runs
from gholm_kit.reproduction.part_shares import THETAS, centred, measure_parts, part_shares
from gholm_kit.teaching.deciding_parts import Study, heat_of
from gholm_lib import masking
from gholm_lib.config import Config, RunOptions
from gholm_lib.model import GHOLMNet
from gholm_lib.provenance import OtherOriginError
from tests.noise import noise_in_cubs_layout
from tests.rounding import unit

pytestmark = pytest.mark.numeric

KEPT = 2 * unit(torch.float16)  # shares up to 1 are kept in half precision


@pytest.fixture
def net() -> GHOLMNet:
    torch.manual_seed(0)
    net = GHOLMNet.from_config(Config(weights="none", image_size=32, resize=36), 3)
    torch.nn.init.normal_(net.backbone.get_classifier().weight, 0, 0.3)
    return net.double().eval()


@pytest.fixture
def study() -> Study:
    """Deciding: everything, in the first image; the left half, in the second."""
    places = torch.full((2, 32, 32), 1 / 1024, dtype=torch.float64)
    places[1, :, :16], places[1, :, 16:] = 1 / 512, 0
    torch.manual_seed(1)
    return Study(
        samples=(),
        images=torch.randn(2, 3, 32, 32).double(),
        labels=torch.zeros(2, dtype=int),
        boxes=None,
        deciding=places,
    )


def test_shares_are_those_of_the_boxes_and_masks(net, study):
    found = part_shares(net, study)
    heat = heat_of(net, study.images)
    for mu in MUS:
        x0, y0, x1, y1 = masking.largest_component_boxes(masking.threshold(heat, mu))[1].tolist()
        assert found[f"area_{mu:g}"][1] == pytest.approx((x1 - x0) * (y1 - y0) / 1024, abs=KEPT)
        left = max(0, min(x1, 16) - min(x0, 16)) * (y1 - y0)
        assert found[f"kept_{mu:g}"][1] == pytest.approx(left / 512, abs=KEPT)
        assert found[f"kept_{mu:g}"][0] == pytest.approx(found[f"area_{mu:g}"][0], abs=KEPT)
        assert found[f"kept_moved_{mu:g}"][0] == pytest.approx(found[f"area_{mu:g}"][0], abs=KEPT)
        assert found[f"kept_centred_{mu:g}"][0] == pytest.approx(found[f"area_{mu:g}"][0], abs=KEPT)
        low = (32 - (x1 - x0)) // 2  # of the image's left half, the centred box holds the columns low to 16
        assert found[f"kept_centred_{mu:g}"][1] == pytest.approx((16 - low) * (y1 - y0) / 512, abs=KEPT)
    for theta in THETAS:
        mask = heat[1] > theta * heat[1].mean()
        assert found[f"erased_{theta:g}"][1] == pytest.approx(float(mask.float().mean()), abs=KEPT)
        assert found[f"removed_{theta:g}"][1] == pytest.approx(float(mask[:, :16].float().mean()), abs=KEPT)


def test_a_centred_box_keeps_its_sides():
    boxes = torch.tensor([[0, 0, 10, 4], [3, 20, 32, 31]])
    assert centred(boxes, 32).tolist() == [[11, 14, 21, 18], [1, 10, 30, 21]]


def test_nothing_measured_is_none(tmp_path):
    assert load_parts(tmp_path / PARTS) is None
    np.savez(tmp_path / PARTS, kept=np.array([0.5], np.float16))
    assert load_parts(tmp_path / PARTS)["kept"].tolist() == [0.5]


def test_a_network_of_other_pictures_is_not_measured(tmp_path, one_thread):
    root = noise_in_cubs_layout(tmp_path / "data")
    config = Config(
        dataset="cub",
        weights="none",
        image_size=32,
        resize=36,
        epochs=1,
        batch_size=4,
        crop=False,
        sup=False,
        drop=False,
    )
    options = RunOptions(root, tmp_path / "runs", "cpu", quiet=True)
    make_runs([Job(config)], tmp_path / "records", options)
    (root / "CUB_200_2011/ground_truth").mkdir()
    (root / "CUB_200_2011/ground_truth/truth.json").write_text('{"version": 4}')
    with pytest.raises(OtherOriginError, match="version None of the drawing, not 4"):
        measure_parts([Job(config)], tmp_path / "records", options)
    assert not list((tmp_path / "records").rglob(PARTS))
