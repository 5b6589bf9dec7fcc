"""The photographs that come with scikit-image are what scikit-image gives, with its own words on their licences."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest
import skimage.data

from gholm_kit.teaching import free_photos
from gholm_kit.teaching.free_photos import FREE_PHOTOS, credits_of, free_photo
from gholm_kit.teaching.photos import PhotoError


@pytest.mark.parametrize("name", FREE_PHOTOS)
def test_it_is_scikit_images_photograph_with_its_licence(name):
    load = getattr(skimage.data, FREE_PHOTOS[name].file.split(".")[0])
    assert (np.asarray(free_photo(name).image) == load()).all()
    licence = FREE_PHOTOS[name].credit.split(", ")[1]
    assert re.search(licence, load.__doc__)


def test_the_line_below_a_figure_names_each():
    line = credits_of(["cat", "rocket"])
    assert line == (
        "Photographs: cat: Stéfan van der Walt, CC0; rocket: SpaceX, public domain (from scikit-image)"
    )


def test_another_name_is_refused():
    with pytest.raises(PhotoError, match="no free photograph 'dog'; there are cat, coffee"):
        free_photo("dog")


def test_without_scikit_image_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(free_photos, "find_spec", lambda name: None)
    with pytest.raises(PhotoError, match="comes with scikit-image, which is not installed: pip install"):
        free_photo("cat")


def test_a_scikit_image_without_the_file_is_named(monkeypatch, tmp_path):
    empty = importlib.util.spec_from_file_location("skimage", tmp_path / "__init__.py")
    monkeypatch.setattr(free_photos, "find_spec", lambda name: empty)
    with pytest.raises(PhotoError, match=r"has no file .*chelsea\.png: pip install --force-reinstall"):
        free_photo("cat")
