"""The slider of chapter 03: what it draws and says, and that moving it changes the picture."""

import matplotlib
import pytest

from gholm_kit.teaching import deciding_parts
from gholm_kit.teaching.figures.erasure import moved_in_sight
from gholm_kit.teaching.widgets import erasure
from gholm_lib import masking

matplotlib.use("Agg")


def test_render_says_what_it_shows(small_study):
    net, study, heat, _ = small_study
    fig, alt = erasure.render(*small_study, picture=0, theta=1.5, fill="black")
    matplotlib.pyplot.close(fig)
    assert alt.startswith(f"θ = 1.50 erases {100 * 96 / 1024:.0f} % of the picture (fill: black)")
    assert f"this removes {100 * 96 / 256:.0f} % of the deciding parts" in alt
    # Two confidences are those of the sweep behind the curves; the third is that of the shape in the picture.
    one = deciding_parts.Study(study.samples[:1], study.images[:1], study.labels[:1], None, None)
    sweep = deciding_parts.erasure_sweep(net, one, heat[:1], [1.5], fill="black")
    whole, said = (float(t) for t in deciding_parts.logits_of(net, one.images).softmax(1).max(1))
    gone, _ = sweep.confidence
    away, _ = moved_in_sight(masking.threshold(heat[:1], 1.5)[0])
    shown = deciding_parts.erased(net, one.images, away[None], "black")
    moved = float(deciding_parts.logits_of(net, shown).softmax(1)[0, int(said)])
    assert f"changes from {100 * whole:.0f} % to {100 * gone:.0f} %; it is {100 * moved:.0f} % when" in alt


def test_moving_a_control_changes_the_picture(small_study):
    panel = erasure.panel(*small_study, pictures=[0, 1])
    seen = [panel.image.value]
    for name, value in (("theta", 0.5), ("fill", "noise"), ("fill", "black"), ("picture", 1), ("theta", 4.0)):
        panel.controls[name].value = value
        seen.append(panel.image.value)
    assert len(set(seen)) == len(seen)
    assert "fill: black" in panel.alt


def test_an_error_in_render_is_not_swallowed(small_study, monkeypatch):
    panel = erasure.panel(*small_study, pictures=[0])

    def broken(*args, **kwargs):
        raise RuntimeError("nothing to move")

    monkeypatch.setattr(erasure, "share", broken)
    with pytest.raises(RuntimeError, match="nothing to move"):
        panel.controls["theta"].value = 2.0
    assert "nothing to move" in panel.message.value
    assert isinstance(panel.error, RuntimeError)
