"""How a weight changes during training: a factor from 0 to 1 that depends on the share of training that is done."""

from abc import ABC, abstractmethod

from lit_ae.errors import SettingError, require_at_least


class Schedule(ABC):
    """A factor by which a penalty's weight is multiplied.

    Args:
        share: share of the training, or of a cycle, in which the factor rises from 0 to 1.

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
    """Rises once and then stays at 1: min(progress / share, 1) (warm-up: Sønderby et al. 2016, section 2.3).

    Args:
        share: share of the training in which the factor rises from 0 to 1.
    """

    def __call__(self, progress: float) -> float:
        """The factor when `progress`, from 0 to 1, of the training is done."""
        return min(progress / self.share, 1.0)


class CyclicalSchedule(Schedule):
    """Rises from 0 again in every cycle (Fu et al. 2019, equation 6, linear in τ).

    Args:
        cycles: number M of cycles in the training.
        share: share R of a cycle in which the factor rises from 0 to 1.

    Raises:
        SettingError: `cycles` below 1, or `share` not in (0, 1].
    """

    def __init__(self, cycles: int = 4, share: float = 0.5) -> None:
        super().__init__(share)
        require_at_least(1, "{} of the CyclicalSchedule", cycles=cycles)
        self.cycles = cycles

    def __call__(self, progress: float) -> float:
        """The factor when `progress`, from 0 to 1, of the training is done."""
        return min(progress * self.cycles % 1 / self.share, 1.0)
