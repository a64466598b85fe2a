"""Autoencoder and variational autoencoder that are told the class."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_ae.data.base import BaseDataModule, Batch
from lit_ae.errors import SettingError
from lit_ae.models.base import Latent, Reconstruction, ReconstructionModule, Stage
from lit_ae.models.vae import VAE
from lit_ae.nets import Decoder, DecoderFactory


class LabelledDecoder(Decoder):
    """A decoder of codes [B, D] that are joined with one-hot labels [B, K].

    Where no labels are given, a batch of codes gets all classes in the training data's proportions: the first codes
    the first class, and so on, without a random number.
    """

    frequencies: Tensor  # [K], of the training labels

    def __init__(self, decoder: Decoder, num_classes: int) -> None:
        super().__init__(decoder.in_features - num_classes, decoder.output_shape)
        self.decoder, self.num_classes = decoder, num_classes
        self.register_buffer("frequencies", torch.full((num_classes,), 1 / num_classes))
        self.y: Tensor | None = None  # [B], those given

    def forward(self, z: Tensor) -> Tensor:
        """[B, D] → [B, *output_shape]."""
        y = self.y
        if y is None:
            quantiles = (torch.arange(len(z), device=z.device) + 0.5) / len(z)
            y = torch.bucketize(quantiles, self.frequencies.cumsum(0)[:-1])
        out: Tensor = self.decoder(torch.cat([z, F.one_hot(y, self.num_classes).to(z.dtype)], 1))
        return out


class ConditionalAE(ReconstructionModule):
    """The AE whose decoder gets the label beside the code (Sohn et al. 2015, without their stochastic code).

    `with model.given(y): model.decode(z)` samples by class.

    Args:
        num_classes: number K of classes, linked from the data module.
        decoder: builds the decoder from (latent_dim + num_classes, input_shape).
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: data without labels, or with labels missing.
    """

    decoder: LabelledDecoder

    def __init__(self, num_classes: int, decoder: DecoderFactory, **kwargs: Any) -> None:
        if num_classes < 1:
            raise SettingError(
                f"model {type(self).__name__} needs labels and the data set has none: "
                "choose a labelled data set, or the model without a condition"
            )
        super().__init__(
            decoder=lambda n, shape: LabelledDecoder(decoder(n + num_classes, shape), num_classes), **kwargs
        )

    def on_fit_start(self) -> None:
        """Count the training labels."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, BaseDataModule)
        y = data.split("train").y
        if (y < 0).any():
            raise SettingError(f"data {data.name}: {(y < 0).sum()} training samples have no label, but model needs all")
        self.decoder.frequencies.copy_(torch.bincount(y, minlength=self.decoder.num_classes) / len(y))

    @contextmanager
    def given(self, y: Tensor) -> Iterator[None]:
        """Encode and decode samples of the classes y [B]."""
        before, self.decoder.y = self.decoder.y, y
        try:
            yield
        finally:
            self.decoder.y = before

    def labels(self) -> Tensor:
        """The labels given, [B]. Raises ValueError where there are none."""
        if self.decoder.y is None:
            raise ValueError(f"{type(self).__name__} needs the labels of x: call it inside `with model.given(y):`")
        return self.decoder.y

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction [B, *shape] of x [B, *shape], whose labels are given."""
        self.labels()
        return super().forward(x)

    def _step(self, batch: Batch, stage: Stage) -> Reconstruction:
        with self.given(batch.y):
            return super()._step(batch, stage)

    def predict_step(self, batch: Batch, batch_idx: int) -> Reconstruction:
        """As for any reconstruction module."""
        with self.given(batch.y):
            return super().predict_step(batch, batch_idx)


class ConditionalVAE(ConditionalAE, VAE):
    """p(x | z, y) and q(z | x, y) (Sohn et al. 2015, equation 4, with the prior N(0, I) for every class).

    The encoder sees x + e_y with a learned e_y for each class, of x's shape: to the first layer, W x + W e_y, that is
    what a one-hot label joined to x would be, and it suits convolutions as well.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shift = nn.Parameter(torch.zeros(self.decoder.num_classes, *self.input_shape))

    def encode(self, x: Tensor) -> Latent:
        """μ(x, y), log σ²(x, y) and a draw, all [B, D]; the labels are given."""
        return super().encode(x + self.shift[self.labels()])
