"""keras.ops.image: sizes, positions, colours and patches of images (H, W, C) or batches (N, H, W, C)."""

from nacre._lazy import attach as _attach

_NAMES = {
    ".resampling": "resize scale_and_translate",
    ".warping": "affine_transform map_coordinates perspective_transform",
    "nacre.random.elastic": "elastic_transform",
    ".patches": "crop_images extract_patches extract_patches_3d pad_images",
    ".filters": "gaussian_blur hsv_to_rgb rgb_to_grayscale rgb_to_hsv sobel_edges ssim",
}

__getattr__, __dir__, __all__ = _attach(
    __name__, {name: module for module, names in _NAMES.items() for name in names.split()}
)
