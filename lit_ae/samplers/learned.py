"""The base class of samplers that are trained by gradient descent."""

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters

from lit_ae.console import terminal
from lit_ae.errors import NotComputable, SettingError, require_at_least
from lit_ae.nets.optimizers import adam
from lit_ae.nets.processor import fast_training
from lit_ae.samplers.base import Sampler

CHECK = 100  # steps between two evaluations on the held-out codes
PATIENCE = 5  # evaluations without improvement after which training stops
HELD_OUT = 2000  # held-out codes at most; a tenth of the codes if that is less
PASSES = 200  # over the codes at most: on 1,300 codes of digits, 700 passes gave samples that were no closer to others
LEAST = 300  # steps that may be taken however few the codes are: their samples would lie too close together
CONSTANT = 1e-6  # a dimension whose standard deviation is below this share of its mean counts as constant


class Learned(Sampler):
    """A network that maps N(0, I) to the scaled codes; a subclass defines the network, its loss and how it samples.

    Codes are centred, rotated to their principal axes and scaled, so that less remains to be learned. Constant and
    linearly dependent dimensions are left out of training and reproduced exactly. Adam with a cosine learning rate
    takes at most `steps` steps, and at most 200 passes over the codes or 300 steps; the weights with the lowest loss on
    held-out codes are kept, so that few codes are not memorised. Fitting runs on the CPU and does not change the global
    random state.

    Args:
        steps: largest number of gradient steps.
        batch_size: number of codes in a step.
        lr: initial learning rate.
        width: number of units of each hidden layer.

    Raises:
        SettingError: a setting is too small.
        NotComputable: it is fitted to fewer than 2 codes, or the loss is not finite.
    """

    parameter_names = frozenset({"mean", "basis", "weights"})

    def __init__(self, steps: int, batch_size: int, lr: float, width: int) -> None:
        super().__init__()
        require_at_least(1, f"{{}} of the {self.name} sampler", steps=steps, batch_size=batch_size, width=width)
        if not lr > 0:
            raise SettingError(f"lr of the {self.name} sampler is {lr}: it must be above 0")
        self.steps, self.batch_size, self.lr, self.width = steps, batch_size, lr, width

    @abstractmethod
    def _net(self, dimension: int) -> nn.Module:
        """A new network for scaled codes [B, dimension]."""

    @abstractmethod
    def _loss(self, net: nn.Module, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Mean loss over scaled codes [B, D]."""

    @abstractmethod
    def _to_codes(self, net: nn.Module, noise: Tensor) -> Tensor:
        """Scaled codes [n, D] from noise [n, `_noise_size(D)`]; further columns are left out."""

    def _noise_size(self, dimension: int) -> int:
        """How many numbers from N(0, 1) a code of this dimension is made from."""
        return dimension

    def _fit(self, codes: Tensor, seed: int) -> dict[str, Tensor]:
        if len(codes) < 2:
            raise NotComputable(f"the {self.name} sampler needs at least 2 codes: use more training data")
        mean, std = codes.mean(0), codes.std(0, correction=0)
        centred = (codes - mean).where(std > CONSTANT * mean.abs(), 0.0)
        values, axes = torch.linalg.eigh(centred.T @ centred / len(codes))
        varied = values > CONSTANT**2 * values.max()
        if not varied.any():
            return {"mean": mean.float(), "basis": torch.zeros(0, len(mean)), "weights": torch.zeros(0)}
        scales, axes = self._scales(values[varied]), axes[:, varied]  # [R], [D, R]
        weights = self._train((centred @ axes / scales).float(), seed)
        return {"mean": mean.float(), "basis": (axes * scales).T.float(), "weights": weights}

    def _scales(self, variances: Tensor) -> Tensor:
        """What the codes are divided by along principal axes of these variances [R]: [R].

        Their standard deviations, which whiten the codes: the likelihood of a density is the same up to a constant
        whatever the scales are. A subclass whose loss depends on them chooses others.
        """
        return variances.sqrt()

    def _train(self, codes: Tensor, seed: int) -> Tensor:
        """The weights [P] of the best network for scaled codes [N, D]."""
        generator = torch.Generator().manual_seed(seed)
        with torch.inference_mode(False), torch.enable_grad(), fast_training():
            # A copy, since a tensor that was made in inference mode has no gradient
            codes = codes.clone()[torch.randperm(len(codes), generator=generator)]
            held_out, train = codes.tensor_split([min(HELD_OUT, -(-len(codes) // 10))])
            net = self._built(codes.shape[1], seed)
            optimizer = adam(net.parameters(), self.lr)
            steps = min(self.steps, max(LEAST, -(-PASSES * len(train) // self.batch_size)))
            rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            best, weights, waited = float("inf"), torch.zeros(0), 0
            for step in _shown(range(1, steps + 1), f"fitting the {self.name} sampler"):
                rows = torch.randint(len(train), (self.batch_size,), generator=generator)
                optimizer.zero_grad()
                self._loss(net, train[rows], generator).backward()
                clip_grad_norm_(net.parameters(), 5.0)
                optimizer.step()
                rate.step()
                if step % CHECK and step != steps:
                    continue
                with torch.no_grad():  # the same noise at every evaluation
                    loss = self._loss(net, held_out, torch.Generator().manual_seed(seed)).item()
                waited += 1
                if loss < best:
                    best, weights, waited = loss, parameters_to_vector(net.parameters()).detach(), 0
                elif waited == PATIENCE:
                    break
        if not len(weights):
            raise NotComputable(f"the {self.name} sampler's loss is not finite: set its lr, now {self.lr}, lower")
        return weights

    def _draw(self, n: int, generator: torch.Generator, parameters: dict[str, Tensor]) -> Tensor:
        mean, basis, weights = (parameters[key] for key in ("mean", "basis", "weights"))
        if not n or not len(basis):
            return mean.repeat(n, 1)
        noise = torch.randn(n, self._noise_size(len(basis)), generator=generator, device=generator.device)
        with torch.inference_mode(False), torch.no_grad():
            net = self._built(len(basis), seed=0).to(generator.device)
            vector_to_parameters(weights.clone(), net.parameters())
            scaled = self._to_codes(net, noise.clone())[:, : len(basis)]
        return mean + scaled @ basis

    def _built(self, dimension: int, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would also seed the GPUs
            return self._net(dimension)


def _shown(steps: range, title: str) -> Iterable[int]:
    """The steps, with a progress bar if this is process 0 and standard error is a terminal."""
    from lightning.fabric.utilities.rank_zero import rank_zero_only
    from rich.progress import track

    shown = terminal().is_terminal and not getattr(rank_zero_only, "rank", 0)
    return track(steps, title, console=terminal(), transient=True) if shown else steps
