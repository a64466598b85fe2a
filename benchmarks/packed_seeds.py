"""`python benchmarks/packed_seeds.py OUT.json`: k seeds of one model trained together, against one after another.

Every `nn.Linear` of k modules, each built under its own seed, becomes one layer with weights [k, out, in]. The family's
own step then sees k * B samples, those of member 0 first, and draws each member's noise from that member's generator.
First the weights of all members are compared with those of separate trainings by the project's own loop; then both
sides train in turns, and their CPU seconds on one thread are compared. docs/packed-seeds.md has the figures.
"""

import copy
import json
import logging
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from bench import Made
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torch.optim import Adam

from lit_ae import AE, VAE, Digits
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Batch, Splits
from lit_ae.data.epoch_order import permutation
from lit_ae.models.base import ReconstructionModule
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.likelihoods import Gaussian
from lit_ae.training.loop import BYTES, STEPS, several_steps_a_call, zero_grad_of

SIZES = (3, 5, 10)  # numbers of seeds trained together
ROUNDS = 5  # epochs of both sides, of which the first does not count
COMPARED = 3  # epochs after which weights are compared
Build = Callable[[], ReconstructionModule]
Data = Callable[[], BaseDataModule]


class PackedLinear(nn.Module):
    """k linear layers side by side; each slice of its values is what `nn.Linear` holds under the same name."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))  # [k, out, in]
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))  # [k, out]

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(len(self.weight), -1, x.shape[1])  # [k, B, in]
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight.mT).flatten(0, 1)  # [k * B, out]


def packed(members: Sequence[ReconstructionModule]) -> ReconstructionModule:
    """A copy of the first member whose linear layers are those of all members."""
    whole = copy.deepcopy(members[0])
    for name, layer in members[0].named_modules():
        if isinstance(layer, nn.Linear):
            whole.set_submodule(name, PackedLinear([member.get_submodule(name) for member in members]))
        elif [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]:
            raise TypeError(f"{name} is a {type(layer).__name__}: only nn.Linear can be packed")
    return whole


class Packed:
    """k members trained together; member j has seed j, the order of samples of that seed and its draws."""

    def __init__(self, build: Build, data: BaseDataModule, k: int, dtype: torch.dtype = torch.float) -> None:
        self.k, self.batch, self.split, self.epoch = k, data.batch_size, data.split("train"), 0
        self.generators, members = [], []
        for seed in range(k):
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                members.append(build().to(dtype))
                self.generators.append(torch.Generator().set_state(torch.get_rng_state()))  # draws go on from here
        self.module = packed(members).train()
        self.optimizer = self.module.configure_optimizers()
        self.zero_grad = zero_grad_of(self.optimizer)
        self.steps_a_call = max(1, min(STEPS, BYTES // (4 * k * self.batch * self.split.x[0].numel())))

    def train(self, epochs: int) -> None:
        """Train all members, each in its own order."""
        with mock.patch.object(torch, "randn_like", self._noise):
            for epoch in range(self.epoch, self.epoch + epochs):
                orders = np.stack([permutation(len(self.split), seed, epoch) for seed in range(self.k)])  # [k, N]
                steps = [orders[:, i : i + self.batch].ravel() for i in range(0, orders.shape[1], self.batch)]
                for i in range(0, len(steps), self.steps_a_call):
                    self._call(steps[i : i + self.steps_a_call])
        self.epoch += epochs

    def _noise(self, like: Tensor) -> Tensor:
        shape = (len(like) // self.k, *like.shape[1:])  # a member's part
        return torch.cat([torch.randn(shape, generator=g, dtype=like.dtype) for g in self.generators])

    def _call(self, steps: Sequence[np.ndarray]) -> None:
        sizes = [len(step) for step in steps]
        batch = self.module.on_after_batch_transfer(self.split.__getitems__(np.concatenate(steps)), 0)
        for part in map(Batch, batch.x.split(sizes), batch.y.split(sizes)):
            self.optimizer.step(partial(self._loss, part))

    def _loss(self, batch: Batch) -> Tensor:
        each = self.module._step(batch, "train").loss  # [k * B]
        loss = each.view(self.k, -1).mean(1).sum()  # each member's gradient is that of its own mean
        self.zero_grad()
        loss.backward()
        return loss


class Turns(Callback):
    """CPU seconds of the steps of an epoch in the project's own loop and in each packed side, in turns."""

    def __init__(self, sides: Sequence[Packed]) -> None:
        self.sides, self.ours = sides, []
        self.ratios: dict[int, list[float]] = {side.k: [] for side in sides}

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        self.start = time.process_time()

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        self.ours.append(time.process_time() - self.start)
        for side in self.sides:
            start = time.process_time()
            side.train(1)
            self.ratios[side.k].append((time.process_time() - start) / (side.k * self.ours[-1]))


def alone(build: Build, data: BaseDataModule, epochs: int, seed: int = 0, precision: int = 32, *callbacks) -> nn.Module:
    """One training by the project's own loop, without validation, which would draw random numbers."""
    torch.manual_seed(seed)
    module = build()
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "limit_val_batches": 0}
    options |= {"enable_model_summary": False, "accelerator": "cpu", "precision": precision}
    trainer = Trainer(max_epochs=epochs, callbacks=list(callbacks), **options)
    with several_steps_a_call(trainer, module, data):
        trainer.fit(module, data)
    return module


def difference(build: Build, data: Data, dtype: torch.dtype) -> float:
    """The largest one between a weight of a packed member and of the same seed trained alone."""
    side = Packed(build, data(), SIZES[0], dtype)
    side.train(COMPARED)
    packed_state, found = side.module.state_dict(), 0.0
    for seed in range(side.k):
        state = alone(build, data(), COMPARED, seed, 64 if dtype == torch.double else 32).state_dict()
        assert state.keys() == packed_state.keys()
        found = max(found, *((value - packed_state[name][seed]).abs().max().item() for name, value in state.items()))
    return found


class Small(Digits):
    input_shape = (1, 8, 8)  # instead of 28 x 28

    def load(self) -> Splits:
        return Splits(*(ArrayDataset(F.adaptive_avg_pool2d(s.x.float(), 8).byte(), s.y) for s in super().load()))


def model(family: type, data: Data, widths: list[int], code: int) -> Build:
    nets = {"encoder": partial(MLPEncoder, widths=widths), "decoder": partial(MLPDecoder, widths=widths[::-1])}
    rest = {"likelihood": Gaussian("sum" if family is VAE else "mean"), "optimizer": partial(Adam, lr=1e-3, fused=True)}
    return partial(family, input_shape=data().input_shape, latent_dim=code, **nets, **rest)


def measure(build: Build, data: Data) -> dict[str, float]:
    """Differences of weights, milliseconds of a step of one seed, CPU time of k seeds together by that of k alone."""
    found = {f"difference {dtype}": difference(build, data, dtype) for dtype in (torch.float, torch.double)}
    assert found["difference torch.float64"] <= 1e-9, found
    turns = Turns([Packed(build, data(), k) for k in SIZES])
    alone(build, data(), ROUNDS, 0, 32, turns)
    found["milliseconds"] = 1000 * statistics.median(turns.ours[1:]) / len(data().train_dataloader())
    return found | {f"ratio {k}": statistics.median(ratios[1:]) for k, ratios in turns.ratios.items()}


ROWS = (  # the sizes of the quick profile, then a larger batch and a smaller net
    (AE, Digits, [256], 100),
    (VAE, Digits, [256], 100),
    (VAE, partial(Digits, batch_size=16), [256], 20),
    (AE, Digits, [512, 256, 128, 64], 32),
    (AE, partial(Made, limit=2_560, batch_size=512), [256], 100),
    (VAE, partial(Made, limit=2_560, batch_size=512), [256], 100),
    (AE, Small, [64], 8),
    (VAE, Small, [64], 8),
)

if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    rows = {}
    for family, data, widths, code in ROWS:
        sizes = "-".join(map(str, [math.prod(data().input_shape), *widths, code]))
        name = f"{family.__name__} {sizes}, batch {data().batch_size}"
        rows[name] = measure(model(family, data, widths, code), data)
        print(name, *(f"{key} {value:.3g}" for key, value in rows[name].items()), sep="; ", flush=True)
    Path(sys.argv[1]).write_text(json.dumps({"torch": torch.__version__, **rows}, indent=1) + "\n")
