"""Steps of optimizers in elementwise bytecode: what is recognised gives the bits of the operations one by one."""

import itertools

import numpy as np
import pytest

from kernel_check import dtype_code, run_everywhere
from nacre import _core
from nacre.ops.lowering import const, program_fields

MOMENT = ["t = g - m", "t = t * c1", "M = m + t"]
MOMENTS = [*MOMENT, "t = square g", "t = t - v", "t = t * c2", "V = v + t"]
SQUARES = ["t = c1 * v", "s = square g", "s = c2 * s", "V = t + s"]
CENTER = ["t = c1 * u", "s = c2 * g", "U = t + s", "s = square U", "s = V - s"]
BY_ROOT = ["s = s + epsilon", "s = sqrt s", "t = t / s"]
HEAVY_BALL = ["s = c3 * m", "M = s + t", "W = w - M"]
RULES = {
    "sgd": ["t = g * rate", "W = w - t"],
    "momentum": ["t = g * rate", "s = m * c1", "M = s - t", "W = w + M"],
    "nesterov": ["t = g * rate", "s = m * c1", "M = s - t", "s = M * c1", "s = s - t", "W = w + s"],
    "adam": [*MOMENTS, "t = M * rate", "s = sqrt V", "s = s + epsilon", "t = t / s", "W = w - t"],
    "amsgrad": [*MOMENTS, "U = u max V", "t = M * rate", "s = sqrt U", "s = s + epsilon", "t = t / s", "W = w - t"],
    "nadam": [*MOMENTS, "s = V * c3", "t = M * c4", "r = g * c5", "t = t + r", "s = sqrt s", "s = s + epsilon",
              "t = t / s", "W = w - t"],
    "lamb": [*MOMENTS, "t = M * c3", "s = V * c4", "s = sqrt s", "s = s + epsilon", "W = t / s"],
    "adamax": [*MOMENT, "t = c2 * v", "s = abs g", "V = t max s", "t = rate * M", "s = V + epsilon", "t = t / s",
               "W = w - t"],
    "rmsprop": [*SQUARES, "t = rate * g", "s = V + epsilon", *BY_ROOT[1:], "W = w - t"],
    "rmsprop momentum": [*SQUARES, "t = rate * g", "s = V + epsilon", *BY_ROOT[1:], *HEAVY_BALL],
    "rmsprop centered": [*SQUARES, *CENTER, "t = rate * g", *BY_ROOT, "W = w - t"],
    "rmsprop both": [*SQUARES, *CENTER, "t = rate * g", *BY_ROOT, *HEAVY_BALL],
    "adadelta": [*SQUARES, "t = u + epsilon", "t = sqrt t", "t = t * g", "s = V + epsilon", *BY_ROOT[1:], "s = c1 * u",
                 "r = square t", "r = c2 * r", "U = s + r", "t = rate * t", "W = w - t"],
    "adagrad": ["t = square g", "V = v + t", "t = rate * g", "s = V + epsilon", "s = sqrt s", "t = t / s",
                "W = w - t"],
    "ftrl": ["t = square g", "V = v + t", "t = sqrt V", "s = c1 * w", "s = g + s", "s = m + s", "r = sqrt v",
             "r = t - r", "r = r / rate", "r = r * w", "M = s - r", "t = t / rate", "t = t + c2",
             "s = clip M low high", "s = s - M", "W = s / t"],
    "lion": ["t = m * c1", "s = g * c2", "t = t + s", "t = sign t", "s = m * c3", "r = g * c4", "M = s + r",
             "t = rate * t", "W = w - t"],
}  # fmt: skip
FRONTS = {
    "plain": [],
    "decay": ["d = w * decay", "w = w - d"],
    "times": ["g = g * scale"],
    "turned": ["g = scale * g"],
    "divided": ["g = g / scale"],
    "squares": ["p = w * c5", "p = c4 * p", "g = p + g"],
    "signs": ["p = sign w", "p = c4 * p", "g = p + g", "g = g * scale"],
    "clipped": ["g = clip g low high"],
    "all": ["g = g + a", "g = g / scale", "d = w * decay", "w = w - d"],
}
BEHIND = {"kept": ["k = c4 * e", "s = c5 * W", "E = k + s"], "added": ["s = c5 * W", "E = e + s"]}
NUMBERS = dict(rate=0.01, epsilon=1e-3, c1=0.1, c2=0.2, c3=0.3, c4=0.4, c5=0.5, decay=0.05, scale=3.0, low=-0.5,
               high=0.4)  # fmt: skip
GIVEN = ["rate", "decay", "scale", "keep"]  # numbers in operands; the others stand in the program
ARRAYS = "gwmvuae"
NAMES = {"*": "mul", "+": "add", "-": "sub", "/": "div"}
NUMPY = dict(
    mul=np.multiply, add=np.add, sub=np.subtract, div=np.divide, max=np.maximum, square=np.square, sqrt=np.sqrt,
    abs=np.abs, sign=np.sign, clip=lambda x, low, high: np.minimum(np.maximum(x, low), high), copy=np.array,
    select=lambda c, a, b: np.array(a if c else b),
)  # fmt: skip


class Codes:
    elementwise_codes = staticmethod(_core.elementwise_codes)


def parsed(line):
    to, words = line.split(" = ")
    name, *operands = words.split()
    if name not in NUMPY:
        operands = [name, operands[1]]
        name = words.split()[1]
    return to, NAMES.get(name, name), operands


def program(lines, n, keep=None):
    """Fields of the kernel, names of inputs, and of what it stores."""
    lines = [parsed(line) for line in lines]
    outs = [to for to, _, _ in lines if to.isupper()]
    if keep is not None:
        lines += [(to.lower() + "_", "select", ["keep", to, to.lower()]) for to in outs]
    used = {o for _, _, operands in lines for o in operands}
    inputs = [x for x in (*ARRAYS, *GIVEN) if x in used]
    at = {name: i for i, name in enumerate(inputs)}
    steps = []
    for to, name, operands in lines:
        # `select` chooses between the new value and the input, whatever has become of its name
        arguments = [inputs.index(o) if name == "select" and o in inputs else at.get(o, o) for o in operands]
        arguments = [const(float(np.float32(NUMBERS[o]))) if isinstance(o, str) else o for o in arguments]
        at[to] = len(inputs) + len(steps)
        steps.append((name, tuple(arguments)))
    results = [at[to if keep is None else to.lower() + "_"] for to in outs]
    fields = dict(
        rank=1, dims=[n] + [1] * 5, in_dtype=[0] * 8, out_dtype=[0] * 4, out_ld=[0] * 4,
        in_strides=[s for i in range(8) for s in [int(i < len(inputs) and inputs[i] in ARRAYS), 0, 0, 0, 0, 0]],
        **program_fields(Codes, steps, results, len(inputs)),
    )  # fmt: skip
    return fields, inputs, outs, steps, results


def operands(inputs, n, rng, keep=None):
    numbers = {**NUMBERS, "keep": 1.0 if keep is None else keep}
    values = {a: rng.standard_normal(n).astype(np.float32) for a in ARRAYS}
    values.update({a: np.abs(values[a]) for a in "vu"})
    values["g"][n // 2 : n // 2 + 1] = np.nan
    return [values[x] if x in ARRAYS else np.array(numbers[x], np.float32) for x in inputs]


def one_by_one(steps, results, given):
    values = list(given)
    with np.errstate(invalid="ignore"):
        for name, arguments in steps:
            values.append(NUMPY[name](*(values[a] if isinstance(a, int) else np.float32(a[1]) for a in arguments)))
    return [values[r] for r in results]


def check(fields, given, want):
    padded = [*given, *[None] * (8 - len(given))]
    outputs = [(w.shape, np.float32) for w in want] + [None] * (4 - len(want))
    for isa, got in run_everywhere("elementwise", fields, padded, outputs).items():
        for y, w in zip(got, want):
            np.testing.assert_array_equal(y, w, err_msg=isa)


# the directions of Lamb have no weights that could decay, and eight inputs are the most
CASES = [(r, f) for r, f in itertools.product(RULES, FRONTS)
         if r + f not in ("lambdecay", "lamball", "amsgradall", "lambsquares", "lambsigns",
                          "rmsprop bothall")]  # fmt: skip


@pytest.mark.parametrize("n", [512, 1003, 70000])
@pytest.mark.parametrize(("rule", "front"), CASES)
def test_a_rule_gives_the_bits_of_its_operations(rule, front, n, rng):
    fields, inputs, _, steps, results = program(FRONTS[front] + RULES[rule], n)
    given = operands(inputs, n, rng)
    check(fields, given, one_by_one(steps, results, given))
    for isa in _core.isas():  # what is kept in registers needs no workspace
        assert _core.facts("elementwise", fields, isa)["scratch"] == 0, isa


@pytest.mark.parametrize("n", [600, 5003])
@pytest.mark.parametrize(("rule", "front", "behind"), [
    ("sgd", "plain", "kept"), ("momentum", "decay", "added"), ("adam", "plain", "added"), ("adam", "clipped", "kept"),
    ("nadam", "plain", "kept"), ("rmsprop momentum", "times", "kept"), ("adadelta", "plain", "added"),
])  # fmt: skip
def test_a_moving_average_of_the_weights_behind_a_rule_gives_the_bits_of_its_operations(rule, front, behind, n, rng):
    fields, inputs, outs, steps, results = program(FRONTS[front] + RULES[rule] + BEHIND[behind], n)
    given = operands(inputs, n, rng)
    want = one_by_one(steps, results, given)
    check(fields, given, want)
    for isa in _core.isas():
        assert _core.facts("elementwise", fields, isa)["scratch"] == 0, isa
        own = [np.array(x) for x in given]
        over = [o.lower() for o in outs]
        places = [own[inputs.index(o)] for o in over[::-1]]  # results over the inputs of others
        _core.run_kernel(
            "elementwise", fields, [*own, *[None] * (8 - len(own))], [*places, *[None] * (4 - len(places))], isa=isa
        )
        for y, w in zip(places, want):
            np.testing.assert_array_equal(y, w, err_msg=isa)


@pytest.mark.parametrize("keep", [0.0, 1.0, np.nan])
@pytest.mark.parametrize("rule", ["sgd", "adam", "amsgrad"])
def test_a_step_that_is_kept_or_not(rule, keep, rng):
    n = 5000
    fields, inputs, outs, steps, results = program(FRONTS["divided"] + RULES[rule], n, keep)
    given = operands(inputs, n, rng, keep)
    want = one_by_one(steps, results, given)
    check(fields, given, want)
    for isa, slices in itertools.product(_core.isas(), (None, 3)):  # in place
        own = [np.array(x) for x in given]
        places = [own[inputs.index(o.lower())] for o in outs]
        _core.run_kernel(
            "elementwise", fields, [*own, *[None] * (8 - len(own))], [*places, *[None] * (4 - len(places))],
            isa=isa, slices=slices,
        )  # fmt: skip
        for y, w in zip(places, want):
            np.testing.assert_array_equal(y, w, err_msg=isa)


@pytest.mark.parametrize("whole", [0, 1])
def test_gradients_are_collected_until_a_step(whole, rng):
    """acc' = whole ? 0 : acc + g, and w' = whole ? w - (acc + g) / 2 * rate : w, in place; `whole` is a truth value."""
    n = 3000
    steps = [("add", (0, 1)), ("div", (5, const(2.0))), ("mul", (6, 3)), ("sub", (2, 7)),
             ("select", (4, const(0.0), 5)), ("select", (4, 8, 2))]  # fmt: skip
    g, acc, w = (rng.standard_normal(n).astype(np.float32) for _ in range(3))
    rate = np.array(0.1, np.float32)
    total = g + acc
    want = [np.zeros_like(acc), w - total / np.float32(2) * rate] if whole else [total, w]
    fields = dict(
        rank=1, dims=[n] + [1] * 5, in_dtype=[0, 0, 0, 0, dtype_code("bool"), 0, 0, 0], out_dtype=[0] * 4,
        in_strides=[s for i in range(8) for s in [int(i < 3), 0, 0, 0, 0, 0]], out_ld=[0] * 4,
        **program_fields(Codes, steps, [9, 10], 5),
    )  # fmt: skip
    for isa, slices in itertools.product(_core.isas(), (None, 2)):
        places = [acc.copy(), w.copy()]
        given = [g, *places, rate, np.array(bool(whole)), None, None, None]
        _core.run_kernel("elementwise", fields, given, [*places, None, None], isa=isa, slices=slices)
        for y, x in zip(places, want):
            np.testing.assert_array_equal(y, x, err_msg=isa)


@pytest.mark.parametrize("change", ["order", "operation", "twice", "columns"])
def test_what_is_almost_a_rule_is_computed_as_it_is_written(change, rng):
    n = 4096
    lines = list(RULES["adam"])
    if change == "order":
        lines[-1] = "W = t - w"
    elif change == "operation":
        lines[2] = "M = m - t"
    elif change == "twice":
        lines = [*FRONTS["times"], *FRONTS["divided"], *lines]
    fields, inputs, _, steps, results = program(lines, n)
    given = operands(inputs, n, rng)
    want = one_by_one(steps, results, given)
    if change == "columns":  # the rows of an input lie apart
        fields["rank"], fields["dims"] = 2, [64, 64] + [1] * 4
        apart = np.zeros((64, 80), np.float32)
        apart[:, :64] = given[0].reshape(64, 64)
        given[0] = apart
        fields["in_strides"] = [
            s for x in [*inputs, *"?" * (8 - len(inputs))]
            for s in [*((80, 1) if x == "g" else (64, 1) if x in ARRAYS else (0, 0)), 0, 0, 0, 0]
        ]  # fmt: skip
    check(fields, given, want)
    assert _core.facts("elementwise", fields)["scratch"] > 0
