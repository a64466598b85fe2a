"""What an autoencoder is good for beforehand: a classifier on its encoder."""

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from lit_ae.data.base import BaseDataModule, Batch
from lit_ae.errors import SettingError
from lit_ae.models.base import Stage, TrackedModule
from lit_ae.models.pretrained import load_pretrained, saved_part
from lit_ae.nets import EncoderFactory, Shape


class Classifier(TrackedModule):
    """An encoder and a linear head on its (mean) code, trained on labels by cross-entropy (Bengio et al. 2007).

    With `pretrained` the encoder starts from a trained autoencoder of any family, without it from scratch: the same
    net otherwise. Few labels: `--data.labels_per_class`.

    Args:
        input_shape: shape of one sample, linked from the data module.
        num_classes: number K of classes, linked from the data module.
        latent_dim: size D of the code.
        optimizer: from YAML, no default.
        encoder: builds the encoder from (input_shape, out_features), as that of the autoencoder was.
        pretrained: checkpoint of the autoencoder.
        freeze: train the head alone.

    Raises:
        SettingError: data without labels; `latent_dim` below 1; a checkpoint that does not fit; `freeze` without one.
    """

    def __init__(
        self,
        input_shape: Shape,
        num_classes: int,
        latent_dim: int,
        optimizer: OptimizerCallable,
        encoder: EncoderFactory,
        pretrained: str | None = None,
        freeze: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise SettingError("model Classifier needs labels and the data set has none: choose a labelled data set")
        if latent_dim < 1:
            raise SettingError(f"model.latent_dim is {latent_dim}: it must be at least 1")
        if freeze and not pretrained:
            raise SettingError("model.freeze keeps a trained encoder as it is: give its checkpoint as model.pretrained")
        self.latent_dim, self.optimizer, self.frozen = latent_dim, optimizer, freeze
        state = saved_part(pretrained, "encoder") if pretrained else {}
        # A variational encoder gives the mean first and then the log variance
        heads = len(list(state.values())[-1]) // latent_dim if state else 1
        self.encoder = encoder(tuple(input_shape), max(1, heads) * latent_dim)
        if pretrained:
            load_pretrained(self.encoder, state, pretrained)
        self.head = nn.Linear(latent_dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of x [B, *shape]."""
        code = self.encoder(x)[:, : self.latent_dim]  # [B, D]
        logits: Tensor = self.head(code)
        return logits

    def on_fit_start(self) -> None:
        """Refuse labels that are missing."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, BaseDataModule)
        if missing := (data.split("train").y < 0).sum().item():
            raise SettingError(f"data {data.name}: {missing} training samples have no label, but model needs all")

    def _step(self, batch: Batch, stage: Stage) -> Tensor:
        logits = self(batch.x)
        loss = F.cross_entropy(logits, batch.y, reduction="none")  # [B]
        self.track(stage, loss=loss, accuracy=(logits.argmax(1) == batch.y).float())
        if stage == "train":
            self.check_finite(loss, cross_entropy=loss)
        return loss

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean cross-entropy in nats."""
        return self._step(batch, "train").mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Cross-entropy and accuracy."""
        self._step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Cross-entropy and accuracy."""
        self._step(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Class probabilities [B, K]."""
        probs: Tensor = self(batch.x).softmax(1)
        return probs

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser that YAML names, over what is trained."""
        if self.frozen:
            self.encoder.requires_grad_(False)
        return self.optimizer((self.head if self.frozen else self).parameters())

    def on_train_epoch_start(self) -> None:
        """A frozen encoder keeps its norms' statistics and drops nothing."""
        if self.frozen:
            self.encoder.eval()
