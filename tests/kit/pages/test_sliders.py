"""The computing part of `sliders.js`, run by Node, against the library; in Chromium: tests/browser/test_live.py."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch

from gholm_kit.pages.render import TEMPLATES, script_json
from gholm_lib import masking
from gholm_lib.gradcam import upsample

SCRIPT = TEMPLATES / "gholm" / "sliders.js"
NODE = shutil.which("node")
CALLS = """
require(process.argv[1]);
const plain = (value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
const calls = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(calls.map(([name, ...values]) => plain(GholmSliders[name](...values)))));
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


@pytest.mark.parametrize(("coarse", "size"), [(7, 112), (7, 224), (14, 448), (2, 100), (9, 70)])
def test_a_map_is_enlarged_as_by_the_library(coarse, size):
    """To 1e-5 on any processor; to the last bit where products and sums are fused, as on x86 since 2013."""
    torch.manual_seed(coarse)
    cams = torch.rand(3, coarse, coarse) ** 4
    found = np.array(node(*(["upsample", cam.tolist(), size] for cam in cams)), np.float32)
    np.testing.assert_allclose(found, upsample(cams, size).flatten(1), rtol=1e-5, atol=0)


@pytest.mark.parametrize("factor", [1.0, 1.3, 2.1])
def test_a_threshold_is_that_of_the_library(factor):
    """Levels are rounded as the library rounds them; what lies on the level, as in a flat map, is not above it."""
    steps = torch.tensor([0.0, 1.3, 2.1, 2.73, 2.7300002, 2.7299998, 4.41, 4.4100003]).repeat(1, 8, 1)
    for heat in (steps, torch.ones(1, 8, 8), torch.full((1, 8, 8), 0.1), torch.zeros(1, 8, 8)):
        mean = float(masking.heat_mean(heat)[0])
        (found,) = node(["threshold", heat.flatten().tolist(), mean, factor])
        assert found == masking.threshold(heat, factor).flatten().int().tolist()


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("density", [0.05, 0.3, 0.45, 0.6, 0.9])
def test_the_largest_component_is_that_of_opencv(connectivity, density):
    """In noise, where two are often equally large; the second is then the one that lies lower or further right."""
    torch.manual_seed(0)
    masks = torch.rand(60, 16, 16) < density
    masks[0] = False
    wanted = masking.largest_component_boxes(masks, connectivity)
    found = node(*(["components", m.flatten().int().tolist(), 16, connectivity] for m in masks))
    boxes = node(*(["boxOf", c, 16, NOTHING] for c in found))
    assert boxes == wanted.tolist()
    ties = sum(len(c) > 1 and c[0]["area"] == c[1]["area"] for c in found)
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
def test_margins_are_those_of_the_library(readings):
    readings = NOTHING | readings
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(0, 113, (200, 2, 2)), axis=1)
    corners[:, 1] = np.maximum(corners[:, 1], corners[:, 0] + 1).clip(max=112)
    corners[:, 0] = np.minimum(corners[:, 0], 111)
    boxes = torch.from_numpy(corners.reshape(-1, 4))
    wanted = masking.adjust_boxes(boxes, (112, 112), **readings)
    assert node(*(["adjust", b, 112, readings] for b in boxes.tolist())) == wanted.tolist()


def test_no_text_closes_the_script_that_holds_it():
    classes = ["</script><b>", "<!--", '红 & "quoted"']
    written = script_json(classes)
    assert "<" not in written
    assert json.loads(written) == classes
