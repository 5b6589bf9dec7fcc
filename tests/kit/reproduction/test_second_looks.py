"""Second looks: each is what the network itself gives; table and figure come from the kept answers."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from gholm_kit import style
from gholm_kit.__main__ import main
from gholm_kit.reproduction import second_looks as module
from gholm_kit.reproduction import second_looks_shown as shown
from gholm_kit.reproduction.second_looks import (
    AGAIN,
    MUS,
    PLACES,
    SOURCES,
    SecondLooks,
    load_second_looks,
    look_name,
    look_names,
    measure,
    readings,
)
from gholm_lib.datasets import DataError
from gholm_lib.datasets.samples import Photograph
from gholm_lib.imagenet import imagenet_classes, imagenet_network, imagenet_wordnet_ids
from gholm_lib.loading import to_input
from gholm_lib.paths import figures_folder
from gholm_lib.records import RecordError

PICTURES = {"chelsea": "tiger cat", "coffee": "espresso", "rocket": "missile"}


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> tuple[SecondLooks, list[Image.Image]]:
    """Three photographs of scikit-image's, looked at with one mu."""
    folder, opened, photographs = tmp_path_factory.mktemp("photos"), [], []
    for name, label in PICTURES.items():
        opened.append(Image.fromarray(getattr(skimage.data, name)()))
        opened[-1].save(folder / f"{name}.png")
        wordnet_id = imagenet_wordnet_ids()[imagenet_classes().index(label)]
        photographs.append(Photograph(folder / f"{name}.png", wordnet_id))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read_samples", lambda root: photographs)
        patch.setattr(module, "MUS", (1.7,))
        patch.setattr(module, "BATCH", 2)
        return measure(progress=False), opened


def test_raw_and_labels_are_those_of_the_network(measured):
    answers, opened = measured
    net, names = imagenet_network()
    raw = net.classify(torch.stack([to_input(image, net.config) for image in opened])).argmax(1)
    assert [names[k] for k in answers.label] == list(PICTURES.values())
    assert answers.raw.tolist() == raw.tolist()
    assert answers.correct(None)[0, 1], "the cup of espresso"


@pytest.mark.parametrize(
    ("look", "changes"),
    [
        ("input heatmap 1.7", {}),
        ("input centre 1.7", {"crop_box": "centre"}),
        ("square box", {"crop_square": True}),
        ("mu .5 of the maximum (WS-DAN)", {"mu_times": "max", "mu": 0.5}),
    ],
)
def test_a_look_is_that_of_the_library_with_these_settings(measured, look, changes):
    answers, opened = measured
    net = copy.copy(imagenet_network()[0])
    net.config = net.config.replace(mu=1.7).replace(**changes)
    out = net.attend(torch.stack([to_input(image, net.config) for image in opened]))
    row = answers.place[look]
    assert answers.second[row].tolist() == out.crop_logits.argmax(1).tolist()
    assert answers.both[row].tolist() == out.logits.argmax(1).tolist()
    np.testing.assert_allclose(answers.area[row], out.attention.box_area, rtol=1e-3)


def test_a_look_at_the_original_sees_the_box_at_twice_the_size(measured):
    answers, opened = measured
    net, _ = imagenet_network()
    _, heat = net.raw_and_heat(torch.stack([to_input(image, net.config) for image in opened]))
    second = []
    for image, (x0, y0, x1, y1) in zip(opened, net.boxes(heat, 1.7).tolist(), strict=True):
        wide = to_input(image, net.config.replace(crop_from="original"))
        part = wide[None, :, 2 * y0 : 2 * y1, 2 * x0 : 2 * x1]
        enlarged = torch.nn.functional.interpolate(part, (224, 224), mode="bilinear")
        second.append(int(net.classify(enlarged).argmax()))
    assert answers.second[answers.place["original heatmap 1.7"]].tolist() == second


def test_boxes_of_controls_are_as_large_as_the_heatmaps(measured):
    answers, _ = measured
    areas = [answers.area[answers.place[look_name(s, p, 1.7)]] for s in SOURCES for p in PLACES]
    assert all((area == areas[0]).all() for area in areas)
    assert (areas[0] < 1).all()
    assert (answers.area[answers.place[AGAIN]] == 1).all()


def test_the_readings_change_nothing_but_the_box():
    fields = {name for _, reading in readings() for name in reading.changes}
    box = {"crop_padding", "crop_margin", "crop_min_size", "crop_square", "crop_mask", "connectivity"}
    assert fields == box | {"cam_weighted", "mu_times", "mu"}


# ---------------------------------------------------------------------- kept


def answers_of(both: dict[str, list[int]]) -> SecondLooks:
    """100 photographs of class 0, of which Raw has 60 right; ``both``: right answers gained and lost by a look."""
    names, raw = look_names(), np.array([0] * 60 + [1] * 40, np.int16)
    sums = np.tile(raw, (len(names), 1))
    for look, (gained, lost) in both.items():
        sums[names.index(look), :lost] = 1
        sums[names.index(look), 60 : 60 + gained] = 0
    about = {
        "looks": names,
        "config": {"mu": 1.7},
        "photographs": {"page": "https://example.org", "count": 100},
    }
    area = np.full(sums.shape, 0.25, np.float16)
    return SecondLooks(about, np.zeros(100, np.int16), raw, sums, sums, area)


def test_what_is_saved_is_read(tmp_path):
    answers = answers_of({})
    answers.save(tmp_path)
    again = load_second_looks(tmp_path)
    assert again.about == answers.about
    assert (again.both == answers.both).all()


def test_damaged_answers_are_named(tmp_path):
    answers_of({}).save(tmp_path)
    (tmp_path / "answers.npz").write_bytes(b"cut")
    with pytest.raises(RecordError, match=r"about\.json \(with answers\.npz\) cannot be read"):
        load_second_looks(tmp_path)


def test_kept_answers_are_to_all_looks_of_500_photographs():
    kept = load_second_looks()
    assert kept.about["looks"] == look_names()
    assert kept.both.shape == kept.second.shape == kept.area.shape == (len(look_names()), 500)
    assert len(set(kept.label.tolist())) == 500


def test_kept_figure_is_drawn_from_the_kept_answers():
    drawn = shown.draw_second_looks(load_second_looks())
    assert style.made_from(figures_folder() / "second_looks.png") == drawn.about


# ---------------------------------------------------------------------- shown


def test_the_table_counts_what_a_look_gains_and_loses():
    answers = answers_of({"input heatmap 1.7": (20, 4), "input random 1.7": (0, 10)})
    rows = shown.second_looks_table(answers).rows
    assert len(rows) == len(SOURCES) * len(MUS) + len(readings()) + 1
    (row,) = (
        r
        for r in rows
        if r["μ"] == "1.7" and r["second look"].startswith("Crop, eq") and "input" in r["cut from"]
    )
    assert row["Raw + it"] == pytest.approx(76)
    assert row["Raw + it minus Raw"].of.mean == pytest.approx(16)
    assert row["Raw + it minus Raw + random box"].of.mean == pytest.approx(26)
    assert row["Raw + it minus Raw + centred box"].of.mean == pytest.approx(16)
    assert row["verdict"] == "better"
    assert row["share of the picture, %"] == pytest.approx(25)
    assert {r["verdict"] for r in rows if r is not row} == {"not distinguishable"}


def test_the_figure_says_its_numbers_and_its_source(tmp_path):
    answers = answers_of({"input heatmap 1.7": (20, 4)})
    drawn = shown.draw_second_looks(answers)
    assert "cut from the network's input, by the heatmap: +0.0 to +16.0 points" in drawn.alt
    other = replace(answers, raw=1 - answers.raw)
    assert shown.draw_second_looks(other).about != drawn.about


# ---------------------------------------------------------------------- the command


def test_the_command_measures_once_and_shows_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gholm_kit.reproduction.cli.measure", lambda *_, **__: answers_of({}))
    args = ["reproduce", "--second-looks", "--records", str(tmp_path / "looks")]
    assert main([*args, "--dry-run"]) == 0
    assert f"{len(look_names())} looks at each photograph are missing" in capsys.readouterr().out
    assert main(args) == 0
    assert "Second looks at photographs" in capsys.readouterr().out
    monkeypatch.setattr(
        "gholm_kit.reproduction.cli.measure", lambda *_, **__: pytest.fail("they are recorded")
    )
    assert main(args) == 0


def test_without_photographs_one_sentence_says_how_to_get_them(tmp_path, capsys):
    args = ["reproduce", "--second-looks", "--records", str(tmp_path / "looks"), "--data-root", str(tmp_path)]
    assert main(args) == 1
    assert "`gholm data get samples` fetches them" in capsys.readouterr().err
    with pytest.raises(DataError):
        measure(tmp_path, progress=False)


def test_it_goes_alone(capsys):
    assert main(["reproduce", "--second-looks", "--table", "2"]) == 1
    assert "--second-looks goes alone" in capsys.readouterr().err
