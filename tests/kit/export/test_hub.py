"""timm and the hub's client load the folder without any network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
import timm
import torch
from timm.data import create_transform, resolve_data_config

from gholm_kit.export.hub import write_hub_folder
from gholm_kit.export.source import Source, pictures_of
from gholm_lib.config import Config
from gholm_lib.datasets import read_image
from gholm_lib.loading import to_input
from gholm_lib.model import GHOLMNet

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(kept, tmp_path_factory):
    return write_hub_folder(kept, tmp_path_factory.mktemp("hub"))


def test_timm_loads_the_trained_network_and_not_its_start(kept, folder, pictures):
    net = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(net(pictures[:8]), kept.net.classify(pictures[:8]))
    assert net.pretrained_cfg["label_names"] == list(kept.classes)


def test_other_classes_get_a_fresh_classifier_on_the_trained_features(kept, folder, pictures):
    net = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=3).eval()
    with torch.no_grad():
        torch.testing.assert_close(
            net.forward_features(pictures[:4]), kept.net.backbone.forward_features(pictures[:4])
        )
        assert net(pictures[:4]).shape == (4, 3)


def test_timms_own_preparation_of_a_picture_is_the_kits(kept, folder):
    net = timm.create_model(f"local-dir:{folder}")
    prepare = create_transform(**resolve_data_config({}, model=net))
    for path in pictures_of(kept, count=3):
        image = read_image(path).image
        # timm resizes once more in 8 bits where the kit crops; both round to whole numbers of 255.
        assert (prepare(image) - to_input(image, kept.net.config)).abs().max() < 2 / 255 / 0.22


@pytest.mark.slow
def test_the_hubs_client_finds_it_in_its_cache(folder, tmp_path):
    """The folder as the hub's client keeps what it fetched, in a process that may not use the network."""
    model = tmp_path / "models--somebody--birds"
    shutil.copytree(folder, model / "snapshots" / "abc")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    code = (
        "import timm, gholm_lib.backbone\n"
        "net = timm.create_model('hf-hub:somebody/birds', pretrained=True)\n"
        "print(float(sum(v.double().sum() for v in net.state_dict().values())))"
    )
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    trained = timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert float(done.stdout) == pytest.approx(
        float(sum(v.double().sum() for v in trained.state_dict().values()))
    )


def test_what_the_backbone_was_made_with_is_kept(tmp_path):
    config = Config(backbone="resnet18", weights="none", image_size=64, resize=64)
    net = GHOLMNet("resnet18", 2, False, config, output_stride=16).eval()
    loaded = timm.create_model(
        f"local-dir:{write_hub_folder(Source('wide', net, ('a', 'b')), tmp_path)}", pretrained=True
    )
    loaded.eval()
    images = torch.randn(1, 3, 64, 64)
    assert loaded.forward_features(images).shape[-1] == 4
    torch.testing.assert_close(loaded(images), net.classify(images))
