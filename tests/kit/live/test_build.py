"""The page is whole, says what it shows, and names lines and tests that are there. No browser, no npm."""

from __future__ import annotations

import ast
import base64
import gzip
import hashlib
import json
import re
import tarfile
from pathlib import Path

import pytest
import torch

from gholm_kit.__main__ import main
from gholm_kit.export.source import Source
from gholm_kit.live import runtime as fetched
from gholm_kit.live.build import page
from gholm_kit.live.runtime import Runtime, RuntimeMissingError, load_runtime
from gholm_kit.live.tour import STEPS, Step
from gholm_lib.config import Config
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import project_root

CLASSES = ("oak", "</script><b>birch", "枫叶 maple")


def source(**settings) -> Source:
    torch.manual_seed(0)
    config = Config(weights="none", image_size=48, resize=56, **settings)
    return Source("leaves", GHOLMNet.from_config(config, len(CLASSES)).eval(), CLASSES)


@pytest.fixture(scope="module")
def text() -> str:
    return page(source(), Runtime("globalThis.ort={};", b"the wasm"))


def script(text: str, name: str) -> str:
    (found,) = re.findall(rf'<script type="[\w/]+" id="{name}">(.*?)</script>', text, re.S)
    return found


def test_eight_steps_name_a_line_and_a_test_that_are_there():
    assert len(STEPS) == 8
    for step in STEPS:
        file, _, number = step.place.rpartition(":")
        lines = (project_root() / file).read_text(encoding="utf-8").splitlines()
        assert lines[int(number) - 1].strip() == step.line
        path, _, name = step.test.partition("::")
        tree = ast.parse((project_root() / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_a_line_that_is_gone_is_an_error():
    step = Step("heat", "", "", "", "gholm_lib/gradcam.py", "return 42", "")
    with pytest.raises(ValueError, match=r"a line that stands 0 times in gholm_lib/gradcam\.py: return 42"):
        _ = step.place


@pytest.mark.slow
def test_the_page_holds_network_runtime_and_settings(text):
    assert gzip.decompress(base64.b64decode(script(text, "wasm"))) == b"the wasm"
    assert b"raw_logits" in gzip.decompress(base64.b64decode(script(text, "model")))
    about = json.loads(script(text, "about"))
    assert about["classes"] == list(CLASSES)
    assert (about["image_size"], about["resize"], about["mu"]) == (48, 56, Config.mu)
    assert len(about["colours"]) == 256


@pytest.mark.slow
def test_the_page_asks_for_nothing_from_outside(text):
    outside = re.findall(r'(?:src|href|action)="((?!data:)[^"]*)"', text)
    assert outside == []
    assert not re.search(r"@import|url\(", text)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"crop_mask": "coarse"}, "with crop_mask 'upsampled', but this one was trained with 'coarse'"),
        ({"answer": "probabilities"}, "answer 'logits'"),
    ],
)
def test_a_network_with_another_reading_is_not_shown_wrongly(settings, words):
    with pytest.raises(ValueError, match=words):
        page(source(**settings), Runtime("", b""))


# ---------------------------------------------------------------------- the runtime


def test_without_npm_the_command_says_what_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["live", "--out", str(tmp_path / "live")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "gholm live: the page needs ONNX Runtime Web, which npm fetches, and npm is not installed"
    )
    assert "Node.js" in said


def test_without_a_network_npm_is_quoted(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'code ENOTFOUND' >&2; exit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(fetched.shutil, "which", lambda name: str(npm))
    with pytest.raises(
        RuntimeMissingError, match=r"npm could not fetch .* \(code ENOTFOUND\): run `make live` again"
    ):
        load_runtime(tmp_path / "kept")


def test_another_archive_is_refused(tmp_path):
    path = tmp_path / f"onnxruntime-web-{fetched.VERSION}.tgz"
    path.write_bytes(b"something else")
    with pytest.raises(RuntimeMissingError, match=f"{path.name} is damaged or another release; remove it"):
        load_runtime(tmp_path)


def test_what_the_module_exports_becomes_a_name_of_the_page(tmp_path, monkeypatch):
    parts = {
        "ort.wasm.bundle.min.mjs": b"var q=1;export{a as b,q as default,c as d};\n//# sourceMappingURL=x.map\n"
    }
    parts["ort-wasm-simd-threaded.wasm"] = b"\0asm"
    path = tmp_path / f"onnxruntime-web-{fetched.VERSION}.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in parts.items():
            file = tmp_path / name
            file.write_bytes(content)
            archive.add(file, f"package/dist/{name}")
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    monkeypatch.setattr(fetched, "_SHA512", digest)
    assert load_runtime(Path(tmp_path)) == Runtime("var q=1;globalThis.ort=q;", b"\0asm")
