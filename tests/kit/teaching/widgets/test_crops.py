"""The slider of chapter 02: what it draws and says, and that moving it changes the picture."""

import matplotlib
import pytest

from gholm_kit.teaching.widgets import crops

matplotlib.use("Agg")


def test_render_is_pure(small_study):
    fig, alt = crops.render(*small_study, picture=1, mu=1.7, connectivity=8)
    assert "in 2 components" in alt
    assert f"the crop is {100 * 144 / 1024:.0f} % of it" in alt
    assert "contains 0 % of the deciding parts" in alt
    assert "(IoU) is 0.00" in alt
    matplotlib.pyplot.close(fig)
    again, same = crops.render(*small_study, picture=1, mu=1.7, connectivity=8)
    assert alt == same
    matplotlib.pyplot.close(again)


def test_an_empty_mask_is_said(small_study):
    assert "it is empty, so the crop is the whole picture" in crops.in_words(*small_study, picture=2, mu=1.7)


def test_moving_a_control_changes_the_picture(small_study):
    panel = crops.panel(*small_study, pictures=[0, 1, 2])
    seen = [panel.image.value]
    panel.controls["picture"].value = 1
    seen.append(panel.image.value)
    panel.controls["mu"].value = 0.5
    seen.append(panel.image.value)
    panel.controls["picture"].value = 2
    seen.append(panel.image.value)
    assert len(set(seen)) == 4
    assert panel.alt.startswith("μ = 0.50")
    before = panel.controls["picture"].options
    assert before[1] == ("second kind (1)", 1)


def test_an_error_in_render_is_not_swallowed(small_study, monkeypatch):
    panel = crops.panel(*small_study, pictures=[0, 1])

    def broken(*args, **kwargs):
        raise RuntimeError("no crop today")

    monkeypatch.setattr(crops.masking, "largest_component_boxes", broken)
    with pytest.raises(RuntimeError, match="no crop today"):
        panel.controls["mu"].value = 2.0
    assert "no crop today" in panel.message.value
    assert isinstance(panel.error, RuntimeError)
    assert panel.image.value == b""
