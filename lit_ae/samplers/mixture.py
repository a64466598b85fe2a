"""A mixture of Gaussians that is fitted to codes."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_ae.errors import NotComputable, SettingError
from lit_ae.samplers.base import Sampler, symmetric_root

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

GAIN = 0.02  # nats per code: EM stops once a step gains less; half of it takes longer and changes no score


class Mixture(Sampler):
    """A mixture of Gaussians with full covariances, fitted by EM that starts from KMeans (scikit-learn).

    Args:
        components: number K of Gaussians.
        reg_covar: added to the diagonal of each covariance, as a share of the mean variance of the codes.
        max_fit: largest number of codes that the mixture is fitted to, chosen at random.
        label: name in metric keys, for a second mixture beside the first; null: `mixture`.

    Raises:
        SettingError: a setting is too small.
        NotComputable: it is fitted to fewer codes than components, or a covariance is singular.
    """

    name = "mixture"
    parameter_names = frozenset({"weights", "means", "roots"})

    def __init__(
        self, components: int = 10, reg_covar: float = 1e-6, max_fit: int = 20_000, label: str | None = None
    ) -> None:
        super().__init__()
        if components < 1 or max_fit < components:
            raise SettingError(
                f"components of the mixture sampler is {components} and max_fit {max_fit}: "
                "1 <= components <= max_fit is needed"
            )
        if not reg_covar > 0:
            raise SettingError(f"reg_covar of the mixture sampler is {reg_covar}: it must be above 0")
        self.components, self.reg_covar, self.max_fit, self.label = components, reg_covar, max_fit, label
        self.name = label or type(self).name

    def _fit(self, codes: Tensor, seed: int) -> dict[str, Tensor]:
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        if len(codes) < self.components:
            raise NotComputable(
                f"components of the mixture sampler is {self.components} but there are {len(codes)} codes: "
                "use fewer components or more training data"
            )
        some = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))[: self.max_fit]
        centre, scale = codes.mean(0), codes.var(0, correction=0).mean().sqrt().item() or 1.0
        scaled = ((codes[some] - centre) / scale).numpy()
        mixture = GaussianMixture(self.components, reg_covar=self.reg_covar, tol=GAIN, random_state=seed)
        # One thread: several add in a varying order, and cost as much as they save with matrices of this size
        with threadpool_limits(1), warnings.catch_warnings():
            # Of fewer different codes than components: several components then lie on one code, which does no harm
            warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
            try:
                mixture.fit(scaled.astype("float32"))  # half the time, and the same density up to 1e-3 nats
            except ValueError:  # a covariance is singular in single precision
                self._fit_double(mixture, scaled)
        covariances = torch.from_numpy(mixture.covariances_).double()  # [K, D, D]
        return {
            "weights": torch.from_numpy(mixture.weights_).float(),
            "means": (torch.from_numpy(mixture.means_) * scale + centre).float(),  # [K, D]
            "roots": (symmetric_root(covariances) * scale).float(),  # [K, D, D]
        }

    def _fit_double(self, mixture: "GaussianMixture", codes: NDArray[np.float64]) -> None:
        try:
            mixture.fit(codes)
        except ValueError as error:
            raise NotComputable(
                f"a covariance of the mixture sampler is singular: set its reg_covar, now {self.reg_covar}, higher, or "
                f"its components, now {self.components}, lower"
            ) from error

    def _draw(self, n: int, generator: torch.Generator, parameters: dict[str, Tensor]) -> Tensor:
        weights, means, roots = parameters["weights"], parameters["means"], parameters["roots"]
        height = torch.rand(n, generator=generator, device=generator.device)
        component = torch.bucketize(height, weights.cumsum(0)[:-1], right=True)  # [n]
        z = torch.randn(n, means.shape[1], generator=generator, device=generator.device)
        for k, (mean, root) in enumerate(zip(means, roots, strict=True)):
            own = component == k
            z[own] = mean + z[own] @ root
        return z
