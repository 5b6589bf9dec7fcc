"""Settings: names, types, values, presets against the paper's numbers, JSON, digest and run id."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import os
import pickle
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import timm
import tyro

from gholm_lib import __main__ as command_line
from gholm_lib import config as module
from gholm_lib.config import Config, ConfigError, config_from_dict, load_config, train_command
from gholm_lib.paths import records_folder

# Another value that is allowed for each field, typed by hand; a new field must be added here.
OTHER = {
    "dataset": "mini_cars",
    "crop": False,
    "sup": False,
    "drop": False,
    "method": "wsdan",
    "backbone": "resnet18",
    "weights": "none",
    "backbone_options": ("stem_type=patch",),
    "drop_path": 0.1,
    "freeze_batchnorm": True,
    "image_mean": (0.5, 0.5, 0.5),
    "image_std": (0.5, 0.5, 0.5),
    "cam_weighted": False,
    "cam_class": "label",
    "cam_layer": "norm",
    "mu": 1.8,
    "connectivity": "4",
    "crop_padding": 0.1,
    "crop_margin": 0.1,
    "interpolation": "bicubic",
    "split_seed": 1,
    "mu_times": "max",
    "theta_times": "max",
    "crop_mask": "coarse",
    "crop_box": "random",
    "crop_from": "original",
    "crop_scale": 3,
    "raw_weight": 2.0,
    "branch_losses": "mean",
    "fresh_rate": 10.0,
    "answer": "probabilities",
    "test_flip": True,
    "crop_min_size": 0.2,
    "crop_square": True,
    "theta_low": 1.5,
    "theta_high": 3.0,
    "theta_per": "batch",
    "fill": "noise",
    "gamma": 0.3,
    "tau": 0.07,
    "denominator": "all",
    "normalize": False,
    "reduction": "sum",
    "z": "projection",
    "sup_weight": 0.5,
    "image_size": 128,
    "resize": 200,
    "random_crop": False,
    "brightness": 0.2,
    "saturation": 0.2,
    "epochs": 3,
    "batch_size": 8,
    "lr": 0.5,
    "lr_decay_epochs": (1, 2),
    "lr_decay": 0.5,
    "momentum": 0.8,
    "weight_decay": 0.01,
    "holdout": 0.1,
    "evaluate_every": 2,
    "classes": 5,
    "precision": "bf16",
    "channels_last": False,
    "checkpointing": True,
    "max_steps": 7,
}


# What must be changed with a field.
NEEDS = {
    "crop": {"sup": False},
    "crop_scale": {"crop_from": "original"},
    "mu_times": {"mu": 0.5},
    "theta_times": {"theta_low": 0.2, "theta_high": 0.5},
}


def changed(name: str) -> Config:
    return Config(**{name: OTHER[name], **NEEDS.get(name, {})})


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("theta_hi", "theta_high"), ("learning_tau", None), ("batchsize", "batch_size"), ("gama", "gamma")],
)
def test_an_unknown_setting_is_refused_with_a_suggestion(wrong, right):
    calls = [
        lambda: load_config("mini", **{wrong: 1}),
        lambda: load_config("paper", **{wrong: 1}),
        lambda: Config().replace(**{wrong: 1}),
        lambda: config_from_dict({wrong: 1}),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match=f"unknown setting '{wrong}'") as caught:
            call()
        if right:
            assert f"did you mean {right!r}?" in str(caught.value)


def test_a_name_like_no_other_gets_no_suggestion():
    with pytest.raises(ConfigError, match=r"^unknown setting 'qqqq'$"):
        load_config(qqqq=1)


# ---------------------------------------------------------------------- types and values


def wrong_types() -> list[tuple[str, object]]:
    cases: list[tuple[str, object]] = []
    for name, hint in get_type_hints(Config).items():
        if hint is bool:
            bad: list[object] = [1, "yes", None]
        elif hint is str:
            bad = [3, None, ("a",)]
        elif hint is int:
            bad = ["3", 2.5, 30.0, True, None, float("nan"), float("inf")]
        elif hint is float:
            bad = ["0.1", None, True, float("nan"), float("inf"), (1.0,)]
        elif get_origin(hint) is Literal:
            bad = ["something else", 8, None, ["norm"]]
        elif name in ("classes", "max_steps"):
            bad = ["3", 2.5, True, (3,)]
        elif name == "lr_decay_epochs":
            bad = [15, "15,30", (1.5,), ("15",), None, [15, 30]]
        elif name == "backbone_options":
            bad = ["stem_type=patch", (3,), None, ["stem_type=patch"]]
        else:
            bad = [0.5, (0.5, 0.5), (0.5, 0.5, "0.5"), (0.5,) * 4, None, (0.1, 0.1, float("nan"))]
        cases += [(name, value) for value in bad]
    return cases


@pytest.mark.parametrize(("name", "value"), wrong_types())
def test_a_wrong_type_names_the_field_and_the_value(name, value):
    with pytest.raises(ConfigError, match=rf"^{name} must be .*got {re.escape(repr(value))}$"):
        Config(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(n, v) for n in ("mu", "tau", "lr", "lr_decay") for v in (0, -0.5)],
        *[
            (n, v)
            for n in ("image_size", "resize", "epochs", "batch_size", "evaluate_every")
            for v in (0, -1)
        ],
        *[
            (n, -0.1)
            for n in ("gamma", "sup_weight", "weight_decay", "crop_padding", "crop_margin", "theta_low")
        ],
        *[(n, -0.1) for n in ("brightness", "saturation")],
        *[(n, v) for n in ("momentum", "holdout", "drop_path", "crop_min_size") for v in (-0.1, 1)],
        ("seed", -1),
        ("classes", 1),
        ("max_steps", 0),
        ("theta_high", 0.5),
        ("image_std", (0.2, 0.0, 0.2)),
        ("dataset", "../mini_birds"),
        ("dataset", ""),
        ("backbone_options", ("stem_type",)),
    ],
)
def test_an_impossible_value_names_the_field_and_the_value(name, value):
    with pytest.raises(ConfigError, match=rf"^{name} (must|take) .*got") as caught:
        Config(**{name: value})
    assert str(value).strip("(),") in str(caught.value)


def test_every_choice_is_accepted_and_listed_in_the_error():
    for name, hint in get_type_hints(Config).items():
        if get_origin(hint) is not Literal:
            continue
        for choice in get_args(hint):
            assert getattr(Config(**{name: choice, **NEEDS.get(name, {})}), name) == choice
        with pytest.raises(ConfigError) as caught:
            Config(**{name: "nonsense"})
        assert all(repr(choice) in str(caught.value) for choice in get_args(hint))


def test_settings_that_contradict_each_other():
    with pytest.raises(ConfigError, match=r"sup .* needs crop.*--no-sup"):
        Config(crop=False)
    assert Config(crop=False, sup=False).branches == "raw+drop"
    with pytest.raises(ConfigError, match=r"resize must be at least image_size = 112 .* got 100"):
        Config(resize=100)
    assert Config(resize=100, random_crop=False).resize == 100


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"crop_scale": 3}, 'crop_scale is 3, but crop_from is "input"; set crop_from to "original" too'),
        ({"crop_scale": 1, "crop_from": "original"}, "crop_scale must be 2 or more, got 1"),
        (
            {"crop_box": "object", "crop": False, "sup": False},
            'crop_box is "object", which needs the Crop branch',
        ),
        ({"crop_box": "parts", "test_flip": True}, 'test_flip mirrors the image, for which crop_box "parts"'),
        ({"mu_times": "max"}, "mu must be below 1 as a share of the heatmap's maximum, got 1.7"),
        ({"theta_times": "max"}, "theta_high must be below 1 as a share of the heatmap's maximum, got 2.0"),
    ],
)
def test_readings_that_cannot_be_together(settings, words):
    with pytest.raises(ConfigError, match="^" + re.escape(words)):
        Config(**settings)


def test_the_network_is_given_larger_pictures_only_where_crops_are_cut_from_them():
    assert Config().input_scale == 1
    assert Config(crop_from="original", crop_scale=4).input_scale == 4


def test_a_config_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().mu = 2.0
    config = Config()
    assert config.replace(mu=2.0).mu == 2.0
    assert config.mu == 1.7
    with pytest.raises(ConfigError, match="mu must be above 0"):
        config.replace(mu=-1.0)


# ---------------------------------------------------------------------- the paper's numbers


def test_the_preset_paper_is_section_4_2():
    config = load_config("paper")
    paper = {
        "dataset": "cub",
        "image_size": 448,
        "resize": 510,
        "random_crop": True,
        "batch_size": 16,
        "lr": 0.001,
        "lr_decay": 0.1,
        "lr_decay_epochs": (15, 30),
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "mu": 1.7,
        "gamma": 0.2,
        "tau": 0.7,
        "theta_low": 1.0,
        "theta_high": 2.0,
        "sup_weight": 1.0,
        "cam_class": "predicted",
        "cam_weighted": True,
        "crop": True,
        "sup": True,
        "drop": True,
        "weights": "timm",
    }
    assert {name: getattr(config, name) for name in paper} == paper
    assert config.backbone == "convnext_small.fb_in22k"  # ConvNeXt-S from ImageNet-22k
    assert config.branches == "raw+crop+sup+drop"


def test_dogs_are_not_cropped_and_start_from_imagenet_1k():
    dogs, cub = load_config("paper", dataset="dogs"), load_config("paper", dataset="cub")
    assert (dogs.resize, dogs.image_size, dogs.random_crop) == (448, 448, False)
    assert dogs.backbone == "convnext_small.fb_in1k"
    same = {f.name for f in dataclasses.fields(Config)} - {"dataset", "resize", "random_crop", "backbone"}
    assert all(getattr(dogs, n) == getattr(cub, n) for n in same)
    for other in ("aircraft", "cars"):
        assert load_config("paper", dataset=other) == cub.replace(dataset=other)


def test_what_is_asked_for_wins_over_the_preset():
    config = load_config("paper", dataset="dogs", resize=500, backbone="resnet18", lr=0.01)
    assert (config.resize, config.backbone, config.lr) == (500, "resnet18", 0.01)


def test_the_preset_mini_keeps_the_papers_method():
    config = load_config("mini")
    assert config == Config() == load_config()
    assert (config.mu, config.gamma, config.tau) == (1.7, 0.2, 0.7)
    assert (config.theta_low, config.theta_high, config.momentum) == (1.0, 2.0, 0.9)
    assert config.weights == "packaged"
    dogs = load_config("mini", dataset="mini_dogs")
    assert dogs.random_crop is False
    assert dogs.resize == dogs.image_size


def test_the_papers_backbones_are_known_to_timm():
    for dataset in ("cub", "dogs"):
        name = load_config("paper", dataset=dataset).backbone
        assert name in timm.list_pretrained("convnext_small*")


# ---------------------------------------------------------------------- what the weights were made with

BIT = "resnetv2_50x1_bit.goog_in21k"  # made with .5 and .5, as its paper says


def test_mean_and_std_are_those_of_the_tags_weights():
    """The oracle is timm's own transform of each tag."""
    for name in timm.list_pretrained()[::40]:
        about = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
        if len(about["mean"]) == 3:
            config = Config(backbone=name)
            assert (config.image_mean, config.image_std) == (about["mean"], about["std"]), name


@pytest.mark.parametrize("name", [Config.backbone, "no_such_model", "convnext_small.no_such_tag"])
def test_without_an_entry_of_timm_they_are_imagenets(name):
    assert Config(backbone=name).image_mean == (0.485, 0.456, 0.406)
    assert Config(backbone=name).image_std == (0.229, 0.224, 0.225)


def test_they_follow_the_backbone_until_somebody_sets_them(tmp_path):
    half, imagenet = (0.5, 0.5, 0.5), (0.485, 0.456, 0.406)
    asked = [
        Config(backbone=BIT),
        Config().replace(backbone=BIT),
        load_config("paper", backbone=BIT),
        tyro.cli(Config, default=Config(), args=["--backbone", BIT]),
        pickle.loads(pickle.dumps(Config())).replace(backbone=BIT),
        copy.deepcopy(Config()).replace(backbone=BIT),
    ]
    assert [(c.image_mean, c.image_std) for c in asked] == [(half, half)] * len(asked)
    assert Config(backbone=BIT).replace(backbone="resnet18").image_mean == imagenet
    words = ["--backbone", BIT, "--image-mean", "0.485", "0.456", "0.406"]
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"backbone": BIT, "image_mean": imagenet}))
    set_by_hand = [
        Config(backbone=BIT, image_mean=imagenet),
        Config(image_mean=imagenet).replace(backbone=BIT),
        tyro.cli(Config, default=Config(), args=words),
        load_config(path),
    ]
    assert [(c.image_mean, c.image_std) for c in set_by_hand] == [(imagenet, half)] * len(set_by_hand)


def test_a_record_keeps_the_mean_with_which_it_was_made():
    """Records from before the default followed the weights have ImageNet's, with any backbone."""
    older = Config(backbone=BIT).to_dict() | {"image_mean": [0.485, 0.456, 0.406]}
    config = config_from_dict(older)
    assert config.image_mean == (0.485, 0.456, 0.406)
    assert config.digest != Config(backbone=BIT).digest
    assert config_from_dict(Config(backbone=BIT).to_dict()).digest == Config(backbone=BIT).digest


def test_a_value_that_equals_the_default_is_the_same_run():
    given = Config(image_mean=(0.485, 0.456, 0.406), image_std=(0.229, 0.224, 0.225))
    assert (given, given.run_id) == (Config(), Config().run_id)


def test_the_default_config_needs_no_timm():
    code = "import sys; from gholm_lib.config import Config; Config(); print('timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


# ---------------------------------------------------------------------- one default for one data set


@pytest.mark.parametrize("dataset", ["mini_birds", "mini_cars", "mini_aircraft", "mini_dogs", "cub", "dogs"])
def test_a_data_set_has_the_same_defaults_everywhere(tmp_path, dataset):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"dataset": dataset}))
    config = Config(dataset=dataset)
    assert load_config(dataset=dataset) == load_config("mini", dataset=dataset) == load_config(path) == config
    path.write_text("{}")
    assert load_config(path, dataset=dataset) == config


def test_the_recipes_of_the_mini_sets():
    dogs = Config(dataset="mini_dogs")
    assert (dogs.random_crop, dogs.resize) == (False, 112)
    assert dogs.replace(random_crop=True, resize=128) == Config().replace(dataset="mini_dogs")
    for name in ("mini_birds", "mini_cars", "mini_aircraft"):
        assert Config(dataset=name) == Config().replace(dataset=name)


def test_half_of_a_mini_sets_training_images_choose_settings():
    for name in ("mini_birds", "mini_cars", "mini_aircraft", "mini_dogs"):
        assert Config(dataset=name).holdout == 0.5
    others = [Config(dataset="cub"), load_config("paper"), load_config("photos", dataset="own")]
    assert {config.holdout for config in others} == {0.0}


def test_what_is_given_wins_over_the_recipe():
    dogs = Config(dataset="mini_dogs", resize=120)
    assert (dogs.random_crop, dogs.resize) == (False, 120)
    assert load_config(dataset="mini_aircraft", epochs=15).lr_decay_epochs == (8, 14)


def test_a_copy_takes_no_recipe():
    """A config whose settings are not its data set's defaults stays as it is, however it is copied."""
    config = Config().replace(dataset="mini_dogs")
    assert config.random_crop
    assert dataclasses.replace(Config(), dataset="mini_dogs") == config
    copies = [copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config)), config.replace()]
    copies += [config_from_dict(config.to_dict()), tyro.cli(Config, default=config, args=[])]
    assert copies == [config] * len(copies)
    older = config.to_dict()
    del older["resize"], older["checkpointing"]  # as if they had been added after the record was kept
    assert config_from_dict(older) == config


def test_the_papers_preset_takes_no_recipe():
    for dataset in ("mini_aircraft", "mini_dogs"):
        plain = {"mini_aircraft": "aircraft", "mini_dogs": "dogs"}[dataset]
        paper = load_config("paper", dataset=plain)
        assert load_config("paper", dataset=dataset) == paper.replace(dataset=dataset)


def test_the_fields_are_given_by_name():
    assert list(inspect.signature(Config).parameters) == [f.name for f in dataclasses.fields(Config)]
    with pytest.raises(TypeError, match="positional"):
        Config("mini_dogs")


# ---------------------------------------------------------------------- the command of a config


def given_to_train(command: str, monkeypatch) -> Config:
    """The config that ``gholm train`` understands."""
    seen = []
    monkeypatch.setattr("gholm_lib.training.train", lambda config, options: seen.append(config) or 1 / 0)
    words = shlex.split(command)
    assert words[:2] == ["gholm", "train"]
    with pytest.raises(ZeroDivisionError):
        command_line.main(words[1:])
    return seen[0]


@pytest.mark.parametrize("name", sorted(OTHER))
def test_the_command_gives_the_same_config(name, monkeypatch):
    for config in (
        changed(name),
        load_config("paper", dataset="dogs").replace(
            **{"sup": False, name: OTHER[name], **NEEDS.get(name, {})}
        ),
    ):
        assert given_to_train(train_command(config), monkeypatch) == config


def test_the_command_of_a_preset_is_short():
    assert train_command(load_config("paper", dataset="cub")) == "gholm train --preset paper --dataset cub"
    assert train_command(Config(dataset="mini_dogs", seed=2)) == (
        "gholm train --preset mini --dataset mini_dogs --seed 2"
    )


def test_the_command_of_a_record_keeps_its_mean(monkeypatch):
    """ImageNet's, with a backbone whose own is another; and the other way round it need not be said."""
    older = config_from_dict(Config(backbone=BIT).to_dict() | {"image_mean": [0.485, 0.456, 0.406]})
    assert given_to_train(train_command(older), monkeypatch) == older
    assert "image-mean" not in train_command(Config(backbone=BIT))
    assert given_to_train(train_command(Config(backbone=BIT)), monkeypatch) == Config(backbone=BIT)


# ---------------------------------------------------------------------- JSON


@pytest.mark.parametrize("config", [Config(), load_config("paper", dataset="dogs", seed=3)])
def test_json_round_trip(tmp_path, config):
    text = json.dumps(config.to_dict())
    assert config_from_dict(json.loads(text)) == config
    assert config_from_dict(config.to_dict()).digest == config.digest
    path = tmp_path / "settings.json"
    path.write_text(text)
    assert load_config(path) == config
    assert load_config(str(path), mu=1.9) == config.replace(mu=1.9)


@pytest.mark.parametrize("name", OTHER)
def test_every_field_survives_json(name):
    config = changed(name)
    assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        ("[1, 2]", r"must contain one JSON object of settings, got \[1, 2\]"),
        ("3", "must contain one JSON object of settings, got 3"),
        ('{"mo": 1.7}', "unknown setting 'mo' in "),
        ('{"mu": "1.7"}', "mu must be a finite number, got '1.7'"),
        ('{"connectivity": 8}', "connectivity must be one of '4', '8', got 8"),
        ('{"mu": NaN}', "mu must be a finite number, got nan"),
    ],
)
def test_a_bad_file_is_explained(tmp_path, text, message):
    path = tmp_path / "settings.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=message):
        load_config(path)


@pytest.mark.parametrize("source", ["papr", "no/such/file.json", "."])
def test_no_such_preset_or_file(source):
    with pytest.raises(ConfigError, match=re.escape(repr(source)) + ".*mini, paper, photos"):
        load_config(source)


# ---------------------------------------------------------------------- digest and run id


def test_the_table_above_knows_every_field():
    assert set(OTHER) | {"seed"} == {f.name for f in dataclasses.fields(Config)}
    assert all(OTHER[name] != getattr(Config(), name) for name in OTHER)


def test_the_digest_changes_with_every_field_but_the_seed():
    digests = {name: changed(name).digest for name in OTHER}
    plain = Config().digest
    assert plain not in digests.values()
    assert len(set(digests.values())) == len(OTHER)
    assert {Config(seed=seed).digest for seed in range(5)} == {plain}
    assert re.fullmatch(r"[0-9a-f]{8}", plain)


def test_kept_runs_lie_in_the_folder_that_their_config_names():
    """A new field must not rename what was run before it: add it to _ADDED_LATER."""
    kept = sorted(records_folder().rglob("record.json"))
    assert kept
    for path in kept:
        config = config_from_dict(json.loads(path.read_text())["config"])
        if "." not in config.weights:  # the path of a weights file is shortened when a record is kept
            assert path.parent.name.startswith(config.run_id)  # a network tested again gets a longer name


def test_equal_settings_have_equal_digests():
    """From the command line mu is 2.0, from a JSON file it may be 2."""
    assert Config(mu=2) == Config(mu=2.0)
    assert Config(mu=2).digest == Config(mu=2.0).digest
    assert isinstance(Config(mu=2).mu, float)
    means = [Config(image_std=(1, 1, 1)), Config(image_std=(1.0, 1.0, 1.0))]
    assert means[0] == means[1]
    assert means[0].digest == means[1].digest


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_digest_is_the_same_in_every_process(hash_seed):
    """Records are found by it, so it must not hang on hash randomisation."""
    code = "from config import Config; print(Config().digest)"  # by itself, without importing torch
    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(module.__file__).parent,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == Config().digest


@pytest.mark.parametrize("dataset", ["cub", "aircraft", "cars", "dogs", "mini_birds", "mini_dogs"])
def test_the_run_id_is_a_folder_name_on_any_system(tmp_path, dataset):
    ids = set()
    for crop, sup, drop, seed in [(0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 0, 0), (1, 1, 1, 0), (1, 1, 1, 12)]:
        config = Config(dataset=dataset, crop=bool(crop), sup=bool(sup), drop=bool(drop), seed=seed)
        assert re.fullmatch(r"[a-z0-9_-]+", config.run_id)
        assert len(config.run_id) < 100
        (tmp_path / config.run_id).mkdir()
        assert dataset in config.run_id
        assert config.run_id.endswith(f"-s{seed}")
        ids.add(config.run_id)
    assert len(ids) == 5


def test_branches_for_people():
    names = {(c.crop, c.sup, c.drop): c.branches for c in (Config(), Config(sup=False, drop=False))}
    assert names == {(True, True, True): "raw+crop+sup+drop", (True, False, False): "raw+crop"}
    assert Config(crop=False, sup=False, drop=False).branches == "raw"


def test_presets_are_listed():
    assert set(module.PRESETS) == {"mini", "paper", "photos"}
    assert all(isinstance(load_config(preset), Config) for preset in module.PRESETS)


@pytest.mark.parametrize("name", ["my leaves", "枫叶", "a", "leaves (2026), best"])
def test_a_folder_of_ones_own_may_be_a_dataset(name):
    assert Config(dataset=name).run_id.startswith(f"{name}-raw_crop_sup_drop-")


@pytest.mark.parametrize("name", ["", "a/b", "..", "a:b", "leaves.", "leaves ", " leaves", ".leaves"])
def test_a_dataset_whose_name_can_be_no_folder_everywhere_is_refused(name):
    with pytest.raises(
        ConfigError, match=r"dataset must be a name such as cub, or a folder .*\(rename it\), got"
    ):
        Config(dataset=name)
