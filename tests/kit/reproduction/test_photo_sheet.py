"""Figure 6 on photographs shows what the ImageNet network says, and who made the photographs."""

from __future__ import annotations

import re

import pytest

from gholm_kit import style
from gholm_kit.look import look_at, open_eye
from gholm_kit.reproduction import cli
from gholm_kit.reproduction.photo_sheet import NAME, draw_photo_sheet
from gholm_kit.teaching.free_photos import FREE_PHOTOS
from gholm_kit.teaching.photos import top
from gholm_lib.paths import figures_folder
from tests.kit.teaching.figures.reading import words


@pytest.fixture(scope="module")
def drawn():
    return draw_photo_sheet()


def test_each_column_says_what_look_says(drawn):
    eye = open_eye()
    for name, photo in FREE_PHOTOS.items():
        ((k, p),) = top(look_at(photo.path, eye).seen.logits["both"], 1)
        assert f"{name}: {eye.classes[k]} {100 * p:.0f} %" in drawn.alt


def test_the_credits_stand_below_it(drawn):
    below = re.sub(r"\s+", " ", words(drawn.figure))
    assert all(f"{name}: {photo.credit}" in below for name, photo in FREE_PHOTOS.items())
    assert "drawn teaching data" not in words(drawn.figure)


def test_the_kept_figure_is_this_one(drawn):
    assert style.made_from(figures_folder() / f"{NAME}.png") == drawn.about


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"figure": (6,)}, {NAME}),
        ({"figure": (2,)}, set()),
        ({"all": True}, {NAME, "second_looks"}),
        ({"all": True, "preset": "paper"}, set()),
    ],
)
def test_it_is_drawn_with_figure_6(asked, names):
    assert set(cli._of_photographs(cli.Request(**asked))) == names


def test_the_check_finds_a_sheet_of_other_weights(drawn, tmp_path, monkeypatch):
    old = drawn._replace(about=drawn.about | {"runs": []})
    path = style.save(old.figure, NAME, about=old.about, folder=tmp_path)
    monkeypatch.setattr(cli, "figures_folder", lambda: tmp_path)
    monkeypatch.setattr(cli, "differing_figures", lambda *_: [])
    monkeypatch.setattr(cli, "draw_photo_sheet", lambda: drawn)
    request = cli.Request(check=True)
    assert path in cli._old_figures(request)
    style.save(drawn.figure, NAME, about=drawn.about, folder=tmp_path)
    assert path not in cli._old_figures(request)
