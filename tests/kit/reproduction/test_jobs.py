"""The grid: what the paper's tables need, once each, in a useful order, shared without a double."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from gholm_kit.reproduction import jobs
from gholm_kit.reproduction.jobs import Job
from gholm_kit.reproduction.questions import LEDGER
from gholm_lib.config import load_config


def test_rows_of_table_2_add_one_branch_each():
    branches = [j.config.branches for j in jobs.table_jobs(2, jobs.preset_settings("mini"))]
    assert branches == ["raw", "raw+crop", "raw+crop+sup", "raw+crop+sup+drop"]


@pytest.mark.parametrize(("preset", "name"), [("paper", "cars"), ("mini", "mini_cars")])
def test_presets_differ_in_data_and_settings_only(preset, name):
    found = jobs.table_jobs(3, jobs.preset_settings(preset))
    assert {j.config.dataset for j in found} == {name}
    assert found[-1].config == load_config(preset, dataset=name)


def test_dogs_keep_the_papers_exception():
    paper, mini = (
        jobs.table_jobs(9, jobs.preset_settings(preset))[-1].config for preset in ("paper", "mini")
    )
    assert (paper.backbone, paper.random_crop) == ("convnext_small.fb_in1k", False)
    assert mini.random_crop is False


def test_table_4_trains_each_mu_and_tests_the_papers_network_with_the_others():
    found = jobs.table_jobs(4, jobs.preset_settings("mini"))
    trained = [j.config.mu for j in found if j.tested_mu is None]
    tested = [j.tested_mu for j in found if j.tested_mu is not None]
    assert trained == [1.6, 1.7, 1.8, 1.9, 2.0, 2.1]
    assert tested == [1.6, 1.8, 1.9, 2.0, 2.1]
    assert {j.config.mu for j in found if j.tested_mu is not None} == {1.7}


def test_names_of_jobs_are_distinct():
    names = [j.name for j in jobs.all_jobs("mini", 3, [jobs.preset_settings("mini")])]
    assert len(set(names)) == len(names)
    run = jobs.table_jobs(5, jobs.preset_settings("mini"))[0].config
    assert Job(run, 2.0).name == f"{run.run_id}-tested-at-mu-2"


@pytest.mark.parametrize("preset", ["mini", "paper"])
def test_each_run_is_made_once_and_nothing_is_left_out(preset):
    found = jobs.all_jobs(preset, 2, [jobs.preset_settings(preset)])
    assert max(Counter(found).values()) == 1
    for table in jobs.TABLES:
        assert set(jobs.with_seeds(jobs.table_jobs(table, jobs.preset_settings(preset)), 2)) <= set(found)
    assert set(jobs.with_seeds(jobs.ledger_jobs(preset), 2)) <= set(found)
    assert set(jobs.with_seeds(jobs.epoch_jobs(preset), 2)) <= set(found)


def test_tables_come_before_the_ledger_and_seed_0_before_seed_1():
    found = jobs.all_jobs("mini", 2, [jobs.preset_settings("mini")])
    tables = set(
        jobs.with_seeds([j for t in jobs.TABLES for j in jobs.table_jobs(t, jobs.preset_settings("mini"))], 2)
    )
    epochs = set(jobs.with_seeds(jobs.epoch_jobs("mini"), 2))
    places = {"first": [], "second": [], "ledger": []}
    for place, job in enumerate(found):
        kind = "ledger" if job not in tables else "second" if job.config.seed else "first"
        if job not in epochs and job.config.classes is None:
            places[kind].append(place)
    assert max(places["first"]) < min(places["second"])
    assert max(places["second"]) < min(places["ledger"])


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_shards_share_the_work_without_a_double(parts):
    found = jobs.all_jobs("mini", 3, [jobs.preset_settings("mini")])
    shares = [jobs.shard(found, i + 1, parts) for i in range(parts)]
    assert sorted(j.name for s in shares for j in s) == sorted(j.name for j in found)
    work = [sum(j.config.epochs for j in s if j.tested_mu is None) for s in shares]
    assert max(work) < 1.3 * min(work)
    for share in shares:  # who trains a network tests it
        trained = {j.config.run_id for j in share if j.tested_mu is None}
        assert {j.config.run_id for j in share} == trained


def test_a_shard_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="1 <= i <= n"):
        jobs.shard([], 3, 2)


# ---------------------------------------------------------------------- the ledger


def test_each_reading_differs_from_ours_in_what_it_says():
    ours = jobs.config_for("mini", "cub")
    for question in LEDGER:
        for reading in question.readings:
            config = reading.config(ours)
            if config is None:
                assert reading.instead
                continue
            changed = {k for k, v in config.to_dict().items() if v != ours.to_dict()[k]}
            assert changed == set(reading.changes) | (
                {"epochs", "lr_decay_epochs"} if reading.longer > 1 else set()
            )


@pytest.mark.parametrize("preset", ["mini", "paper"])
def test_a_picture_of_readings_has_at_most_twelve_lines_and_no_two_alike(preset):
    ours = jobs.config_for(preset, "cub")
    lines = [(q.block, f"{q.topic}: {r.name}") for q in LEDGER for r in q.readings if r.config(ours)]
    assert len(set(lines)) == len(lines)
    counts = Counter(block for block, _ in lines)
    assert len(counts) == 4
    assert max(counts.values()) <= 12


def test_readings_are_distinct_runs():
    found = jobs.ledger_jobs("mini")
    assert len({j.config.run_id for j in found}) == len(found) > 20


def test_weights_are_a_reading_on_photographs_only():
    on = {p: {j.config.backbone for j in jobs.ledger_jobs(p)} for p in ("mini", "paper")}
    assert len(on["mini"]) == 1
    assert on["paper"] == {"convnext_small.fb_in22k", "convnext_small.fb_in22k_ft_in1k"}


def test_settings_that_the_paper_leaves_open_are_all_asked_for():
    """Each field of the Config that names a reading of the paper has its question."""
    asked = {f for q in LEDGER for r in q.readings for f in r.changes}
    open_fields = (
        "cam_weighted cam_class cam_layer connectivity crop_padding crop_margin crop_min_size crop_square"
    )
    open_fields += " mu_times theta_times crop_mask crop_from branch_losses gamma sup_weight answer test_flip"
    open_fields += " fresh_rate theta_per fill tau denominator normalize reduction z brightness saturation"
    assert set(open_fields.split()) <= asked


# ---------------------------------------------------------------------- weights from files


def test_a_run_from_a_file_with_the_name_of_its_timm_model_is_the_run_from_the_hub(tmp_path):
    hub = jobs.config_for("paper", "cub")
    here = hub.replace(weights=str(tmp_path / "convnext_small.fb_in22k.safetensors"))
    assert Job(here) == Job(hub)
    assert hash(Job(here)) == hash(Job(hub))
    assert Job(here, 2.0) != Job(here)
    assert Job(hub.replace(weights=str(tmp_path / "mine.safetensors"))) != Job(hub)
    assert Job(hub.replace(weights="none")) != Job(hub)


def test_files_stand_for_the_hub_in_every_run_that_starts_from_it(tmp_path):
    names = [
        f"convnext_small.{tag}" for tag in ("fb_in22k.safetensors", "fb_in1k.pth", "fb_in22k_ft_in1k.pth")
    ]
    files = [tmp_path / n for n in names]
    for path in files:
        path.write_bytes(b"weights")
    hub = jobs.all_jobs("paper", 1, [jobs.preset_settings("paper")])
    here = jobs.with_weights(hub, files)
    assert here == hub, "they are the same jobs"
    assert {Path(j.config.weights).name for j in here if j.config.dataset == "dogs"} == {names[1]}
    assert {Path(j.config.weights).name for j in here if j.config.dataset == "cars"} == {names[0]}
    assert jobs.with_weights(hub, []) == hub
    assert jobs.with_weights(jobs.table_jobs(2, jobs.preset_settings("paper")), files) == jobs.table_jobs(
        2, jobs.preset_settings("paper")
    ), "some for others"
    with pytest.raises(ValueError, match=r"^convnext_small\.fb_in1k\.safetensors is missing"):
        jobs.with_weights(hub, files[::2])
    with pytest.raises(ValueError, match="from the model hub; none of these runs does"):
        jobs.with_weights(jobs.all_jobs("mini", 1, [jobs.preset_settings("mini")]), files)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(
        ValueError, match=r"model\.safetensors: the file must have the name .* convnext_small\.fb_in22k"
    ):
        jobs.with_weights(hub, [*files, tmp_path / "model.safetensors"])
    with pytest.raises(ValueError, match=r"no weights file .*gone"):
        jobs.with_weights(hub, [tmp_path / "gone.safetensors"])
