"""keras.ops: functions of tensors."""
from nacre.ops.elementwise import *  # noqa: F403
