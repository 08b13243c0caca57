"""Kernels asked about impossible and odd fields: `facts` is total, and no kernel leaves the extents that it names."""

import numpy as np
import pytest

from nacre import _core

KERNELS = _core.kernels()
EXTREME = [-(2**63), -(2**62), -1, 0, 1, 2, 3, 4, 5, 7, 16, 100, 2**31 - 1, 2**31, 2**33, 2**40, 2**62, 2**63 - 1]
SMALL = [0, 0, 1, 1, 1, 2, 3, 4, 5]
REALS = [0.0, 0.5, 1.0, -1.0, 1e-3, 1e300, float("inf"), float("nan")]
GUARD = 64


def draw(name, rng, numbers):
    shape = {}
    for field, count, kind in KERNELS[name]["fields"]:
        values = [rng.choice(REALS) if kind == "f" else int(numbers[rng.integers(len(numbers))]) for _ in range(count)]
        shape[field] = [float(v) for v in values] if kind == "f" else values
        if count == 1:
            shape[field] = shape[field][0]
    return shape


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_facts_answers_for_any_fields(name, rng):
    for _ in range(100):
        numbers = SMALL if rng.random() < 0.3 else EXTREME
        f = _core.facts(name, draw(name, rng, numbers))
        assert f["error"] is not None or f["units"] >= 0


class Guarded:
    """An array of exactly so many bytes, with marked bytes on both sides."""

    def __init__(self, size, fill):
        self.memory = np.full(size + 2 * GUARD, 0xA5, np.uint8)
        self.memory[GUARD : GUARD + size] = fill
        self.size = size

    def view(self, dtype):
        return self.memory[GUARD : GUARD + self.size].view(dtype)

    def intact(self):
        return (self.memory[:GUARD] == 0xA5).all() and (self.memory[GUARD + self.size :] == 0xA5).all()


WIDTH = {"float32": 4, "float64": 8, "int32": 4, "int64": 8, "uint8": 1, "bool": 1, None: 1}


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_no_kernel_leaves_its_extents(name, rng):
    operands = KERNELS[name]["operands"]
    for isa in _core.isas():
        tried = 0
        for _ in range(200):
            shape = draw(name, rng, SMALL)
            f = _core.facts(name, shape, isa=isa)
            if f["error"] or sum(f["extents"]) > 1 << 20:
                continue
            buffers = []
            for (dtype, _), extent in zip(operands, f["extents"]):
                dtype = None if dtype in (None, "void", "none") else dtype
                fill = rng.integers(0, 3) if dtype not in ("float32", "float64") else 0
                buffers.append((Guarded(extent * WIDTH[dtype], fill), np.uint8 if dtype is None else dtype))
            sides = {"in": [], "out": []}
            for (b, dtype), (_, side) in zip(buffers, operands):
                sides[side].append(b.view(dtype) if b.size else None)
            _core.run_kernel(name, shape, sides["in"], sides["out"], isa=isa, slices=int(rng.integers(1, 4)))
            assert all(b.intact() for b, _ in buffers), (isa, shape)
            tried += 1
            if tried == 20:
                break
