"""What scores and figures share: one pass over a split, the training codes, the fitted samplers."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from math import nan
from typing import ClassVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lit_ae.data.containers import ArrayDataset
from lit_ae.data.rows import add_content
from lit_ae.errors import NotComputable, SettingError
from lit_ae.evaluation.access import (
    datamodule,
    generative_module,
    reconstruction_module,
    scored_split,
    split_name,
    whole_split_is_scored,
)
from lit_ae.evaluation.code_sources import code_sources
from lit_ae.evaluation.gathering import gather_in_order
from lit_ae.evaluation.pass_callback import PassCallback, is_due
from lit_ae.metrics.kept_rows import KeptRows
from lit_ae.models.base import Reconstruction, ReconstructionModule
from lit_ae.models.capabilities import Conditional, DrawsCodes
from lit_ae.models.chunks import decoded, mean_codes, posteriors
from lit_ae.samplers import FittedGaussian, Mixture, Normal, Sampler
from lit_ae.samplers.gibbs import Gibbs
from lit_ae.tracking.logger import run_logger

TERMS = ("nll", "mse")  # terms of a model's step that are kept for each test sample; a penalty may be one of a batch


class Evaluation(PassCallback):
    """Holds what scores and figures share; list it before them.

    Args:
        samplers: densities over codes from which samples are drawn; a GAN has only its own prior N(0, I).
        seed: seed of fits and draws, so that a score depends on the run's own seed only through the model.
    """

    version: ClassVar[int] = 2  # as for `ScoreCallback`; 2: keeps `nll` and `mse` of each test sample

    def __init__(self, samplers: list[Sampler] | None = None, seed: int = 0) -> None:
        self.seed = seed
        self.partial = False  # whether the run has other scores, which are not computed now
        self._samplers = samplers or [Normal(), FittedGaussian(), Mixture()]
        self._fitted: dict[str, Sampler] = {}
        self._train_codes: Tensor | None = None
        self._kept: list[KeptRows] = []  # codes [N, D], labels [N] and, of codes with noise, log variances [N, D]
        self._gathered: list[Tensor] = []  # the same of the whole pass
        self._terms: dict[str, KeptRows] = {}
        self._samples: dict[str, tuple[Tensor, Tensor | None]] = {}  # metric -> values [n], their places [n]
        self.protocol: dict[str, object] = {}
        self.left_out: dict[str, str] = {}  # score or figure -> why it cannot be had from these data

    @staticmethod
    def of(trainer: Trainer) -> "Evaluation":
        """The trainer's Evaluation.

        Raises:
            SettingError: there is none.
        """
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Evaluation):
                return callback
        raise SettingError(
            "trainer.callbacks holds scores but no Evaluation: list it first, as configs/callbacks/scores.yaml does"
        )

    # -- the pass -----------------------------------------------------------------------------------------------

    def due(self, trainer: Trainer) -> bool:
        """Whether any score follows this validation pass."""
        return any(is_due(callback, trainer) for callback in score_callbacks(trainer))

    def begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the pass before, and all that was computed from the model as it was then."""
        self._kept, self._gathered, self._train_codes, self._fitted = [], [], None, {}
        self._terms, self._samples, self.left_out = {}, {}, {}
        self.protocol.pop("left_out", None)

    def read(self, trainer: Trainer, outputs: Reconstruction) -> None:
        """Keep codes, labels and terms."""
        mu, logvar = outputs.latent.mu, outputs.latent.logvar
        kept = (mu, outputs.y) if logvar is None else (mu, outputs.y, logvar)
        self._kept = self._kept or [KeptRows() for _ in kept]
        for rows, part in zip(self._kept, kept, strict=True):
            rows.add(part)
        require_finite(mu.detach(), split_name(trainer))
        for name, term in {"nll": outputs.nll, **outputs.terms}.items():
            if name in TERMS:
                self._terms.setdefault(name, KeptRows()).add(term)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the terms of all processes in the split's order."""
        for name, rows in self._terms.items():
            self.keep_samples(name, gather_in_order(rows.all(), trainer))

    def codes(self, trainer: Trainer) -> tuple[Tensor, Tensor]:
        """Mean codes [N, D] and labels [N] of the scored samples, in the split's order, on every rank.

        The first call is a collective operation: every rank has to make it.
        """
        if not self._gathered:
            self._gathered = [gather_in_order(rows.all(), trainer) for rows in self._kept]
            self._kept = []
        return self._gathered[0].float(), self._gathered[1]

    def logvar(self, trainer: Trainer) -> Tensor | None:
        """Log variances [N, D] of the codes; None if they have no noise. The first call is a collective operation."""
        self.codes(trainer)
        return self._gathered[2].float() if len(self._gathered) > 2 else None

    def train_codes(self, trainer: Trainer) -> Tensor:
        """Mean codes [N, D] of the training split, computed once."""
        if self._train_codes is None:
            module, data = reconstruction_module(trainer), datamodule(trainer).split("train")
            self._train_codes = mean_codes(module, data.x, data.y)
            require_finite(self._train_codes, "train")
        return self._train_codes

    def _train_draws(self, trainer: Trainer) -> Tensor:
        """One draw [N, D] from the posterior of each training sample; the mean codes if they have no noise."""
        data = datamodule(trainer).split("train")
        mu, logvar = posteriors(reconstruction_module(trainer), data.x, data.y)
        noise = torch.randn(mu.shape, generator=torch.Generator().manual_seed(self.seed))
        return mu if logvar is None else mu + (0.5 * logvar).exp() * noise

    def samplers(self, trainer: Trainer) -> dict[str, Sampler]:
        """Samplers by name, fitted to the training codes on first use."""
        if not self._fitted:
            module = generative_module(trainer)
            fitted = isinstance(module, ReconstructionModule)
            if fitted:
                codes, samplers = self.train_codes(trainer), self._samplers
            else:
                codes, samplers = torch.zeros(1, module.latent_dim), [Normal()]
            if isinstance(module, DrawsCodes):
                samplers = [*samplers, Gibbs(module)]
            for sampler in samplers:
                with self.leaving_out(f"{sampler.name} sampler"):
                    drawn = fitted and sampler.of_draws
                    self._fitted[sampler.name] = sampler.fit(self._train_draws(trainer) if drawn else codes, self.seed)
            self.protocol["samplers"] = code_sources(self._fitted)
        return self._fitted

    def generate(self, trainer: Trainer, sampler: Sampler, n: int) -> Tensor:
        """This rank's share of n images drawn through the sampler as decoded, [n / world, *shape], of mixed classes."""
        module, own = generative_module(trainer), slice(trainer.global_rank, None, trainer.world_size)
        z = sampler.sample(n, g := torch.Generator().manual_seed(self.seed))
        y = module.mixed_labels(n)[torch.randperm(n, generator=g)][own] if isinstance(module, Conditional) else None
        return decoded(module, z[own], y)

    # -- what the data do not have ------------------------------------------------------------------------------

    @contextmanager
    def leaving_out(self, *names: str) -> Iterator[None]:
        """Inside it, `NotComputable` means that the scores or figures of these names are left out with its reason."""
        try:
            yield
        except NotComputable as reason:
            self.leave_out(str(reason), *names)

    def leave_out(self, reason: str, *names: str) -> None:
        """Record in the protocol why the scores or figures of these names cannot be had from these data."""
        self.left_out |= dict.fromkeys(names, reason)
        self.protocol["left_out"] = self.left_out

    # -- values of single samples -------------------------------------------------------------------------------

    def keep_samples(self, name: str, values: Tensor, places: Tensor | None = None) -> None:
        """Keep values [n] of single test samples, whose mean is the metric `test/NAME`: reports test over them.

        Args:
            name: the metric without its stage.
            values: one of each sample that the metric uses, of all processes.
            places: where these samples are in the split [n]; None: they are its first n.
        """
        self._samples[name] = values.detach().cpu().float(), places

    def _by_place(self, n: int) -> dict[str, Tensor]:
        """The kept values [N] of all samples of the split, NaN for those that a metric does not use."""
        found = {}
        for name, (values, places) in self._samples.items():
            found[name] = torch.full((n,), nan)
            found[name][slice(len(values)) if places is None else places] = values
        return found

    # -- the record ---------------------------------------------------------------------------------------------

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Store the protocol, the scores' versions and values of single samples, and fitted samplers but a model's own.

        Scores of fewer samples than the split holds leave the stored versions and values as they are.
        """
        if (logger := run_logger(trainer)) is None:
            return
        scores = {type(callback).__name__ for callback in score_callbacks(trainer)}
        scores |= {key.removeprefix("test/") for key in trainer.callback_metrics}
        logger.log_protocol(self.protocol, scores if self.partial else None)
        if whole_split_is_scored(trainer):
            logger.log_score_versions(score_versions(trainer))
            if self._samples:
                data = scored_split(trainer)
                values = {name: found.numpy() for name, found in self._by_place(len(data)).items()}
                logger.log_samples(values, _digest(data))
        for sampler in self._fitted.values():
            if not isinstance(sampler, Gibbs):
                logger.log_sampler(sampler)


def _digest(data: ArrayDataset) -> str:
    """16 hexadecimal digits that change with any sample or label of a split, and with their order."""
    content = sha256()
    for samples in (data.x, data.y):
        add_content(content.update, samples)
    return content.hexdigest()[:16]


def require_finite(codes: Tensor, split: str) -> None:
    """Refuse codes [N, D] that are no numbers: that is the model's fault, so that no score is to be had.

    Raises:
        FloatingPointError: a code is NaN or infinite.
    """
    if wrong := int((~codes.isfinite().all(1)).sum()):
        raise FloatingPointError(
            f"{wrong} of {len(codes)} codes of the {split} split are NaN or infinite: the model has diverged; train it "
            "again with a lower learning rate (lr of the optimizer)"
        )


def score_callbacks(trainer: Trainer) -> list[Callback]:
    """The trainer's callbacks whose values have a version."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if hasattr(type(callback), "version")]


def score_versions(trainer: Trainer) -> dict[str, int]:
    """Version of each score, and of a family whose own terms have one, by the class's name."""
    versioned = (*score_callbacks(trainer), trainer.lightning_module)
    found = {type(part).__name__: getattr(type(part), "version", None) for part in versioned}
    return {name: version for name, version in found.items() if isinstance(version, int)}
