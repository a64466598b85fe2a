"""What every family of models keeps to, whatever it overrides."""

from pathlib import Path
from typing import Any

from lit_ae.data.containers import Shape
from lit_ae.models.base import GenerativeModule, ReconstructionModule
from lit_ae.models.plain_trainer import undisturbed
from lit_ae.models.tracked import TrackedModule
from lit_ae.objectives.likelihoods import Categorical
from lit_ae.testing.checkpoints import check_checkpoint
from lit_ae.testing.resuming import check_resumed
from lit_ae.testing.steps import check_codes, check_decoder, check_steps
from lit_ae.testing.subject import subject_of
from lit_ae.testing.training import check_not_a_number, check_training


def check_family(
    family: type[TrackedModule] | str | Path,
    input_shape: Shape = (1, 28, 28),
    samples: int = 40,
    classes: int = 10,
    **settings: Any,
) -> None:
    """Check by short trainings on made data that a family keeps to the contract.

    Of an autoencoder: the shapes of codes and reconstructions; a loss that is nll + penalty, with finite values for
    each sample; no memory of earlier batches; a mean code without randomness. Of any model: an epoch with a plain
    Trainer changes every parameter by finite gradients; logged values are means over samples; the same seed gives the
    same metrics, and bytes the same as floats; a loss that is not a number stops training; checkpoints give the same
    model back and are refused by other families; a training that goes on from one ends as an uninterrupted one.

    Args:
        family: a class, or the path of a model's YAML file.
        input_shape: shape of a made sample, [C, H, W] or [D].
        samples: how many samples are made.
        classes: how many classes they have.
        settings: keyword arguments for the class, or changes of the YAML file's `init_args`.

    Raises:
        AssertionError: something does not hold; the message says what the contract asks for and what was found.

    Example:
        >>> from lit_ae.models import AE
        >>> check_family(AE, input_shape=(6,), latent_dim=2)
        >>> class ShrinkingAE(AE):
        ...     def penalty(self, x, x_in, latent, raw):
        ...         return latent.mu.square().mean()  # one value for the batch
        >>> check_family(ShrinkingAE, input_shape=(6,), latent_dim=2)
        Traceback (most recent call last):
        AssertionError: ShrinkingAE: penalty in a train step must hold one value for each sample, shape [5]; it has []
    """
    subject = subject_of(family, tuple(input_shape), samples, classes, settings)
    with undisturbed():
        module = subject.build()
        if isinstance(getattr(module, "likelihood", None), Categorical):
            subject.make_one_hot()  # it takes distributions alone
        if isinstance(module, ReconstructionModule):
            check_codes(subject, module)
            check_steps(subject, module)
        fresh = subject.build()  # has not seen any batch
        if isinstance(fresh, GenerativeModule):
            check_decoder(subject, fresh)
        trained = check_training(subject)
        check_not_a_number(subject)
        check_checkpoint(subject, trained)
        check_resumed(subject)
