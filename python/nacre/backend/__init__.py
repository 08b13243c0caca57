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
    "get_uid": "nacre.core.naming",
    **dict.fromkeys(("is_float_dtype", "is_int_dtype", "result_type"), ".dtypes"),
}

# The same function of keras.ops under its own or an older name.
_OPS = (
    "abs all any average_pool binary_crossentropy cast categorical_crossentropy cos elu exp log logsumexp max mean min "
    "ndim prod round sigmoid sign sin softmax softplus softsign sqrt square squeeze stack std sum tanh transpose var"
)
_OTHERS = (
    "arange argmax argmin batch_dot batch_flatten batch_get_value batch_normalization batch_set_value bias_add "
    "cast_to_floatx clip concatenate constant conv1d conv2d conv2d_transpose conv3d count_params ctc_batch_cost "
    "ctc_decode cumprod cumsum depthwise_conv2d dot dropout dtype equal eval expand_dims eye flatten foldl foldr "
    "gather get_value "
    "gradients greater greater_equal hard_sigmoid in_top_k int_shape is_sparse l2_normalize less less_equal map_fn "
    "maximum minimum moving_average_update name_scope not_equal one_hot ones ones_like permute_dimensions pool2d pow "
    "random_bernoulli random_normal random_uniform relu repeat repeat_elements reshape resize_images reverse rnn "
    "separable_conv2d set_value shape sparse_categorical_crossentropy spatial_2d_padding stop_gradient switch "
    "temporal_padding tile to_dense truncated_normal update update_add update_sub variable zeros zeros_like"
)

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        **dict.fromkeys(_OPS.split(), "nacre.ops"),
        **dict.fromkeys(_OTHERS.split(), ".older"),
        **_CURRENT,
    },
)
