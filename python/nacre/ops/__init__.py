"""keras.ops: functions of tensors. Each works on eager tensors, while a function is compiled, and on the KerasTensors of a graph.

The files that every program needs are loaded at once; the others at the first use of a name."""

from __future__ import annotations

from nacre._lazy import attach as _attach
from nacre.ops import indexing as _indexing  # noqa: F401  (installs x[...], x.reshape and x.T)
from nacre.ops import products as _products  # noqa: F401  (installs @)

_NAMES = {
    ".elementwise": """abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and bitwise_invert
        bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor cast ceil clip cos cosh divide equal erf erfinv
        exp exp2 expm1 floor floor_divide greater greater_equal hypot isfinite isinf isnan left_shift less less_equal log log10
        log1p log2 logaddexp logical_and logical_not logical_or logical_xor maximum minimum mod multiply negative nonzero
        not_equal power reciprocal relu right_shift round rsqrt sigmoid sign sin sinh softplus sqrt square stop_gradient subtract
        tan tanh true_divide trunc where""",
    ".manipulation": """broadcast_to concatenate expand_dims moveaxis pad ravel reshape split squeeze stack swapaxes transpose
        unstack""",
    ".arrangement": """append array_split diag diagflat diagonal diff dsplit dstack flip fliplr flipud hsplit hstack meshgrid
        repeat roll rot90 select tile trace tril triu vander vsplit vstack""",
    ".reduction": """all amax amin any argmax argmin average count_nonzero cumprod cumsum logsumexp max mean min moments prod
        ptp std sum var""",
    ".products": "cross dot einsum inner kron matmul outer tensordot vdot",
    ".convolution": "conv conv_transpose depthwise_conv separable_conv",
    ".pooling": "average_pool max_pool",
    ".probabilities": """binary_crossentropy categorical_crossentropy log_softmax softmax
        sparse_categorical_crossentropy""",
    ".nn": """batch_normalization celu dot_product_attention elu gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh
        layer_normalization leaky_relu log_sigmoid multi_hot normalize one_hot relu6 rms_normalization selu silu soft_shrink
        softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh_shrink threshold""",
    ".indexing": "get_item scatter scatter_update slice slice_update take take_along_axis",
    ".creation": """arange array convert_to_tensor empty empty_like eye full full_like geomspace identity linspace logspace ones
        ones_like tri zeros zeros_like""",
    ".sorting": """argpartition argsort bincount digitize histogram in_top_k isin median percentile quantile searchsorted
        segment_max segment_min segment_prod segment_sum sort top_k unique""",
    ".special": """allclose angle bartlett blackman cbrt conj conjugate deg2rad divide_no_nan erfc fabs fmax fmin fmod gcd hamming
        hanning heaviside i0 imag isclose isneginf isposinf isreal kaiser lcm ldexp logaddexp2 nan_to_num nextafter rad2deg real
        signbit sinc""",
    ".nan_reduction": """nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanpercentile nanprod
        nanquantile nanstd nansum nanvar""",
    ".linalg": """cholesky cholesky_inverse det eig eigh inv jvp logdet lstsq lu_factor matrix_rank norm pinv qr slogdet solve
        solve_triangular svd""",
    ".core": """associative_scan cond convert_to_numpy copy custom_gradient dtype fori_loop is_tensor map ndim saturate_cast scan
        shape size switch vectorize vectorized_map view while_loop""",
}

__getattr__, __dir__, __all__ = _attach(
    __name__, {name: module for module, names in _NAMES.items() for name in names.split()}
)
