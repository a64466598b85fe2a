"""An autoencoder with a discriminator of its codes."""

from abc import abstractmethod
from typing import Any

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lit_ae.data.containers import Batch
from lit_ae.errors import SettingError
from lit_ae.models.adversarial import AdversarialModule, adversary
from lit_ae.models.base import ReconstructionModule
from lit_ae.nets import EncoderFactory, MLPEncoder


class AdversarialCodes(ReconstructionModule, AdversarialModule):
    """Two steps a batch: encoder and decoder lower nll + penalty, then the discriminator learns from the same codes.

    Args:
        discriminator: builds the discriminator from ((latent_dim,), 1); null: an MLP with one hidden layer of 256
            units.
        discriminator_optimizer: null: Adam with a learning rate of 2e-4 and β₁ = 0.5.
        kwargs: as for `ReconstructionModule`; `optimizer` is that of encoder and decoder.

    Raises:
        SettingError: an `lr_scheduler` is set, which the two optimisers would not follow.
    """

    def __init__(
        self,
        discriminator: EncoderFactory | None = None,
        discriminator_optimizer: OptimizerCallable | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.lr_scheduler is not None:
            name = type(self).__name__
            raise SettingError(f"model.lr_scheduler is set, but {name} steps two optimisers by itself: leave it out")
        self.discriminator = (discriminator or MLPEncoder)((self.latent_dim,), 1)
        self.generator_optimizer = self.optimizer
        self.discriminator_optimizer = discriminator_optimizer or adversary

    configure_optimizers = AdversarialModule.configure_optimizers  # type: ignore[assignment]

    def steps_in_all(self) -> float:
        """Steps of both optimisers, which `global_step` and `trainer.max_steps` count together."""
        both, most = 2 * super().steps_in_all(), self.trainer.max_steps
        return min(both, most) if most > 0 else both

    @abstractmethod
    def real_and_fake(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """What the discriminator learns to tell apart, [B, D] twice, given the codes z [B, D] of a batch."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The autoencoder's step, whose loss is returned, and then the discriminator's."""
        autoencoder, discriminator = self.optimizers()  # type: ignore[attr-defined]
        with self.frozen_discriminator():
            r = self._step(batch, "train")
            self.descend(autoencoder, "autoencoder_loss", r.loss)
        loss = self.discriminator_loss(*self.real_and_fake(r.latent.z.detach()))
        self.descend(discriminator, "discriminator_loss", loss)
        return r.loss.mean().detach()
