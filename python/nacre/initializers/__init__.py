"""Initializers: the first values of weights."""

from nacre._lazy import attach as _attach

_RANDOM = {
    "GlorotNormal": "glorot_normal",
    "GlorotUniform": "glorot_uniform",
    "HeNormal": "he_normal",
    "HeUniform": "he_uniform",
    "LecunNormal": "lecun_normal",
    "LecunUniform": "lecun_uniform",
    "Orthogonal": "orthogonal",
    "RandomNormal": "random_normal",
    "RandomUniform": "random_uniform",
    "TruncatedNormal": "truncated_normal",
    "VarianceScaling": "variance_scaling",
}
_CONSTANT = {"Constant": "constant", "Identity": "identity", "Ones": "ones", "STFT": "stft", "Zeros": "zeros"}

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        "Initializer": ".initializer",
        **dict.fromkeys(("deserialize", "get", "serialize"), ".initializer"),
        **dict.fromkeys(_RANDOM, ".sampled"),
        **{alias: f".sampled:{name}" for name, alias in _RANDOM.items()},
        **dict.fromkeys(_CONSTANT, ".fixed"),
        **{alias: f".fixed:{name}" for name, alias in _CONSTANT.items()},
        "IdentityInitializer": ".fixed:Identity",
        "OrthogonalInitializer": ".sampled:Orthogonal",
        "STFTInitializer": ".fixed:STFT",
    },
)
