"""Flow matching as a density over codes."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_ae.errors import require_at_least
from lit_ae.samplers.learned import Learned

FREQUENCIES = 8  # of the time: π, 2π, 4π, …


class Velocity(nn.Module):
    """v(z, t): a multilayer perceptron with three hidden layers on z [B, D] and Fourier features of t [B, 1]."""

    frequencies: Tensor

    def __init__(self, dimension: int, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.pi * 2.0 ** torch.arange(FREQUENCIES))
        sizes = [dimension + 2 * FREQUENCIES, width, width, width]
        hidden = [m for i, o in pairwise(sizes) for m in (nn.Linear(i, o), nn.SiLU())]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, dimension))

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        """Velocity [B, D]."""
        angle = t * self.frequencies  # [B, 8]
        velocity: Tensor = self.layers(torch.cat([z, angle.sin(), angle.cos()], dim=1))
        return velocity


class FlowMatching(Learned):
    """Codes are solutions of dz/dt = v(z, t) at t = 1 that start from N(0, I) at t = 0.

    Lipman et al. 2023, equation 23: the conditional optimal-transport path with σ_min = 0. With the default settings
    training takes about half a minute on one core for 100 dimensions, however many codes there are.

    Args:
        ode_steps: steps of the midpoint method from noise to code, with two evaluations of the network each.
        steps: largest number of gradient steps.
        batch_size: number of codes in a step.
        lr: initial learning rate.
        width: number of units of each hidden layer.

    Raises:
        SettingError: a setting is too small, or as for `Learned`.
    """

    name = "flow_matching"

    def __init__(
        self, ode_steps: int = 25, steps: int = 3600, batch_size: int = 256, lr: float = 2e-3, width: int = 512
    ) -> None:
        super().__init__(steps, batch_size, lr, width)
        require_at_least(1, f"{{}} of the {self.name} sampler", ode_steps=ode_steps)
        self.ode_steps = ode_steps

    def _net(self, dimension: int) -> nn.Module:
        return Velocity(dimension, self.width)

    def _scales(self, variances: Tensor) -> Tensor:
        """One scale for all axes, since the loss is a squared error.

        Whitening would give axes that the decoder hardly reacts to the same weight as the others.
        """
        return variances.mean().sqrt().expand(len(variances))

    def _loss(self, net: nn.Module, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Mean of (v(z_t, t) - (z_1 - z_0))² with z_t = (1 - t) z_0 + t z_1 and t uniform in [0, 1]."""
        noise = torch.randn(codes.shape, generator=generator)
        t = torch.rand(len(codes), 1, generator=generator)
        return F.mse_loss(net(noise.lerp(codes, t), t), codes - noise)

    def _to_codes(self, net: nn.Module, noise: Tensor) -> Tensor:
        z, step = noise, 1 / self.ode_steps
        for i in range(self.ode_steps):
            t = z.new_full((len(z), 1), i * step)
            middle = z + step / 2 * net(z, t)
            z = z + step * net(middle, t + step / 2)
        return z
