"""Sliders of pages and slides in Chromium, with no kernel: the script against PyTorch, keys, touch, no script."""

import re
from itertools import pairwise

import nbformat
import numpy as np
import pytest
import torch

from gholm_kit.pages.deck import Decks
from gholm_kit.pages.render import TEMPLATES, WIDGET_STATE
from gholm_kit.pages.site import Site
from gholm_kit.teaching import deciding_parts
from gholm_kit.teaching.widgets import crops, erasure
from gholm_kit.teaching.widgets.sliders import boxes_at, coarse_maps
from gholm_lib import load_config, masking
from gholm_lib.datasets import load_dataset
from gholm_lib.gradcam import upsample
from gholm_lib.runs import kept_network
from tests.browser.pages import Page, code, show, text, v4, write_pages

pytestmark = pytest.mark.browser

PICTURES, MUS = 50, torch.linspace(0.5, 4.0, 20).tolist()
# Of each map: the heat, and of each mu the mask as text of 0 and 1 and the box.
COMPUTE = """async ([source, maps, size, mus, connectivity]) => {
  const address = `data:text/javascript,${encodeURIComponent(source)}`;
  const { boxOf, components, threshold, upsample } = await import(address);
  return maps.map(({cam, mean}) => {
    const heat = upsample(cam.flat(), cam.length, cam[0].length, size, size);
    const stops = mus.map(mu => {
      const mask = threshold(heat, mean, mu);
      return {mask: mask.join(''), box: boxOf(components(mask, size, size, connectivity), size, size)};
    });
    return {heat: [...heat], stops};
  });
}"""


@pytest.fixture(scope="module")
def birds():
    """The kept network of the chapters, PICTURES test pictures and the names of their classes."""
    config = load_config("mini", dataset="mini_birds", seed=0)
    data = load_dataset("mini_birds")
    return kept_network(config), deciding_parts.study_images(data, config, count=PICTURES), data.classes


def bits(mask: str, size: int) -> np.ndarray:
    return (np.frombuffer(mask.encode(), np.uint8) == ord("1")).reshape(size, size)


@pytest.mark.parametrize("connectivity", [8, 4])
def test_boxes_and_masks_are_those_of_pytorch(birds, tab, connectivity):
    """50 pictures x 20 values of mu. A mask may differ only where heat and threshold agree to float32's last digits.

    On a processor that rounds after each product, unlike the script, that could be so for a pixel in a million.
    """
    net, study, _ = birds
    heats, maps = [], []
    for image in study.images[:PICTURES].split(1):
        cam = coarse_maps(net, image, [int(net.classify(image).argmax())])
        heats.append(upsample(cam, image.shape[-1])[0])
        maps.append({"cam": cam[0].tolist(), "mean": float(masking.heat_mean(heats[-1][None])[0])})
    size = len(heats[0])
    script = (TEMPLATES / "gholm" / "geometry.js").read_text(encoding="utf-8")
    found = tab.page.evaluate(COMPUTE, [script, maps, size, MUS, connectivity])
    assert (len(found), len(found[0]["stops"])) == (PICTURES, len(MUS))
    for heat, page in zip(heats, found, strict=True):
        np.testing.assert_allclose(np.array(page["heat"]).reshape(size, size), heat, rtol=1e-5, atol=1e-7)
        boxes = boxes_at(net, heat, MUS, connectivity)
        for mu, stop, box in zip(MUS, page["stops"], boxes.tolist(), strict=True):
            differ = bits(stop["mask"], size) ^ masking.threshold(heat[None], mu)[0].numpy()
            level = mu * float(heat.mean())
            assert np.abs(heat.numpy()[differ] - level).max(initial=0) <= 4 * np.spacing(np.float32(level))
            assert stop["box"] == box or differ.any()


@pytest.fixture(scope="module")
def book(birds):
    """A chapter of two cells, executed: the panels of chapters 02 and 03 for a few pictures."""
    net, study, classes = birds
    heat = deciding_parts.heat_of(net, study.images[:7])
    panels = [module.panel(net, study, heat, classes, [0, 3, 6]) for module in (crops, erasure)]
    cells = [text("# 02 · Sliders: does it move?", "slide"), text("## Move μ", "slide")]
    for panel in panels:
        cells.append(code("sliders.panel()", show(panel._repr_mimebundle_()), kind="subslide"))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    state = {panel.model_id: {"model_name": "VBoxModel", "state": {"children": []}} for panel in panels}
    widgets = {WIDGET_STATE: {"state": state}}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "widgets": widgets})


@pytest.fixture(scope="module")
def pages(tmp_path_factory, book):
    """The page of :func:`book`, and its deck."""
    root = tmp_path_factory.mktemp("sliders")
    source = root / "02_sliders.ipynb"
    nbformat.write(book, source)
    return {
        kind: write_pages(kind, root / kind.__name__, [source], root) / "02_sliders.html"
        for kind in (Site, Decks)
    }


def words(panel) -> str:
    return panel.locator(".words").inner_text().replace("\u00a0", " ")


def numbers(told: str) -> list[int]:
    """All percentages in a text."""
    return [int(n) for n in re.findall(r"(\d+) %", told)]


def first_panel(page, number: int = 0):
    panel = page.locator("figure.sliders").nth(number)
    panel.locator(".words:not(:empty)").wait_for(state="attached")
    return panel


def test_the_page_says_what_the_library_says(birds, book, pages, tab):
    """At the start, and after a key: shares of mask and box, the answer, to a rounded percent."""
    net, study, classes = birds
    panel = first_panel(tab.open(pages[Site]))
    for key, mu in (("", 1.7), ("ArrowRight", 1.8), ("End", 3.0), ("Home", 0.5)):
        if key:
            panel.locator("input").press(key)
        heat = net.heatmap(study.images[:1])
        wanted = crops.in_words(net, study, heat, classes, 0, mu)
        mask, box, sure = (numbers(part)[0] for part in words(panel).split("; "))
        shares = re.findall(r"covers (\d+) %|crop is (\d+) %|, (\d+) % \(", wanted)
        expected = [int("".join(groups)) for groups in shares]
        assert np.abs(np.array([mask, box, sure]) - expected).max() <= 1, (words(panel), wanted)
        assert f"μ = {mu:.2f}" in words(panel)
        assert panel.locator("input").get_attribute("aria-valuetext") == f"μ = {mu:.2f}"
    assert tab.errors == []
    assert tab.outside == []


def drawn(panel) -> list[str]:
    return panel.locator("canvas").evaluate_all("all => all.map(c => c.toDataURL())")


def test_every_control_redraws_and_says_so(pages, tab):
    page = tab.open(pages[Site])
    panel = first_panel(page)
    seen = [(drawn(panel), words(panel))]
    for change in (
        lambda: panel.locator("select").nth(1).select_option(index=1),
        lambda: panel.locator("select").nth(0).select_option(index=2),
        lambda: panel.locator("input").press("ArrowLeft"),
    ):
        before = panel.locator(".words").inner_text()  # as it stands: words() has other spaces
        change()
        page.wait_for_function("before => document.querySelector('.words').innerText !== before", arg=before)
        seen.append((drawn(panel), words(panel)))
    assert len({told for _, told in seen}) == 4
    for before, after in pairwise(seen):
        assert before[0][0] != after[0][0]
    labels = panel.locator("canvas").evaluate_all("all => all.map(c => c.getAttribute('aria-label'))")
    assert len(labels) == 3
    assert all(panel.locator("select").first.input_value() in label for label in labels)
    assert "μ = 1.60" in labels[0]


def test_the_panel_of_chapter_03_erases(birds, pages, tab):
    net, study, _ = birds
    panel = first_panel(tab.open(pages[Site]), 1)
    panel.locator("input").press("Home")
    share = masking.threshold(net.heatmap(study.images[:1]), 0.5).float().mean()
    assert words(panel).startswith(f"θ = 0.50 erases {100 * float(share):.0f} % of the picture (fill: mean)")
    assert panel.locator("canvas").count() == 3


def test_a_finger_moves_the_slider(pages, chromium):
    """On a telephone, whose page stays as wide as its window."""
    context = chromium.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(pages[Site].as_uri())
    panel = first_panel(page)
    before = words(panel)
    place = panel.locator("input").bounding_box()
    page.touchscreen.tap(place["x"] + 0.9 * place["width"], place["y"] + place["height"] / 2)
    assert words(panel) != before
    assert page.evaluate("document.body.scrollWidth <= innerWidth")
    context.close()


def test_without_the_script_the_still_picture_stays(pages, chromium):
    assert len(Page(pages[Site]).pictures) == 2
    assert all(alt.startswith(("μ = 1.70", "θ = 1.50")) for alt in Page(pages[Site]).pictures)
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages[Site].as_uri())
    assert page.locator("figure.sliders img").first.is_visible()
    assert page.locator("canvas").count() == 0
    context.close()


def test_a_deck_has_the_panel_in_its_place_and_its_keys_do_not_turn_slides(pages, tab):
    page = tab.open(pages[Decks])
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    panel = first_panel(page)
    page.evaluate(
        """() => {
          const {h, v} = Reveal.getIndices(document.querySelector('.sliders').closest('section'));
          Reveal.slide(h, v);
        }"""
    )

    where, before = page.evaluate("Reveal.getIndices()"), words(panel)
    assert page.evaluate("Reveal.getCurrentSlide().scrollHeight") <= 720
    size = panel.locator(".words").evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
    assert size >= 18
    panel.locator("input").press("ArrowRight")
    panel.locator("select").nth(1).press("ArrowDown")
    assert page.evaluate("Reveal.getIndices()") == where
    assert words(panel) != before
    page.keyboard.press("Escape")  # leaves the control, and does not open the overview
    assert not page.evaluate("Reveal.isOverview()")
    page.keyboard.press("Space")
    assert page.evaluate("Reveal.getIndices()") != where
    assert tab.errors == []
