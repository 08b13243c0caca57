"""Losses that look at a few of many classes: `tf.random.*_candidate_sampler`, `tf.nn.nce_loss` and its like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nacre import ops, random

_SEEDS: dict[int, random.SeedGenerator] = {}  # the numbers of a seed go on from call to call, as there


class Candidates(NamedTuple):
    """Classes that were drawn, and how often each true and each drawn one is expected among them."""

    sampled_candidates: Any
    true_expected_count: Any
    sampled_expected_count: Any


def _tries(shares: np.ndarray[Any, Any], count: int) -> float:
    """How many draws it takes until about `count` different classes have come."""
    low, high = float(count), 2.0 * count
    found = -np.log1p(-np.minimum(shares, 1 - 1e-12))
    while (1 - np.exp(-high * found)).sum() < count and high < 1e12:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 - np.exp(-middle * found)).sum() < count else (low, middle)
    return high


def _draw(
    shares: np.ndarray[Any, Any], true_classes: Any, num_sampled: int, unique: bool, seed: int | None
) -> Candidates:
    """Classes with these shares. Different ones are the largest of all logarithms with Gumbel noise."""
    count, every = int(num_sampled), len(shares)
    if unique and count > every:
        raise ValueError(f"num_sampled: {count} different classes cannot be drawn out of range_max={every}")
    source = None if seed is None else _SEEDS.setdefault(seed, random.SeedGenerator(seed))
    logs = np.log(np.maximum(shares, 1e-37)).astype(np.float32)
    if unique:
        noise = -ops.log(-ops.log(random.uniform((every,), 1e-37, 1.0, seed=source)))
        drawn = ops.top_k(logs + noise, count)[1]
        tries = _tries(shares, count)
        expected = (-np.expm1(tries * np.log1p(-np.minimum(shares, 1 - 1e-12)))).astype(np.float32)
    else:
        drawn = random.categorical(logs[None], count, seed=source)[0]
        expected = (shares * count).astype(np.float32)
    true = ops.convert_to_tensor(true_classes)
    return Candidates(ops.cast(drawn, "int64"), ops.take(expected, true, axis=0), ops.take(expected, drawn, axis=0))


def _log_uniform(range_max: int) -> np.ndarray[Any, Any]:
    places = np.arange(range_max, dtype=np.float64)
    return np.asarray(np.log((places + 2) / (places + 1)) / np.log(range_max + 1))


def log_uniform_candidate_sampler(
    true_classes: Any, num_true: int, num_sampled: int, unique: bool, range_max: int, seed: Any = None, name: Any = None
) -> Candidates:
    """Classes of which the first ones are the most frequent, as Zipf found it of words."""
    return _draw(_log_uniform(int(range_max)), true_classes, num_sampled, unique, seed)


def uniform_candidate_sampler(
    true_classes: Any, num_true: int, num_sampled: int, unique: bool, range_max: int, seed: Any = None, name: Any = None
) -> Candidates:
    """Classes that are all as frequent."""
    return _draw(np.full(int(range_max), 1 / int(range_max)), true_classes, num_sampled, unique, seed)


def fixed_unigram_candidate_sampler(
    true_classes: Any, num_true: int, num_sampled: int, unique: bool, range_max: int, vocab_file: str = "",
    distortion: float = 1.0, num_reserved_ids: int = 0, num_shards: int = 1, shard: int = 0,
    unigrams: Sequence[float] = (), seed: Any = None, name: Any = None,
) -> Candidates:  # fmt: skip
    """Classes as frequent as `unigrams` says, to the power of `distortion`; the reserved ones never come."""
    if len(unigrams) + num_reserved_ids != range_max:
        raise ValueError(f"unigrams: expected {range_max - num_reserved_ids} numbers, got {len(unigrams)}")
    often = np.concatenate([np.zeros(num_reserved_ids), np.asarray(unigrams, np.float64) ** distortion])
    return _draw(often / often.sum(), true_classes, num_sampled, unique, seed)


def _logits(
    weights: Any, biases: Any, labels: Any, inputs: Any, num_sampled: int, num_classes: int, num_true: int,
    sampled_values: Any, without_hits: bool, seed: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """The logits of the true classes and of those drawn, each less the logarithm of how often it is expected."""
    labels = ops.reshape(ops.cast(labels, "int32"), (-1, num_true))
    drawn = sampled_values or log_uniform_candidate_sampler(labels, num_true, num_sampled, True, num_classes, seed)
    sampled, expected, expected_sampled = drawn
    weights, biases, sampled = ops.convert_to_tensor(weights), ops.convert_to_tensor(biases), ops.cast(sampled, "int32")
    true = ops.sum(ops.expand_dims(inputs, 1) * ops.take(weights, labels, axis=0), -1) + ops.take(biases, labels, 0)
    others = ops.matmul(inputs, ops.transpose(ops.take(weights, sampled, axis=0))) + ops.take(biases, sampled, 0)
    others = others - ops.log(expected_sampled)
    if without_hits:
        hits = ops.any(ops.expand_dims(labels, 2) == sampled, axis=1)
        others = ops.where(hits, np.float32(-3e38), others)
    return true - ops.log(ops.reshape(expected, ops.shape(labels))), others


def sampled_softmax_loss(
    weights: Any, biases: Any, labels: Any, inputs: Any, num_sampled: int, num_classes: int, num_true: int = 1,
    sampled_values: Any = None, remove_accidental_hits: bool = True, seed: Any = None, name: Any = None,
) -> Any:  # fmt: skip
    """Per row the cross-entropy over the true classes and those drawn."""
    true, others = _logits(
        weights, biases, labels, inputs, num_sampled, num_classes, num_true, sampled_values, remove_accidental_hits,
        seed,
    )  # fmt: skip
    target = ops.concatenate([ops.ones_like(true) / num_true, ops.zeros_like(others)], -1)
    return ops.categorical_crossentropy(target, ops.concatenate([true, others], -1), from_logits=True)


def nce_loss(
    weights: Any, biases: Any, labels: Any, inputs: Any, num_sampled: int, num_classes: int, num_true: int = 1,
    sampled_values: Any = None, remove_accidental_hits: bool = False, name: Any = None,
) -> Any:  # fmt: skip
    """Per row the loss of telling the true classes from those drawn."""
    true, others = _logits(
        weights, biases, labels, inputs, num_sampled, num_classes, num_true, sampled_values, remove_accidental_hits,
        None,
    )  # fmt: skip
    return ops.sum(ops.softplus(-true) / num_true + ops.softplus(true) * (1 - 1 / num_true), -1) + ops.sum(
        ops.softplus(others), -1
    )


SAMPLERS: dict[str, Callable[..., Candidates]] = {
    "log_uniform_candidate_sampler": log_uniform_candidate_sampler,
    "uniform_candidate_sampler": uniform_candidate_sampler,
    "fixed_unigram_candidate_sampler": fixed_unigram_candidate_sampler,
}
LOSSES = {"sampled_softmax_loss": sampled_softmax_loss, "nce_loss": nce_loss}
