"""Every op and every layer gives in ONNX Runtime what it gives here, or says that it cannot be exported."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import nacre
from casebook import Case, leaves
from cases import all_cases
from export.onnx_session import assert_equal, exported, run
from layers import layer_cases
from nacre.core import tree
from nacre.core.spec import dtype_name
from nacre.core.tensor import Tensor

pytestmark = pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask", "ignore:.*softmax over axis")

# What ONNX has nothing for: decompositions of matrices, running products, a loss with its gradient in mind.
NONE = re.compile(
    "the op (Cholesky|Solve|SolveTriangular|Inverse|SignLogDet|Determinant|QR|Eigh|SVD|Erfinv|SoftmaxXent) .* there is "
    "none|the op Cumulative .* no running prod"
)


def arguments(case: Case) -> tuple[list[np.ndarray[Any, Any]], Any]:
    """The arrays among the arguments, and the function of them."""
    args = case.draw()
    arrays = [b for a in args for b in (a if isinstance(a, list) else [a]) if isinstance(b, np.ndarray)]

    def fn(*values: Any) -> Any:
        rest = iter(values)

        def one(a: Any) -> Any:
            return [one(b) for b in a] if isinstance(a, list) else next(rest) if isinstance(a, np.ndarray) else a

        return case.function(*[one(a) for a in args], **case.kwargs)

    return arrays, fn


CASES = [c for c in all_cases() if arguments(c)[0]]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_exported_op_gives_the_same(case: Case) -> None:
    arrays, fn = arguments(case)
    specs = [(a.shape, dtype_name(a.dtype)) for a in arrays]
    with np.errstate(all="ignore"):
        want = leaves(fn(*[Tensor(np.ascontiguousarray(a).reshape(a.shape)) for a in arrays]))
    try:
        proto = exported(fn, specs)
    except NotImplementedError as error:
        assert NONE.search(str(error))
        return
    got = run(proto, {f"x{i}": a for i, a in enumerate(arrays)})
    assert_equal(got, want, case.roundings)


ODD = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0, np.nan, -1.5, np.inf, 3.4e38]], "float32")
NOTHING = np.zeros((0, 3), "float32")


@pytest.mark.parametrize("name", ["sort", "argsort", "max", "any", "all", "isnan", "sign", "relu", "cumsum", "softmax"])
@pytest.mark.parametrize(
    "x", [ODD, ODD > 0, np.isnan(ODD), NOTHING, NOTHING.T, NOTHING > 0], ids=lambda x: f"{x.dtype}{x.shape}"
)
def test_unusual_numbers_and_no_numbers_at_all_give_the_same(name: str, x: np.ndarray[Any, Any]) -> None:
    def fn(value: Any) -> Any:
        return getattr(nacre.ops, name)(value)

    try:
        want = fn(x)
    except (ValueError, TypeError):  # the largest of nothing, the softmax of truth values
        return
    assert_equal(run(exported(fn, [(x.shape, str(x.dtype))]), {"x0": x}), want)


@pytest.mark.parametrize("case", [c for c in layer_cases.ALL if not c.name.endswith("-4")], ids=str)
def test_an_exported_layer_takes_any_batch(case: Any) -> None:
    layer, inputs = case.make(nacre.layers), case.inputs()
    if not layer.built:
        shapes = tree.map_structure(np.shape, inputs)
        layer.build(*shapes) if case.spread else layer.build(shapes)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(0.2, 0.9, w.shape) for w in layer.weights])
    several = isinstance(inputs, list)
    arrays = inputs if several else [inputs]

    def fn(*values: Any) -> Any:
        return case.run(layer, list(values) if several else values[0])

    proto = exported(fn, [(("batch", *a.shape[1:]), dtype_name(a.dtype)) for a in arrays])
    for rows in (lambda a: a, lambda a: np.concatenate([a, a[:1]]), lambda a: a[:1]):
        data = [np.ascontiguousarray(rows(a)) for a in arrays]
        assert_equal(run(proto, {f"x{i}": a for i, a in enumerate(data)}), fn(*data))
