"""Decoding of logits into labels: against every alignment, one by one."""

import itertools

import numpy as np
import pytest

from nacre import ops


def collapse(path, blank, merge=True):
    kept = [c for i, c in enumerate(path) if not (merge and i and path[i - 1] == c)]
    return tuple(c for c in kept if c != blank)


def sequence(labels):
    return tuple(int(v) for v in labels if v >= 0)


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_likeliest_sums_of_alignments(seed, blank):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (2, 5, 3)).astype("float32")
    lengths = np.array([5, 3])
    labels, scores = ops.ctc_decode(logits, lengths, "beam_search", beam_width=300, top_paths=3, mask_index=blank)
    assert labels.shape == (3, 2, 5) and scores.shape == (2, 3)
    for b, length in enumerate(lengths):
        p = np.exp(logits[b, :length].astype("float64"))
        p /= p.sum(-1, keepdims=True)
        total = {}
        for path in itertools.product(range(3), repeat=int(length)):
            key = collapse(path, blank)
            total[key] = total.get(key, 0.0) + np.prod([p[t, c] for t, c in enumerate(path)])
        best = sorted(total, key=total.get, reverse=True)[:3]
        assert [sequence(labels.numpy()[i, b]) for i in range(3)] == best
        np.testing.assert_allclose(scores.numpy()[b], [np.log(total[k]) for k in best], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("merge", [True, False])
def test_greedy_takes_the_largest_of_each_step(merge):
    logits = np.random.default_rng(1).normal(size=(4, 9, 5)).astype("float32")
    lengths = np.array([9, 0, 4, 1])
    labels, scores = ops.ctc_decode(logits, lengths, merge_repeated=merge, mask_index=1)
    for b, length in enumerate(lengths):
        assert sequence(labels.numpy()[0, b]) == collapse(logits[b, :length].argmax(-1), 1, merge)
        np.testing.assert_allclose(scores.numpy()[b, 0], -logits[b, :length].max(-1).sum(), rtol=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("strategy", ["greedy", "beam_search"])
def test_as_real_keras(strategy):
    keras = pytest.importorskip("keras")
    logits = np.random.default_rng(2).normal(0, 2, (3, 6, 4)).astype("float32")
    lengths = np.array([6, 5, 2])
    options = {"strategy": strategy, "beam_width": 20}
    ours, theirs = (module.ctc_decode(logits, lengths, **options) for module in (ops, keras.ops))
    got, want = np.asarray(ours[0]), np.asarray(theirs[0])
    assert [[sequence(row) for row in path] for path in got] == [[sequence(row) for row in path] for path in want]
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategy": "best"}, "Invalid strategy"),
        ({"strategy": "beam_search", "top_paths": 101}, "top_paths"),
        ({"sequence_lengths": np.array([1])}, "sequence length"),
    ],
)
def test_what_cannot_be_decoded_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        ops.ctc_decode(**{"inputs": np.zeros((2, 3, 4), "float32"), "sequence_lengths": np.array([3, 3]), **changes})
