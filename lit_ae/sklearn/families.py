"""The model that an estimator's parameters describe."""

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

import lit_ae.models
from lit_ae.data.containers import Shape
from lit_ae.errors import SettingError
from lit_ae.models.base import ReconstructionModule
from lit_ae.models.settings import parameters
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.likelihoods import Likelihood
from lit_ae.settings.suggestions import near_match

DEFAULTS: dict[str, Any] = {"hidden_layer_sizes": (256,), "learning_rate": 1e-3}  # of both estimators


def family_class(family: str | type) -> type[ReconstructionModule]:
    """The class of a family by its name; a class itself may be given, of another project as well.

    Raises:
        SettingError: there is no such family, or it does not map unlabelled samples to codes and back.
    """
    known = {name: getattr(lit_ae.models, name) for name in lit_ae.models.__all__}
    fitting = {name: cls for name, cls in known.items() if _why_not(cls) is None and cls is not ReconstructionModule}
    cls = known.get(family) if isinstance(family, str) else family
    if cls is None:
        raise SettingError(f"there is no family {family!r}{near_match(str(family), sorted(fitting))}")
    if reason := _why_not(cls):
        raise SettingError(f"family {getattr(cls, '__name__', cls)} {reason}: choose one of {', '.join(fitting)}")
    return cls


def _why_not(cls: Any) -> str | None:
    if not (isinstance(cls, type) and issubclass(cls, ReconstructionModule)):
        return "does not map samples to codes and back"
    if "num_classes" in parameters(cls):
        return "needs the label of every sample, which `transform` does not get"
    return None


def build(
    family: str | type,
    input_shape: Shape,
    latent_dim: int,
    hidden_layer_sizes: tuple[int, ...],
    learning_rate: float,
    settings: Mapping[str, Any],
) -> ReconstructionModule:
    """A new model, untrained.

    Args:
        family: name of a family, or a class.
        input_shape: shape of one sample.
        latent_dim: size D of the code.
        hidden_layer_sizes: units of the encoder's hidden layers; the decoder has them in the opposite order.
        learning_rate: of Adam.
        settings: further arguments of the family's constructor, which take precedence.

    Raises:
        SettingError: an argument that the family does not have, or a value that does not fit. A parameter that is set
            and that the family makes no use of is a warning.
    """
    cls = family_class(family)
    known = parameters(cls)
    if own := sorted(settings.keys() & {"input_shape", "latent_dim"}):
        raise SettingError(f"settings has {own[0]!r}, which is a parameter of its own: set it there")
    if unknown := sorted(settings.keys() - known.keys()):
        raise SettingError(
            f"settings has {unknown[0]!r}, which {cls.__name__} does not take{near_match(unknown[0], sorted(known))}"
        )
    widths = list(hidden_layer_sizes)
    given: dict[str, Any] = {
        "encoder": partial(MLPEncoder, widths=widths),
        "decoder": partial(MLPDecoder, widths=widths[::-1]),
        "optimizer": partial(torch.optim.Adam, lr=learning_rate, fused=True),
    }
    for name, value, parts in (
        ("hidden_layer_sizes", tuple(hidden_layer_sizes), {"encoder", "decoder"}),
        ("learning_rate", learning_rate, {"optimizer"}),
    ):
        if value != DEFAULTS[name] and not parts & known.keys():
            warnings.warn(f"{name} is {value}, of which {cls.__name__} makes no use: leave it out", stacklevel=4)
    likelihood = settings.get("likelihood")
    if not isinstance(likelihood, Likelihood | None):
        raise SettingError(
            f"settings has the likelihood {likelihood!r}: give an object, such as "
            "lit_ae.objectives.likelihoods.Bernoulli()"
        )
    chosen = {name: value for name, value in given.items() if name in known} | {**settings}
    try:
        return cls(input_shape=input_shape, latent_dim=latent_dim, **chosen)
    except TypeError as error:
        raise SettingError(f"settings do not fit {cls.__name__}: {error}") from error
