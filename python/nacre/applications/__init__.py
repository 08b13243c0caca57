"""Networks for images under Keras' names, with Keras' layers and order of weights, so that published weights fit."""

from nacre._lazy import attach as _attach

_NETWORKS = {
    "densenet": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "efficientnet": tuple(f"EfficientNetB{i}" for i in range(8)),
    "inception_v3": ("InceptionV3",),
    "mobilenet": ("MobileNet",),
    "mobilenet_v2": ("MobileNetV2",),
    "resnet": ("ResNet50", "ResNet101", "ResNet152"),
    "resnet_v2": ("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    "vgg16": ("VGG16",),
    "vgg19": ("VGG19",),
    "xception": ("Xception",),
}
__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        **dict.fromkeys((*_NETWORKS, "imagenet_utils", "resnet50")),
        **{name: f".{module}" for module, names in _NETWORKS.items() for name in names},
    },
)
