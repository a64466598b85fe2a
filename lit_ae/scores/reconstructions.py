"""How similar reconstructions are to their images."""

from torch import Tensor

from lit_ae.scores.arrays import Array, images


def psnr(x_hat: Array, x: Array) -> float:
    """Peak signal-to-noise ratio in dB; higher is better, at most 100 (for equal images).

    10 log10(1 / mean squared error) of each image, then the mean over images; some libraries give the ratio of the mean
    error instead, which is lower.

    Args:
        x_hat: reconstructions [N, C, H, W], bytes or floats in [0, 1].
        x: the images themselves [N, C, H, W].

    Raises:
        ValueError: the arrays hold no images, or have different shapes.

    >>> import lit_ae, numpy as np
    >>> x = np.zeros((4, 1, 8, 8))
    >>> round(lit_ae.scores.psnr(x + 0.1, x), 3)  # 10 log10(1 / 0.01)
    20.0
    """
    from lit_ae.metrics.reconstruction.psnr import psnr as by_image

    return by_image(*_pair(x_hat, x)).double().mean().item()


def ssim(x_hat: Array, x: Array) -> float:
    """Structural similarity, mean over images; higher is better, -1 to 1 (Wang et al. 2004, equation 13).

    Gaussian window of 11 x 11 pixels with σ = 1.5, data range 1.

    Args:
        x_hat: reconstructions [N, C, H, W], bytes or floats in [0, 1]; H and W at least 6.
        x: the images themselves [N, C, H, W].

    Raises:
        ValueError: the arrays hold no images, images below 6 x 6 pixels, or have different shapes.

    >>> import lit_ae, numpy as np
    >>> x = np.random.default_rng(0).random((4, 1, 12, 12))
    >>> round(lit_ae.scores.ssim(x, x), 6), lit_ae.scores.ssim(1 - x, x) < 0
    (1.0, True)
    """
    from lit_ae.metrics.reconstruction.errors import ssim as by_image

    return by_image(*_pair(x_hat, x)).double().mean().item()


def _pair(x_hat: Array, x: Array) -> tuple[Tensor, Tensor]:
    pair = images(x_hat, "x_hat"), images(x, "x")
    if pair[0].shape != pair[1].shape:
        raise ValueError(f"x_hat has shape {list(pair[0].shape)} and x {list(pair[1].shape)}: they must be the same")
    if not len(pair[0]):
        raise ValueError("there are no images to score")
    return pair
