"""How a weight changes over training: a factor from 0 to 1, by the share of training that is done."""

from abc import ABC, abstractmethod

from lit_ae.errors import SettingError


class Schedule(ABC):
    """A factor of a penalty's weight, chosen in YAML.

    Args:
        share: of the training, or of a cycle, that the factor takes to rise from 0 to 1.

    Raises:
        SettingError: `share` not in (0, 1].
    """

    def __init__(self, share: float = 0.5) -> None:
        if not 0 < share <= 1:
            raise SettingError(f"share of the {type(self).__name__} schedule is {share}: it must be in (0, 1]")
        self.share = share

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """The factor when `progress`, from 0 to 1, of the training is done."""


class LinearSchedule(Schedule):
    """Rises once, then stays at 1: min(progress / share, 1) (Sønderby et al. 2016, section 2.3: warm-up)."""

    def __call__(self, progress: float) -> float:
        """The factor when `progress`, from 0 to 1, of the training is done."""
        return min(progress / self.share, 1.0)


class CyclicalSchedule(Schedule):
    """Starts again from 0 in every cycle (Fu et al. 2019, equation 6, linear in τ).

    Args:
        cycles: number M of cycles in a training.
        share: R, the part of a cycle that rises.

    Raises:
        SettingError: `cycles` below 1, or `share` not in (0, 1].
    """

    def __init__(self, cycles: int = 4, share: float = 0.5) -> None:
        super().__init__(share)
        if cycles < 1:
            raise SettingError(f"cycles of the CyclicalSchedule is {cycles}: it must be at least 1")
        self.cycles = cycles

    def __call__(self, progress: float) -> float:
        """The factor when `progress`, from 0 to 1, of the training is done."""
        return min(progress * self.cycles % 1 / self.share, 1.0)
