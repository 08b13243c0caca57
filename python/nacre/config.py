"""Settings: float type, epsilon, image layout, what is printed."""

import warnings

from nacre.core.config import (
    backend,
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from nacre.core.interactive import (
    disable_interactive_logging,
    disable_traceback_filtering,
    enable_interactive_logging,
    enable_traceback_filtering,
    is_interactive_logging_enabled,
    is_traceback_filtering_enabled,
)
from nacre.dtype_policies import dtype_policy, set_dtype_policy

__all__ = [
    "backend",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "dtype_policy",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "enable_unsafe_deserialization",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_interactive_logging_enabled",
    "is_traceback_filtering_enabled",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
]


def enable_unsafe_deserialization() -> None:
    """Changes nothing, and says so: nacre never runs code from a file."""
    warnings.warn(
        "enable_unsafe_deserialization() has no effect: loading never runs code from a file. A model whose layers hold "
        "named functions, decorated with @keras.saving.register_keras_serializable(), loads without it.",
        stacklevel=2,
    )
