"""Splits that stay on the GPU: which do, and that nothing but the speed changes. Most need a GPU."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_ae.data import base
from lit_ae.data.containers import ArrayDataset
from lit_ae.data.digits import Digits
from lit_ae.models import VAE
from lit_ae.testing.subject import plain_trainer
from lit_ae.training.loop import several_steps_a_call

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.mark.parametrize(
    ("device", "workers", "free", "moved"),
    [
        ("cuda", 0, 10_000_000, True),
        ("cpu", 0, 10_000_000, False),
        ("cuda", 2, 10_000_000, False),
        ("cuda", 0, 10_000, False),
    ],
)
def test_a_split_is_kept_on_a_gpu_that_has_room(
    monkeypatch: pytest.MonkeyPatch, device: str, workers: int, free: int, moved: bool
) -> None:
    """It is copied once; not to a CPU, not for worker processes, not if it took more than a tenth of what is free."""
    copies: list[ArrayDataset] = []

    def copy(self: ArrayDataset, where: torch.device) -> ArrayDataset:
        copies.append(self)
        return ArrayDataset(self.x.clone(), self.y)  # type: ignore[union-attr]

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda where: (free, free))
    monkeypatch.setattr(ArrayDataset, "to", copy)
    data = Digits(limit=100, num_workers=workers)
    strategy = SimpleNamespace(root_device=torch.device(device))
    trainer = SimpleNamespace(strategy=strategy, world_size=1, distributed_sampler_kwargs=None)
    data.trainer = trainer  # type: ignore[assignment]
    used = [data.train_dataloader().dataset, data.train_dataloader().dataset]
    assert used[0] is used[1]
    assert (used[0] is not data.split("train")) == moved
    assert copies == ([data.split("train")] if moved else [])


@needs_cuda
def test_batches_from_the_gpu_hold_the_same_samples() -> None:
    """Gathered on the device or in memory, each batch is the same."""
    part = Digits().split("train")
    there, places = part.to(torch.device("cuda")), [5, 0, 1000, 5]
    batch = there.__getitems__(places)
    assert batch.x.is_cuda
    assert batch.x.dtype == torch.uint8
    assert torch.equal(batch.x.cpu(), part.__getitems__(places).x)
    assert torch.equal(batch.y.cpu(), part.__getitems__(places).y)


def weights(monkeypatch: pytest.MonkeyPatch, room: float, steps: int | None, **settings: Any) -> list[Tensor]:
    """Weights after two epochs of a small VAE on the GPU."""
    monkeypatch.setattr(base, "ROOM", room)
    torch.manual_seed(0)
    module, data = VAE(input_shape=(1, 28, 28), latent_dim=8), Digits(limit=500)
    trainer = plain_trainer(accelerator="gpu", devices=1, max_epochs=2, **settings)
    with several_steps_a_call(trainer, module, data, steps):
        trainer.fit(module, datamodule=data)
    return [value.cpu() for value in module.state_dict().values()]


@needs_cuda
def test_neither_the_place_of_the_data_nor_the_steps_of_a_call_change_the_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Data in memory or on the GPU, one step a call or sixteen: the same weights bit for bit."""
    expected = weights(monkeypatch, 0.0, 1)
    for room, steps in ((0.1, 1), (0.1, None), (0.0, None)):
        found = weights(monkeypatch, room, steps)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True)), (room, steps)
