"""Peak signal-to-noise ratio, image by image."""

from torch import Tensor

CEILING = 100.0  # dB; equal images would have an infinite ratio


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """10 log10(1 / mean squared error) in dB of each image [B], at most 100; both are [B, *shape], clipped to [0, 1].

    The mean of these over images differs from the PSNR of the mean error, which some libraries call PSNR.
    """
    error = (image.clamp(0, 1) - reference.clamp(0, 1)).square().flatten(1).mean(1)
    return -10 * error.clamp(min=10 ** (-CEILING / 10)).log10()
