"""Names and signatures against real Keras."""

from __future__ import annotations

import inspect

import pytest

from nacre import ops, random

keras = pytest.importorskip("keras", reason="needs the extra `oracle` (pip install nacre[oracle])")

pytestmark = pytest.mark.oracle


def parameters(function: object) -> list[tuple[str, object, object]]:
    found = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return [(p.name, p.kind, p.default) for p in found]


OPS = sorted(set(ops.__all__) & set(dir(keras.ops)))
RANDOM = sorted(set(random.__all__) & set(dir(keras.random)))


@pytest.mark.parametrize("name", OPS)
def test_an_op_has_keras_signature(name: str) -> None:
    assert parameters(getattr(ops, name)) == parameters(getattr(keras.ops, name))


@pytest.mark.parametrize("name", RANDOM)
def test_a_random_function_has_keras_signature(name: str) -> None:
    assert parameters(getattr(random, name)) == parameters(getattr(keras.random, name))


def test_no_name_is_of_our_own_making() -> None:
    assert set(ops.__all__) <= set(dir(keras.ops))
    assert set(random.__all__) <= set(dir(keras.random))
