"""Log-likelihood of the data under a variational model."""

import math
from typing import Literal

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.errors import NotComputable, SettingError, require_at_least
from lit_ae.evaluation.access import on_device, scored_split
from lit_ae.evaluation.access import reconstruction_module as module_of
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.gathering import gather_in_order
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.models.base import ReconstructionModule
from lit_ae.models.chunks import CHUNK
from lit_ae.objectives.importance import gaussian_variance, is_density, log_density, log_marginal
from lit_ae.objectives.likelihoods import Bernoulli, Gaussian
from lit_ae.settings.seeds import stream_seed

Binarise = Literal["none", "threshold", "stochastic"]


class LogLikelihood(ScoreCallback):
    """`log_likelihood`, the importance-weighted bound on log p(x) in nats per image; `bits_per_pixel` for binary x.

    Burda et al. 2016, equation 8, with the model's own prior; log p(x | y) for a conditional model. A higher
    log-likelihood is better. It needs a Gaussian code and a Gaussian or Bernoulli likelihood; nothing is logged for
    others. With a Gaussian likelihood it is a density over pixels in [0, 1], with the variance that the squared error
    implies. With a Bernoulli likelihood it is a probability of binary images, so the images are binarised, also as the
    encoder's input. Published values of about -85 nats on MNIST are for K = 5,000, for all 10,000 test images, and for
    models that were trained on binarised images: set `k`, `max_images` and `data.binarise` accordingly.

    Args:
        k: number K of draws of the code for each image.
        binarise: how the pixels of a Bernoulli model become binary. `stochastic`: each is white with its grey value as
            the probability (Salakhutdinov & Murray 2008), the same for every model; `threshold`: white above ½;
            `none`: x is used as it is and must be binary.
        max_images: number of images that are scored, the first ones of the split; if null, all.
        seed: seed of draws and binarisation.
        every_n_epochs: as for `ScoreCallback`.

    Raises:
        SettingError: `k` or `max_images` below 1, or grey pixels with `none`.
    """

    rank_zero = False

    def __init__(
        self,
        k: int = 500,
        binarise: Binarise = "stochastic",
        max_images: int | None = 1000,
        seed: int = 0,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        require_at_least(0, "LogLikelihood.{}", seed=seed)
        for setting, value in {"k": k, "max_images": 1 if max_images is None else max_images}.items():
            if value < 1:
                raise SettingError(f"LogLikelihood.{setting} is {value}: it must be at least 1")
        self.k, self.binarise, self.max_images, self.seed = k, binarise, max_images, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Mean over the images; each rank takes its share."""
        module, likelihood = module_of(trainer), module_of(trainer).likelihood
        data = scored_split(trainer)
        x, y = data.x[: self.max_images], data.y[: self.max_images]
        if _posterior(module, on_device(x[:1], module), y[:1]) is None:
            return {}
        if not is_density(likelihood):
            raise NotComputable(f"{type(likelihood).__name__} is not a normalised density")
        binary = isinstance(likelihood, Bernoulli)
        if binary:
            self._check(x)
        own = torch.arange(trainer.global_rank, len(x), trainer.world_size)
        found = torch.empty(len(own))  # in one piece of memory: see `KeptRows`
        for block in torch.arange(len(own)).split(max(1, CHUNK // self.k)):
            found[block] = self._log_p(module, x[own[block]], y[own[block]], own[block].tolist(), binary)
        log_p = gather_in_order(found, trainer).double().mean().item()
        size = x[0].numel()
        if isinstance(likelihood, Gaussian):
            what = f"Gaussian density over pixels in [0, 1] with variance {gaussian_variance(likelihood, size):g}"
        else:
            what = {"none": "binary pixels", "threshold": "pixels white above 1/2"}.get(
                self.binarise, "pixels binarised at random by their grey value (Salakhutdinov & Murray 2008)"
            )
        evaluation.protocol["log_likelihood"] = (
            f"nats per image, importance-weighted bound with K = {self.k:,}, first {len(x):,} images, {what}"
        )
        bits = {"bits_per_pixel": -log_p / (size * math.log(2))} if binary else {}
        return {"log_likelihood": log_p, **bits}

    def _check(self, x: Tensor) -> None:
        white = 255 if x.dtype == torch.uint8 else 1
        if self.binarise == "none" and not ((x == 0) | (x == white)).all():
            raise SettingError(
                "LogLikelihood.binarise is none, but a Bernoulli likelihood gives no density of grey pixels: set it to "
                "stochastic or threshold"
            )

    def _log_p(self, module: ReconstructionModule, x: Tensor, y: Tensor, order: list[int], binary: bool) -> Tensor:
        """log p(x) of stored images [B, *shape] with labels y [B], [B]; order: their places in the split."""
        x, y = on_device(x, module), y.to(module.device)
        # Each image has a generator of its own: its draws depend neither on the batch nor on the rank
        generators = [torch.Generator().manual_seed(stream_seed(self.seed, place)) for place in order]
        if binary and self.binarise == "threshold":
            x = (x > 0.5).to(x.dtype)
        elif binary and self.binarise == "stochastic":
            uniform = torch.stack([torch.rand(x.shape[1:], generator=g) for g in generators])
            x = (uniform.to(x) < x).to(x.dtype)
        noise = torch.stack([torch.randn(self.k, module.latent_dim, generator=g) for g in generators]).to(x.device)
        posterior = _posterior(module, x, y)
        assert posterior is not None

        def log_p_x(z: Tensor) -> Tensor:  # [B, k, D] -> [B, k]
            k = z.shape[1]
            raw = module.raw(z.flatten(0, 1), y.repeat_interleave(k))
            return log_density(module.likelihood, raw, x).view(-1, k)

        with torch.no_grad():
            return log_marginal(log_p_x, *posterior, noise, CHUNK, module.log_prior).cpu()


def _posterior(module: ReconstructionModule, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor] | None:
    with torch.no_grad():
        mu, logvar = module.encode(x, y.to(module.device))[:2]
    return None if logvar is None else (mu, logvar)
