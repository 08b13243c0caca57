"""Every op's cases, by family; the contract tests run all of them."""

from __future__ import annotations

from casebook import Case

from . import elementwise, images, indexing, linalg, movement, networks, products, reductions, signals, special

# Public functions without a case, and why.
NO_CASE: dict[str, str] = {
    "ctc_decode": "gives labels: tests/ops/test_ctc_decode.py",
    **dict.fromkeys(
        ("associative_scan", "cond", "custom_gradient", "fori_loop", "map", "scan", "switch", "vectorize",
         "vectorized_map", "while_loop"),
        "takes functions: tests/ops/test_control_flow.py",
    ),
    **dict.fromkeys(
        ("convert_to_numpy", "convert_to_tensor", "dtype", "is_tensor", "ndim", "shape", "size", "array", "copy",
         "view"),
        "gives no new numbers: tests/ops/test_values.py",
    ),
    **dict.fromkeys(
        ("arange", "empty", "empty_like", "eye", "geomspace", "identity", "linspace", "logspace", "tri", "full", "ones",
         "zeros"),
        "takes no tensor: tests/ops/test_values.py",
    ),
    **dict.fromkeys(("bartlett", "blackman", "hamming", "hanning", "kaiser"),
                    "takes no tensor: tests/ops/test_values.py"),
    **dict.fromkeys(("eig", "jvp", "lu_factor"), "tests/ops/test_linalg.py"),
    "nextafter": "one float32 step, which a float64 reference does not take: tests/ops/test_values.py",
    **dict.fromkeys(("histogram", "nonzero", "unique", "bincount"),
                    "the shape depends on values: tests/ops/test_values.py"),
}  # fmt: skip


def all_cases() -> list[Case]:
    """The cases of all families, without doubles."""
    books = (elementwise, movement, reductions, products, networks, indexing, special, linalg, images, signals)
    found = {str(case): case for book in books for case in book.case}
    return list(found.values())
