"""Nothing that is not provably safe becomes a program."""

import numpy as np
import pytest

from nacre import _core
from program_words import ABSENT, ARENA, CONSTANTS, SLOT, Call, Words, bits, copy

X, Y = (SLOT, 0, 0), (SLOT, 1, 0)
F32 = 0


def program(*calls, slots=((64, 0), (64, 1)), **more):
    return Words(slots, calls, **more)


def fill(n, target, dtype=F32, value=1.0):
    return Call("fill", [n, dtype, bits(value)], [target])


REFUSED = {
    "magic": (program(magic=7), "magic"),
    "version": (program(version=2), "version 2"),
    "words left over": (program(more=[0]), "1 words are left over"),
    "negative arena": (program(arena=-1), "arena bytes: -1"),
    "huge arena": (program(arena=2**62), "arena bytes"),
    "constants not given": (program(constants=8), "8 bytes of constants, got 0"),
    "negative slot": (program(slots=((-1, 0),)), "slot bytes: -1"),
    "slot flags": (program(slots=((8, 2),)), "slot 0: unknown flags 2"),
    "unknown kernel": (program(Call("no_such", [], [])), "no kernel is called 'no_such'"),
    "name that is no text": (program(Call("\x01\N{DEGREE SIGN}", [], [])), r"no kernel is called '\?\?\?'"),
    "too few fields": (program(Call("copy_bytes", [], [X, Y])), "instruction 0, kernel 'copy_bytes': 0 field words"),
    "too many operands": (program(Call("copy_bytes", [8], [X, Y, Y])), "3 operands, expected 2"),
    "impossible fields": (program(fill(-1, Y)), "kernel 'fill': n must not be negative"),
    "fields that overflow": (program(fill(2**62, Y)), "its size overflows"),
    "beyond a slot": (program(copy(72, X, Y)), r"operand 0 \(in, void\) has 64 bytes, but these fields need 72"),
    "beyond a slot by its offset": (program(copy(64, X, (SLOT, 1, 8))), "operand 1 .* has 56 bytes"),
    "beyond the arena": (program(copy(64, X, (ARENA, 0, 0)), arena=63), "has 63 bytes"),
    "beyond the constants": (program(copy(64, (CONSTANTS, 0, 0), Y)), "has 0 bytes"),
    "negative offset": (program(copy(8, (SLOT, 0, -8), Y)), "offset -8"),
    "offset past the end": (program(copy(0, (SLOT, 0, 65), Y)), "offset 65"),
    "no such slot": (program(copy(8, (SLOT, 2, 0), Y)), "no buffer 2 in space 1"),
    "negative slot number": (program(copy(8, (SLOT, -1, 0), Y)), "no buffer -1"),
    "arena with a number": (program(copy(8, (ARENA, 1, 0), Y), arena=8), "no buffer 1 in space 0"),
    "unknown space": (program(copy(8, (4, 0, 0), Y)), "unknown space 4"),
    "absent but needed": (program(copy(8, (ABSENT, 0, 0), Y)), "is absent, but these fields need 8 bytes"),
    "absent with an offset": (program(copy(0, (ABSENT, 0, 8), Y)), "offset 8"),
    "output in a read-only slot": (program(copy(8, Y, X)), r"operand 1 \(out, void\) is not writable"),
    "output overlaps input": (program(copy(8, (SLOT, 1, 4), Y)), "overlaps operand 0"),
    "output is input of a kernel that cannot work in place": (program(copy(8, Y, Y)), "cannot work in place"),
    "second instruction": (program(copy(8, X, Y), copy(99, X, Y)), "instruction 1, kernel 'copy_bytes'"),
}


@pytest.mark.parametrize("words, message", REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_program_is_refused_with_its_reason(words, message):
    with pytest.raises(ValueError, match=message):
        _core.Program(words.array())


def test_output_in_constants_is_refused():
    with pytest.raises(ValueError, match="not writable"):
        _core.Program(program(copy(8, X, (CONSTANTS, 0, 0)), constants=8).array(), b"12345678")


def test_every_shortened_program_is_refused():
    words = program(copy(8, X, (ARENA, 0, 0)), copy(8, (ARENA, 0, 0), Y), arena=64).array()
    _core.Program(words)
    for n in range(len(words)):
        with pytest.raises(ValueError):
            _core.Program(words[:n].copy())


@pytest.mark.parametrize("words", [np.zeros(3, np.float64), np.zeros((3, 1), np.int64), np.zeros(3, ">i8")], ids=str)
def test_words_must_be_a_row_of_int64(words):
    with pytest.raises(TypeError, match="int64"):
        _core.Program(words)


def test_a_program_copies_constants_and_slots():
    x, y = np.arange(8, dtype=np.uint8), np.zeros(16, np.uint8)
    p = _core.Program(
        Words(
            [(8, 0), (16, 1)],
            [copy(8, (CONSTANTS, 0, 8), Y), copy(8, X, (ARENA, 0, 8)), copy(8, (ARENA, 0, 8), (SLOT, 1, 8))],
            arena=16,
            constants=16,
        ).array(),
        bytes(range(100, 116)),
    )
    p.run([x, y])
    assert y.tolist() == [*range(108, 116), *range(8)]
    assert p.slots == [(8, False), (16, True)]
    assert p.arena_bytes == 16
    assert [i["kernel"] for i in p.instructions] == ["copy_bytes"] * 3


def test_mutated_words_never_harm_the_process():
    rng = np.random.default_rng(1)
    good = program(
        copy(64, X, (ARENA, 0, 0)),
        fill(16, (ARENA, 0, 64)),
        copy(64, (ARENA, 0, 32), Y),
        arena=128,
        slots=((64, 0), (64, 1)),
    ).array()
    interesting = [-1, 0, 1, 2, 3, 7, 8, 63, 64, 65, 2**31, 2**32, 2**61, 2**62, 2**63 - 1, -(2**63)]
    accepted = 0
    for _ in range(20000):
        words = good.copy()
        for _ in range(rng.integers(1, 4)):
            at = rng.integers(len(words))
            kind = rng.integers(4)
            if kind == 0:
                words[at] = rng.choice(interesting)
            elif kind == 1:
                words[at] ^= np.int64(1) << np.int64(rng.integers(63))
            elif kind == 2:
                words[at] = words[rng.integers(len(words))]
            else:
                words = np.delete(words, at)
        try:
            p = _core.Program(words)
        except ValueError:
            continue
        accepted += 1
        sizes = [n for n, _ in p.slots]
        if p.arena_bytes + sum(sizes) < 2**16:
            p.run([np.zeros(n, np.uint8) for n in sizes])
    assert 0 < accepted < 20000


class TestArrays:
    @pytest.fixture
    def p(self):
        return _core.Program(program(fill(16, Y), slots=((64, 0), (64, 1))).array())

    def bad(self, p, arrays, kind, message):
        with pytest.raises(kind, match=message):
            p.run(arrays)

    def test_bad_arrays_are_refused(self, p):
        x, y = np.zeros(16, np.float32), np.zeros(16, np.float32)
        frozen = y.copy()
        frozen.flags.writeable = False
        both = np.zeros(24, np.float32)
        self.bad(p, [x], ValueError, "2 slots, got 1")
        self.bad(p, [x, None], TypeError, "slot 1 must be a numpy array")
        self.bad(p, [x, b"x" * 64], TypeError, "slot 1 must be a numpy array")
        self.bad(p, [x, np.array([None] * 8)], TypeError, "Python objects")
        self.bad(p, 3, TypeError, "iterable")
        self.bad(p, [x, y[:15]], ValueError, "slot 1 takes 64 bytes, got 60")
        self.bad(p, [x, np.zeros(32, np.float32)[::2]], ValueError, "C-contiguous")
        self.bad(p, [x, frozen], ValueError, "slot 1 is written to")
        self.bad(p, [x, x], ValueError, "slot 0 and slot 1 share memory|slot 1 and slot 0 share memory")
        self.bad(p, [both[:16], both[8:]], ValueError, "share memory")
        p.run([x, y])

    def test_neighbours_are_not_overlaps(self, p):
        both = np.zeros(32, np.float32)
        p.run([both[:16], both[16:]])
        assert both.tolist() == [0.0] * 16 + [1.0] * 16

    def test_reading_the_same_array_twice_is_fine(self):
        p = _core.Program(program(copy(64, X, (SLOT, 2, 0)), slots=((64, 0), (64, 0), (64, 1))).array())
        x, y = np.arange(16, dtype=np.float32), np.zeros(16, np.float32)
        p.run([x, x, y])
        assert np.array_equal(x, y)

    def test_overlap_is_seen_after_a_good_run(self, p):
        x, y = np.zeros(16, np.float32), np.zeros(16, np.float32)
        p.run([x, y])
        self.bad(p, [y, y], ValueError, "share memory")

    def test_misaligned_arrays_are_refused(self, p):
        odd = np.zeros(65, np.uint8)[1:].view(np.float32)
        self.bad(p, [odd, np.zeros(16, np.float32)], ValueError, "slot 0 is not aligned")
