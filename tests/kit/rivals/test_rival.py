"""What holds for every rival: its cost, its training, its record, and that it is never taken for GHOLM-Net."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch

from gholm_kit.reproduction import cli, jobs
from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.estimate import passes, plan
from gholm_kit.reproduction.jobs import Job
from gholm_kit.reproduction.make import make_runs
from gholm_kit.reproduction.request import Request
from gholm_kit.rivals import METHODS, network
from gholm_lib import training
from gholm_lib.config import Config, ConfigError, RunOptions
from gholm_lib.model import GHOLMNet
from gholm_lib.records import load_record
from gholm_lib.runs import load_network
from gholm_lib.training import train
from tests.noise import noise_in_cubs_layout

pytestmark = pytest.mark.usefixtures("one_thread")

every_method = pytest.mark.parametrize("method", METHODS)
NOISE = Config(
    dataset="cub",
    sup=False,
    weights="none",
    image_size=64,  # MMAL's parts have half of it
    resize=72,
    epochs=2,
    lr_decay_epochs=(),
    batch_size=4,
    evaluate_every=1,
)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory) -> Path:
    return noise_in_cubs_layout(tmp_path_factory.mktemp("data"))


@pytest.fixture
def options(data_root, tmp_path) -> RunOptions:
    return RunOptions(data_root=data_root, runs=tmp_path / "runs", device="cpu", quiet=True)


@every_method
@pytest.mark.parametrize(
    "setting",
    [{"crop_box": "random"}, {"answer": "probabilities"}, {"test_flip": True}, {"fresh_rate": 10.0}],
)
def test_settings_that_a_rival_would_ignore_are_refused(method, setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=f"{method} takes no {name}"):
        network(NOISE.replace(method=method, **setting), 3)


@every_method
def test_two_steps_on_mini_pictures_lower_the_loss(method, make, pictures):
    net, (images, labels) = make(method).train(), pictures
    optimiser = torch.optim.SGD(net.parameters(), 0.001, momentum=0.9)
    totals = []
    for _ in range(3):  # the third pass shows what the second step did
        torch.manual_seed(1)  # the same crops, erasures and counterfactuals each time
        terms = net(images, labels).losses
        totals.append(float(terms["total"].detach()))
        optimiser.zero_grad()
        terms["total"].backward()
        optimiser.step()
    assert totals[0] > totals[1] > totals[2]


@every_method
def test_it_costs_as_many_passes_as_gholm_net(method, make, pictures, monkeypatch):
    """Counted in pixels: three images for each in training, two in a test; which is what the estimate assumes."""
    net, (images, labels) = make(method), pictures
    seen: list[int] = []
    plain = net.backbone.forward_features
    monkeypatch.setattr(net.backbone, "forward_features", lambda x: seen.append(x.numel()) or plain(x))
    net.train()(images, labels)
    assert sum(seen) == 3 * images.numel()
    seen.clear()
    net.eval().attend(images)
    assert sum(seen) == 2 * images.numel()
    assert passes(net.config, 1, 0) == passes(Config(), 1, 0)


@every_method
def test_shapes_and_boxes(method, make, pictures):
    net, (images, labels) = make(method), pictures
    for out in (net.train()(images, labels), net.eval().attend(images)):
        assert out.raw_logits.shape == out.crop_logits.shape == out.logits.shape == (6, 3)
        assert out.heat.shape == (6, 112, 112)
        assert (out.heat >= 0).all()
        x0, y0, x1, y1 = out.crop_boxes.unbind(1)
        assert ((x0 >= 0) & (x0 < x1) & (x1 <= 112) & (y0 >= 0) & (y0 < y1) & (y1 <= 112)).all()
        assert out.attention.fallback.shape == (6,)


@every_method
def test_a_test_of_the_same_images_repeats(method, make, pictures):
    net, images = make(method).eval(), pictures[0]
    assert torch.equal(net.attend(images).logits, net.attend(images).logits)


@every_method
def test_a_run_through_the_training_loop_leaves_a_record_of_its_own(method, options, tmp_path):
    config = NOISE.replace(method=method)
    make_runs([Job(config)], tmp_path / "records", options, lambda line: None)
    record = load_record(tmp_path / "records" / config.run_id)
    assert config.run_id.startswith(f"cub-{method}-")
    assert record.settings == config
    assert "our re-implementation" in record.about
    assert record.answer == "both"
    assert {"raw", "crop", "both"} <= record.results["last"].keys()
    assert (record.predictions.both >= 0).all()
    assert Job(config) in Archive.read(tmp_path / "records")
    with pytest.raises(ConfigError, match=rf"method is '{method}', but this network is GHOLM-Net"):
        load_network(options.runs / config.run_id)


@every_method
def test_an_interrupted_run_resumes_to_the_same_result(method, options, tmp_path, monkeypatch):
    """What a rival keeps beside its weights, such as centres, has to come back too."""
    config = NOISE.replace(method=method)
    whole = train(config, RunOptions(**(vars(options) | {"runs": tmp_path / "whole"})), network=network)
    save = training._Run._save_checkpoint

    def saved_and_stopped(run, seconds):
        save(run, seconds)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "_save_checkpoint", saved_and_stopped)
        with pytest.raises(KeyboardInterrupt):
            train(config, options, network=network)
    again = train(config, options, network=network)
    assert len(whole.curve) == 2
    assert again.curve == whole.curve
    files = [folder / config.run_id / "model.safetensors" for folder in (options.runs, tmp_path / "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_record_of_gholm_net_says_nothing_of_a_rival(options):
    assert train(NOISE.replace(max_steps=1), options).about is None


@every_method
def test_without_its_network_it_is_not_trained(method, options):
    with pytest.raises(ConfigError, match=r"gholm reproduce --rivals"):
        train(NOISE.replace(method=method), options)


def test_gholm_net_is_one_of_the_methods():
    assert isinstance(network(NOISE, 2), GHOLMNet)
    with pytest.raises(ConfigError, match=r"no method 'transfg'; there are gholm, wsdan, mmal, cal"):
        network(NOISE.replace(method="transfg"), 2)


@pytest.mark.parametrize("changes", [{"sup": True}, {"crop": False}, {"drop": False}])
def test_settings_that_it_would_ignore_are_refused(changes):
    with pytest.raises(
        ConfigError, match=r"wsdan has its own branches: leave crop and drop on and switch sup off"
    ):
        network(NOISE.replace(method="wsdan", **changes), 2)


def test_the_method_counts_in_the_digest_only_if_it_is_a_rivals():
    assert NOISE.replace(method="gholm").run_id == NOISE.run_id
    assert len({NOISE.replace(method=m).digest for m in ("gholm", *METHODS)}) == 1 + len(METHODS)


@pytest.mark.parametrize("name", ["", "WS-DAN", "ws_dan", "a/b"])
def test_a_method_that_is_no_name_is_refused(name):
    with pytest.raises(ConfigError, match="method must be a name in small letters"):
        NOISE.replace(method=name)


@every_method
def test_batch_norm_of_the_backbone_stays_as_it_is_when_asked(method, make):
    net = make(method, backbone="resnet18", weights="none", freeze_batchnorm=True).train()
    norms = [m for m in net.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(m.training for m in norms)


# ---------------------------------------------------------------------- gholm reproduce --rivals


def test_the_command_offers_every_method():
    assert get_args(get_args(get_type_hints(Request)["rivals"])[0]) == tuple(METHODS)


def test_rivals_have_the_recipe_of_the_tables():
    ours = {
        j.config.dataset: j.config
        for t in (2, 3, 8, 9)
        for j in jobs.table_jobs(t, jobs.preset_settings("mini"))[-1:]
    }
    found = jobs.rival_jobs("mini", tuple(METHODS))
    assert len({j.name for j in found}) == 12
    for job in found:
        assert job.config == ours[job.config.dataset].replace(method=job.config.method, sup=False)


def test_a_plan_does_not_send_a_rival_to_gholm_train(options, tmp_path):
    """Which refuses it; the first finished run gives the estimate."""
    text = plan([Job(NOISE.replace(method="cal"))], tmp_path / "records", options)
    assert "cub-cal-" in text
    assert "no run like this has finished" in text
    assert "gholm train" not in text


def test_rivals_of_a_request_come_with_every_seed_and_alone(tmp_path):
    found = cli.wanted(Request(rivals=("cal",), seeds=2, records=tmp_path))
    assert [(j.config.method, j.config.seed) for j in found] == 4 * [("cal", 0)] + 4 * [("cal", 1)]
    everything = cli.wanted(Request(all=True, rivals=("cal",), seeds=1, records=tmp_path))
    assert set(everything) == set(jobs.all_jobs("mini", 1, [jobs.preset_settings("mini")])) | {
        j for j in found if j.config.seed == 0
    }
