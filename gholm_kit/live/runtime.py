"""ONNX Runtime Web, fetched once through npm: one version, one digest."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

VERSION = "1.30.0"
_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_SCRIPT = "package/dist/ort.wasm.bundle.min.mjs"
_WASM = "package/dist/ort-wasm-simd-threaded.wasm"


class RuntimeMissingError(OSError):
    """The runtime is not here and could not be fetched; the message says what is needed."""


@dataclass(frozen=True)
class Runtime:
    """script: JavaScript that defines ``globalThis.ort``; wasm: the WebAssembly that it runs."""

    script: str
    wasm: bytes


def load_runtime(folder: Path) -> Runtime:
    """The runtime from the archive in ``folder``, to which npm fetches it the first time.

    raises  RuntimeMissingError: no npm, no network, or another archive than the one that was tested
    """
    path = folder / f"onnxruntime-web-{VERSION}.tgz"
    if not path.is_file():
        _fetch(folder)
    if base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode() != _SHA512:
        raise RuntimeMissingError(
            f"{path} is damaged or another release; remove it and run `make live` again"
        )
    with tarfile.open(path) as archive:
        script, wasm = (_read(archive, name) for name in (_SCRIPT, _WASM))
    return Runtime(_without_export(script.decode()), wasm)


def _fetch(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeMissingError(
            "the page needs ONNX Runtime Web, which npm fetches, and npm is not installed: install Node.js (Debian: "
            "sudo apt-get install npm) and run `make live` again; nothing else needs it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", f"onnxruntime-web@{VERSION}", "--silent"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        reason = " ".join(done.stderr.split())[-200:] or "no message"
        raise RuntimeMissingError(
            f"npm could not fetch onnxruntime-web {VERSION} ({reason}): run `make live` again with a network, once"
        )


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None  # the digest has been compared
    return file.read()


def _without_export(script: str) -> str:
    """The module as a script in a page: what it exports becomes ``globalThis.ort``."""
    script = re.sub(r"\n//# sourceMappingURL=.*", "", script)
    whole, count = re.subn(r"export\{.*?(\w+) as default.*?\};?\s*$", r"globalThis.ort=\1;", script)
    assert count == 1  # the digest has been compared
    return whole
