"""Losses of probabilities behind a softmax go without the sums of its rows."""

import numpy as np
import pytest

from nacre import losses, ops
from nacre.core.autodiff import GradientTape
from nacre.core.tensor import Tensor
from nacre.core.variable import Variable
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(3)


def sparse(y, p):
    return losses.sparse_categorical_crossentropy(y, p)


def dense(y, p):
    return losses.categorical_crossentropy(ops.one_hot(y, p.shape[-1]), p)


def from_the_end(y, p):
    share = ops.take_along_axis(p, ops.expand_dims(y, -1) - p.shape[-1], -1)
    return -ops.log(share / ops.sum(p, -1, keepdims=True))


def compiled_and_eager(loss, x, y):
    x, y = Variable(x), Tensor.of(y)

    def step(y):
        with GradientTape() as tape:
            p = ops.softmax(x * 2.0)
            total = ops.sum(loss(y, p))
        return [total, *tape.gradient(total, [x])]

    compiled = CompiledFunction(step)
    got = [v.numpy() for v in compiled(y)]
    return got, [v.numpy() for v in step(y)], [r["op"] for r in compiled.profile(y, repeats=1)]


@pytest.mark.parametrize("rows", [(6,), (3, 4)], ids=str)
@pytest.mark.parametrize("loss", [sparse, dense, from_the_end], ids=lambda f: f.__name__)
def test_gradients_of_losses_behind_a_softmax_need_no_sums_of_rows(loss, rows):
    x = RNG.standard_normal((*rows, 9)).astype("float32")
    y = RNG.integers(0, 9, rows).astype("int32")
    got, want, made = compiled_and_eager(loss, x, y)
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=5e-6, atol=5e-6)
    assert "TakeAlongGradX" not in made
    assert ("SoftmaxXentGrad" in made) == (loss is not dense)
    # of the loss, and where the sum over the classes is the loss itself, of that
    assert made.count("SumTo") == (2 if loss is dense else 1)


@pytest.mark.parametrize("loss", [sparse, dense], ids=lambda f: f.__name__)
def test_what_is_cut_off_or_not_a_number_stays_so(loss):
    x = np.zeros((5, 4), "float32")
    x[0, 1], x[1, 2], x[2, 0] = 60, -60, np.nan  # probabilities of one, of less than epsilon, and none
    y = np.array([1, 2, 3, 0, 7], "int32")
    got, want, _ = compiled_and_eager(loss, x, y)
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=5e-6, atol=5e-6)
    assert np.isnan(got[1][2]).all() and not got[1][:2].any()


def test_other_sums_of_probabilities_are_computed():
    def penalty(y, p):
        return ops.sum(p, -1) * ops.take_along_axis(p, ops.expand_dims(y, -1), -1)[..., 0]

    def over_another_sum(y, p):
        return ops.take_along_axis(p, ops.expand_dims(y, -1), -1) / ops.sum(p, 0, keepdims=True)[:, :1]

    x, y = RNG.standard_normal((4, 4)).astype("float32"), np.array([0, 1, 2, 3], "int32")
    for loss in (penalty, over_another_sum):
        got, want, made = compiled_and_eager(loss, x, y)
        for a, b in zip(got, want):
            np.testing.assert_allclose(a, b, rtol=5e-6, atol=5e-6)
        assert "SoftmaxXentGrad" not in made
