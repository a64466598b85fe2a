"""`lit-ae fit` against the plainest loop, pythae's trainer, and Lightning's with a value logged at each step."""

import statistics
from collections.abc import Callable, Iterator
from itertools import islice

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lit_ae.settings.files import config_folder
from ratios.made import images
from ratios.turns import ROUNDS, Alternating, Paused, in_turns

PYTHAE_NET = ("--model.latent_dim=16", "--model.encoder.widths=[512]", "--model.decoder.widths=[512]")  # its default
STEPS = 300  # in a turn of two loops that are both not ours
PEER_ROUNDS = 3  # its bounds are further away than those of the plainest loop


def fit(callback: Callback, batch: int, epochs: int, *options: str, model: str = "ae") -> None:
    """Run `lit-ae fit` on the CPU with a further callback."""
    from lit_ae.training.lightning_cli import AutoencoderCLI

    original = AutoencoderCLI.instantiate_trainer

    def with_callback(self, **kwargs):
        trainer = original(self, **kwargs)
        trainer.callbacks.insert(0, callback)
        return trainer

    AutoencoderCLI.instantiate_trainer = with_callback
    config = str(config_folder() / "model" / f"{model}.yaml")
    settings = (f"--data.batch_size={batch}", f"--trainer.max_epochs={epochs}", "--trainer.accelerator=cpu")
    try:
        AutoencoderCLI(["fit", "--config", config, "--data=Made", *settings, *options])
    finally:
        AutoencoderCLI.instantiate_trainer = original


def against(
    steps: Callable[[int], None], batch: int, *options: str, model: str = "ae", rounds: int = PEER_ROUNDS
) -> float:
    """Speed of `lit-ae fit`, MLflow logging included, relative to the other side: the median over epochs."""
    timer = Alternating(steps)
    fit(timer, batch, rounds + 2, *options, model=model)
    return statistics.median(timer.ratios[1:])


# -- the plainest loop ------------------------------------------------------------------------------------------------


def autoencoder(fused: bool = True, hidden: int = 256, code: int = 100) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The net and optimiser of configs/model/ae.yaml without this project; PyTorch's own default is not fused."""
    encoder = [nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, code)]
    net = nn.Sequential(*encoder, nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, 784))
    return net, torch.optim.Adam(net.parameters(), lr=1e-3, fused=fused)


def bare_steps(net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, batch: int) -> Callable[[int], None]:
    """The plainest loop, n steps at a time: float images in memory, shuffled, batches by index."""

    def batches() -> Iterator[Tensor]:
        while True:
            yield from torch.randperm(len(x)).split(batch)

    indices = batches()

    def steps(n: int) -> None:
        for index in islice(indices, n):
            target = x[index]
            loss = F.mse_loss(net(target).sigmoid(), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return steps


def over_bare_loop(batch: int) -> float:
    return against(bare_steps(*autoencoder(), images().flatten(1), batch), batch, rounds=ROUNDS)


# -- pythae -----------------------------------------------------------------------------------------------------------


def over_pythae(variational: bool, batch: int, fused: bool = False) -> float:
    """With pythae's own net, 784-512-16, and its default optimiser, or the fused one that ours is."""
    return against(pythae_steps(variational, batch, fused), batch, *PYTHAE_NET, model="vae" if variational else "ae")


def bare_loop_over_pythae(batch: int) -> float:
    """What the plainest loop reaches with that net, which `lit-ae fit` can approach but not exceed."""
    bare = bare_steps(*autoencoder(hidden=512, code=16), images().flatten(1), batch)
    pythae = pythae_steps(False, batch)
    return statistics.median(in_turns(lambda: pythae(STEPS), lambda: bare(STEPS)))


def pythae_steps(variational: bool, batch: int, fused: bool = False) -> Callable[[int], None]:
    """A function that takes n steps of pythae's trainer.

    Raises:
        ImportError: pythae is not installed.
    """
    from pythae.data.datasets import BaseDataset
    from pythae.models import AE, VAE, AEConfig, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    def train(stepped: Callable[[], None]) -> None:
        class Stepping(TrainingCallback):
            def on_train_step_end(self, training_config, **kwargs) -> None:
                stepped()

        shape = {"input_dim": (1, 28, 28), "latent_dim": 16}
        model = VAE(VAEConfig(**shape, reconstruction_loss="mse")) if variational else AE(AEConfig(**shape))
        x = images()
        settings = BaseTrainerConfig(
            output_dir="pythae",
            no_cuda=True,
            num_epochs=10**6,
            per_device_train_batch_size=batch,
            learning_rate=1e-3,
            optimizer_cls="Adam",
            optimizer_params={"fused": True} if fused else None,
        )
        data = BaseDataset(x, torch.zeros(len(x)))
        BaseTrainer(model, data, training_config=settings, callbacks=[Stepping()]).train()

    return Paused(train).steps


# -- Lightning --------------------------------------------------------------------------------------------------------


class Logged(LightningModule):
    """The same AE as an ordinary module of Lightning, which logs its loss at each step."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.net, self.optimizer = autoencoder(fused)

    def training_step(self, batch, batch_idx: int) -> Tensor:
        (x,) = batch
        loss = F.mse_loss(self.net(x).sigmoid(), x)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer


class Stepping(Callback):
    def __init__(self, stepped: Callable[[], None]) -> None:
        self.stepped = stepped

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.stepped()


def over_lightning(batch: int, fused: bool = False) -> float:
    """An ordinary loader, Lightning's trainer without bar and checkpoints, and PyTorch's default Adam or ours."""

    def train(stepped: Callable[[], None]) -> None:
        without = {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False}
        trainer = Trainer(
            max_epochs=10**6,
            accelerator="cpu",
            logger=CSVLogger("."),
            callbacks=[Stepping(stepped)],
            **without,
        )
        trainer.fit(Logged(fused), DataLoader(TensorDataset(images().flatten(1)), batch, shuffle=True))

    return against(Paused(train).steps, batch)
