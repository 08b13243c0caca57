"""The layers: tensors in, tensors out, with weights of their own."""

from nacre._lazy import attach as _attach

# Module -> the public names that it defines.
_WHERE = {
    ".activation": ("Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU"),
    ".bidirectional": ("Bidirectional",),
    ".adaptive_pooling": (
        "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D", "AdaptiveMaxPooling1D",
        "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D",
    ),
    ".attention": ("AdditiveAttention", "Attention"),
    ".batch_normalization": ("BatchNormalization",),
    ".categories": ("CategoryEncoding", "Discretization", "HashedCrossing", "Hashing"),
    ".conv_lstm": ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
    ".conv_transpose": ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
    ".convolution": ("Conv1D", "Conv2D", "Conv3D"),
    ".core_layers": ("ActivityRegularization", "Identity", "Lambda", "Masking"),
    ".dense": ("Dense",),
    ".depthwise": ("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"),
    ".dropout": (
        "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D", "SpatialDropout2D",
        "SpatialDropout3D",
    ),
    ".einsum_dense": ("EinsumDense",),
    ".embedding": ("Embedding", "ReversibleEmbedding"),
    ".image_augmentation": ("CutMix", "MaxNumBoundingBoxes", "MixUp", "Pipeline", "RandomErasing"),
    ".image_color": (
        "AutoContrast", "RandomBrightness", "RandomColorDegeneration", "RandomContrast", "RandomGaussianBlur",
        "RandomGrayscale", "RandomHue", "RandomInvert", "RandomPosterization", "RandomSaturation", "RandomSharpness",
        "Solarization",
    ),
    ".image_geometry": (
        "RandomCrop", "RandomElasticTransform", "RandomFlip", "RandomPerspective", "RandomRotation", "RandomShear",
        "RandomTranslation", "RandomZoom",
    ),
    ".image_histograms": ("ContrastLimitedAdaptiveHistogramEqualization", "Equalization"),
    ".image_policies": ("AugMix", "RandAugment", "RandomColorJitter"),
    ".gru": ("GRU", "GRUCell"),
    ".input_layer": ("Input", "InputLayer"),
    ".input_spec": ("InputSpec",),
    ".layer": ("Layer",),
    ".lookup": ("IntegerLookup", "StringLookup"),
    ".lstm": ("LSTM", "LSTMCell"),
    ".merging": (
        "Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract", "add", "average",
        "concatenate",
        "dot", "maximum", "minimum", "multiply", "subtract",
    ),
    ".multi_head_attention": ("MultiHeadAttention",),
    ".normalization_layers": ("GroupNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization"),
    ".padding": ("Cropping1D", "Cropping2D", "Cropping3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"),
    ".pooling": (
        "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
        "GlobalAveragePooling3D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D", "MaxPooling1D",
        "MaxPooling2D", "MaxPooling3D",
    ),
    ".reshaping": ("Flatten", "Permute", "RepeatVector", "Reshape"),
    ".rescaling": ("Normalization", "Rescaling"),
    ".resizing": ("CenterCrop", "Resizing"),
    ".rnn": ("RNN", "StackedRNNCells"),
    ".serialization": ("deserialize", "serialize"),
    ".simple_rnn": ("SimpleRNN", "SimpleRNNCell"),
    ".spectrograms": ("MelSpectrogram", "STFTSpectrogram"),
    ".text_vectorization": ("TextVectorization",),
    ".upsampling": ("UpSampling1D", "UpSampling2D", "UpSampling3D"),
    ".wrapper": ("SpectralNormalization", "TimeDistributed", "Wrapper"),
}  # fmt: skip

# Older spelling -> name.
_ALIASES = {
    **{f"CuDNN{name}": name for name in ("GRU", "LSTM")},
    **{f"Deconvolution{d}D": f"Conv{d}DTranspose" for d in (2, 3)},
    **{f"AvgPool{d}D": f"AveragePooling{d}D" for d in (1, 2, 3)},
    **{f"MaxPool{d}D": f"MaxPooling{d}D" for d in (1, 2, 3)},
    **{f"GlobalAvgPool{d}D": f"GlobalAveragePooling{d}D" for d in (1, 2, 3)},
    **{f"GlobalMaxPool{d}D": f"GlobalMaxPooling{d}D" for d in (1, 2, 3)},
    **{f"Convolution{d}D": f"Conv{d}D" for d in (1, 2, 3)},
    **{f"Convolution{d}DTranspose": f"Conv{d}DTranspose" for d in (1, 2, 3)},
    **{f"SeparableConvolution{d}D": f"SeparableConv{d}D" for d in (1, 2)},
}

_MODULE = {name: module for module, names in _WHERE.items() for name in names}

__getattr__, __dir__, __all__ = _attach(
    __name__,
    _MODULE
    | {alias: f"{_MODULE[name]}:{name}" for alias, name in _ALIASES.items()}
    | {"GroupQueryAttention": ".grouped_attention:GroupedQueryAttention"},  # the class has another name, as in Keras
)
