"""Importance-weighted autoencoder."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from lit_ae.data.containers import Batch
from lit_ae.errors import SettingError, require_at_least
from lit_ae.models.base import Reconstruction, Stage
from lit_ae.models.vae import VAE

AT_ONCE = 10_000  # codes that are decoded in one pass


class IWAE(VAE):
    """Loss -log 1/K Σ_k p(x | z_k) p(z_k) / q(z_k | x), z_k ~ q(z | x), at every stage (Burda et al. 2016, equation 8).

    `nll` is the mean of -log p(x | z_k) over the draws, which is the VAE's term, and `penalty` the rest of the loss.

    Args:
        k: number K of draws of the code for each sample; the bound on log p(x) rises with it, and K = 1 is the VAE's.
        kwargs: as for `VAE`, without `beta`, `annealing` and `free_bits`.

    Raises:
        SettingError: `k` below 1, or a likelihood that averages over pixels.
    """

    def __init__(self, k: int = 5, **kwargs: Any) -> None:
        super().__init__(beta=1.0, annealing=None, free_bits=0.0, **kwargs)
        require_at_least(1, "model.{}", k=k)
        if self.likelihood.pixels != "sum":
            raise SettingError("model.likelihood.pixels is mean, but IWAE weighs draws by log p(x | z): set it to sum")
        self.k = k

    def reconstruct_batch(self, batch: Batch, stage: Stage) -> Reconstruction:
        """The bound from K draws, of which `latent.z` is the first; x_hat is decoded from the mean code."""
        x, y = batch
        x_in = self.corrupt(x) if stage == "train" else x
        latent = self.encode(x_in, y)
        assert latent.logvar is not None
        q = Normal(latent.mu, (0.5 * latent.logvar).exp(), validate_args=False)
        z = torch.cat([latent.z.unsqueeze(0), q.rsample(torch.Size([self.k - 1]))])  # [K, B, D]
        nll = torch.cat([self.nll_of(x, y, some) for some in z.split(max(1, AT_ONCE // len(x)))])  # [K, B]
        log_w = self.log_prior(z) - q.log_prob(z).sum(2) - nll
        loss = math.log(self.k) - log_w.logsumexp(0)
        nll = nll.mean(0)
        with torch.no_grad():
            x_hat, _, mse = self.likelihood.fit(self.raw(latent.mu, y), x)
        terms = {"mse": mse, "kl": self.kl(latent), **latent.terms}
        return Reconstruction(x, x_in, x_hat, latent, nll, loss - nll, loss, y, terms)

    def nll_of(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """-log p(x | z) up to a constant for codes [k, B, D] of samples [B, *shape] with labels [B]: [k, B]."""
        raw = self.raw(z.flatten(0, 1), y.repeat(len(z)))
        return self.likelihood.fit(raw, x.repeat(len(z), *[1] * (x.ndim - 1))).nll.view(len(z), -1)
