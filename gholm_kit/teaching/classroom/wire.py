"""Answers as data: what a student's function gave, as JSON that can be read without running anything.

Never pickles: reading a pickle runs the code of whoever wrote it.
"""

from __future__ import annotations

import base64
import builtins
from typing import Any

import numpy as np
import torch

LARGEST = 2**23  # bytes of one array; the chapters' answers have a few thousand
_KINDS = "biufc"  # bool, integers, floats, complex: plain numbers, no objects


class Foreign(Exception):
    """A value of a type that is not handed over; the message says which types are."""


def pack(value: Any) -> Any:
    """A value as JSON. Numbers, texts, arrays, tensors and containers of these; of anything else only the type.

    raises ValueError for an array that is too large
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if value is ...:
        return {"is": "dots"}
    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().resolve_conj()
        half = plain.dtype == torch.bfloat16
        array = (plain.float() if half else plain).numpy()
        grad = value.requires_grad
        return {"is": "tensor", **_array(array), "dtype_of": str(value.dtype)[6:], "grad": grad}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in _KINDS:
        return {"is": "array", **_array(np.asarray(value)), "scalar": isinstance(value, np.generic)}
    if isinstance(value, list | tuple | set | frozenset):
        kind = next(t.__name__ for t in (list, tuple, set, frozenset) if isinstance(value, t))
        return {"is": kind, "of": [pack(v) for v in value]}
    if isinstance(value, dict):
        return {"is": "dict", "of": [[pack(k), pack(v)] for k, v in value.items()]}
    return {"is": "foreign", "type": type(value).__name__}


def _array(array: np.ndarray) -> dict[str, Any]:
    if array.nbytes > LARGEST:
        raise ValueError(f"your answer has {array.nbytes} bytes; at most {LARGEST} can be handed over")
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def unpack(data: Any) -> Any:
    """What :func:`pack` wrote. Any other JSON, too, gives data or an error, and runs nothing.

    raises Foreign for a value of a type that is not handed over, ValueError for what pack cannot have written
    """
    if not isinstance(data, dict):
        if isinstance(data, list):
            raise ValueError("a bare list")
        return data
    try:
        return _READERS[data["is"]](data)
    except (KeyError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"not an answer: {error}") from error


def _to_array(data: dict[str, Any]) -> Any:
    dtype = np.dtype(str(data["dtype"]))
    if dtype.kind not in _KINDS:
        raise ValueError(f"an array of {dtype}")
    raw = base64.b64decode(data["data"], validate=True)
    array = np.frombuffer(raw, dtype).reshape([int(n) for n in data["shape"]]).copy()
    return array[()] if data.get("scalar") else array


def _to_tensor(data: dict[str, Any]) -> torch.Tensor:
    dtype = getattr(torch, str(data["dtype_of"]))
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"no type of tensors: {dtype}")
    found = torch.from_numpy(np.asarray(_to_array(data))).to(dtype)
    return found.requires_grad_() if data["grad"] is True and found.is_floating_point() else found


def _foreign(data: dict[str, Any]) -> Any:
    raise Foreign(
        f"your answer is of type {str(data['type'])[:80]}; expected numbers, texts, arrays or tensors, or lists, "
        "tuples and dictionaries of them"
    )


_READERS = {
    "dots": lambda data: ...,
    "tensor": _to_tensor,
    "array": _to_array,
    "list": lambda data: [unpack(v) for v in data["of"]],
    "tuple": lambda data: tuple(unpack(v) for v in data["of"]),
    "set": lambda data: {unpack(v) for v in data["of"]},
    "frozenset": lambda data: frozenset(unpack(v) for v in data["of"]),
    "dict": lambda data: {unpack(k): unpack(v) for k, v in data["of"]},
    "foreign": _foreign,
}


# ---------------------------------------------------------------------- errors


def pack_error(error: BaseException, cell: str) -> dict[str, Any]:
    """An error as data; ``cell`` is the file name under which the student's cell was compiled."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == cell:
            line = trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == cell:
        line = error.lineno
    base = next(t.__name__ for t in type(error).__mro__ if t.__module__ == "builtins")
    try:
        message = str(error)[:600]
    except BaseException:  # a student's own class of errors
        message = ""
    return {"type": type(error).__name__[:80], "base": base, "message": message, "line": line}


def unpack_error(data: Any) -> Exception:
    """An error of the nearest built-in type with the same text, so that a check can catch it."""
    data = data if isinstance(data, dict) else {}
    kind = getattr(builtins, str(data.get("base")), None)
    message = str(data.get("message", ""))[:600]
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        return RuntimeError(f"{str(data.get('type'))[:80]}: {message}".removesuffix(": "))
    try:
        return kind(message)
    except TypeError:  # some built-in errors want more than a text
        return RuntimeError(message)
