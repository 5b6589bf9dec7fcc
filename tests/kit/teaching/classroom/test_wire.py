"""Answers as data: what goes in comes out, and nothing that comes in runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from gholm_kit.teaching.classroom import wire

VALUES = [
    None,
    ...,
    True,
    3,
    -2.5,
    float("inf"),
    "μ",
    (1, [2, {"a": (3.0,)}]),
    {4: "four", (1, 2): {5}},
    np.arange(6, dtype=np.int16).reshape(2, 3),
    np.array([True, False]),
    np.float32(0.1),
    torch.arange(6.0).reshape(2, 3).T,
    torch.tensor(True),
    torch.ones(2, dtype=torch.bfloat16),
    torch.ones(1, 3).expand(4, 3),
    torch.zeros(0, 4),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_as_it_was(value):
    found = wire.unpack(json.loads(json.dumps(wire.pack(value))))
    assert type(found) is type(value)
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        assert found.dtype == value.dtype
        assert found.shape == value.shape
        assert (found == value).all()
    else:
        assert found == value


def test_a_gradient_stays_wanted():
    assert wire.unpack(wire.pack(torch.ones(2, requires_grad=True))).requires_grad


class Evil:
    def __reduce__(self):
        return print, ("pwned",)


@pytest.mark.parametrize("value", [Evil(), lambda: 1, np.array([Evil()]), (x for x in "a")], ids=lambda v: "")
def test_an_object_is_only_its_type(value, capsys):
    with pytest.raises(wire.Foreign, match="expected numbers"):
        wire.unpack(json.loads(json.dumps(wire.pack(value))))
    assert capsys.readouterr().out == ""


def test_too_large_an_array_is_refused():
    with pytest.raises(ValueError, match="at most"):
        wire.pack(torch.zeros(1).expand(2**24))


ARRAY = {"is": "array", "dtype": "<f4", "shape": [1], "data": "AAAAAA=="}


@pytest.mark.parametrize(
    "data",
    [
        {"is": "pickle"},
        {},
        [1],
        {"is": "list", "of": 5},
        {"is": "dict", "of": [[{"is": "list", "of": []}, 1]]},
        ARRAY | {"dtype": "O"},
        ARRAY | {"shape": [10**12]},
        ARRAY | {"shape": [2]},
        ARRAY | {"data": "!"},
        ARRAY | {"is": "tensor", "dtype_of": "load", "grad": False},
    ],
    ids=str,
)
def test_what_pack_never_wrote_is_an_error(data):
    with pytest.raises(ValueError):  # noqa: PT011 - the text is not shown to anybody
        wire.unpack(data)


def test_an_error_comes_back_as_the_built_in_that_it_is():
    class Own(KeyError):
        pass

    for error, kind in [
        (RuntimeError("x"), RuntimeError),
        (Own("x"), KeyError),
        (SystemExit(0), RuntimeError),
    ]:
        assert type(wire.unpack_error(wire.pack_error(error, "cell"))) is kind
    assert type(wire.unpack_error({"base": "eval", "message": "1"})) is RuntimeError
    assert type(wire.unpack_error(None)) is RuntimeError
