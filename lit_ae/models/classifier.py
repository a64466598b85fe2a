"""A classifier on the encoder of an autoencoder: what pretraining without labels is worth."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from lit_ae.data.checks import refuse_unlike
from lit_ae.data.containers import Batch, Shape
from lit_ae.errors import SettingError, require_at_least
from lit_ae.models.checkpoints import load_pretrained, read_checkpoint, saved_part
from lit_ae.models.stored_settings import SETTINGS
from lit_ae.models.tracked import Stage, TrackedModule
from lit_ae.models.training_pass import labels_of_stage, refuse_unlabelled, training_labels
from lit_ae.nets import EncoderFactory, default_encoder, warn_if_narrow
from lit_ae.nets.precision import full


class Classifier(TrackedModule):
    """Classifier: an encoder and a linear layer on its output, trained by cross-entropy (Bengio et al. 2007).

    The linear layer sees the encoder's first `latent_dim` outputs: for most families the (mean) code; for SparseAE,
    NMN and RBM before the activation, for VQVAE before the quantisation, and for ConditionalVAE without the class.
    With `pretrained` the encoder is initialised from a trained autoencoder of any family, without it at random; the
    network is otherwise the same. `--data.labels_per_class` trains on few labels. Loss and accuracy are means over
    the labelled samples; others take no part.

    Args:
        input_shape: shape of one sample, linked from the data module.
        num_classes: number K of classes, linked from the data module.
        latent_dim: size D of the code.
        optimizer: optimiser; null: Adam with a learning rate of 1e-3.
        encoder: builds the encoder from (input_shape, out_features), as for the autoencoder; null: an MLP with one
            hidden layer of 256 units, or of latent_dim if that is larger.
        pretrained: checkpoint of the autoencoder. The classifier's own checkpoints do not need it any more.
        freeze: whether only the linear layer is trained.
        heads: numbers that the encoder gives for each code dimension, the mean first; 2 for that of a variational
            family. With `pretrained` it is that of the checkpoint.

    Raises:
        SettingError: data without labels, `latent_dim` below 1, a checkpoint that does not fit, or `freeze` without a
            checkpoint.
    """

    def __init__(
        self,
        input_shape: Shape,
        num_classes: int,
        latent_dim: int = 16,
        optimizer: OptimizerCallable | None = None,
        encoder: EncoderFactory | None = None,
        pretrained: str | None = None,
        freeze: bool = False,
        heads: int = 1,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise SettingError("model Classifier needs labels and the data set has none: choose a labelled data set")
        require_at_least(1, "model.{}", latent_dim=latent_dim, heads=heads)
        if freeze and not pretrained:
            raise SettingError("model.freeze keeps a trained encoder as it is: give its checkpoint as model.pretrained")
        self.latent_dim, self.frozen, self.classes = latent_dim, freeze, num_classes
        self.optimizer = optimizer or partial(torch.optim.Adam, lr=1e-3)
        state = saved_part(pretrained, "encoder") if pretrained else {}
        if pretrained:
            _refuse_other_size(pretrained, latent_dim)
            heads = max(1, len(list(state.values())[-1]) // latent_dim)
        self.heads = heads
        self.encoder = (encoder or default_encoder(latent_dim))(tuple(input_shape), heads * latent_dim)
        warn_if_narrow(self.encoder, "model.encoder", latent_dim)
        if pretrained:
            load_pretrained(self.encoder, state, pretrained)
        self.encoder.requires_grad_(not freeze)
        self.head = nn.Linear(latent_dim, num_classes)

    def store_settings(self, checkpoint: dict[str, Any]) -> None:
        """As for all models, without the autoencoder's checkpoint, whose weights this one holds."""
        super().store_settings(checkpoint)
        checkpoint[SETTINGS] |= {"pretrained": None, "freeze": False, "heads": self.heads}

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of x [B, *shape]."""
        code = self.encoder(x)[:, : self.latent_dim]  # [B, D]
        logits: Tensor = self.head(code)
        return logits

    def check_input(self, x: Tensor) -> None:
        """Refuse samples [B, *shape] of another shape or type."""
        refuse_unlike(x, self.encoder.input_shape, "the data (--data) have")

    def on_train_start(self) -> None:
        """Refuse training data without labels that come from a plain loader; a training may go on within an epoch."""
        super().on_train_start()
        refuse_unlabelled(self, training_labels(self), "train", all_needed=False)
        self.on_train_epoch_start()

    def setup(self, stage: str) -> None:
        """Refuse splits without labels."""
        super().setup(stage)
        for split, y in ({} if stage == "predict" else labels_of_stage(self, stage)).items():
            refuse_unlabelled(self, y, split, all_needed=False)

    def _step(self, batch: Batch, stage: Stage) -> Tensor:
        known = batch.y >= 0  # [B]
        logits, y = full(self(batch.x))[known], batch.y[known]
        loss = F.cross_entropy(logits, y, reduction="none")  # [labelled]
        self.track(stage, loss=loss, accuracy=(logits.argmax(1) == y).float())
        if stage == "train":
            self.check_finite(loss, cross_entropy=loss)
        return loss

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean cross-entropy of the labelled samples of the batch in nats; 0 if there are none."""
        loss = self._step(batch, "train")
        return loss.sum() / max(1, len(loss))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Cross-entropy and accuracy."""
        self._step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Cross-entropy and accuracy."""
        self._step(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Class probabilities [B, K]."""
        probs: Tensor = full(self(batch.x)).softmax(1)
        return probs

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser over the parameters that are trained."""
        return self.optimizer((self.head if self.frozen else self).parameters())

    def on_train_epoch_start(self) -> None:
        """Keep a frozen encoder in evaluation mode: no dropout, and the running statistics of norms stay."""
        super().on_train_epoch_start()
        if self.frozen:
            self.encoder.eval()


def _refuse_other_size(path: str, latent_dim: int) -> None:
    """Refuse an autoencoder whose code has another size; a variational encoder of half the size has as many outputs."""
    stored = read_checkpoint(path, "model.pretrained").get(SETTINGS, {}).get("latent_dim")
    if stored is not None and stored != latent_dim:
        raise SettingError(
            f"model.latent_dim is {latent_dim}, and model.pretrained {path} has a code of {stored} dimensions: give "
            "the latent_dim that it was trained with"
        )
