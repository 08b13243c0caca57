"""The arena: values that live at the same time do not touch, and little of it lies idle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nacre as keras
from nacre.passes import memory
from nacre.passes.lower import Buffer
from nacre.passes.memory import ALIGN, place
from nacre.runtime import writer


def most_alive(buffers):
    """The largest number of bytes that live at the same time, each buffer rounded up to whole lines."""
    moments = {b.first for b in buffers}
    return max(
        (sum(-(-b.nbytes // ALIGN) * ALIGN for b in buffers if b.first <= t <= b.last) for t in moments), default=0
    )


def test_buffers_that_live_together_do_not_overlap():
    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12), st.integers(1, 5000)), max_size=40))
    def check(ranges):
        buffers = []
        for first, length, nbytes in ranges:
            b = Buffer(nbytes)
            b.first, b.last = first, first + length
            buffers.append(b)
        size = place(buffers)
        for i, b in enumerate(buffers):
            assert b.offset % ALIGN == 0 and b.offset + b.nbytes <= size
            for other in buffers[:i]:
                if b.first <= other.last and other.first <= b.last:
                    assert b.offset + b.nbytes <= other.offset or other.offset + other.nbytes <= b.offset

    check()


def test_large_buffers_of_equal_size_begin_in_different_sets_of_the_caches():
    buffers = [Buffer(1 << 20) for _ in range(6)]
    for b in buffers:
        b.first, b.last = 0, 1
    size = place(buffers)
    assert len({b.offset // ALIGN % 64 for b in buffers}) == 6, "64 sets of L1"
    assert size < 6.1 * (1 << 20)


def dense_block(x):
    for width in (8, 12, 8):
        x = keras.layers.Concatenate()([x, keras.layers.Conv2D(width, 3, padding="same", activation="relu")(x)])
    return keras.layers.MaxPooling2D()(x)


def u_shape(x):
    down = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    low = keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="silu")(down)
    return keras.layers.Concatenate()([down, keras.layers.Conv2DTranspose(8, 2, strides=2)(low)])


def normalized(x):
    for _ in range(3):
        y = keras.layers.BatchNormalization()(keras.layers.Conv2D(12, 3, padding="same")(x))
        y = keras.layers.ReLU()(y)
        x = keras.layers.Add()([y, keras.layers.Conv2D(12, 1)(x)])
    return x


def attentive(x):
    x = keras.layers.Reshape((256, 3))(x)
    x = keras.layers.Dense(16)(x)
    return keras.layers.LayerNormalization()(x + keras.layers.MultiHeadAttention(2, 8)(x, x))


@pytest.mark.parametrize("body", [dense_block, u_shape, normalized, attentive])
@pytest.mark.parametrize("batch", [1, 37])
def test_a_step_needs_hardly_more_than_what_lives_at_one_time(monkeypatch, body, batch):
    planned = []

    def watched(low):
        size = memory.plan_memory(low)
        planned.append((size, most_alive(memory.live_ranges(low.instructions))))
        return size

    monkeypatch.setattr(writer, "plan_memory", watched)
    inputs = keras.Input((16, 16, 3))
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(body(inputs)))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse")
    model.train_on_batch(np.zeros((batch, 16, 16, 3), "float32"), np.zeros((batch, 3), "float32"))
    size, least = max(planned)
    assert size > 1000
    assert least - ALIGN < size <= 1.1 * least  # the last buffer ends where its bytes end


def test_each_buffer_takes_the_lowest_gap_among_those_that_live_with_it():
    rng = np.random.default_rng(0)
    sizes = rng.choice([8, memory.OWN, 5000, 1 << 18, (1 << 18) + 8, 1 << 20], 200)
    firsts, lives = rng.integers(0, 60, 200), rng.integers(0, 9, 200)
    buffers = [Buffer(int(n)) for n in sizes]
    for b, first, life in zip(buffers, firsts, lives, strict=True):
        b.first, b.last = int(first), int(first + life)
    size, placed = place(buffers), []
    for b in sorted(buffers, key=lambda b: -b.nbytes):
        at = 0
        for other in sorted(placed, key=lambda p: p.offset):
            if b.nbytes >= memory.OWN and (other.last < b.first or b.last < other.first):
                continue
            if at + b.nbytes <= other.offset:
                break
            end = -(-(other.offset + other.nbytes) // ALIGN) * ALIGN
            at = max(at, end + (memory._APART if other.nbytes > memory._LARGE else 0))
        assert b.offset == at
        placed.append(b)
    assert size == max(b.offset + b.nbytes for b in buffers)
