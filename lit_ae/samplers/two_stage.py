"""A second VAE as a density over codes."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_ae.objectives.divergences import kl_standard_normal
from lit_ae.samplers.learned import Learned


class CodeVAE(nn.Module):
    """A VAE of codes z [B, D] with as many latent dimensions: q(u|z), and p(z|u) = N(decoder(u), γ² I).

    Both networks are multilayer perceptrons with two hidden layers.
    """

    def __init__(self, dimension: int, width: int) -> None:
        super().__init__()
        self.encoder, self.decoder = _layers(dimension, width, 2 * dimension), _layers(dimension, width, dimension)
        # Not 0: where γ begins at the size of the codes themselves, the decoder learns to ignore u
        self.log_gamma = nn.Parameter(torch.tensor(-2.0))


def _layers(inputs: int, width: int, outputs: int) -> nn.Sequential:
    hidden = [nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()]
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


class TwoStageVAE(Learned):
    """The second stage of a two-stage VAE: a VAE with a learned variance of its output, trained on the codes.

    Dai & Wipf 2019, section 4: u from N(0, I), then a code from p(z|u), where γ is learned with the weights. The codes
    are draws from the first stage's q(z|x), which is what `Evaluation` fits it to where codes have noise. Separate
    clusters are hard for it: of six Gaussians on a circle it draws samples whose sliced Wasserstein distance to the
    truth is 4 times that of fresh samples (`FittedGaussian` 12, `Mixture` 1.2).

    Args:
        steps: largest number of gradient steps.
        batch_size: number of codes in a step.
        lr: initial learning rate.
        width: number of units of each hidden layer.

    Raises:
        SettingError: as for `Learned`.
    """

    name = "two_stage"
    of_draws = True

    def __init__(self, steps: int = 5000, batch_size: int = 256, lr: float = 2e-3, width: int = 256) -> None:
        super().__init__(steps, batch_size, lr, width)

    def _net(self, dimension: int) -> CodeVAE:
        return CodeVAE(dimension, self.width)

    def _noise_size(self, dimension: int) -> int:
        return 2 * dimension

    def _loss(self, net: nn.Module, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Mean of -log p(z|u) + KL(q(u|z) ‖ N(0, I)) with one draw u from q(u|z)."""
        assert isinstance(net, CodeVAE)
        mu, logvar = net.encoder(codes).chunk(2, 1)
        u = mu + (0.5 * logvar).exp() * torch.randn(mu.shape, generator=generator)
        errors = F.mse_loss(net.decoder(u), codes, reduction="none").sum(1)
        constant = codes.shape[1] * (net.log_gamma + 0.5 * math.log(2 * math.pi))
        nll = 0.5 * errors * (-2 * net.log_gamma).exp() + constant
        return (nll + kl_standard_normal(mu, logvar)).mean()

    def _to_codes(self, net: nn.Module, noise: Tensor) -> Tensor:
        assert isinstance(net, CodeVAE)
        u, rest = noise.chunk(2, 1)
        codes: Tensor = net.decoder(u) + net.log_gamma.exp() * rest
        return codes
