"""Downloads against a loopback server that misbehaves, and archives that try to break out."""

import hashlib
import io
import json
import re
import shutil
import socket
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from gholm_lib.datasets import DATASETS, ArchiveFile, DataError
from gholm_lib.datasets import download as module
from gholm_lib.datasets.download import ResumingDownloader, download, get_dataset, install, part_path, unpack
from tests.loopback import CONTENT, HALF, serving

SIZE = len(CONTENT)
PAGE = "https://example.org/the-owner"


@pytest.fixture
def server():
    with serving() as http:
        yield http


def checksum(content: bytes) -> str:
    return "md5:" + hashlib.md5(content).hexdigest()


def archive_of(server, name="data.bin") -> ArchiveFile:
    content = server.files[name]
    return ArchiveFile(server.url, name, checksum(content), "the test", len(content))


@pytest.fixture
def fetch(server, tmp_path):
    """`fetch("truncates", ...)` plays those acts and returns the bytes that were downloaded."""

    def run(*acts, **changes):
        server.acts[:] = acts
        archive = replace(archive_of(server), **changes)
        return download(archive, tmp_path, PAGE, progress=False, pause=0).read_bytes()

    return run


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- download -------------------------------------------------------------------------------


def test_plain(fetch, server, tmp_path):
    assert fetch() == CONTENT
    assert len(server.seen) == 1
    assert left_over(tmp_path) == ["data.bin"]


def test_file_already_there_is_not_fetched_again(fetch, server):
    fetch()
    assert fetch() == CONTENT
    assert len(server.seen) == 1


@pytest.mark.parametrize("fault", ["truncates", "drops"])
def test_broken_line_is_resumed(fetch, server, tmp_path, fault):
    assert fetch(fault) == CONTENT
    assert len(server.seen) == 2
    start = int(re.fullmatch(r"bytes=(\d+)-", server.seen[1]["Range"])[1])
    assert 0 < start <= HALF
    assert server.seen[1]["If-Range"] == '"v1"'
    assert left_over(tmp_path) == ["data.bin"]


@pytest.mark.parametrize("fault", ["truncates", "drops"])
def test_server_that_ignores_range_sends_it_whole(fetch, server, fault):
    assert fetch(fault, "ignores_range") == CONTENT
    assert "Range" in server.seen[1]


@pytest.mark.parametrize(
    "acts",
    [
        ("busy", "busy"),
        ("truncates", "busy", "truncates"),
        ("claims_more",),
        ("truncates", "other_range"),
        ("no_length",),
    ],
)
def test_gets_there_in_the_end(fetch, acts):
    assert fetch(*acts) == CONTENT


def test_label_gzip_is_not_unpacked_on_the_fly(fetch, server):
    assert fetch("says_gzip") == CONTENT
    assert len(server.seen) == 1


def test_two_busy_answers_cost_two_requests(fetch, server):
    fetch("busy", "busy")
    assert len(server.seen) == 3


def test_without_etag_length_decides(fetch, server):
    server.etag = None
    assert fetch("truncates") == CONTENT
    assert "If-Range" not in server.seen[1]
    assert "Range" in server.seen[1]


def interrupted(server, tmp_path, kept, tag='"v1"', total=SIZE) -> ArchiveFile:
    """The state that a killed process leaves behind."""
    archive = archive_of(server)
    part = part_path(tmp_path, archive)
    part.write_bytes(kept)
    Path(f"{part}.json").write_text(json.dumps({"tag": tag, "total": total}))
    return archive


def test_next_run_continues_the_part(server, tmp_path):
    archive = interrupted(server, tmp_path, CONTENT[:1234])
    assert download(archive, tmp_path, PAGE, progress=False).read_bytes() == CONTENT
    assert server.seen[0]["Range"] == "bytes=1234-"
    assert left_over(tmp_path) == ["data.bin"]


def test_killed_after_the_last_byte(server, tmp_path):
    archive = interrupted(server, tmp_path, CONTENT)
    assert download(archive, tmp_path, PAGE, progress=False).read_bytes() == CONTENT
    assert server.seen == []


@pytest.mark.parametrize(("tag", "total"), [('"v0"', SIZE), (None, 999), (None, SIZE * 2)])
@pytest.mark.parametrize("kept", [300, SIZE + 1])
def test_part_of_another_version_is_dropped(server, tmp_path, tag, total, kept):
    archive = interrupted(server, tmp_path, b"o" * kept, tag=tag, total=total)
    assert download(archive, tmp_path, PAGE, False, pause=0).read_bytes() == CONTENT


def test_part_of_unknown_version_is_dropped(server, tmp_path):
    archive = archive_of(server)
    part_path(tmp_path, archive).write_bytes(b"from whom?")
    assert download(archive, tmp_path, PAGE, progress=False).read_bytes() == CONTENT
    assert "Range" not in server.seen[0]


@pytest.mark.parametrize("act", ["wrong_file", "claims_less"])
def test_wrong_content_is_refused(fetch, server, tmp_path, act):
    sent = b"<html>Please log in</html>" if act == "wrong_file" else CONTENT[:HALF]
    with pytest.raises(DataError) as caught:
        fetch(act)
    text = str(caught.value)
    assert f"expected: {checksum(CONTENT)} (from the test)" in text
    assert f"got:      {checksum(sent)}" in text
    assert "damaged in transit" in text
    assert "another version" in text
    assert PAGE in text
    assert left_over(tmp_path) == []
    assert fetch() == CONTENT, "and the next run starts afresh"


def test_not_found_is_final(fetch, server):
    with pytest.raises(DataError, match="404 Not Found") as caught:
        fetch("gone")
    assert PAGE in str(caught.value)
    assert len(server.seen) == 1


def test_gives_up_and_keeps_the_part(fetch, server, tmp_path):
    with pytest.raises(DataError, match="5 attempts in a row without a new byte") as caught:
        fetch("truncates", *["busy"] * 20)
    part = tmp_path / "data.bin.part"
    kept = part.stat().st_size
    assert 0 < kept <= HALF
    assert f"{kept} bytes are kept in {part}" in str(caught.value)
    assert fetch() == CONTENT
    assert server.seen[-1]["Range"] == f"bytes={kept}-"


def test_server_that_is_not_there(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    archive = ArchiveFile(address, "data.bin", None, "", 1)
    with pytest.raises(DataError, match="Gave up on"):
        download(archive, tmp_path, PAGE, progress=False, pause=0)


def test_waits_longer_each_time(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    server.acts[:] = ["busy"] * 4
    download(archive_of(server), tmp_path, PAGE, progress=False)
    assert waits == [1, 2, 4, 8]


def test_progress_bar(server, tmp_path, capsys):
    archive = archive_of(server)
    ResumingDownloader(archive, tmp_path, PAGE)(archive.url, tmp_path / "out", None)
    assert "data.bin" in capsys.readouterr().err


# --- unpacking ------------------------------------------------------------------------------


def make_tar(path: Path, members) -> Path:
    """Members are (name, bytes) or (name, type, link target)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, *rest in members:
            info = tarfile.TarInfo(name)
            if len(rest) == 1:
                info.size = len(rest[0])
                tar.addfile(info, io.BytesIO(rest[0]))
            else:
                info.type, info.linkname = rest
                tar.addfile(info)
    return path


BAD_TARS = {
    "parent": [("a/../../evil", b"x")],
    "symlink out": [("evil", tarfile.SYMTYPE, "../outside")],
    "symlink absolute": [("evil", tarfile.SYMTYPE, "/etc/passwd")],
    "deep symlink out": [("a/evil", tarfile.SYMTYPE, "../../outside")],
    "hard link out": [("evil", tarfile.LNKTYPE, "../outside")],
    "device": [("evil", tarfile.CHRTYPE, "")],
    "pipe": [("evil", tarfile.FIFOTYPE, "")],
}


@pytest.mark.parametrize("case", BAD_TARS)
def test_tar_that_breaks_out_is_refused(tmp_path, case):
    file = make_tar(tmp_path / "bad.tgz", [("fine.txt", b"fine"), *BAD_TARS[case]])
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    with pytest.raises(DataError, match="was not unpacked") as caught:
        unpack(file, folder, progress=False)
    assert repr(BAD_TARS[case][0][0]) in str(caught.value)
    assert not list(tmp_path.rglob("*evil*"))


def test_an_absolute_name_stays_inside(tmp_path):
    target = tmp_path / "evil"
    unpack(make_tar(tmp_path / "a.tgz", [(str(target), b"x")]), tmp_path / "out", progress=False)
    assert not target.exists()
    assert (tmp_path / "out" / target.relative_to("/")).read_bytes() == b"x"


def test_link_that_stays_inside(tmp_path):
    file = make_tar(tmp_path / "a.tgz", [("d/f", b"x"), ("e/l", tarfile.SYMTYPE, "../d/f")])
    unpack(file, tmp_path / "out", progress=False)
    assert (tmp_path / "out/e/l").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["a.tgz", "a.tar"])
@pytest.mark.parametrize("damage", ["cut", "html", "empty"])
def test_damaged_archive_is_named(tmp_path, name, damage):
    whole = make_tar(tmp_path / "whole", [("f", CONTENT)]).read_bytes()
    content = {"cut": whole[:-100], "html": b"<html>" * 400, "empty": b""}[damage]
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(DataError, match="cannot be unpacked") as caught:
        unpack(file, tmp_path / "out", progress=False)
    assert str(file) in str(caught.value)


# --- the whole way --------------------------------------------------------------------------


def pack(folder: Path, members: list[str], path: Path) -> bytes:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.add(folder / member, arcname=member)
    return path.read_bytes()


@pytest.fixture
def small_cub(server, layouts, tmp_path):
    """CUB's registry entry, but for an archive of two classes on the loopback server."""
    layouts.cub(tmp_path / "made/CUB_200_2011")
    (tmp_path / "made/attributes.txt").write_text("beside the folder, as in the owner's archive")
    members = ["attributes.txt", "CUB_200_2011"]
    server.files["cub.tgz"] = pack(tmp_path / "made", members, tmp_path / "cub.tgz")
    return replace(DATASETS["cub"], archives=(archive_of(server, "cub.tgz"),), expected=(2, 2, 2))


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "the data"
    path.mkdir()
    return path


def test_install(small_cub, root, server, capsys):
    folder = install(small_cub, root, progress=False)
    assert small_cub.reader(folder, "cub").counts == (2, 2, 2)
    assert left_over(root) == ["CUB_200_2011"]
    assert "is complete in" in capsys.readouterr().out
    install(small_cub, root, progress=False)
    assert "nothing to do" in capsys.readouterr().out
    assert len(server.seen) == 1


def test_install_into_a_root_that_is_not_there_yet(small_cub, root):
    assert install(small_cub, root / "a/b", progress=False).is_dir()


def test_install_from_three_archives(server, layouts, tmp_path, root):
    made = layouts.dogs(tmp_path / "made")
    parts = {
        "lists.tar": ["train_list.mat", "test_list.mat"],
        "annotation.tar": ["Annotation"],
        "images.tar": ["Images"],
    }
    for name, members in parts.items():
        server.files[name] = pack(made, members, tmp_path / name)
    archives = tuple(archive_of(server, name) for name in parts)
    info = replace(DATASETS["dogs"], archives=archives, expected=(2, 2, 2))
    folder = install(info, root, progress=False)
    assert folder == root / "stanford_dogs"
    assert left_over(root) == ["stanford_dogs"]
    assert left_over(folder) == ["Annotation", "Images", "test_list.mat", "train_list.mat"]


def test_install_leaves_a_half_set_alone(small_cub, root, layouts, server):
    folder = layouts.cub(root / "CUB_200_2011")
    (folder / "images.txt").unlink()
    with pytest.raises(DataError, match="exists but is not complete, and your files") as caught:
        install(small_cub, root, progress=False)
    assert str(folder / "images.txt") in str(caught.value)
    assert server.seen == []
    assert (folder / "classes.txt").exists()


def test_install_leaves_a_set_of_ones_own_alone(small_cub, root, layouts, server):
    folder = layouts.cub(root / "CUB_200_2011")
    info = replace(small_cub, expected=(200, 5994, 5794))
    with pytest.raises(DataError, match="contains a data set of your own, which is not overwritten"):
        install(info, root, progress=False)
    assert server.seen == []
    assert (folder / "classes.txt").exists()


def test_empty_folder_is_no_obstacle(small_cub, root):
    (root / "CUB_200_2011").mkdir()
    assert (install(small_cub, root, progress=False) / "images.txt").exists()


def test_wrong_counts_install_nothing(small_cub, root):
    info = replace(small_cub, expected=(200, 5994, 5794))
    with pytest.raises(DataError, match="2 classes, but Table 1 has 200"):
        install(info, root, progress=False)
    assert left_over(root) == ["downloads"]


def test_hostile_archive_installs_nothing(small_cub, root, server, tmp_path):
    bad = make_tar(tmp_path / "x", [("CUB_200_2011/f", b"x"), ("../../evil", b"x")])
    server.files["cub.tgz"] = bad.read_bytes()
    info = replace(small_cub, archives=(archive_of(server, "cub.tgz"),))
    with pytest.raises(DataError, match="outside the destination"):
        install(info, root, progress=False)
    assert left_over(root) == ["downloads"]
    assert not list(tmp_path.rglob("evil"))


def test_leftovers_of_a_killed_process_are_cleared(small_cub, root):
    (root / ".CUB_200_2011.unpacking/CUB_200_2011").mkdir(parents=True)
    (root / ".CUB_200_2011.unpacking/CUB_200_2011/images.txt").write_text("half")
    install(small_cub, root, progress=False)
    assert left_over(root) == ["CUB_200_2011"]


def test_an_old_python_is_noticed_before_the_download(small_cub, root, server, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(DataError, match=r"cannot unpack archives safely; use Python 3\.12 or newer"):
        install(small_cub, root, progress=False)
    assert server.seen == []


def test_full_disk_is_noticed_before_the_download(small_cub, root, server, monkeypatch):
    usage = shutil.disk_usage(root)._replace(free=1000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"GB are free\. Free some space"):
        install(small_cub, root, progress=False)
    assert server.seen == []


def test_cars_say_where_people_get_them(tmp_path):
    with pytest.raises(DataError) as caught:
        get_dataset("cars", tmp_path)
    text = str(caught.value)
    assert "pytorch/vision/issues/7545" in text
    assert "kaggle.com" in text
    for required in DATASETS["cars"].required:
        assert str(tmp_path / "stanford_cars" / required) in text
    assert "gholm data check cars" in text


def test_a_mini_set_is_not_downloaded(tmp_path):
    with pytest.raises(DataError, match=r"it is drawn: `gholm data get mini`"):
        get_dataset("mini_cars", tmp_path)


def test_unknown_name(tmp_path):
    with pytest.raises(DataError, match="Unknown data set"):
        get_dataset("imagenet", tmp_path)


def test_registered_archives_carry_a_checksum():
    lengths = {"md5": 32, "sha256": 64}
    archives = [archive for info in DATASETS.values() for archive in info.archives]
    assert len(archives) == 5
    for archive in archives:
        algorithm, _, digest = archive.checksum.partition(":")
        assert re.fullmatch(r"[0-9a-f]+", digest)
        assert len(digest) == lengths[algorithm]
        assert archive.source
