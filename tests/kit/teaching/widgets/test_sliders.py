"""What a page is told of a panel: exact maps, the answers of the network, and no more than it can show."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from gholm_kit import style
from gholm_kit.pages import render
from gholm_kit.teaching.widgets import crops, erasure
from gholm_kit.teaching.widgets.sliders import (
    CLASSES,
    PICTURES,
    SLIDERS_VIEW,
    Stops,
    coarse_maps,
    slider_data,
)
from gholm_lib import masking
from gholm_lib.gradcam import upsample

MU, THETA = Stops((0.5, 1.7, 3.0), 1.7), Stops((1.0, 1.5), 1.5)


@pytest.fixture
def told(small_study):
    """What a page of the three pictures is told, through JSON and back."""
    net, study, _, classes = small_study
    return json.loads(json.dumps(slider_data(net, study, classes, [0, 1, 2], MU, THETA)))


def test_maps_keep_every_bit(small_study, told):
    net, study, _, _ = small_study
    for index, picture in enumerate(told["pictures"]):
        targets = [m["target"] for m in picture["maps"]]
        cams = coarse_maps(net, study.images[index : index + 1], targets)
        for cam, written in zip(cams, picture["maps"], strict=True):
            assert np.array_equal(np.array(written["cam"], np.float32), cam.numpy())
            mean = masking.heat_mean(upsample(cam[None], 32))
            assert np.float32(written["mean"]) == mean.numpy()[0]


def test_the_map_of_the_predicted_class_comes_first_and_the_true_class_is_there(small_study, told):
    net, study, _, _ = small_study
    for index, picture in enumerate(told["pictures"]):
        logits = net.classify(study.images[index : index + 1])[0]
        targets = [m["target"] for m in picture["maps"]]
        assert targets[0] == picture["raw"][0] == int(logits.argmax())
        assert picture["label"] in targets
        assert len(targets) == len(set(targets)) == CLASSES


def test_answers_to_crops_are_the_network_s(small_study, told):
    net, study, _, _ = small_study
    picture = told["pictures"][1]
    for written in picture["maps"]:
        heat = upsample(torch.tensor(written["cam"])[None], 32)
        for mu, (said, sure) in zip(MU.values, written["crop"]["4"], strict=True):
            crop = masking.crop(
                study.images[1:2], masking.largest_component_boxes(heat > mu * heat.mean(), 4), 32
            )
            p = net.classify(crop)[0].softmax(-1).detach()
            assert said == int(p.argmax())
            assert sure == pytest.approx(float(p.max()), abs=1e-4)


def test_answers_to_erased_pictures_are_the_network_s(small_study, told):
    net, study, _, _ = small_study
    picture = told["pictures"][0]
    written = picture["maps"][-1]
    heat = upsample(torch.tensor(written["cam"])[None], 32)
    for theta, erased in zip(THETA.values, written["erased"], strict=True):
        gone = study.images[:1].masked_fill(
            heat[:, None] > theta * heat.mean(), 0
        )  # fill "mean": 0 once normalised
        p = net.classify(gone)[0].softmax(-1).detach()
        assert erased["said"] == [int(p.argmax()), pytest.approx(float(p.max()), abs=1e-4)]
        assert erased["left"] == pytest.approx(float(p[picture["raw"][0]]), abs=1e-4)
        second = net.heatmap(gone)[0]
        relative = upsample(torch.tensor(erased["cam"])[None], 32)[0]
        assert torch.allclose(relative, (second / second.mean()).float(), atol=0.006)


def test_pixels_are_those_that_the_network_sees(small_study, told):
    net, study, _, _ = small_study
    data = told["pictures"][2]["image"].removeprefix("data:image/png;base64,")
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert np.array_equal(image, (255 * style.pixels(study.images[2], net.config)).round().astype(np.uint8))
    mean = [round(255 * m) for m in net.config.image_mean]
    assert told["pictures"][2]["paint"] == mean


def test_only_what_a_page_can_show(small_study):
    net, study, _, classes = small_study
    data = slider_data(net, study, classes, [0, 1, 2] * 5, mu=MU)
    assert len(data["pictures"]) == PICTURES
    assert "theta" not in data
    assert "erased" not in data["pictures"][0]["maps"][0]
    assert data["mu"]["start"] == 1
    assert data["note"] == "mini_birds: drawn teaching data, not photographs"
    net.config = net.config.replace(dataset="cub")
    assert slider_data(net, study, classes, [0], mu=MU)["note"] == ""


def test_a_panel_hands_its_data_on_beside_the_widget(small_study):
    panel = crops.panel(*small_study, pictures=[0, 1])
    bundle = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert render.SLIDERS_VIEW == SLIDERS_VIEW  # neither side imports the other
    told = bundle[SLIDERS_VIEW]
    assert base64.b64decode(told["still"]) == panel.image.value
    assert told["alt"] == panel.alt
    assert len(told["data"]["pictures"]) == 2
    slider = panel.controls["mu"]
    stops = told["data"]["mu"]
    assert (slider.min, slider.max) == (stops["stops"][0], stops["stops"][-1])
    assert stops["stops"][stops["start"]] == slider.value


def test_noise_is_not_drawn_anew_on_a_page(small_study):
    net, study, heat, classes = small_study
    net.config = net.config.replace(fill="noise")
    with pytest.raises(ValueError, match='cannot erase with noise: choose fill "mean"'):
        slider_data(net, study, classes, [0], theta=THETA)
    panel = erasure.panel(net, study, heat, classes, [0])
    assert SLIDERS_VIEW not in panel._repr_mimebundle_()


def test_a_slider_starts_at_one_of_its_stops():
    assert Stops.every(0.1, 0.5, 0.8, 0.7).plain() == {"stops": [0.5, 0.6, 0.7, 0.8], "start": 2}
    with pytest.raises(ValueError, match=r"cannot start at 0\.75: its stops are \(0\.5, 0\.6"):
        Stops.every(0.1, 0.5, 0.8, 0.75)
