"""Threads, many steps in a call, concurrent runs: the same bits whatever the way."""

import gc
import threading

import numpy as np
import pytest

from nacre import _core, ops
from nacre.runtime import compiled
from program_words import ABSENT, ARENA, CONSTANTS, SLOT, Call, Words, bits, copy

KB = 1024
MB = 1024 * KB


@pytest.fixture(autouse=True)
def threads_as_before():
    before = _core.get_threads()
    yield
    _core.set_threads(before)


class Shuffle:
    """A random program of copies among an input, a state and the arena, and what it does, in NumPy."""

    def __init__(self, seed, size=2048 * KB, calls=40, longest=1024 * KB):
        rng = np.random.default_rng(seed)
        spaces = [(SLOT, 0), (SLOT, 1), (ARENA, 0)]
        self.size, self.moves = size, []
        self.moves.append((0, 0, 2, 0, size))  # the arena begins undefined
        while len(self.moves) < calls:
            n = int(rng.integers(1, longest))
            source, target = int(rng.integers(3)), int(rng.integers(1, 3))
            at, to = (int(rng.integers(size - n)) for _ in range(2))
            if source != target or at + n <= to or to + n <= at:
                self.moves.append((source, at, target, to, n))
        instructions = [copy(n, (*spaces[s], at), (*spaces[t], to)) for s, at, t, to, n in self.moves]
        self.words = Words([(size, 0), (size, 1)], instructions, arena=size).array()

    def reference(self, x, state):
        buffers = [x, state, np.zeros_like(x)]
        for source, at, target, to, n in self.moves:
            buffers[target][to : to + n] = buffers[source][at : at + n]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_instructions_take_effect_in_order_at_any_thread_count(seed, threads):
    shuffle = Shuffle(seed)
    rng = np.random.default_rng(seed)
    x, state = (rng.integers(0, 256, shuffle.size, np.uint8) for _ in range(2))
    expected = state.copy()
    shuffle.reference(x, expected)
    _core.set_threads(threads)
    program = _core.Program(shuffle.words)
    assert threads == 1 or max(i["threads"] for i in program.instructions) > 1
    for _ in range(3):
        got = state.copy()
        program.run([x, got])
        assert np.array_equal(got, expected)


def test_instructions_share_a_phase_unless_they_conflict():
    n = 2048 * KB
    program = _core.Program(
        Words(
            [(n, 0), (n, 1), (n, 1)],
            [
                copy(n, (SLOT, 0, 0), (SLOT, 1, 0)),
                copy(n, (SLOT, 0, 0), (SLOT, 2, 0)),  # reads what the first reads
                copy(n // 2, (SLOT, 1, 0), (ARENA, 0, 0)),  # reads what the first wrote
                copy(n // 2, (SLOT, 1, n // 2), (ARENA, 0, n // 2)),  # beside it
                copy(n, (SLOT, 0, 0), (SLOT, 1, 0)),  # overwrites what was read
                copy(8, (SLOT, 0, 0), (SLOT, 2, 0)),  # overwrites what the second wrote; small, so in a chain
                copy(8, (SLOT, 2, 0), (SLOT, 2, 8)),  # conflicts with the one above, but keeps its order in the chain
                copy(8, (SLOT, 0, 0), (ARENA, 0, n)),  # conflicts with nothing
            ],
            arena=n + 8,
        ).array()
    )
    _core.set_threads(2)
    assert [i["phase"] for i in program.instructions] == [0, 0, 1, 1, 2, 1, 1, 0]
    assert [i["threads"] for i in program.instructions] == [2] * 5 + [1] * 3
    _core.set_threads(1)
    assert [i["phase"] for i in program.instructions] == [0] * 8


def test_small_work_that_nothing_waits_for_goes_beside_later_work_for_all():
    n = 2048 * KB
    program = _core.Program(
        Words(
            [(n, 0), (n, 1), (n, 1)],
            [
                copy(n, (SLOT, 0, 0), (SLOT, 1, 0)),
                copy(8, (SLOT, 1, 0), (ARENA, 0, 0)),  # the next large one waits for this,
                copy(8, (SLOT, 1, 0), (ARENA, 0, n)),  # and not for this
                copy(8, (ARENA, 0, n), (ARENA, 0, n + 8)),  # nor this
                copy(n, (ARENA, 0, 0), (SLOT, 2, 0)),
                copy(8, (SLOT, 2, 0), (ARENA, 0, n + 16)),  # no work for all is behind it
            ],
            arena=n + 24,
        ).array()
    )
    _core.set_threads(2)
    assert [i["phase"] for i in program.instructions] == [0, 1, 2, 2, 2, 3]


def test_small_work_is_not_spread():
    program = _core.Program(Words([(100, 0), (100, 1)], [copy(100, (SLOT, 0, 0), (SLOT, 1, 0))]).array())
    _core.set_threads(8)
    assert [i["threads"] for i in program.instructions] == [1]


@pytest.mark.parametrize("threads", [1, 2])
def test_subnormals_are_zero_inside_a_run_and_numbers_outside(threads):
    rows, inner, columns = 512, 256, 256
    sizes = [4 * rows * inner, 4 * inner * columns, 4 * rows * columns]
    names = [name for name, _, _ in _core.kernels()["dense"]["fields"]]
    fields = [{"M": rows, "K": inner, "N": columns}.get(name, 0) for name in names]
    call = Call("dense", fields, [(SLOT, 0, 0), (SLOT, 1, 0), (ABSENT, 0, 0), (SLOT, 2, 0)])
    program = _core.Program(Words([(sizes[0], 0), (sizes[1], 0), (sizes[2], 1)], [call]).array())
    _core.set_threads(threads)
    assert program.instructions[0]["threads"] == threads
    tiny = np.float32(1e-39)
    x, w, y = np.full((rows, inner), tiny), np.ones((inner, columns), np.float32), np.ones((rows, columns), np.float32)
    program.run([x, w, y])
    assert (y == 0).all()
    assert (x * np.float32(1)).min() > 0  # this thread counts on as before


def test_programs_share_the_memory_of_their_runs():
    mb = 1024 * KB
    _core.set_threads(1)
    y = np.zeros(8, np.uint8)

    def program(size):
        return _core.Program(Words([(8, 1)], [copy(8, (SLOT, 0, 0), (ARENA, 0, size - 8))], arena=size).array())

    gc.collect()
    at_first = _core.idle_bytes()
    programs = [program(size * mb) for size in (40, 60, 50, 10)]
    for p in programs:
        p.run([y])
    assert at_first <= _core.idle_bytes() < max(at_first, 60 * mb) + mb  # the largest holds the others
    del programs, p
    gc.collect()
    assert _core.idle_bytes() <= at_first


def test_the_memory_of_gathered_batches_is_kept_for_the_next_steps_of_any_program():
    mb = 1024 * KB
    order = np.zeros(2, np.int64)

    def program(row):
        return _core.Program(Words([(row, 0), (8, 1)], [copy(8, (SLOT, 0, 0), (SLOT, 1, 0))]).array())

    gc.collect()
    at_first = _core.idle_bytes()
    programs = [program(row * mb) for row in (30, 40, 20)]
    for p, row in zip(programs, (30, 40, 20), strict=True):
        x, y = np.ones((1, row * mb), np.uint8), np.zeros(8, np.uint8)
        p.run_steps([None, y], [(0, x)], order, 1, 0, 2)
        assert y.tolist() == [1] * 8
    assert max(at_first, 80 * mb) <= _core.idle_bytes() < max(at_first, 80 * mb) + mb  # two batches of the largest
    del programs, p
    gc.collect()
    assert _core.idle_bytes() <= at_first


@pytest.mark.parametrize("limit", ["_MOST_PROGRAMS", "_MOST_INSTRUCTIONS"])
def test_the_oldest_programs_go_where_there_are_too_many(limit, monkeypatch):
    monkeypatch.setattr(compiled, limit, 3)
    double = compiled.CompiledFunction(lambda x: ops.add(x, x))
    for n in range(1, 8):
        assert double(np.ones(n, np.float32)).numpy().tolist() == [2] * n
    assert double.count == 3 and not double.knows(np.ones(1, np.float32)) and double.knows(np.ones(7, np.float32))


def test_concurrent_runs_have_arenas_of_their_own():
    shuffle = Shuffle(11, size=256 * KB, calls=20, longest=64 * KB)
    program = _core.Program(shuffle.words)
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(20):
            x, state = (rng.integers(0, 256, shuffle.size, np.uint8) for _ in range(2))
            expected = state.copy()
            shuffle.reference(x, expected)
            program.run([x, state])
            if not np.array_equal(state, expected):
                failures.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert failures == []


def test_profile_names_every_instruction():
    program = _core.Program(
        Words(
            [(800, 1)], [Call("fill", [100, 1, bits(2.0)], [(SLOT, 0, 0)]), copy(80, (SLOT, 0, 0), (SLOT, 0, 160))]
        ).array()
    )
    y = np.zeros(100)
    profile = program.profile([y], repeats=3)
    assert [(name, flops, moved) for name, _, flops, moved in profile] == [("fill", 0, 800), ("copy_bytes", 0, 160)]
    assert all(0 < ns < 1e9 for _, ns, _, _ in profile)
    assert (y == 2).all()
    with pytest.raises(ValueError, match="repeats"):
        program.profile([y], repeats=0)


class TestSteps:
    """A state that remembers the last batches: a wrong batch or a wrong order of steps shows."""

    rows, row, batch = 96, 5000, 4

    @pytest.fixture
    def program(self):
        n = self.batch * self.row * 4
        return _core.Program(
            Words(
                [(n, 0), (4 * n, 1), (self.batch, 0), (16, 1)],
                [
                    copy(3 * n, (SLOT, 1, 0), (ARENA, 0, 0)),
                    copy(3 * n, (ARENA, 0, 0), (SLOT, 1, n)),
                    copy(n, (SLOT, 0, 0), (SLOT, 1, 0)),
                    copy(self.batch, (SLOT, 2, 0), (SLOT, 3, 12)),
                    copy(12, (SLOT, 3, 4), (ARENA, 0, 0)),
                    copy(12, (ARENA, 0, 0), (SLOT, 3, 0)),
                ],
                arena=3 * n,
            ).array()
        )

    @pytest.fixture
    def data(self):
        rng = np.random.default_rng(0)
        return rng.random((self.rows, self.row)).astype(np.float32), rng.integers(0, 9, self.rows).astype(np.uint8)

    def state(self):
        return np.zeros((4 * self.batch, self.row), np.float32), np.zeros(16, np.uint8)

    def one_by_one(self, program, data, order, begin, count):
        x, y = data
        state, labels = self.state()
        for i in range(begin, begin + count):
            rows = order[i * self.batch : (i + 1) * self.batch]
            program.run([x[rows], state, y[rows], labels])
        return state, labels

    @pytest.mark.parametrize("threads", [1, 2, 3])
    @pytest.mark.parametrize("begin, count", [(0, 24), (3, 7), (23, 1), (5, 0)])
    def test_shuffled_rows_equal_single_steps(self, program, data, threads, begin, count):
        _core.set_threads(threads)
        order = np.random.default_rng(2).permutation(self.rows)
        expected = self.one_by_one(program, data, order, begin, count)
        state, labels = self.state()
        program.run_steps([None, state, None, labels], [(0, data[0]), (2, data[1])], order, self.batch, begin, count)
        assert np.array_equal(state, expected[0])
        assert np.array_equal(labels, expected[1])

    @pytest.mark.parametrize("threads", [1, 2])
    def test_rows_in_their_own_order_equal_single_steps(self, program, data, threads):
        _core.set_threads(threads)
        expected = self.one_by_one(program, data, np.arange(self.rows), 2, 20)
        state, labels = self.state()
        program.run_steps([None, state, None, labels], [(0, data[0]), (2, data[1])], None, self.batch, 2, 20)
        assert np.array_equal(state, expected[0])
        assert np.array_equal(labels, expected[1])

    @pytest.mark.parametrize("threads", [1, 2, 3])
    def test_steps_with_the_team_and_without_it_are_the_same(self, program, data, threads):
        _core.set_threads(threads)
        assert (max(i["threads"] for i in program.instructions) > 1) == (threads > 1)
        order = np.random.default_rng(3).integers(0, self.rows, 200 * self.batch)
        state, labels = self.state()
        arrays, feeds = [None, state, None, labels], [(0, data[0]), (2, data[1])]
        for begin in range(0, 200, 50):  # some 10 ms with the team, then some steps alone, then the better way
            program.run_steps(arrays, feeds, order, self.batch, begin, 50)
            last = order[: (begin + 50) * self.batch][::-1].reshape(-1, self.batch)[:4, ::-1]  # the latest batch first
            assert np.array_equal(state, data[0][last.ravel()])
            assert np.array_equal(labels, data[1][last[[2, 1, 0, 0]].ravel()])

    @pytest.mark.parametrize("row", [1, 3, 4, 8, 15, 16, 17, 80, 511, 512, 513, 3000, 4096, 4097, 9001])
    @pytest.mark.parametrize("batch", [1, 3, 40])
    def test_rows_of_any_length_are_gathered_whole(self, row, batch):
        n, steps = batch * row, 5
        small = [copy(n, (SLOT, 1, 0), (ARENA, 0, 0)), copy(n, (SLOT, 0, 0), (SLOT, 1, 0))]
        large = [copy(MB, (ARENA, 0, at), (ARENA, 0, at + MB)) for at in (0, 2 * MB)]  # so that a team runs it
        rng = np.random.default_rng(row)
        x = rng.integers(0, 256, (97, row), np.uint8)
        for order in (rng.integers(0, len(x), (steps + 2) * batch), None):
            steps = min(steps, len(x) // batch - 1)
            for calls, threads in ((small, 1), (large[:1] + small + large[1:], 2)):
                _core.set_threads(threads)
                program = _core.Program(Words([(n, 0), (n, 1)], calls, arena=max(n, 4 * MB)).array())
                assert max(i["threads"] for i in program.instructions) == threads
                y = np.zeros(n, np.uint8)
                for begin, count in ((0, steps), (1, steps - 1), (1, 1)):
                    program.run_steps([None, y], [(0, x)], order, batch, begin, count)
                    last = slice((begin + count - 1) * batch, (begin + count) * batch)
                    expected = x[last] if order is None else x[order[last]]
                    assert count < 1 or np.array_equal(y.reshape(batch, row), expected)

    def test_rows_may_repeat(self, program, data):
        order = np.zeros(8, np.int64)
        state, labels = self.state()
        program.run_steps([None, state, None, labels], [(0, data[0]), (2, data[1])], order, self.batch, 0, 2)
        assert (state[: 2 * self.batch] == data[0][0]).all()

    def refused(self, program, message, *, kind=ValueError, arrays=None, feeds, order=None, batch=4, begin=0, count=1):
        state, labels = self.state()
        with pytest.raises(kind, match=message):
            program.run_steps(arrays or [None, state, None, labels], feeds, order, batch, begin, count)
        assert not state.any()

    def test_bad_steps_are_refused_before_anything_runs(self, program, data):
        x, y = data
        feeds = [(0, x), (2, y)]
        order = np.arange(self.rows)
        spoiled = order.copy()
        spoiled[5] = self.rows
        self.refused(program, r"order\[5\] is 96", feeds=feeds, order=spoiled, count=24)
        self.refused(program, r"order\[5\] is -1", feeds=feeds, order=np.where(order == 5, -1, order), count=24)
        self.refused(program, "order has 96", feeds=feeds, order=order, count=25)
        self.refused(program, "has 96", feeds=feeds, count=25)
        self.refused(program, "too large", feeds=feeds, begin=2**62, count=2**62)
        self.refused(program, "not be negative", feeds=feeds, begin=-1)
        self.refused(program, "not be negative", feeds=feeds, count=-1)
        self.refused(program, "3 rows of its dataset have 20000 bytes", feeds=feeds, batch=3)
        self.refused(program, "0 rows", feeds=feeds, batch=0)
        self.refused(program, "int64", kind=TypeError, feeds=feeds, order=order.astype(np.int32))
        self.refused(program, "slot 7", feeds=[(7, x)])
        self.refused(program, "slot 1 is written to", feeds=[(1, x)])
        self.refused(program, "fed twice", feeds=[(0, x), (0, x)])
        self.refused(program, "slot 2 must be a numpy array", kind=TypeError, feeds=[(0, x)])
        self.refused(program, "C-contiguous", feeds=[(0, x[:, ::2]), (2, y)])
        self.refused(program, "feed is a tuple", kind=TypeError, feeds=[0])

    def test_a_dataset_that_the_program_would_overwrite_is_refused(self, program, data):
        memory = np.zeros((self.rows, self.row), np.float32)
        arrays = [None, memory[: 4 * self.batch], None, np.zeros(16, np.uint8)]
        self.refused(program, "share memory", feeds=[(0, memory), (2, data[1])], arrays=arrays)

    def test_an_empty_dataset_takes_no_step(self, program):
        feeds = [(0, np.zeros((0, self.row), np.float32)), (2, np.zeros(0, np.uint8))]
        state, labels = self.state()
        program.run_steps([None, state, None, labels], feeds, None, self.batch, 0, 0)
        self.refused(program, "has 0", feeds=feeds)


def test_a_saved_program_holds_words_constants_and_buffers():
    words = Words(
        [(8, 0), (16, 1), (0, 0)],
        [
            copy(8, (CONSTANTS, 0, 8), (SLOT, 1, 0)),
            copy(8, (SLOT, 0, 0), (ARENA, 0, 8)),
            copy(0, (SLOT, 2, 0), (ABSENT, 0, 0)),
            copy(8, (ARENA, 0, 8), (SLOT, 1, 8)),
            Call("fill", [1, 0, bits(1.5)], [(ARENA, 0, 0)]),
        ],
        arena=16,
        constants=16,
    ).array()
    constants = bytes(range(16))
    x, y, nothing = np.arange(8, dtype=np.uint8), np.zeros(16, np.uint8), np.zeros(0)
    file = _core.Program(words, constants).saved([x, y, nothing])
    assert file[:8] == b"NACREPRG"
    n, n_constants = np.frombuffer(file[8:24], np.int64)
    assert n_constants == 16
    assert file[24 + 8 * n :] == constants + x.tobytes() + y.tobytes()
    again = _core.Program(np.frombuffer(file[24 : 24 + 8 * n], np.int64), constants)
    again.run([x, y, nothing])
    assert y.tobytes() == constants[8:] + x.tobytes()
    assert again.saved([x, y, nothing])[: 24 + 8 * n] == file[: 24 + 8 * n]


def test_zeros_of_either_sign_are_different_arguments():
    divided = compiled.CompiledFunction(lambda x, by: x / by)
    x = np.ones(2, "float32")
    assert divided(x, 0.0).tolist() == [np.inf, np.inf]
    assert divided(x, -0.0).tolist() == [-np.inf, -np.inf]
    for _ in range(3):
        assert np.isnan(divided(x, float("nan"))).all()
    assert divided.count == 3
