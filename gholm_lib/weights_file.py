"""From a file of weights, as people have them, to named tensors. No code in a file is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint

# Where trainers put the weights in a checkpoint, in this order, but averaged ones (EMA) first, as timm takes them.
_TABLES = ("state_dict", "model_state_dict", "model", "params", "net", "network")
_OTHERS = {  # first bytes of files that are no weights → what they are, and what to do
    b"<": "it is a web page: download the file itself",
    b"version https://git-lfs": "it is a Git LFS pointer: `git lfs pull` downloads the file itself",
}
# Besides tensors, checkpoints hold settings and numbers. For files from before PyTorch 1.6, which cannot be asked
# for the types in them, these are the usual ones.
_USUAL = (
    "builtins.list",
    "argparse.Namespace",
    "collections.defaultdict",
    "pathlib.PosixPath",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
)


class WeightsError(ValueError):
    """Weights that are missing, broken or of another network; the message says what to do."""


class _Inert:
    """Takes the place of every type in a file that is not a tensor's: it accepts anything and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...
    def __setstate__(self, state: Any) -> None: ...


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """Takes the place of defaultdict, whose items follow."""
    return {}


def named_tensors(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Name → tensor of a .safetensors, .pth or .pt file, and in sentences which of several tables was taken.

    The content, not the file's name, decides how it is read.

    raises  WeightsError naming the file
    """
    try:
        content = _content(path)
    except Exception as error:
        raise WeightsError(f"{path} cannot be read as weights: {_fault(path, error)}") from error
    notes = []
    while found := _tables(content):
        if len(found) > 1:
            notes.append(f"{path.name} contains {' and '.join(found)}; {found[0]} was taken")
        content = content[found[0]]
    if not _is_table(content):
        raise WeightsError(
            f"{path} contains no dictionary of named tensors; save net.state_dict(), not the network"
        )
    return content, notes


def _content(path: Path) -> Any:
    with path.open("rb") as file:  # given the path, torch.load would go by its ending
        if file.read(9)[8:] == b"{":  # after the length of its header, 8 bytes
            return safetensors.torch.load_file(path)
        file.seek(0)
        try:
            unknown = get_unsafe_globals_in_checkpoint(file)
        except Exception:  # not a zip, as files from before PyTorch 1.6
            unknown = list(_USUAL)
        file.seek(0)
        instead: list[Any] = [(_plain_dict if n == "collections.defaultdict" else _Inert, n) for n in unknown]
        with torch.serialization.safe_globals(instead):
            return torch.load(file, map_location="cpu", weights_only=True)


def _fault(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(64).lstrip()
    if not head:
        return "it is empty (0 bytes): download it again"
    known = (advice for start, advice in _OTHERS.items() if head.startswith(start))
    reason = str(error).splitlines()[0].split(". ")[0][:100] if str(error) else ""
    damaged = (
        f"it is damaged or of another kind ({type(error).__name__}: {reason}): download or save it again"
    )
    return next(known, damaged)


def _tables(content: Any) -> list[str]:
    """The names of tables of weights in a checkpoint, the preferred one first."""
    if not isinstance(content, Mapping) or _is_table(content):
        return []
    found = [k for k, v in content.items() if isinstance(k, str) and (_is_table(v) or _tables(v))]
    return sorted(found, key=lambda k: ("ema" not in k, _TABLES.index(k) if k in _TABLES else len(_TABLES)))


def _is_table(content: Any) -> bool:
    return (
        isinstance(content, dict) and bool(content) and all(isinstance(v, Tensor) for v in content.values())
    )
