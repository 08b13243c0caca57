"""Products of rows taken out of a smaller table."""

import numpy as np
import pytest

from nacre import layers, ops
from nacre.core.autodiff import GradientTape
from nacre.core.variable import Variable
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(17)


def dense(table, w, b, ids):
    return ops.tanh(ops.matmul(ops.take(table, ids, axis=0), w) + b)


def over_time(table, w, b, ids):
    x = ops.transpose(ops.take(table, ids, axis=0), (1, 0, 2))
    return ops.tanh(ops.reshape(ops.matmul(ops.reshape(x, (-1, x.shape[2])), w), (*x.shape[:2], -1)) + b)


def also_elsewhere(table, w, b, ids):
    x = ops.take(table, ids, axis=0)
    return ops.matmul(x, w) + b + ops.sum(x, axis=-1, keepdims=True)


def gradients(fn, rows, columns, ids):
    table, w, b = (Variable(RNG.standard_normal(s).astype("float32")) for s in ((rows, columns), (columns, 5), (5,)))

    def step(ids):
        with GradientTape() as tape:
            loss = ops.sum(fn(table, w, b, ids) ** 2)
        return [loss, *tape.gradient(loss, [table, w, b])]

    compiled = CompiledFunction(step)
    got, want = [v.numpy() for v in compiled(ids)], [v.numpy() for v in step(ids)]
    return got, want, {(r["op"], r["flops"]) for r in compiled.profile(ids, repeats=1) if r["op"].startswith("MatMul")}


@pytest.mark.parametrize("fn", [dense, over_time, also_elsewhere], ids=lambda fn: fn.__name__)
def test_a_small_table_is_multiplied_instead_of_its_rows(fn):
    ids = RNG.integers(-9, 9, (4, 11)).astype("int32")  # some count from the end
    got, want, products = gradients(fn, 9, 33, ids)
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5 * np.abs(b).max())
    small, large = 2 * 9 * 33 * 5, 2 * 44 * 33 * 5
    assert {flops for _, flops in products} == ({small, large} if fn is also_elsewhere else {small})


def test_rows_outside_the_table_are_not_numbers():
    table, w = RNG.standard_normal((4, 32)).astype("float32"), RNG.standard_normal((32, 3)).astype("float32")
    ids = np.array([0, 9, 3, 1, 2, 0, -7, 1], "int32")
    y = CompiledFunction(lambda t, i: ops.matmul(ops.take(t, i, axis=0), w))(table, ids).numpy()
    assert np.isnan(y).all(1).tolist() == [i in (9, -7) for i in ids] == np.isnan(y).any(1).tolist()


@pytest.mark.parametrize(("rows", "columns"), [(23, 33), (9, 31)], ids=str)
def test_large_and_narrow_tables_are_left_alone(rows, columns):
    ids = RNG.integers(0, rows, (4, 11)).astype("int32")
    got, want, products = gradients(dense, rows, columns, ids)
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5 * np.abs(b).max())
    assert all(flops == 2 * 44 * columns * 5 for _, flops in products)


@pytest.mark.parametrize("length", [1, 2])
def test_rows_that_are_multiplied_sample_by_sample_are_no_rows_of_a_product(length):
    def alike(table, w, b, ids):
        x = ops.take(table, ids, axis=0)
        return ops.max(ops.matmul(x, ops.transpose(x, (0, 2, 1))), axis=-1) + ops.sum(w) + ops.sum(b)

    got, want, _ = gradients(alike, 3, 49, RNG.integers(0, 3, (32, length)).astype("int32"))
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5 * np.abs(b).max())


def test_letters_through_a_recurrent_layer():
    embedding, gru = layers.Embedding(7, 40), layers.GRU(6, return_sequences=True)
    ids = RNG.integers(0, 7, (5, 8)).astype("int32")
    gru(embedding(ids))
    weights = [*embedding.trainable_variables, *gru.trainable_variables]

    def step(ids):
        with GradientTape() as tape:
            loss = ops.sum(gru(embedding(ids)) ** 2)
        return [loss, *tape.gradient(loss, weights)]

    compiled = CompiledFunction(step)
    for a, b in zip(compiled(ids), step(ids)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=2e-5 * np.abs(b.numpy()).max())
    products = {r["flops"] for r in compiled.profile(ids, repeats=1) if r["op"] == "MatMul"}
    assert 2 * 7 * 40 * 18 in products and 2 * 40 * 40 * 18 not in products
