"""Peak signal-to-noise ratio, image by image."""

from torch import Tensor

CEILING = 100.0  # dB of two images that are the same, whose ratio would be infinite


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """10 log10(1 / mean squared error) in dB of each image [B], at most 100; both [B, *shape], clipped to [0, 1].

    The mean of these over images is not the ratio of the mean error, which some libraries give under the same name.
    """
    error = (image.clamp(0, 1) - reference.clamp(0, 1)).square().flatten(1).mean(1)
    return -10 * error.clamp(min=10 ** (-CEILING / 10)).log10()
