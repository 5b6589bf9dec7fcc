"""`gholm data check` and `gholm data list`."""

import pytest

from gholm_lib.datasets import DATASETS, DataError, FineGrainedData, check_dataset, list_datasets
from gholm_lib.datasets.check import is_the_papers


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


@pytest.mark.parametrize("name", ["cub", "aircraft", "cars", "dogs"])
def test_a_set_of_ones_own_is_not_held_against_table_1(layouts, tmp_path, name):
    getattr(layouts, name)(tmp_path / DATASETS[name].folder)
    report = check_dataset(name, tmp_path, images=True, progress=False)
    assert report.ok, str(report)
    assert "PROBLEM" not in str(report)
    assert any("2 test images" in line for line in report.found)
    (note,) = (line for line in report.notes if "Table 1" in line)
    assert str(DATASETS[name].expected[1]) in note


def with_counts(
    name: str, counts: tuple[int, int, int], ends: tuple[str, str] = ("A", "Z")
) -> FineGrainedData:
    """A set of so many classes, training and test images."""
    classes, train, test = counts
    names = (ends[0], *["another"] * (classes - 2), ends[1])
    return FineGrainedData(name, None, names, (None,) * train, (None,) * test)


@pytest.mark.parametrize("name", ["cub", "aircraft", "cars", "dogs"])
def test_what_claims_to_be_the_papers_set(name):
    info = DATASETS[name]
    classes, train, test = info.expected
    for counts in (info.expected, (classes, train - 1, test), (classes - 1, train - 40, test - 40)):
        assert is_the_papers(info, with_counts(name, counts)), (
            "by its counts: a copy of which something lacks"
        )
    assert is_the_papers(info, with_counts(name, (classes, 30, 20), info.ends)), "by its classes"
    for counts in ((3, 30, 20), (classes, 10 * classes, 5 * classes), (classes // 2, train // 2, test // 2)):
        assert not is_the_papers(info, with_counts(name, counts))


def test_first_and_last_class_are_the_owners(official):
    for name in ("cub", "cars", "dogs"):  # the list of aircraft here has numbers for names
        assert (official[name].classes[0], official[name].classes[-1]) == DATASETS[name].ends


def test_counts_of_the_papers_set_are_held_against_table_1(layouts, tmp_path):
    folder = layouts.cub(tmp_path / "CUB_200_2011")
    layouts.lines(folder / "classes.txt", ["1 001.Black_footed_Albatross", "2 200.Common_Yellowthroat"])
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
    assert "gholm data check mini_aircraft --images" in rows["mini_aircraft"]
    assert "incomplete" in rows["mini_cars"]
    assert "gholm data check mini_cars" in rows["mini_cars"]
    assert "missing" in rows["cub"]
    assert "gholm data get cub" in rows["cub"]
    assert "gholm data get mini" in rows["mini_dogs"]
