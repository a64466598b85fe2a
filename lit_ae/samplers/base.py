"""The base class of all densities over codes, and how fitted ones are saved and loaded."""

import inspect
import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_ae.errors import SettingError
from lit_ae.settings.whole_files import whole_file


class Sampler(ABC):
    """A density over codes: it is fitted to codes once and then sampled, without using global random numbers.

    A subclass names its parameters, keeps its settings in attributes of the same names, and defines `_fit` and
    `_draw`. A fitted sampler is stored by `save` and read by `load`.
    """

    name: str  # of the class in files, of an instance in metric keys
    parameter_names: ClassVar[frozenset[str]]
    of_draws: ClassVar[bool] = False  # whether it is fitted to draws from q(z|x), where codes have noise, not to means

    def __init__(self) -> None:
        self._parameters: dict[str, Tensor] = {}  # empty until fitted

    @abstractmethod
    def _fit(self, codes: Tensor, seed: int) -> dict[str, Tensor]:
        """The fitted parameters for codes [N, D] in float64."""

    @abstractmethod
    def _draw(self, n: int, generator: torch.Generator, parameters: dict[str, Tensor]) -> Tensor:
        """Codes [n, D] on the generator's device, where the parameters also are."""

    def fit(self, codes: Tensor | NDArray[Any], seed: int = 0) -> Self:
        """Fit the density to codes [N, D]; the same codes and seed give the same density.

        Raises:
            ValueError: the codes are not [N, D] with N, D >= 1, or not finite.
        """
        codes = torch.as_tensor(codes)
        if codes.ndim != 2 or not codes.numel():
            raise ValueError(f"a sampler is fitted to codes [N, D], not to shape {tuple(codes.shape)}")
        if not codes.isfinite().all():
            raise ValueError(f"the {self.name} sampler cannot be fitted: a code is NaN or infinite")
        self._parameters = self._fit(codes.detach().cpu().double(), seed)
        return self

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n codes [n, D], float32, on the generator's device.

        Raises:
            RuntimeError: the sampler has not been fitted.
        """
        parameters = {key: value.to(generator.device) for key, value in self.state_dict().items()}
        return self._draw(n, generator, parameters)

    def state_dict(self) -> dict[str, Tensor]:
        """The fitted parameters.

        Raises:
            RuntimeError: the sampler has not been fitted.
        """
        if not self._parameters:
            raise RuntimeError(f"the {self.name} sampler has not been fitted: call fit(codes) first")
        return dict(self._parameters)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Set the parameters of a fitted sampler of the same kind.

        Raises:
            ValueError: the state belongs to another kind of sampler.
        """
        if state.keys() != self.parameter_names:
            raise ValueError(
                f"the {self.name} sampler has {sorted(self.parameter_names)}, but the state holds {sorted(state)}"
            )
        self._parameters = dict(state)

    def save(self, path: Path) -> None:
        """Write the kind of sampler, its settings and its fitted parameters to a file.

        Raises:
            RuntimeError: the sampler has not been fitted.
        """
        settings = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        with whole_file(Path(path)) as part:
            torch.save({"sampler": type(self).name, "settings": settings, "state": self.state_dict()}, part)


def load(path: Path) -> Sampler:
    """The fitted sampler in a file that `save` wrote, such as a run's artifact samplers/NAME.pt.

    No code in the file is executed.

    Raises:
        SettingError: the file is missing or holds no sampler.
    """
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        kinds = {kind.name: kind for kind in _kinds(Sampler)}  # type: ignore[type-abstract]
        sampler = kinds[saved["sampler"]](**saved["settings"])
        sampler.load_state_dict(saved["state"])
    except (OSError, EOFError, pickle.UnpicklingError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise SettingError(
            f"{path} cannot be read as a fitted sampler ({type(error).__name__}): give a file samplers/NAME.pt of a "
            "run that has been tested"
        ) from error
    return sampler


def _kinds(base: type[Sampler]) -> Iterator[type[Sampler]]:
    for kind in base.__subclasses__():
        if not inspect.isabstract(kind):
            yield kind
        yield from _kinds(kind)


def symmetric_root(covariance: Tensor) -> Tensor:
    """The symmetric square root, [..., D, D], of covariances [..., D, D], which may be singular."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt().unsqueeze(-2)) @ vectors.mT
    return root
