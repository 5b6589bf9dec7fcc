"""`gholm data check` and `gholm data list`."""

import pytest

from gholm_lib.datasets import DATASETS, DataError, check_dataset, list_datasets


def test_complete_mini_set(layouts, tmp_path):
    layouts.cub(tmp_path / "mini_birds")
    report = check_dataset("mini_birds", tmp_path, images=True, progress=False)
    assert report.ok
    text = str(report)
    assert "2 classes, 2 training images, 2 test images" in text
    assert "all 4 images open" in text
    assert "Complete." in text
    assert "PROBLEM" not in text


@pytest.mark.parametrize("name", list(DATASETS))
def test_every_missing_file_is_listed(tmp_path, name):
    report = check_dataset(name, tmp_path)
    assert not report.ok
    text = str(report)
    for required in DATASETS[name].required:
        assert f"PROBLEM  {tmp_path / DATASETS[name].folder / required} is missing" in text
    for optional in DATASETS[name].optional:
        assert f"note     {tmp_path / DATASETS[name].folder / optional} is missing" in text
    assert DATASETS[name].get_command in text


def test_counts_are_held_against_table_1(layouts, tmp_path):
    layouts.cub(tmp_path / "CUB_200_2011")
    report = check_dataset("cub", tmp_path)
    assert not report.ok
    assert report.problems == (
        "2 classes, but Table 1 has 200",
        "2 training images, but Table 1 has 5994",
        "2 test images, but Table 1 has 5794",
    )


@pytest.mark.parametrize("name", ["cub", "aircraft", "cars", "dogs"])
def test_the_owners_lists_pass(official_root, name):
    report = check_dataset(name, official_root)
    assert report.ok, str(report)
    assert "as in Table 1" in str(report)


def test_corrupt_images_are_named(layouts, tmp_path):
    folder = layouts.dogs(tmp_path / "mini_dogs")
    empty = folder / "Images/n01-Boxer/n01_2.jpg"
    cut = folder / "Images/n02-Great_Dane/n02_1.jpg"
    for path, content in ((empty, b""), (cut, layouts.jpeg((64, 64))[:-30])):
        path.unlink()  # a hard link: writing would damage its siblings as well
        path.write_bytes(content)
    assert check_dataset("mini_dogs", tmp_path).ok, "the lists alone are in order"
    report = check_dataset("mini_dogs", tmp_path, images=True, progress=False)
    assert len(report.problems) == 2
    assert any(str(empty) in problem for problem in report.problems)
    assert any(str(cut) in problem for problem in report.problems)


def test_reader_errors_become_lines(layouts, tmp_path):
    folder = layouts.cub(tmp_path / "mini_birds")
    (folder / "train_test_split.txt").write_text("1 7\n2 0\n3 1\n4 0\n")
    report = check_dataset("mini_birds", tmp_path)
    assert len(report.problems) == 1
    assert "train_test_split.txt, line 1" in report.problems[0]


def test_unknown_name():
    with pytest.raises(DataError, match="Unknown data set 'x'"):
        check_dataset("x")


def test_list(layouts, tmp_path):
    layouts.aircraft(tmp_path / "mini_aircraft")
    (layouts.cars(tmp_path / "mini_cars") / "devkit/cars_meta.mat").unlink()
    text = list_datasets(tmp_path)
    rows = {line.split()[0]: line for line in text.splitlines() if line}
    assert set(DATASETS) < set(rows)
    assert str(tmp_path) in text
    assert "found in mini_aircraft/" in rows["mini_aircraft"]
    assert rows["mini_aircraft"].split()[-3:] == ["3", "3", "2"]
    assert "incomplete" in rows["mini_cars"]
    assert "gholm data check mini_cars" in rows["mini_cars"]
    assert "not there" in rows["cub"]
    assert rows["cub"].split("not there")[1].split()[:3] == ["200", "5994", "5794"]
    assert "gholm data get cub" in rows["cub"]
    assert "gholm data get mini" in rows["mini_dogs"]
