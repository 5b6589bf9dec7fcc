"""True boxes for controls, against boxes that were written down by hand."""

import json

import pytest

from gholm_lib.config import Config
from gholm_lib.datasets import DataError, load_dataset, with_aims
from gholm_lib.provenance import split_data
from tests.lib.datasets.conftest import write_cub

SHARES = (2 / 12, 1 / 10, 8 / 12, 5 / 10)  # the box 2.0 1.0 5.5 4.0 in whole pixels, of pictures of 12 x 10


@pytest.fixture
def folder(tmp_path):
    return write_cub(tmp_path / "CUB_200_2011")


def write_truth(folder, regions) -> None:
    truth = folder / "ground_truth" / "truth.json"
    truth.parent.mkdir(exist_ok=True)
    images = [f"images/{line.split()[1]}" for line in (folder / "images.txt").read_text().splitlines()]
    truth.write_text(json.dumps({"images": {name: {"regions": regions} for name in images}}))


def test_the_owners_box_as_shares_of_the_picture(folder):
    aimed = with_aims(load_dataset("cub", folder.parent), "object")
    assert [s.aim for s in (*aimed.train, *aimed.test)] == [pytest.approx(SHARES)] * 4


def test_the_box_round_all_discs_ends_at_the_picture(folder):
    write_truth(folder, {"beak": [5.0, 4.0, 2.0], "tail": [9.0, 8.0, 4.0]})
    aimed = with_aims(load_dataset("cub", folder.parent), "parts")
    assert aimed.train[0].aim == pytest.approx((3 / 12, 2 / 10, 1.0, 1.0))  # 3..13 across, 2..12 down


def test_a_truth_that_was_written_again_is_read_again(folder):
    write_truth(folder, {"beak": [5.0, 4.0, 2.0]})
    assert with_aims(load_dataset("cub", folder.parent), "parts").train[0].aim[0] == pytest.approx(3 / 12)
    write_truth(folder, {"beak": [6.0, 4.0, 2.0]})
    assert with_aims(load_dataset("cub", folder.parent), "parts").train[0].aim[0] == pytest.approx(4 / 12)


def test_a_set_without_boxes_says_so(folder):
    (folder / "bounding_boxes.txt").unlink()
    data = load_dataset("cub", folder.parent)
    with pytest.raises(
        DataError, match=r'crop_box="object" needs a box for each image, but cub has none for images/'
    ):
        with_aims(data, "object")
    with pytest.raises(DataError, match=r"only the drawn sets \(mini_birds, ...\) know their deciding parts"):
        split_data(Config(dataset="cub", crop_box="parts"), data)


def test_a_broken_truth_names_its_file(folder):
    write_truth(folder, {})
    (folder / "ground_truth" / "truth.json").write_text("{")
    with pytest.raises(DataError, match=r"truth.json cannot be read .* gholm data get mini"):
        with_aims(load_dataset("cub", folder.parent), "parts")


def test_only_controls_with_true_boxes_look_for_them(folder):
    (folder / "bounding_boxes.txt").unlink()
    data = load_dataset("cub", folder.parent)
    for kind in ("heatmap", "random", "centre", "whole"):
        assert {s.aim for s in split_data(Config(dataset="cub", crop_box=kind), data).train} == {None}
