"""VAE whose penalty weighs total correlation by itself."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from lit_ae.errors import SettingError, require_at_least
from lit_ae.models.base import Latent, Terms
from lit_ae.models.training_pass import refuse_batches_of_one
from lit_ae.models.vae import VAE


class BetaTCVAE(VAE):
    """Penalty α I(x; z) + β TC(z) + γ Σ_d KL(q(z_d) ‖ p(z_d)) (Chen et al. 2018, equation 2).

    The parts, logged as `mi`, `tc` and `dimension_kl`, are estimated from one draw of each sample's code and sum to
    log q(z|x) - log p(z). The aggregate posterior q(z) is estimated by minibatch stratified sampling (appendix C).

    Args:
        alpha: weight α of the mutual information between sample and code.
        beta: weight β of the total correlation.
        gamma: weight γ of the dimension-wise KL.
        kwargs: as for `VAE`, without `free_bits`; `annealing` is a factor of the whole penalty.

    Raises:
        SettingError: a negative weight, a batch size of 1, or training samples whose number is not known.
    """

    def __init__(self, alpha: float = 1.0, beta: float = 6.0, gamma: float = 1.0, **kwargs: Any) -> None:
        super().__init__(beta=beta, free_bits=0.0, **kwargs)
        require_at_least(0, "model.{}", alpha=alpha, gamma=gamma)
        self.alpha, self.gamma = alpha, gamma
        self.samples = nn.Buffer(torch.tensor(0))  # number N of training samples; 0 before training

    def on_train_start(self) -> None:
        """Refuse a batch size of 1, and count the training samples."""
        super().on_train_start()
        refuse_batches_of_one(self)
        dataset = self.trainer.train_dataloader.dataset  # type: ignore[union-attr]
        if not hasattr(dataset, "__len__"):
            raise SettingError(
                f"{type(self).__name__} needs the number of training samples, which an iterable data set does not "
                "tell: train on one that has a length"
            )
        self.samples.fill_(len(dataset))

    def log_weights(self, size: int) -> Tensor:
        """Log weights [B, B] of q(z_i | x_j) in q(z_i): the estimate of appendix C, averaged over its choice of n_M."""
        n = torch.where(self.samples > 0, self.samples, size)  # before training the batch counts as all samples
        own, other = (1 / n, (1 - 1 / n) / (size - 1)) if size > 1 else (n / n, n / n)
        return torch.where(torch.eye(size, dtype=torch.bool, device=n.device), own, other).log()

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> tuple[Tensor, Terms]:
        """The weighted sum of the three parts and, beside it, the parts and the exact KL as `kl`; all [B]."""
        joint, product, z = [], [], latent.z
        assert latent.logvar is not None
        q = Normal(latent.mu, (0.5 * latent.logvar).exp(), validate_args=False)
        for some, weights in zip(z.split(100), self.log_weights(len(z)).split(100), strict=True):  # bounds the memory
            log_q = q.log_prob(some.unsqueeze(1))  # [b, B, D]
            joint.append((log_q.sum(2) + weights).logsumexp(1))  # log q(z)
            product.append((log_q + weights.unsqueeze(2)).logsumexp(1).sum(1))  # Σ_d log q(z_d)
        mi, tc = q.log_prob(z).sum(1) - torch.cat(joint), torch.cat(joint) - torch.cat(product)
        dimension_kl = torch.cat(product) - self.log_prior(z)
        factor = self.annealing(self.global_step / self.steps) if self.annealing and self.training else 1.0
        penalty = factor * (self.alpha * mi + self.beta * tc + self.gamma * dimension_kl)
        return penalty, {"mi": mi, "tc": tc, "dimension_kl": dimension_kl, "kl": self.kl(latent)}
