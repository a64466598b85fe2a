"""VAE whose prior is a mixture of its own posteriors of learned inputs."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from lit_ae.errors import require_at_least
from lit_ae.models.vae import VAE


class VampPriorVAE(VAE):
    """VAE with the prior p(z) = 1/K Σ_k q(z | u_k), whose inputs u_k are learned (Tomczak & Welling 2018, equation 9).

    The KL divergence is that of one draw, log q(z|x) - log p(z). `sample` draws from this prior.

    Args:
        components: number K of inputs.
        kwargs: as for `VAE`, without `free_bits`.

    Raises:
        SettingError: `components` below 1.
    """

    scaled_by_prior = False

    def __init__(self, components: int = 500, **kwargs: Any) -> None:
        super().__init__(free_bits=0.0, **kwargs)
        require_at_least(1, "model.{}", components=components)
        low, high = self.likelihood.value_range  # within which `inputs` keeps them
        center = (low + high) / 2 if math.isfinite(high - low) else 0.5 * (len(self.input_shape) == 3)
        self.pseudo_inputs = nn.Parameter(center + 0.05 * torch.randn(components, *self.input_shape))

    def inputs(self) -> Tensor:
        """The learned inputs u [K, *input_shape], within the range that the likelihood's data may have."""
        return self.pseudo_inputs.clamp(*self.likelihood.value_range)

    def components(self) -> Normal:
        """The posteriors of the learned inputs, [K, D]."""
        mu, logvar = self.encoder(self.inputs()).chunk(2, dim=1)
        return Normal(mu, (0.5 * logvar).exp(), validate_args=False)

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z) in nats, [...], of codes [..., D]; 1,000 codes are compared with all components at a time."""
        q, flat = self.components(), z.flatten(0, -2) if z.ndim > 1 else z.unsqueeze(0)
        log_q = [q.log_prob(part.unsqueeze(1)).sum(2).logsumexp(1) for part in flat.split(1000)]
        return (torch.cat(log_q) - math.log(len(self.pseudo_inputs))).view(z.shape[:-1])

    def draw_codes(self, n: int, generator: torch.Generator) -> Tensor:
        """Codes [n, D] from the prior, on the generator's device."""
        q, device = self.components(), generator.device
        which = torch.randint(len(self.pseudo_inputs), (n,), generator=generator, device=device)
        noise = torch.randn(n, self.latent_dim, generator=generator, device=device)
        return q.mean.to(device)[which] + q.stddev.to(device)[which] * noise
