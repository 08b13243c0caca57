"""Settings and dtypes under `keras.backend`, and the functions that older programs call as `K.mean(x)`."""

from nacre._lazy import attach as _attach

_CURRENT = {
    **dict.fromkeys(
        (
            "backend",
            "epsilon",
            "floatx",
            "image_data_format",
            "set_epsilon",
            "set_floatx",
            "set_image_data_format",
        ),
        "nacre.core.config",
    ),
    "clear_session": "nacre.utils.session",
    "function": ".graphs",
    "is_keras_tensor": "nacre.utils.session",
    "standardize_dtype": ".dtypes",
    **dict.fromkeys(("get_uid", "is_float_dtype", "is_int_dtype", "result_type"), ".dtypes"),
}

# The same function of keras.ops under its own or an older name.
_OPS = (
    "abs all any arange average_pool binary_crossentropy cast categorical_crossentropy clip cos elu equal exp eye "
    "greater greater_equal less less_equal log logsumexp max maximum mean min minimum ndim not_equal one_hot ones "
    "ones_like prod reshape round sigmoid sign sin softmax softplus softsign sparse_categorical_crossentropy sqrt "
    "square squeeze stack std stop_gradient sum tanh tile transpose var zeros zeros_like"
)
_OTHERS = (
    "argmax argmin batch_dot batch_flatten batch_get_value batch_normalization batch_set_value bias_add "
    "cast_to_floatx concatenate constant conv1d conv2d count_params ctc_batch_cost ctc_decode cumprod cumsum dot "
    "dropout dtype eval expand_dims flatten foldl foldr gather get_value gradients hard_sigmoid in_top_k int_shape "
    "l2_normalize map_fn moving_average_update permute_dimensions pool2d pow random_bernoulli random_normal "
    "random_uniform relu repeat repeat_elements reverse set_value shape spatial_2d_padding switch temporal_padding "
    "truncated_normal update update_add update_sub variable"
)

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        **dict.fromkeys(_OPS.split(), "nacre.ops"),
        **dict.fromkeys(_OTHERS.split(), ".older"),
        **_CURRENT,
    },
)
