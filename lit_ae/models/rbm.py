"""Restricted Boltzmann machine."""

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from lit_ae.data.base import Batch
from lit_ae.errors import SettingError
from lit_ae.likelihoods import Bernoulli, Pixels
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.nets import Decoder, Encoder, Shape


class Hidden(Encoder):
    """Logits of the hidden units, c + W v; W starts small (Hinton 2010, section 8)."""

    def __init__(self, input_shape: Shape, out_features: int) -> None:
        super().__init__(input_shape, out_features)
        self.weight = nn.Parameter(0.01 * torch.randn(out_features, torch.Size(input_shape).numel()))  # [D, N]
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Tensor) -> Tensor:
        """[B, *input_shape] → [B, D]."""
        return F.linear(x.flatten(1), self.weight, self.bias)


class Visible(Decoder):
    """Logits of the visible units, b + Wᵀ h, W being the encoder's."""

    weight: nn.Parameter

    def __init__(self, in_features: int, output_shape: Shape) -> None:
        super().__init__(in_features, output_shape)
        self.bias = nn.Parameter(torch.zeros(torch.Size(output_shape).numel()))

    def forward(self, z: Tensor) -> Tensor:
        """[B, D] → [B, *output_shape]."""
        return F.linear(z, self.weight.T, self.bias).view(-1, *self.output_shape)


class RBM(ReconstructionModule):
    """E(v, h) = -b·v - c·h - hᵀWv over binary units; z = p(h = 1 | x), x_hat = p(v = 1 | z): mean field.

    Contrastive divergence (Hinton 2002) from the batch, or persistent (Tieleman 2008) with `chains`: the gradient is
    that of mean F(x) - mean F(chain), F the free energy and the chain held fixed. That difference is no loss that
    falls, so nll and loss as logged are the mean-field reconstruction's cross-entropy. Grey pixels count as
    probabilities (Hinton & Salakhutdinov 2006).

    Args:
        input_shape: shape of one sample, linked from the data module.
        latent_dim: number D of hidden units.
        optimizer: from YAML, no default.
        steps: Gibbs steps k of an update.
        chains: persistent chains; 0 starts every update's chain at its batch.
        sample_steps: Gibbs steps of a generated sample, from random hidden units.
        pixels: whether nll sums over pixels or is their mean.

    Raises:
        SettingError: fewer than one step, or fewer chains than none.
    """

    encoder: Hidden
    decoder: Visible
    chains: Tensor  # [M, *shape] of 0 and 1

    def __init__(
        self,
        input_shape: Shape,
        latent_dim: int,
        optimizer: OptimizerCallable,
        steps: int = 1,
        chains: int = 0,
        sample_steps: int = 500,
        pixels: Pixels = "sum",
    ) -> None:
        super().__init__(input_shape, latent_dim, optimizer, Hidden, Visible, Bernoulli(pixels))
        for setting, value, least in (("steps", steps, 1), ("chains", chains, 0), ("sample_steps", sample_steps, 1)):
            if value < least:
                raise SettingError(f"model.{setting} is {value}: it must be at least {least}")
        self.decoder.weight = self.encoder.weight
        self.steps, self.sample_steps = steps, sample_steps
        self.register_buffer("chains", torch.rand(chains, *self.input_shape).round())

    def encode(self, x: Tensor) -> Latent:
        """p(h = 1 | x) of each unit, [B, D]."""
        mu = self.encoder(x).sigmoid()
        return Latent(mu, None, mu)

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = -b·v - Σ log(1 + exp(c + Wv)) of v [B, *shape] → [B]; p(v) ∝ exp(-F(v))."""
        return -v.flatten(1) @ self.decoder.bias - F.softplus(self.encoder(v)).sum(1)

    @torch.no_grad()
    def gibbs(self, v: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """v [B, *shape] after alternating draws of h and v."""
        for _ in range(steps):
            h = torch.bernoulli(self.encoder(v).sigmoid(), generator=generator)
            v = torch.bernoulli(self.decode(h), generator=generator)
        return v

    def divergence(self, x: Tensor) -> Tensor:
        """F(x) - mean F(chain), [B]; its mean's gradient is contrastive divergence's."""
        v = self.gibbs(self.chains if len(self.chains) else x, self.steps)
        if len(self.chains):
            self.chains = v
        return self.free_energy(x) - self.free_energy(v).mean()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Log the reconstruction's terms, return what gives the gradient."""
        with torch.no_grad():
            self._step(batch, "train")
        return self.divergence(batch.x).mean()

    @torch.no_grad()
    def hand_down(self, encoder: nn.Linear, decoder: nn.Linear) -> None:
        """Give weights and biases to a layer N → D and its mirror image D → N."""
        for layer, weight, bias in (
            (encoder, self.encoder.weight, self.encoder.bias),
            (decoder, self.encoder.weight.T, self.decoder.bias),
        ):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)

    def draw_codes(self, n: int, generator: torch.Generator) -> Tensor:
        """Hidden units [n, D] of chains that start from random ones; `decode` gives p(v = 1 | h)."""
        seed = int(torch.randint(2**62, (), generator=generator))
        own = torch.Generator(self.device).manual_seed(seed)  # draws are made where the weights are
        h = torch.rand(n, self.latent_dim, generator=own, device=self.device).round()
        v = self.gibbs(torch.bernoulli(self.decode(h), generator=own), self.sample_steps, own)
        return torch.bernoulli(self.encode(v).mu, generator=own).to(generator.device)
