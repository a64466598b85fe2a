"""A mixture of Gaussians."""

import torch
from torch import Tensor

from lit_ae.errors import SettingError
from lit_ae.samplers.base import Sampler, symmetric_root

GAIN = 0.02  # nats a code: EM stops where a step gains less; at half of it every score stays, and takes longer


class Mixture(Sampler):
    """Mixture of Gaussians with full covariances, fitted by EM from a KMeans start (scikit-learn).

    Args:
        components: number K of Gaussians.
        reg_covar: added to each covariance's diagonal, as a share of the codes' mean variance.
        max_fit: fit to this many random codes at most.
        label: its name in metric keys, for a second mixture beside the first; `mixture` where null.

    Raises:
        SettingError: a setting below its least value, or fitted to fewer codes than components.
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
        from sklearn.mixture import GaussianMixture
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        if len(codes) < self.components:
            raise SettingError(
                f"components of the mixture sampler is {self.components} but there are {len(codes)} codes: "
                "use fewer components or more training data"
            )
        some = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))[: self.max_fit]
        scale = codes.var(0, correction=0).mean().sqrt().item() or 1.0
        scaled = (codes[some] / scale).numpy()
        mixture = GaussianMixture(self.components, reg_covar=self.reg_covar, tol=GAIN, random_state=seed)
        with threadpool_limits(1):  # threads add in any order, and cost as much as they save on matrices this small
            try:
                mixture.fit(scaled.astype("float32"))  # half the time, and the same density to 1e-3 nats
            except ValueError:  # a covariance that is singular to so few digits
                mixture.fit(scaled)
        covariances = torch.from_numpy(mixture.covariances_).double()  # [K, D, D]
        return {
            "weights": torch.from_numpy(mixture.weights_).float(),
            "means": (torch.from_numpy(mixture.means_) * scale).float(),  # [K, D]
            "roots": (symmetric_root(covariances) * scale).float(),  # [K, D, D]
        }

    def _draw(self, n: int, generator: torch.Generator, parameters: dict[str, Tensor]) -> Tensor:
        weights, means, roots = parameters["weights"], parameters["means"], parameters["roots"]
        height = torch.rand(n, generator=generator, device=generator.device)
        component = torch.bucketize(height, weights.cumsum(0)[:-1], right=True)  # [n]
        z = torch.randn(n, means.shape[1], generator=generator, device=generator.device)
        for k, (mean, root) in enumerate(zip(means, roots, strict=True)):
            own = component == k
            z[own] = mean + z[own] @ root
        return z
