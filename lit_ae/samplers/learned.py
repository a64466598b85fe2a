"""What samplers share that are trained by gradient descent."""

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters

from lit_ae.console import terminal
from lit_ae.errors import SettingError
from lit_ae.samplers.base import Sampler

CHECK = 100  # steps between two looks at the held-out codes
PATIENCE = 5  # looks without a better one after which training stops
HELD_OUT = 2000  # codes at most; a tenth where there are fewer than ten times as many
CONSTANT = 1e-6  # a dimension that varies by less than this share of its mean is drawn as its mean


class Learned(Sampler):
    """A net that carries N(0, I) to the whitened codes; a subclass names net, loss and direction of drawing.

    Codes are standardised and turned to their principal axes, each scaled to variance 1, so that what is left to
    learn is what a Gaussian misses; constant and dependent dimensions leave no axis, and are drawn as they are.
    Adam under a cosine rate for `steps` at most; the weights are those with the least loss on held-out codes, a
    tenth, so that few codes are not learnt by heart. Fitted on the CPU; global random numbers stay as they are.

    Args:
        steps: gradient steps at most.
        batch_size: codes in one of them.
        lr: learning rate at the start.
        width: units of a hidden layer.

    Raises:
        SettingError: a setting below its least value, fitted to fewer than 2 codes, or a loss that is not finite.
    """

    parameter_names = frozenset({"mean", "basis", "weights"})

    def __init__(self, steps: int, batch_size: int, lr: float, width: int) -> None:
        super().__init__()
        for setting, value in {"steps": steps, "batch_size": batch_size, "width": width}.items():
            if value < 1:
                raise SettingError(f"{setting} of the {self.name} sampler is {value}: it must be at least 1")
        if not lr > 0:
            raise SettingError(f"lr of the {self.name} sampler is {lr}: it must be above 0")
        self.steps, self.batch_size, self.lr, self.width = steps, batch_size, lr, width

    @abstractmethod
    def _net(self, dimension: int) -> nn.Module:
        """The net for whitened codes [B, dimension]."""

    @abstractmethod
    def _loss(self, net: nn.Module, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Mean loss over whitened codes [B, D]."""

    @abstractmethod
    def _carry(self, net: nn.Module, noise: Tensor) -> Tensor:
        """Whitened codes [n, D] from noise [n, D]."""

    def _fit(self, codes: Tensor, seed: int) -> dict[str, Tensor]:
        if len(codes) < 2:
            raise SettingError(f"the {self.name} sampler needs at least 2 codes: use more training data")
        mean, std = codes.mean(0), codes.std(0, correction=0)
        std[std <= CONSTANT * mean.abs()] = 0
        standardised = (codes - mean) / std.where(std > 0, torch.inf)
        values, axes = torch.linalg.eigh(standardised.T @ standardised / len(codes))
        varied = values > CONSTANT**2 * values.max()
        scales, axes = values[varied].sqrt(), axes[:, varied]  # [R], [D, R]
        weights = self._train((standardised @ axes / scales).float(), seed) if varied.any() else torch.zeros(0)
        return {"mean": mean.float(), "basis": (axes * scales).T.mul(std).float(), "weights": weights}

    def _train(self, codes: Tensor, seed: int) -> Tensor:
        """Weights [P] of the best net for whitened codes [N, D]."""
        generator = torch.Generator().manual_seed(seed)
        with torch.inference_mode(False), torch.enable_grad():
            codes = codes.clone()[
                torch.randperm(len(codes), generator=generator)
            ]  # a tensor of inference has no gradient
            held_out, train = codes.tensor_split([min(HELD_OUT, -(-len(codes) // 10))])
            net = self._built(codes.shape[1], seed)
            optimizer = torch.optim.Adam(net.parameters(), self.lr)
            rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
            best, weights, looks = float("inf"), torch.zeros(0), 0
            for step in _shown(range(1, self.steps + 1), f"fitting the {self.name} sampler"):
                rows = torch.randint(len(train), (self.batch_size,), generator=generator)
                optimizer.zero_grad()
                self._loss(net, train[rows], generator).backward()
                clip_grad_norm_(net.parameters(), 5.0)
                optimizer.step()
                rate.step()
                if step % CHECK and step != self.steps:
                    continue
                with torch.no_grad():  # the same noise at every look
                    loss = self._loss(net, held_out, torch.Generator().manual_seed(seed)).item()
                looks += 1
                if loss < best:
                    best, weights, looks = loss, parameters_to_vector(net.parameters()).detach(), 0
                elif looks == PATIENCE:
                    break
        if not len(weights):
            raise SettingError(f"the {self.name} sampler's loss is not finite: set its lr, now {self.lr}, lower")
        return weights

    def _draw(self, n: int, generator: torch.Generator, parameters: dict[str, Tensor]) -> Tensor:
        mean, basis, weights = (parameters[key] for key in ("mean", "basis", "weights"))
        if not n or not len(basis):
            return mean.repeat(n, 1)
        noise = torch.randn(n, len(basis), generator=generator, device=generator.device)
        with torch.inference_mode(False), torch.no_grad():
            net = self._built(len(basis), seed=0).to(generator.device)
            vector_to_parameters(weights.clone(), net.parameters())
            whitened = self._carry(net, noise.clone())
        return mean + whitened @ basis

    def _built(self, dimension: int, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would set the GPUs', too
            return self._net(dimension)


def _shown(steps: range, title: str) -> Iterable[int]:
    """The steps, with a bar on a terminal of rank 0."""
    from lightning.fabric.utilities.rank_zero import rank_zero_only
    from rich.progress import track

    shown = terminal().is_terminal and not getattr(rank_zero_only, "rank", 0)
    return track(steps, title, console=terminal(), transient=True) if shown else steps
