"""The sample photographs: fetched from a loopback server, continued, checked; nothing else passes for one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from timm.data import ImageNetInfo

from gholm_kit.__main__ import main
from gholm_lib.datasets import DataError, samples
from gholm_lib.datasets.check import check_samples
from gholm_lib.datasets.download import get_samples
from tests.loopback import serving

PHOTOGRAPHS = {
    f"n0000000{k}_thing_{k}.JPEG": bytes([k]) * (1000 + k) for k in range(1, 10)
}  # more than are fetched at once


@pytest.fixture
def server(monkeypatch):
    """The nine photographs on a loopback server, and in the list."""
    few = {name: hashlib.sha256(content).hexdigest() for name, content in PHOTOGRAPHS.items()}
    monkeypatch.setattr(samples, "listed", lambda: few)
    with serving() as http:
        http.files = dict(PHOTOGRAPHS)
        monkeypatch.setattr(samples, "ADDRESS", http.url)
        yield http


@pytest.fixture
def get(server, tmp_path):
    return lambda: get_samples(tmp_path, progress=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_list_names_500_classes_of_imagenet_in_their_order():
    ids = [name.split("_")[0] for name in samples.listed()]
    known = ImageNetInfo("imagenet-1k").label_names()
    assert len(ids) == len(set(ids)) == 500
    assert ids == sorted(ids, key=known.index)
    assert all(len(digest) == 64 and int(digest, 16) for digest in samples.listed().values())


def test_all_are_fetched_and_read(get, tmp_path, capsys):
    folder = get()
    assert contents(folder) == PHOTOGRAPHS
    assert not (folder / ".arriving").exists()
    assert f"9 photographs are in {folder}, of which 9 were fetched now" in capsys.readouterr().out
    read = samples.read_samples(tmp_path)
    assert [p.wordnet_id for p in read] == [f"n0000000{k}" for k in range(1, 10)]
    assert check_samples(tmp_path).ok


def test_only_what_is_missing_or_damaged_is_fetched_again(get, server, tmp_path):
    folder = get()
    (folder / "n00000003_thing_3.JPEG").unlink()
    (folder / "n00000007_thing_7.JPEG").write_bytes(b"cut")
    server.seen.clear()
    assert contents(get()) == PHOTOGRAPHS
    assert len(server.seen) == 2


def test_what_a_killed_process_left_is_continued_and_cleared_away(get, server, tmp_path):
    name, arriving = "n00000004_thing_4.JPEG", tmp_path / samples.FOLDER / ".arriving"
    arriving.mkdir(parents=True)
    (arriving / f"{name}.part").write_bytes(PHOTOGRAPHS[name][:400])
    about = {"tag": server.etag, "total": len(PHOTOGRAPHS[name])}
    (arriving / f"{name}.part.json").write_text(json.dumps(about))
    (arriving / "tmp1234").touch()
    assert contents(get()) == PHOTOGRAPHS
    assert "bytes=400-" in [headers.get("Range") for headers in server.seen]
    assert not arriving.exists()


def test_a_changed_file_is_refused_and_the_rest_kept(get, server, tmp_path):
    server.files["n00000005_thing_5.JPEG"] = b"another picture"
    with pytest.raises(DataError, match=r"thing_5\.JPEG has the wrong checksum") as caught:
        get()
    assert samples.PAGE in str(caught.value)
    there = contents(tmp_path / samples.FOLDER)
    assert "n00000005_thing_5.JPEG" not in there
    assert there.items() <= PHOTOGRAPHS.items(), "nothing half-written"
    server.files = dict(PHOTOGRAPHS)
    assert contents(get()) == PHOTOGRAPHS


def test_a_file_that_has_moved_is_named(get, server):
    server.acts = ["gone"]
    with pytest.raises(DataError, match="answered 404") as caught:
        get()
    assert samples.PAGE in str(caught.value)


def test_without_them_one_sentence_says_how_to_get_them(server, tmp_path):
    with pytest.raises(
        DataError, match=r"lacks 9 of the 9 .* thing_1\.JPEG: `gholm data get samples`".replace(" t", ".*t")
    ):
        samples.read_samples(tmp_path)


def test_a_damaged_one_is_named(get, tmp_path):
    (get() / "n00000007_thing_7.JPEG").write_bytes(b"cut")
    with pytest.raises(
        DataError, match=r"thing_7\.JPEG is not the listed photograph: `gholm data get samples`"
    ):
        samples.read_samples(tmp_path)
    report = check_samples(tmp_path)
    assert not report.ok
    assert "8 of 9 photographs" in str(report)
    assert "thing_7.JPEG has another checksum" in str(report)


def test_the_commands(server, tmp_path, capsys):
    root = ["--data-root", str(tmp_path)]
    assert main(["data", "check", "samples", *root]) == 1
    assert "9 photographs are missing" in capsys.readouterr().out
    assert main(["data", "get", "samples", *root]) == 0
    assert main(["data", "check", "samples", *root]) == 0
    assert main(["data", "list", *root]) == 0
    assert "samples        ImageNet samples       found in imagenet_samples/" in capsys.readouterr().out
