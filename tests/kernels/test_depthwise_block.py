import numpy as np
import pytest

from kernels.image_calls import run, same_bits_for_any_split
from nacre import _core

RNG = np.random.default_rng(5)


def shape(n, h, w, c, first, d, s, o, **more):
    """Of a block with SAME padding; `first` is the window and the stride of the first convolution, if there is one."""
    (k, step), fields = first or (1, 1), {"N": n, "H": h, "W": w, "C": c, "D": d, "S": s, "O": o}

    def same(size, window, stride):
        out = -(-size // stride)
        return out, max((out - 1) * stride + window - size, 0) // 2

    (wh, pt), (ww, pl) = same(h, k, step), same(w, k, step)
    (oh, pt2), (ow, pl2) = same(wh, 3, s), same(ww, 3, s)
    fields.update(KH=k, KW=k, SH=step, SW=step, PT=pt, PL=pl, WH=wh, WW=ww, PT2=pt2, PL2=pl2, OH=oh, OW=ow)
    fields.update(bias=[1, 1, 1], act=[2, 2, 0], residual=0, rows=oh)
    return fields | ({} if first else {"KH": 0, "bias": [0, 1, 1]}) | more


def parts(s):
    """The three problems of which a block consists."""
    one = {"N": s["N"], "DH": 1, "DW": 1, "ldx": 0, "ldy": 0}
    conv = {**one, "G": 1, "ldr": 0}
    (b1, b2, b3), (a1, a2, a3) = s["bias"], s["act"]
    first = {key: s[key] for key in ("H", "W", "C", "KH", "KW", "SH", "SW", "PT", "PL")}
    wide, out = {"H": s["WH"], "W": s["WW"], "C": s["D"]}, {"OH": s["OH"], "OW": s["OW"]}
    return (
        {**conv, **first, "O": s["D"], "OH": s["WH"], "OW": s["WW"], "bias": b1, "act": a1, "residual": 0},
        {**one, **wide, **out, "M": 1, "KH": 3, "KW": 3, "SH": s["S"], "SW": s["S"], "PT": s["PT2"], "PL": s["PL2"],
         "bias": b2, "act": a2},
        {**conv, "H": s["OH"], "W": s["OW"], "C": s["D"], "O": s["O"], "KH": 1, "KW": 1, "SH": 1, "SW": 1, "PT": 0,
         "PL": 0, **out, "bias": b3, "act": a3, "residual": s["residual"]},
    )  # fmt: skip


def floats(*n):
    return (RNG.standard_normal(n) / 2).astype("float32")


def operands(s, isa):
    first, _, third = parts(s)
    w1, w3 = floats(s["KH"] * s["KW"] * s["C"], s["D"]), floats(s["D"], s["O"])
    (panels,) = run("conv2d_pack", {**first, "act": 0}, [w1], isa) if s["KH"] else [w1]
    (panels3,) = run("conv2d_pack", {**third, "act": 0}, [w3], isa)
    biases = [floats(n if there else 0) for n, there in zip((s["D"], s["D"], s["O"]), s["bias"])]
    residual = floats(s["N"] * s["OH"] * s["OW"] * s["O"] if s["residual"] else 0)
    x = floats(s["N"] * s["H"] * s["W"] * s["C"])
    return [x, panels, biases[0], floats(9 * s["D"]), biases[1], panels3, biases[2], residual]


CASES = {
    "expanded": shape(1, 13, 12, 16, (1, 1), 96, 1, 24),
    "strided": shape(2, 14, 15, 24, (1, 1), 100, 2, 24),
    "residual": shape(1, 30, 9, 24, (1, 1), 40, 1, 24, residual=1, rows=7),
    "image": shape(2, 21, 22, 3, (3, 2), 32, 1, 16, rows=3),
    "image of odd windows": shape(1, 17, 18, 3, (5, 1), 33, 2, 17, act=[1, 0, 2], bias=[0, 1, 0], rows=2),
    "rows one by one": shape(3, 9, 5, 8, (1, 1), 20, 1, 3, rows=1),
    "larger than L2": shape(1, 20, 300, 16, (1, 1), 128, 1, 16, rows=9),
    "without a first one": shape(2, 13, 12, 40, None, 40, 1, 24, rows=5, residual=1),
    "strided without a first one": shape(1, 15, 14, 17, None, 17, 2, 33),
    "activations of stored sums": shape(2, 13, 12, 16, (1, 1), 40, 1, 24, act=[6, 4, 8], residual=1),
    "one pixel": shape(1, 1, 1, 8, (1, 1), 16, 1, 8),
    "no image": shape(0, 5, 5, 8, (1, 1), 16, 1, 8),
    "no channels": shape(1, 5, 5, 0, (1, 1), 16, 1, 8),
    "no depth": shape(1, 5, 5, 8, (1, 1), 0, 1, 8),
    "no outputs": shape(1, 5, 5, 8, (1, 1), 16, 1, 0),
    "beyond the image": shape(1, 6, 6, 8, (1, 1), 16, 2, 8, PT=2, WH=11, PT2=1, OH=7),
    "cropped": shape(1, 16, 16, 8, (3, 1), 16, 1, 8, PT=-2, WH=12, PT2=-1, PL2=0, OH=9, OW=14),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("isa", _core.isas())
def test_a_block_gives_the_bits_of_its_parts(name, isa):
    s = CASES[name]
    x, panels, b1, w2, b2, panels3, b3, r = operands(s, isa)
    (got,) = same_bits_for_any_split("depthwise_block", s, [x, panels, b1, w2, b2, panels3, b3, r], isa)
    first, second, third = parts(s)
    (wide,) = run("conv2d_packed", first, [x, panels, b1, floats(0)], isa) if s["KH"] else [x]
    (narrow,) = run("depthwise_conv2d", second, [wide, w2, b2], isa)
    (want,) = run("conv2d_packed", third, [narrow, panels3, b3, r], isa)
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("isa", _core.isas())
@pytest.mark.parametrize("rows", (1, 4, 5, 100))
def test_bits_do_not_depend_on_the_rows_of_a_unit(rows, isa):
    s = CASES["residual"]
    values = operands(s, isa)
    (want,) = run("depthwise_block", s, values, isa)
    (got,) = run("depthwise_block", s | {"rows": rows}, values, isa)
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize(
    ("field", "value"), (("S", 3), ("S", 0), ("rows", 0), ("PL2", 3), ("D", -1), ("OH", -1), ("act", [9, 0, 0]))
)
def test_impossible_fields_are_refused(field, value):
    assert _core.facts("depthwise_block", CASES["expanded"] | {field: value})["error"]
