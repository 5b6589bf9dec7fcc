"""Pictures: the same bytes each time, the mu contour and box where they belong."""

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from gholm_kit import style
from gholm_lib.config import Config

matplotlib.use("Agg")


@pytest.fixture
def heat():
    y, x = np.mgrid[0:40, 0:40]
    return np.exp(-((x - 25) ** 2 + (y - 12) ** 2) / 60.0)


def test_saved_figures_have_the_same_bytes_each_time(tmp_path, monkeypatch, heat):
    monkeypatch.setattr(style, "figures_folder", lambda: tmp_path / "figures")
    contents = []
    for _ in range(2):
        fig, ax = style.styled()
        artist = style.heat_over(ax, np.full((40, 40, 3), 0.5), heat, mu=1.7)
        style.heat_bar(fig, artist, ax, mu=1.7)
        png = style.save(fig, "figure")
        contents.append((png.read_bytes(), png.with_suffix(".svg").read_bytes()))
    assert contents[0] == contents[1]
    assert b"figure" in contents[0][0]  # its title, in the metadata


def test_heat_is_drawn_in_units_of_its_mean(heat):
    _, ax = style.styled()
    artist = style.heat_over(ax, np.zeros((40, 40, 3)), 3 * heat)
    np.testing.assert_allclose(artist.get_array(), heat / heat.mean())
    assert artist.get_clim() == (0, style.HEAT_MAX)
    assert artist.norm([0, style.HEAT_MAX / 4, style.HEAT_MAX]).tolist() == [0, 0.5, 1], "by its square root"


def test_a_heatmap_of_zeros_is_drawn_without_contour():
    _, ax = style.styled()
    artist = style.heat_over(ax, np.zeros((40, 40, 3)), np.zeros((40, 40)), mu=1.7)
    assert float(artist.get_array().max()) == 0
    assert not any(isinstance(c, matplotlib.contour.ContourSet) for c in ax.get_children())


def test_a_box_frames_its_half_open_pixels():
    _, ax = style.styled()
    style.box(ax, (2, 3, 10, 8))
    frame = ax.patches[0]
    assert (frame.get_x(), frame.get_y()) == (1.5, 2.5)
    assert (frame.get_width(), frame.get_height()) == (8, 5)


def test_branches_differ_in_grey_print():
    greys = [matplotlib.colors.to_rgb(style.COLOURS[b]) for b in ("raw", "crop", "drop")]
    looks = {
        (round(sum(c) / 3, 1), style.LINES[b]) for c, b in zip(greys, ("raw", "crop", "drop"), strict=True)
    }
    assert len(looks) == 3


def test_nothing_is_cut_off():
    def size(words: str) -> tuple[int, int]:
        fig, ax = style.styled(size=(4, 3))
        fig.set_layout_engine("none")
        ax.text(1.2, 0.5, words, transform=ax.transAxes)
        picture = Image.open(io.BytesIO(style.png(fig))).convert("L")
        assert (np.asarray(picture)[:, -1] == 255).all()  # what is drawn ends before the edge
        return picture.size

    assert size("") == (440, 330)
    assert size("far outside")[0] > 440


def test_a_kept_figure_is_replaced_only_if_it_was_made_from_something_else(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "figures_folder", lambda: tmp_path)

    def drawn(title: str, config: Config, **how) -> bytes:
        fig, ax = style.styled()
        ax.set_title(title)
        return style.save(fig, "figure", config, svg=False, **how).read_bytes()

    first = drawn("as on this machine", Config(), kept=True)
    assert drawn("as another processor has it", Config(), kept=True) == first
    assert drawn("on request", Config()) != first
    second = drawn("from other settings", Config(mu=2.0), kept=True)
    assert second != first
    assert style.made_from(tmp_path / "figure.png")["config"]["mu"] == 2.0


def test_a_setting_that_joined_later_does_not_make_a_figure_old(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "figures_folder", lambda: tmp_path)
    before = {k: v for k, v in Config().to_dict().items() if k != "crop_margin"}
    fig, _ = style.styled()
    path = style.save(fig, "old", about={"config": before, "runs": [{"config": before}]}, svg=False)
    told = style.made_from(path)
    assert told["config"] == told["runs"][0]["config"] == Config().to_dict()
    assert style.made_from(tmp_path / "absent.png") is None


@pytest.mark.parametrize("columns", [1, 5])
def test_the_colour_bar_stands_beside_however_wide_the_grid(heat, columns):
    fig, axes = style.styled(columns, 2, size=(2, 2), squeeze=False)
    for ax in axes.ravel():
        artist = style.heat_over(ax, np.full((40, 40, 3), 0.5), heat)
    style.heat_bar(fig, artist, axes.ravel().tolist(), mu=1.7)
    fig.canvas.draw()
    bar = fig.axes[-1].get_window_extent()
    assert bar.x0 > max(ax.get_window_extent().x1 for ax in axes.ravel())
    assert bar.height > 5 * bar.width


@style.in_style
@pytest.mark.parametrize("inches", [0.5, 1.0, 3.0])
def test_wrapped_text_is_no_wider_than_asked_and_loses_nothing(inches):
    text = "✗ Chevrolet Silverado 1500 Hybrid Crew Cab 2012\nis 长尾缝叶莺长尾缝叶莺长尾缝叶莺"
    said = style.wrapped(text, inches, 17)
    assert "".join(said.split()) == "".join(text.split())
    fig, ax = style.styled(size=(20, 4))
    drawn = ax.text(0, 0, said, fontsize=17)
    assert drawn.get_window_extent().width / fig.dpi <= 1.05 * inches  # pixels are whole
    assert style.wrapped("short", 9, 17) == "short"
