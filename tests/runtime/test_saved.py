"""A compiled function saved for `nacre_bench_model` is the whole program."""

import numpy as np

import nacre as keras
from nacre import _core
from nacre.runtime.compiled import CompiledFunction


def test_a_saved_function_computes_the_same_from_its_own_buffers():
    w = keras.Variable(np.arange(6, dtype="float32").reshape(2, 3))

    def step(x):
        w.assign(w * 2)
        return keras.ops.matmul(x, w)

    fn = CompiledFunction(step)
    x = np.ones((4, 2), "float32")
    file = fn.saved(x)
    assert w.numpy()[1, 2] == 5  # saving has run nothing
    n_words, n_constants = np.frombuffer(file[8:24], np.int64)
    words = np.frombuffer(file[24 : 24 + 8 * n_words], np.int64)
    rest = file[24 + 8 * n_words :]
    program = _core.Program(words, rest[:n_constants])
    sizes = [size for size, _ in program.slots]
    assert n_constants + sum(sizes) == len(rest)
    ends = n_constants + np.cumsum(sizes)
    buffers = [np.frombuffer(bytearray(rest[end - size : end]), np.uint8) for end, size in zip(ends, sizes)]
    program.run(buffers)
    expected = fn(x).numpy()
    assert any(b.tobytes() == expected.tobytes() for b in buffers)
    assert any(b.tobytes() == w.numpy().tobytes() for b in buffers)
