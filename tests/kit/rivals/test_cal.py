"""CAL: the effect of attention is what it changes against other attention, and it, too, must give the class."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gholm_kit.rivals import wsdan

pytestmark = pytest.mark.usefixtures("one_thread")


def test_attention_has_no_effect_against_itself(make, pictures):
    net = make("cal").eval()
    with torch.no_grad():
        look = net.look(pictures[0])
        assert not net.effect(look, look.maps).any()


def test_the_effect_is_the_difference_of_two_predictions(make, pictures):
    """The second one by hand: other maps in place of the learnt ones, the same features and classifier."""
    net = make("cal").eval()
    with torch.no_grad():
        look = net.look(pictures[0])
        other = torch.rand_like(look.maps)
        parts = torch.stack([(look.features * m[:, None]).mean((2, 3)) for m in other.unbind(1)], 1).flatten(
            1
        )
        roots = parts.sign() * (parts.abs() + 1e-6).sqrt()
        prediction = net.classifier(100 * roots / roots.norm(dim=1, keepdim=True))
        effect = net.effect(look, other)
    torch.testing.assert_close(effect + prediction, look.logits, rtol=1e-4, atol=1e-3)


def test_the_scale_of_the_counterfactual_does_not_count(make, pictures):
    """h is normalised, so that an effect comes from where attention lies and not from how much there is of it."""
    net = make("cal").double().eval()
    with torch.no_grad():
        look = net.look(pictures[0].double())
        other = 1e4 * torch.rand_like(look.maps)  # so large that the 1e-6 under the root vanishes
        torch.testing.assert_close(net.effect(look, other), net.effect(look, 2 * other), rtol=1e-5, atol=1e-5)


def test_the_loss_adds_the_cross_entropy_of_the_effect(make, pictures, monkeypatch):
    net, (images, labels) = make("cal").train(), pictures
    found, effect = [], net.effect
    drawn = []

    def kept(look, counterfactual):
        drawn.append(counterfactual)
        found.append(effect(look, counterfactual))
        return found[-1]

    monkeypatch.setattr(net, "effect", kept)
    terms = net(images, labels).losses
    own = F.cross_entropy(torch.cat(found), labels.repeat(3))
    torch.testing.assert_close(terms["effect"], own)
    others = (terms["raw"] + terms["crop"] + terms["drop"]) / 3 + terms["centre"]
    torch.testing.assert_close(terms["total"], others + own)
    for maps in drawn:  # random attention, uniform in 0..2
        assert float(maps.min()) >= 0
        assert 1.9 < float(maps.max()) <= 2
        assert float(maps.mean()) == pytest.approx(1, abs=0.05)


def test_the_gradient_of_the_effect_reaches_the_attention(make, pictures):
    net, (images, labels) = make("cal").train(), pictures
    net(images, labels).losses["effect"].backward()
    assert net.attention[0].weight.grad.any()


def test_it_has_wsdans_parameters_and_at_test_time_its_answers(make, pictures):
    cal, other = make("cal").eval(), make("wsdan").eval()
    assert isinstance(cal, wsdan.WSDAN)
    other.load_state_dict(cal.state_dict())
    assert torch.equal(cal.attend(pictures[0]).logits, other.attend(pictures[0]).logits)
