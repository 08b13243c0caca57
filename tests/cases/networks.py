"""Convolution, pooling, normalization, softmax and losses, attention."""

import numpy as np

import reference as ref
from casebook import Casebook, bools, ints, x
from nacre import ops

case = Casebook()

CONVS = [
    ((2, 5, 6, 3), (3, 3, 3, 4), {}),
    ((2, 5, 6, 3), (3, 3, 3, 4), {"padding": "same"}),
    ((1, 7, 8, 2), (3, 2, 2, 5), {"strides": 2, "padding": "same"}),
    ((1, 7, 8, 2), (3, 3, 2, 3), {"strides": (2, 1)}),
    ((1, 9, 9, 2), (3, 3, 2, 3), {"dilation_rate": 2}),
    ((1, 9, 8, 2), (3, 3, 2, 3), {"dilation_rate": (1, 3), "padding": "same"}),
    ((2, 5, 5, 4), (3, 3, 2, 6), {"padding": "same"}),
    ((1, 4, 4, 3), (1, 1, 3, 7), {}),
    ((1, 2, 5, 6, 3)[0:1] + (3, 5, 5), (3, 3, 3, 2), {"data_format": "channels_first"}),
    ((1, 3, 3, 2), (5, 5, 2, 2), {"padding": "same"}),
    ((0, 5, 5, 2), (3, 3, 2, 4), {}),
    ((2, 11, 3), (4, 3, 5), {"padding": "same"}),
    ((2, 11, 3), (3, 3, 5), {"strides": 2}),
    ((1, 4, 5, 4, 2), (2, 3, 2, 2, 3), {"padding": "same"}),
    ((1, 5, 5, 5, 1), (3, 2, 2, 1, 2), {"strides": 2}),
    ((2, 14, 14, 16), (3, 3, 16, 24), {"padding": "same"}),
]
for image, kernel, options in CONVS:
    case(ops.conv, x(*image), x(*kernel), reference=ref.conv, roundings=8, **options)
for image, kernel, options in [
    ((2, 5, 6, 3), (3, 3, 3, 1), {}),
    ((1, 6, 6, 4), (3, 3, 4, 2), {"padding": "same"}),
    ((1, 7, 7, 5), (3, 3, 5, 1), {"strides": 2, "padding": "same"}),
    ((1, 9, 3), (4, 3, 2), {"padding": "same"}),
    ((1, 9, 9, 17), (3, 3, 17, 1), {"dilation_rate": 2}),
]:
    case(ops.depthwise_conv, x(*image), x(*kernel), reference=ref.depthwise_conv, roundings=8, **options)
case(
    ops.separable_conv,
    x(2, 6, 6, 3),
    x(3, 3, 3, 2),
    x(1, 1, 6, 4),
    padding="same",
    reference=ref.separable_conv,
    roundings=16,
)
for image, kernel, options in [
    ((1, 4, 5, 3), (3, 3, 2, 3), {}),
    ((2, 4, 5, 3), (3, 3, 2, 3), {"strides": 2, "padding": "same"}),
    ((1, 4, 4, 2), (2, 2, 3, 2), {"strides": 2}),
    ((1, 4, 4, 2), (2, 2, 3, 2), {"strides": 3}),
    ((1, 4, 4, 2), (3, 3, 3, 2), {"strides": 2, "padding": "same", "output_padding": 1}),
    ((1, 4, 4, 2), (3, 3, 3, 2), {"dilation_rate": 2}),
    ((2, 6, 3), (4, 2, 3), {"strides": 2, "padding": "same"}),
    ((1, 3, 3, 2, 2), (2, 3, 2, 1, 2), {"strides": 2, "padding": "same"}),
]:
    case(ops.conv_transpose, x(*image), x(*kernel), reference=ref.conv_transpose, roundings=8, **options)

for image, options in [
    ((2, 6, 6, 3), {"pool_size": 2}),
    ((2, 7, 5, 3), {"pool_size": 2, "padding": "same"}),
    ((1, 7, 7, 17), {"pool_size": 3, "strides": 2}),
    ((1, 7, 7, 2), {"pool_size": (3, 2), "strides": (1, 2), "padding": "same"}),
    ((1, 3, 6, 6), {"pool_size": 2, "data_format": "channels_first"}),
    ((2, 9, 3), {"pool_size": 3, "strides": 2, "padding": "same"}),
    ((1, 4, 5, 4, 2), {"pool_size": 2}),
    ((1, 20, 20, 1), {"pool_size": 17, "strides": 3}),
    ((0, 4, 4, 2), {"pool_size": 2}),
]:
    case(ops.max_pool, x(*image), reference=ref.max_pool, **options)
    case(ops.average_pool, x(*image), reference=ref.average_pool, roundings=8, **options)

for shape, axis in [
    ((5, 1), -1),
    ((3, 17), -1),
    ((0, 4), -1),
    ((3, 4, 5), 1),
    ((2, 3, 4), (1, 2)),
    ((33, 100), -1),
    ((6,), 0),
]:
    if shape[-1] > 1:  # else it warns: tests/ops/test_keras_words.py
        case(ops.softmax, x(*shape), axis=axis, reference=ref.softmax, roundings=2)
    case(ops.log_softmax, x(*shape), axis=axis, reference=ref.log_softmax, roundings=2)
case(ops.softmax, x(3, 4, dtype="float64", wrt=False), reference=ref.softmax)

for logits in (False, True):
    low, high = (-3, 3) if logits else (0.05, 0.95)
    scores = {"low": low, "high": high}
    case(ops.categorical_crossentropy, x(4, 5, low=0, high=1), x(4, 5, **scores), from_logits=logits,
         reference=ref.categorical_crossentropy, roundings=8)  # fmt: skip
    case(ops.sparse_categorical_crossentropy, ints(4, low=0, high=5), x(4, 5, **scores), from_logits=logits,
         reference=ref.sparse_categorical_crossentropy, roundings=4)  # fmt: skip
    case(ops.sparse_categorical_crossentropy, ints(2, 3, 1, low=0, high=5), x(2, 3, 5, **scores), from_logits=logits,
         reference=ref.sparse_categorical_crossentropy, roundings=4)  # fmt: skip
    case(ops.sparse_categorical_crossentropy, ints(2, 3, low=0, high=4), x(2, 4, 3, **scores), from_logits=logits,
         axis=1, reference=ref.sparse_categorical_crossentropy, roundings=4)  # fmt: skip
    case(ops.binary_crossentropy, x(4, 5, low=0, high=1), x(4, 5, **scores), from_logits=logits,
         reference=ref.binary_crossentropy, roundings=8)  # fmt: skip

case(
    ops.batch_normalization,
    x(4, 5),
    x(5),
    x(5, low=0.5, high=2),
    axis=-1,
    reference=ref.batch_normalization,
    roundings=4,
)
case(
    ops.batch_normalization,
    x(2, 3, 4),
    x(3),
    x(3, low=0.5, high=2),
    1,
    x(3),
    x(3),
    1e-2,
    reference=ref.batch_normalization,
    roundings=4,
)
case(ops.layer_normalization, x(4, 9), reference=ref.layer_normalization, roundings=8)
case(ops.layer_normalization, x(4, 9), x(9), x(9), reference=ref.layer_normalization, roundings=8)
case(
    ops.layer_normalization,
    x(2, 3, 5),
    x(3, 5),
    axis=[1, 2],
    epsilon=1e-3,
    reference=ref.layer_normalization,
    roundings=8,
)
case(ops.rms_normalization, x(4, 9), x(9), reference=ref.rms_normalization, roundings=4)
case(ops.normalize, x(3, 5), reference=ref.normalize, roundings=4)
case(ops.normalize, x(3, 5), axis=0, order=1, reference=ref.normalize, roundings=4)
case(ops.normalize, x(3, 5), order=3, reference=ref.normalize, roundings=8)

case(ops.one_hot, ints(5, low=-1, high=5), 4, reference=ref.one_hot)
case(ops.one_hot, ints(2, 3, low=0, high=4), 4, axis=1, reference=ref.one_hot)
case(ops.multi_hot, ints(3, 4, low=0, high=5), 5, reference=lambda i, n: np.max(ref.one_hot(i, n), 1))
case(ops.multi_hot, ints(4, low=0, high=5), 5, reference=lambda i, n: np.max(ref.one_hot(i, n), 0))

case(
    ops.dot_product_attention,
    x(2, 3, 2, 4),
    x(2, 5, 2, 4),
    x(2, 5, 2, 4),
    reference=ref.dot_product_attention,
    roundings=8,
)
case(
    ops.dot_product_attention,
    x(2, 5, 4, 3),
    x(2, 5, 2, 3),
    x(2, 5, 2, 3),
    is_causal=True,
    reference=ref.dot_product_attention,
    roundings=8,
)
case(ops.dot_product_attention, x(1, 3, 2, 4), x(1, 5, 2, 4), x(1, 5, 2, 4), x(1, 2, 3, 5), bools(1, 1, 3, 5), 0.3,
     reference=ref.dot_product_attention, roundings=8)  # fmt: skip


def ctc(labels, logits, lengths, steps, mask_index=0):
    """All alignments, one by one."""
    log_p = ref.log_softmax(logits)
    losses = []
    for row, scores, n, t in zip(labels, log_p, lengths, steps):
        total = 0.0
        for path in np.ndindex(*(scores.shape[1],) * int(t)):
            joined = [c for i, c in enumerate(path) if i == 0 or c != path[i - 1]]
            if [c for c in joined if c != mask_index] == list(row[:n]):
                total += np.exp(sum(scores[i, c] for i, c in enumerate(path)))
        losses.append(-np.log(total))
    return np.array(losses)


LABELS = np.array([[1, 2, 1], [2, 2, 0], [1, 0, 0], [0, 0, 0]], np.int32)
case(
    ops.ctc_loss,
    LABELS,
    x(4, 5, 3),
    np.array([3, 2, 1, 0], np.int32),
    np.array([5, 4, 5, 3], np.int32),
    reference=ctc,
    roundings=8,
)
