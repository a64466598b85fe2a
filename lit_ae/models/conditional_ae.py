"""Conditional autoencoder, whose decoder is given the class."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_ae.data.containers import Batch, Shape
from lit_ae.errors import SettingError
from lit_ae.models.base import ReconstructionModule
from lit_ae.models.chunks import CHUNK
from lit_ae.models.training_pass import labels_of_stage, refuse_unlabelled, training_labels
from lit_ae.nets import Decoder, DecoderFactory, default_decoder


class LabelledDecoder(Decoder):
    """A decoder of codes [B, D] that are concatenated with one-hot labels [B, K].

    Codes without labels get all classes in the proportions of the training data: the first codes of a batch get the
    first class, the next ones the second class, and so on, without random numbers.
    """

    frequencies: Tensor  # [K], of the training labels

    def __init__(self, decoder: Decoder, num_classes: int) -> None:
        super().__init__(decoder.in_features - num_classes, decoder.output_shape)
        self.decoder, self.num_classes = decoder, num_classes
        self.hidden_sizes = decoder.hidden_sizes
        self.register_buffer("frequencies", torch.full((num_classes,), 1 / num_classes))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """[B, D], labels [B] → [B, *output_shape]."""
        if y is None:
            y = self.mixed_labels(len(z))
        out: Tensor = self.decoder(torch.cat([z, F.one_hot(y, self.num_classes).to(z.dtype)], 1))
        return out

    def mixed_labels(self, n: int, offset: float = 0.5) -> Tensor:
        """Labels [n], ascending, of all classes in their shares of the training labels.

        They are those of evenly spaced quantiles; an offset that is drawn from [0, 1) moves them, so that one label
        alone has each class with its share as the probability.
        """
        quantiles = (torch.arange(n, device=self.frequencies.device) + offset) / n
        return torch.bucketize(quantiles, self.frequencies.cumsum(0)[:-1])


class ConditionalAE(ReconstructionModule):
    """Conditional autoencoder: the decoder gets the label as well as the code.

    Sohn et al. 2015, without their stochastic code. `model.decode(z, y)` and `model.sample(n, y=y)` give samples of
    the classes y.

    Args:
        num_classes: number K of classes, linked from the data module.
        decoder: builds the decoder from (latent_dim + num_classes, input_shape); null: as for `ReconstructionModule`.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: the data have no labels, or labels are missing.
    """

    decoder: LabelledDecoder

    def __init__(self, num_classes: int, decoder: DecoderFactory | None = None, **kwargs: Any) -> None:
        if num_classes < 1:
            raise SettingError(
                f"model {type(self).__name__} needs labels and the data set has none: "
                "choose a labelled data set, or a model that needs no labels"
            )

        def labelled(latent_dim: int, shape: Shape) -> LabelledDecoder:
            make = decoder or default_decoder(latent_dim)
            return LabelledDecoder(make(latent_dim + num_classes, shape), num_classes)

        super().__init__(decoder=labelled, **kwargs)
        self.classes = num_classes

    def setup(self, stage: str) -> None:
        """Refuse splits with missing labels; those of a plain loader are checked batch by batch."""
        super().setup(stage)
        for split, y in labels_of_stage(self, stage).items():
            refuse_unlabelled(self, y, split, all_needed=True)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        """As for all models; refuse missing labels."""
        found = super().on_after_batch_transfer(batch, dataloader_idx)
        refuse_unlabelled(self, found.y, "loader's", all_needed=True)
        return found

    def on_train_start(self) -> None:
        """Count the training labels."""
        super().on_train_start()
        y = training_labels(self)
        refuse_unlabelled(self, y, "train", all_needed=True)
        self.decoder.frequencies.copy_(torch.bincount(y, minlength=self.classes) / len(y))

    def drawn_labels(self, n: int, generator: torch.Generator) -> Tensor:
        """Labels [n], ascending, of all classes in their shares of the training data, which differ by chance by less
        than one label from n times the share.
        """
        return self.decoder.mixed_labels(n, torch.rand((), generator=generator).item())

    def mixed_labels(self, n: int) -> Tensor:
        """Labels [n] of all classes, in the order in which n codes without labels get them on a single device."""
        return torch.cat([self.decoder.mixed_labels(len(part)) for part in torch.arange(n).split(CHUNK)])

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The decoder's output [B, *input_shape] for codes [B, D] of classes y [B], of all classes if y is null."""
        out: Tensor = self.decoder(z, y)
        return out

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Reconstruction [B, *shape] of x [B, *shape] with labels y [B].

        Raises:
            ValueError: no labels are given.
        """
        return super().forward(x, self.needed(y))

    def needed(self, y: Tensor | None) -> Tensor:
        """The labels y [B].

        Raises:
            ValueError: no labels are given.
        """
        if y is None:
            raise ValueError(f"{type(self).__name__} needs the labels of x: give them as the argument y")
        return y
