"""The shapes in the method's signatures: no public function is without, and tests check them as they run."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from types import FunctionType
from typing import Any, get_args, get_type_hints

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from gholm_lib.gradcam import gradcam, upsample
from gholm_lib.losses import supcon_loss
from gholm_lib.masking import erase, threshold
from gholm_lib.paths import project_root

FILES = ("backbone", "gradcam", "losses", "masking", "model")


def public_functions(owner: Any, module: str) -> Iterator[FunctionType]:
    """The public functions of a file, and the public methods, properties and constructors of its classes."""
    for name, value in vars(owner).items():
        value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if getattr(value, "__module__", None) != module or (name.startswith("_") and name != "__init__"):
            continue
        if isinstance(value, type):
            yield from public_functions(value, module)
        elif isinstance(value, FunctionType):
            yield value


def names_no_shape(hint: Any) -> bool:
    """Whether a plain Tensor stands anywhere in ``hint``."""
    parts = hint if isinstance(hint, list) else get_args(hint)
    return hint is Tensor or any(map(names_no_shape, parts))


@pytest.mark.parametrize("file", FILES)
def test_public_functions_name_the_shapes_of_their_tensors(file):
    module = import_module(f"gholm_lib.{file}")
    functions = list(public_functions(module, module.__name__))
    assert functions
    plain = [
        f"{function.__qualname__}: {name}"
        for function in functions
        for name, hint in get_type_hints(inspect.unwrap(function), vars(module), include_extras=True).items()
        if names_no_shape(hint)
    ]
    assert plain == []


@pytest.mark.parametrize("file", FILES)
def test_every_function_is_checked_while_tests_run(file):
    module = import_module(f"gholm_lib.{file}")
    assert all(hasattr(function, "__wrapped__") for function in public_functions(module, module.__name__))


def test_a_wrong_shape_is_found_where_pytorch_would_broadcast():
    heat, images = torch.rand(1, 4, 4), torch.rand(3, 3, 4, 4)
    with pytest.raises(TypeCheckError, match="parameter 'factor'"):
        threshold(heat, torch.ones(3))
    with pytest.raises(TypeCheckError, match="parameter 'mask'"):
        erase(images, heat > 0.5)
    with pytest.raises(TypeCheckError, match="parameter 'labels'"):
        supcon_loss(torch.rand(4, 2), torch.zeros(1, dtype=torch.int64))


def test_a_wrong_rank_type_or_size_is_found():
    with pytest.raises(TypeCheckError, match="parameter 'features'"):
        gradcam(lambda x: x, torch.rand(2, 5, 8))
    with pytest.raises(TypeCheckError, match="parameter 'target'"):
        gradcam(lambda x: x.mean((2, 3)), torch.rand(2, 5, 3, 3), torch.tensor([0.0, 1.0]))
    with pytest.raises(TypeCheckError, match="parameter 'size'"):
        upsample(torch.rand(2, 3, 3), (6, 6, 6))


def test_a_wrong_result_is_found(monkeypatch):
    def one_map(features: Tensor, weights: Tensor | None) -> Tensor:
        return features.sum((0, 1))[None]

    monkeypatch.setattr(sys.modules["gholm_lib.gradcam"], "class_map", one_map)
    with pytest.raises(TypeCheckError, match="return value"):
        gradcam(lambda x: x.mean((2, 3)), torch.rand(2, 5, 3, 3))


def test_nothing_is_checked_outside_the_tests():
    """The product pays nothing: its functions are plain, and the checker is not even loaded."""
    code = (
        "import sys; from gholm_lib.masking import threshold; "
        "print(hasattr(threshold, '__wrapped__'), 'beartype' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project_root(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
