"""What scores and figures share: one pass over a split, the training codes, the fitted samplers."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from lit_ae.console import terminal
from lit_ae.data.base import BaseDataModule
from lit_ae.errors import SettingError
from lit_ae.models.base import GenerativeModule, Reconstruction, ReconstructionModule
from lit_ae.run_logger import run_logger
from lit_ae.samplers import Gaussian, Mixture, Normal, Sampler
from lit_ae.samplers.gibbs import DrawsCodes, Gibbs

CHUNK = 1000  # images in one forward pass outside the trainer's loops


def gather_in_order(part: Tensor, trainer: Trainer) -> Tensor:
    """All ranks' rows in the data set's order, on every rank: rank r holds rows r, r + world, … [n, …] → [N, …]."""
    if trainer.world_size == 1:
        return part
    parts: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, part)
    whole = torch.empty(sum(len(p) for p in parts), *part.shape[1:], dtype=part.dtype)
    for rank, rows in enumerate(parts):
        whole[rank :: trainer.world_size] = rows
    return whole


class Evaluation(Callback):
    """Put it before the scores and figures that draw on it.

    Args:
        samplers: densities over codes that samples are drawn from; a GAN has its own N(0, I) alone.
        seed: of fits and draws, so that a score depends on the run's own seed only through the model.
    """

    def __init__(self, samplers: list[Sampler] | None = None, seed: int = 0) -> None:
        self.seed = seed
        self._samplers = samplers or [Normal(), Gaussian(), Mixture()]
        self._fitted: dict[str, Sampler] = {}
        self._train_codes: Tensor | None = None
        self._parts: list[tuple[Tensor, ...]] = []  # of each batch: codes [b, D], labels [b], any logvar [b, D]
        self._gathered: list[Tensor] = []  # the same of the whole split
        self.protocol: dict[str, object] = {}

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

    def _reset(self) -> None:
        self._parts, self._gathered, self._train_codes, self._fitted = [], [], None, {}

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the pass before."""
        self._reset()

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the pass before."""
        self._reset()

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Keep codes and labels."""
        if isinstance(outputs, Reconstruction):
            mu, logvar, _ = outputs.latent
            kept = (mu, outputs.y) if logvar is None else (mu, outputs.y, logvar)
            self._parts.append(tuple(part.detach().cpu() for part in kept))

    on_validation_batch_end = on_test_batch_end

    def codes(self, trainer: Trainer) -> tuple[Tensor, Tensor]:
        """Mean codes [N, D] and labels [N] of the split just passed, in its order, on every rank.

        The first call is a collective: every rank has to take part.
        """
        if not self._gathered:
            columns = (torch.cat(column) for column in zip(*self._parts, strict=True))
            self._gathered = [gather_in_order(column, trainer) for column in columns]
            self._parts = []
        return self._gathered[0].float(), self._gathered[1]

    def logvar(self, trainer: Trainer) -> Tensor | None:
        """Log variances [N, D] beside `codes`, None where the code is a point; the first call is a collective."""
        self.codes(trainer)
        return self._gathered[2].float() if len(self._gathered) > 2 else None

    def train_codes(self, trainer: Trainer) -> Tensor:
        """Mean codes [N, D] of the training split, computed once."""
        if self._train_codes is None:
            module, data = reconstruction_module(trainer), datamodule(trainer).split("train")
            parts = []
            for x, y in zip(data.x.split(CHUNK), data.y.split(CHUNK), strict=True):
                with torch.no_grad(), module.given(y.to(module.device)):
                    parts.append(module.encode(as_images(x, module)).mu.float().cpu())
            self._train_codes = torch.cat(parts)
        return self._train_codes

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
            self._fitted = {s.name: s.fit(codes, self.seed) for s in samplers}
            names = ", ".join(self._fitted)
            self.protocol["samplers"] = f"fitted on the training split's mean codes: {names}" if fitted else names
        return self._fitted

    def generate(self, trainer: Trainer, sampler: Sampler, n: int) -> Tensor:
        """This rank's share of n images drawn through the sampler, [n / world, *shape] in [0, 1]."""
        z = sampler.sample(n, torch.Generator().manual_seed(self.seed))
        module = generative_module(trainer)
        with torch.no_grad():
            shares = z[trainer.global_rank :: trainer.world_size].split(CHUNK)
            images = [module.decode(part.to(module.device)).float().cpu() for part in shares]
        return torch.cat(images).clamp_(0, 1)

    # -- the protocol card --------------------------------------------------------------------------------------

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Store what the scores stated of themselves, and the samplers but for a model's own."""
        logger = run_logger(trainer)
        if logger and self.protocol:
            logger.log_json(self.protocol, "protocol.json")
        for sampler in self._fitted.values():
            if logger and not isinstance(sampler, Gibbs):
                logger.log_sampler(sampler)


class ScoreCallback(Callback, ABC):
    """A score or figure made after the test pass, and after validation every N epochs where asked.

    Args:
        every_n_epochs: also after each Nth epoch's validation; 0 at test alone.
    """

    needs_codes: ClassVar[bool] = True  # False: also for models without an encoder
    needs_labels: ClassVar[bool] = False
    needs_images: ClassVar[bool] = False  # True: not for flat vectors such as genes
    rank_zero: ClassVar[bool] = True  # False: every rank takes part in `score`

    def __init__(self, every_n_epochs: int = 0) -> None:
        self.every_n_epochs = every_n_epochs

    @property
    def test_only(self) -> bool:
        """Whether the callback may be set aside while training."""
        return not self.every_n_epochs

    @abstractmethod
    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Values by name without stage, the same on every rank; figures go to `save_figure`."""

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the test split."""
        self._run(trainer, pl_module, "test")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the validation split where this epoch is due."""
        due = self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if due and not trainer.sanity_checking:
            self._run(trainer, pl_module, "val")

    def _run(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not isinstance(pl_module, ReconstructionModule if self.needs_codes else GenerativeModule):
            return
        if self.needs_labels and not datamodule(trainer).num_classes:
            return
        if self.needs_images and len(datamodule(trainer).input_shape) != 3:
            return
        evaluation = Evaluation.of(trainer)
        if self.rank_zero and trainer.world_size > 1 and self.needs_codes:
            evaluation.codes(trainer)  # a collective: every rank takes part before rank 0 goes on alone
        values: dict[str, float] = {}
        if not self.rank_zero or trainer.is_global_zero:
            with working(type(self).__name__, trainer):
                values = self.score(trainer, evaluation)
        if self.rank_zero:
            values = trainer.strategy.broadcast(values)
        if values:
            pl_module.log_dict({f"{stage}/{name}": value for name, value in values.items()})


def working(what: str, trainer: Trainer) -> AbstractContextManager[object]:
    """A spinner on the terminal of rank 0 while something that may take seconds goes on."""
    shown = trainer.is_global_zero and terminal().is_terminal
    return terminal().status(what) if shown else nullcontext()


def save_figure(trainer: Trainer, figure: Figure, name: str) -> None:
    """Store a figure with the run; one of the validation split gets its epoch into the name."""
    logger = run_logger(trainer)
    if logger:
        logger.log_figure(figure, name if trainer.testing else f"{name}-epoch{trainer.current_epoch + 1:04d}")


def datamodule(trainer: Trainer) -> BaseDataModule:
    """The trainer's data module."""
    return cast(BaseDataModule, trainer.datamodule)  # type: ignore[attr-defined]


def first_images(trainer: Trainer, n: int) -> Tensor:
    """The first n samples [n, *shape] of the split at hand, on the module's device."""
    split = datamodule(trainer).split("test" if trainer.testing else "val")
    return as_images(split.x[:n], trainer.lightning_module)


def first_labels(trainer: Trainer, n: int) -> Tensor:
    """Their labels [n], on the module's device."""
    split = datamodule(trainer).split("test" if trainer.testing else "val")
    return split.y[:n].to(trainer.lightning_module.device)


def generative_module(trainer: Trainer) -> GenerativeModule:
    """The trainer's module."""
    return cast(GenerativeModule, trainer.lightning_module)


def reconstruction_module(trainer: Trainer) -> ReconstructionModule:
    """The trainer's module, which has an encoder."""
    return cast(ReconstructionModule, trainer.lightning_module)


def as_images(x: Tensor, module: LightningModule) -> Tensor:
    """Stored samples on the module's device as floats, bytes in [0, 1]."""
    x = x.to(module.device)
    return x.float() / 255 if x.dtype == torch.uint8 else x
