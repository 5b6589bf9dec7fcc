"""`geometry.js`, run by Node, against the library; in Chromium: tests/browser/test_sliders.py and test_live.py."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch

from gholm_kit.pages.render import TEMPLATES
from gholm_lib import masking
from gholm_lib.gradcam import upsample

SCRIPT = TEMPLATES / "gholm" / "geometry.js"
NODE = shutil.which("node")
CALLS = """
const { readFileSync } = require("fs");
const plain = (value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
const source = encodeURIComponent(readFileSync(process.argv[1], "utf8"));
import(`data:text/javascript,${source}`).then((geometry) => {
  const calls = JSON.parse(readFileSync(0));
  console.log(JSON.stringify(calls.map(([name, ...values]) => plain(geometry[name](...values)))));
});
"""
NOTHING = {"padding": 0, "min_size": 0, "square": False, "margin": 0}


def node(*calls: list) -> list:
    """Results of functions of the script, one for each ``[name, values ...]``."""
    if NODE is None:
        pytest.skip("Node is not installed; the browser tests run the same functions")
    done = subprocess.run(
        [NODE, "-e", CALLS, str(SCRIPT)], input=json.dumps(calls), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("coarse", "size"),
    [
        ((7, 7), (112, 112)),
        ((7, 7), (224, 224)),
        ((14, 14), (448, 448)),
        ((2, 2), (100, 100)),
        ((9, 9), (70, 70)),
        ((3, 5), (90, 71)),
        ((1, 1), (80, 80)),
    ],
)
def test_a_map_is_enlarged_as_by_the_library(coarse, size):
    """To 1e-5 on any processor; to the last bit where products and sums are fused, as on x86 since 2013."""
    torch.manual_seed(coarse[0])
    cams = torch.rand(3, *coarse) ** 4
    found = np.array(
        node(*(["upsample", cam.flatten().tolist(), *coarse, *size] for cam in cams)), np.float32
    )
    np.testing.assert_allclose(found, upsample(cams, size).flatten(1), rtol=1e-5, atol=0)


@pytest.mark.parametrize("times", ["mean", "max"])
def test_a_level_is_the_mean_or_the_maximum(times):
    torch.manual_seed(0)
    heat = torch.rand(1, 56, 56)
    wanted = masking.heat_mean(heat)[0] if times == "mean" else heat.max()
    (found,) = node(["levelOf", heat.flatten().tolist(), times])
    assert found == pytest.approx(float(wanted), rel=1e-6)
    assert np.float32(found) == found


@pytest.mark.parametrize("times", ["mean", "max"])
@pytest.mark.parametrize("factor", [0.4, 1.0, 1.3, 2.1])
def test_a_threshold_is_that_of_the_library(factor, times):
    """Levels are rounded as the library rounds them; what lies on the level, as in a flat map, is not above it."""
    steps = torch.tensor([0.0, 1.3, 2.1, 2.73, 2.7300002, 2.7299998, 4.41, 4.4100003]).repeat(1, 8, 1)
    corner = torch.tensor([[[0.0, 1.0], [2.0, 5.0]]])  # mean 2, maximum 5: factor 1 and 0.4 give 2
    for heat in (steps, corner, torch.ones(1, 8, 8), torch.full((1, 8, 8), 0.1), torch.zeros(1, 8, 8)):
        level = float(masking.heat_mean(heat)[0] if times == "mean" else heat.max())
        (found,) = node(["threshold", heat.flatten().tolist(), level, factor])
        assert found == masking.threshold(heat, factor, times).flatten().int().tolist()


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("density", [0.05, 0.3, 0.45, 0.6, 0.9])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (13, 17)])
def test_the_largest_component_is_that_of_opencv(connectivity, density, height, width):
    """In noise, where two are often equally large; the second is then the one that lies lower or further right."""
    torch.manual_seed(0)
    masks = torch.rand(60, height, width) < density
    masks[0] = False
    wanted = masking.largest_component_boxes(masks, connectivity)
    found = node(*(["components", m.flatten().int().tolist(), width, height, connectivity] for m in masks))
    assert node(*(["boxOf", c, width, height] for c in found)) == wanted.tolist()
    for mask, parts in zip(masks.flatten(1), found, strict=True):  # each pixel is in one of them, once
        assert sorted(p for part in parts for p in part["pixels"]) == mask.nonzero()[:, 0].tolist()
    ties = sum(len(c) > 1 and len(c[0]["pixels"]) == len(c[1]["pixels"]) for c in found)
    assert density > 0.1 or ties > 20  # the rule was put to the test


@pytest.mark.parametrize(
    "readings",
    [
        {"padding": 0.1},
        {"padding": 0.25},
        {"min_size": 0.37},
        {"square": True},
        {"margin": 0.1},
        {"padding": 0.05, "min_size": 0.5, "square": True, "margin": 0.03},
    ],
)
@pytest.mark.parametrize(("height", "width"), [(112, 112), (70, 95)])
def test_margins_are_those_of_the_library(readings, height, width):
    readings = NOTHING | readings
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(0, [width, height], (200, 2, 2)), axis=1)
    corners[:, 1] += 1
    boxes = torch.from_numpy(corners.reshape(-1, 4))
    wanted = masking.adjust_boxes(boxes, (height, width), **readings)
    assert node(*(["adjust", b, width, height, readings] for b in boxes.tolist())) == wanted.tolist()


def test_erased_pixels_have_the_mean_colour_in_all_planes():
    torch.manual_seed(0)
    image, mask = torch.randn(1, 3, 4, 5), torch.rand(1, 4, 5) < 0.4
    (found,) = node(["erase", image.flatten().tolist(), mask.flatten().int().tolist()])
    assert found == masking.erase(image, mask).flatten().tolist()
