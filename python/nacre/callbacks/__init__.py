"""Callbacks: what happens around epochs and batches of training."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        "BackupAndRestore": ".backup",
        "CSVLogger": ".simple",
        "Callback": ".base",
        "CallbackList": ".lists",
        "EarlyStopping": ".monitors",
        "History": ".progress",
        "LambdaCallback": ".simple",
        "LearningRateScheduler": ".simple",
        "ModelCheckpoint": ".checkpoint",
        "ProgbarLogger": ".progress",
        "ReduceLROnPlateau": ".monitors",
        "RemoteMonitor": ".simple",
        "SwapEMAWeights": ".averages",
        "TensorBoard": ".tensorboard",
        "TerminateOnNaN": ".simple",
    },
)
