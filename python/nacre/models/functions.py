"""Functions of `ops` as configurations of models have them: each is a class of Keras, which is made with some of the
arguments of the function, and called with the others."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from nacre import ops
from nacre.activations import relu
from nacre.core import tree
from nacre.core.tensor import KerasTensor

# Modules of Keras whose functions are not those of the namespace of that name; what is in none of them is in numpy.
_HOMES = {
    "core": "associative_scan cast fori_loop map saturate_cast scan scatter scatter_update shape slice slice_update "
    "stop_gradient switch unstack vectorized_map while_loop",
    "einops": "rearrange",
    "math": "cdist erf erfc erfinv extract_sequences fft fft2 ifft2 in_top_k irfft istft logdet logsumexp rfft rsqrt "
    "segment_max segment_min segment_prod segment_sum stft top_k",
    "nn": "adaptive_average_pool adaptive_max_pool ctc_decode ctc_loss depth_to_space fold psnr space_to_depth unfold",
    "numpy": "slogdet tanh",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
# Classes with another name than that of the function in capitals.
_TITLES = {
    **{
        name: name.upper() for name in ("fft", "fft2", "ifft2", "irfft", "istft", "psnr", "rfft", "ssim", "stft", "svd")
    },
    "allclose": "AllClose",
    "batch_normalization": "BatchNorm",
    "cdist": "CDist",
    "ctc_decode": "CTCDecode",
    "ctc_loss": "CTCLoss",
    "hsv_to_rgb": "HSVToRGB",
    "isin": "IsIn",
    "layer_normalization": "LayerNorm",
    "rgb_to_grayscale": "RGBToGrayscale",
    "rgb_to_hsv": "RGBToHSV",
    "rms_normalization": "RMSNorm",
    "searchsorted": "SearchSorted",
}
# Arguments with which a class is called, of all functions and of single ones; it is made with the others.
_NAMES = """
a abs_ angle array beta bias choicelist condition condlist constant_values coordinates data default depthwise_kernel
elems end_points gamma image1 image2 images index indices init init_val inputs kernel key loop_vars mask mean operands
output output_length output_shape pattern pointwise_kernel predictions q query scale segment_ids sequence_lengths
sorted_sequence start start_indices start_points step stop target target_length targets tensor transform translation
updates value values variable variance volumes x x1 x2 xs y
"""
_CALLED = frozenset(_NAMES.split())
_CALLED_OF = {
    "average": {"weights"},
    "batch_normalization": {"offset"},
    "digitize": {"bins"},
    "full": {"fill_value"},
    "full_like": {"fill_value"},
    "isclose": {"rtol", "atol"},
    "lstsq": {"b"},
    "solve": {"b"},
    "solve_triangular": {"b"},
}
_MADE_WITH = {"trapezoid": {"x"}}


def keras_class(function: Callable[..., Any]) -> tuple[str, str]:
    """The module and the name of the class of Keras that stands for a function."""
    if function is relu:
        return "keras.src.activations.activations", "ReLU"
    name = function.__name__
    spaces = (s for s in ("image", "linalg", "nn") if name in getattr(ops, s).__all__)
    title = _TITLES.get(name) or "".join(part.capitalize() for part in name.split("_"))
    return f"keras.src.ops.{_HOME.get(name) or next(spaces, 'numpy')}", title


@functools.cache
def function_of(title: str) -> Any:
    """The function that a class of Keras stands for, or None."""
    if title == "ReLU":
        return relu
    known = {_TITLES[name]: name for name in _TITLES}
    plain = known.get(title, title).replace("_", "").lower()
    for space in (ops, ops.image, ops.linalg, ops.nn):
        for name in space.__all__:
            if name.replace("_", "") == plain:
                found = getattr(space, name)
                return found if callable(found) and not isinstance(found, type) else None
    return None


def called_with(function: Callable[..., Any]) -> list[str]:
    """The arguments of a function with which its class is called, in their order."""
    name = function.__name__
    called = (_CALLED | _CALLED_OF.get(name, set())) - _MADE_WITH.get(name, set())
    return [p for p in inspect.signature(function).parameters if p in called]


def starred(function: Callable[..., Any]) -> str | None:
    """The name of `*operands` in the signature of a function such as einsum(subscripts, *operands)."""
    parameters = inspect.signature(function).parameters.values()
    return next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)


def split(
    function: Callable[..., Any], args: Any, kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
    """A call taken apart: what the class is called with, by place and by name, and what it is made with."""
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):
        return tuple(args), kwargs, {}
    given = dict(bound.arguments)
    many = starred(function)
    more = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), "")
    named: dict[str, Any] = given.pop(more, {})
    if many is not None:
        return tuple(given.pop(many, ())), named, given
    places = tuple(given.pop(name, signature.parameters[name].default) for name in called_with(function))
    # A tensor where Keras has a number can only be told by name.
    named |= {n: v for n, v in given.items() if any(isinstance(t, KerasTensor) for t in tree.flatten(v))}
    return places, named, {n: v for n, v in given.items() if n not in named}


def arguments(
    function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments of the function, of those that its class was called with, and made with."""
    if function is ops.get_item:  # JSON made a list of the tuple in x[:, 0]
        args = [tuple(a) if isinstance(a, list) else a for a in args]
    if starred(function) is not None:
        parameters = inspect.signature(function).parameters.values()
        front = [kwargs.pop(p.name) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name in kwargs]
        return [*front, *args], kwargs
    called = [name for name in called_with(function) if name not in kwargs]
    if len(args) > len(called):
        return args, kwargs
    bound = inspect.signature(function).bind(**dict(zip(called, args)), **kwargs)
    return list(bound.args), bound.kwargs
