"""Restricted Boltzmann machine."""

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from lit_ae.data.containers import Batch, Shape
from lit_ae.errors import require_at_least
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.nets import Decoder, Encoder
from lit_ae.nets.precision import full
from lit_ae.objectives.likelihoods import Bernoulli, Pixels


class Hidden(Encoder):
    """Logits of the hidden units, c + W v; the initial weights are small (Hinton 2010, section 8)."""

    def __init__(self, input_shape: Shape, out_features: int) -> None:
        super().__init__(input_shape, out_features)
        self.weight = nn.Parameter(0.01 * torch.randn(out_features, torch.Size(input_shape).numel()))  # [D, N]
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Tensor) -> Tensor:
        """[B, *input_shape] → [B, D]."""
        return F.linear(x.flatten(1), self.weight, self.bias)


class Visible(Decoder):
    """Logits of the visible units, b + Wᵀ h, with the encoder's W."""

    weight: nn.Parameter

    def __init__(self, in_features: int, output_shape: Shape) -> None:
        super().__init__(in_features, output_shape)
        self.bias = nn.Parameter(torch.zeros(torch.Size(output_shape).numel()))

    def forward(self, z: Tensor) -> Tensor:
        """[B, D] → [B, *output_shape]."""
        return F.linear(z, self.weight.T, self.bias).view(-1, *self.output_shape)


class RBM(ReconstructionModule):
    """Restricted Boltzmann machine: energy E(v, h) = -b·v - c·h - hᵀWv over binary units v and h.

    The code is z = p(h = 1 | x), the reconstruction x_hat = p(v = 1 | z). Trained by contrastive divergence (Hinton
    2002), or, with `chains`, by its persistent form (Tieleman 2008). The gradient is that of mean F(x) - mean F(chain),
    where F is the free energy and the chain is constant. This difference does not fall during training like a loss, so
    the logged nll and loss are the cross-entropy of x_hat. Grey values count as probabilities (Hinton & Salakhutdinov
    2006).

    Args:
        input_shape: shape of one sample, linked from the data module.
        latent_dim: number D of hidden units.
        optimizer: optimiser; null: Adam with a learning rate of 1e-3.
        steps: number k of Gibbs steps of an update.
        chains: number of persistent chains; with 0, each update starts its chains at the batch.
        sample_steps: number of Gibbs steps of a generated sample, which start from random hidden units.
        pixels: whether nll is the sum or the mean over pixels.

    Raises:
        SettingError: `steps` or `sample_steps` below 1, or `chains` negative.
    """

    encoder: Hidden
    decoder: Visible
    chains: Tensor  # [M, *shape] of 0 and 1

    def __init__(
        self,
        input_shape: Shape,
        latent_dim: int = 64,
        optimizer: OptimizerCallable | None = None,
        steps: int = 1,
        chains: int = 0,
        sample_steps: int = 500,
        pixels: Pixels = "sum",
    ) -> None:
        super().__init__(input_shape, latent_dim, optimizer, Hidden, Visible, Bernoulli(pixels))
        require_at_least(1, "model.{}", steps=steps, sample_steps=sample_steps)
        require_at_least(0, "model.{}", chains=chains)
        self.decoder.weight = self.encoder.weight
        self.steps, self.sample_steps = steps, sample_steps
        self.register_buffer("chains", torch.rand(chains, *self.input_shape).round())

    def encode(self, x: Tensor, y: Tensor | None = None) -> Latent:
        """p(h = 1 | x) of each unit, [B, D]."""
        mu = self.encoder(x).sigmoid()
        return Latent(mu, None, mu)

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = -b·v - Σ log(1 + exp(c + Wv)), [B], of v [B, *shape]; p(v) ∝ exp(-F(v))."""
        return -(v.flatten(1) * self.decoder.bias).sum(1) - F.softplus(full(self.encoder(v))).sum(1)

    @torch.no_grad()
    def gibbs(self, v: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """v [B, *shape] after `steps` alternating draws of h and v."""
        for _ in range(steps):
            h = torch.bernoulli(self.encoder(v).sigmoid(), generator=generator)
            v = torch.bernoulli(self.decode(h), generator=generator)
        return v

    def divergence(self, x: Tensor) -> Tensor:
        """F(x) - mean F(chain), [B]; the gradient of its mean is that of contrastive divergence."""
        v = self.gibbs(self.chains if len(self.chains) else x, self.steps)
        if len(self.chains):
            self.chains = v
        return self.free_energy(x) - self.free_energy(v).mean()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Track the terms of the reconstruction; return the difference of free energies, which gives the gradient."""
        with torch.no_grad():
            self._step(batch, "train")
        return self.divergence(batch.x).mean()

    @torch.no_grad()
    def hand_down(self, encoder: nn.Linear, decoder: nn.Linear) -> None:
        """Copy weights and biases to a linear layer N → D and to the opposite layer D → N."""
        for layer, weight, bias in (
            (encoder, self.encoder.weight, self.encoder.bias),
            (decoder, self.encoder.weight.T, self.decoder.bias),
        ):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)

    def draw_codes(self, n: int, generator: torch.Generator) -> Tensor:
        """Hidden units [n, D] of chains that start from random hidden units; `decode` gives p(v = 1 | h)."""
        seed = int(torch.randint(2**62, (), generator=generator))
        own = torch.Generator(self.device).manual_seed(seed)  # numbers are drawn on the device of the weights
        h = torch.rand(n, self.latent_dim, generator=own, device=self.device).round().to(self.dtype)
        v = self.gibbs(torch.bernoulli(self.decode(h), generator=own), self.sample_steps, own)
        return torch.bernoulli(self.encoder(v).sigmoid(), generator=own).to(generator.device)
