"""The part of the contract that is about a training that was interrupted."""

import tempfile
from pathlib import Path

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from lit_ae.models.plain_trainer import plain_trainer
from lit_ae.testing.subject import Subject


def check_resumed(subject: Subject) -> None:
    """Two epochs, and the second of them once more from the checkpoint of the first, end bit for bit the same."""
    with tempfile.TemporaryDirectory() as folder:
        whole = trained(subject, Path(folder) / "whole")
        with subject.sentence("training must go on from a checkpoint"):
            resumed = trained(subject, Path(folder) / "resumed", Path(folder) / "whole" / "epoch=0.ckpt")
    differing = [name for name, value in whole.items() if not torch.equal(value, resumed[name])]
    subject.require(
        not differing,
        "a training that goes on from a checkpoint must end bit for bit where an uninterrupted one ends; "
        f"{', '.join(differing)} differ: keep what changes during training in parameters and buffers, and compute "
        "nothing anew in on_train_start if trainer.ckpt_path is set",
    )


def trained(subject: Subject, folder: Path, checkpoint: Path | None = None) -> dict[str, Tensor]:
    """The state after two epochs, or after the second of them from a checkpoint."""
    module = subject.build()
    if checkpoint is not None:
        torch.manual_seed(99)  # as in another process: what has been drawn by then is another number of draws
    each = ModelCheckpoint(dirpath=folder, filename="{epoch}", save_top_k=-1)
    trainer = plain_trainer(max_epochs=2, enable_checkpointing=True, callbacks=[each])
    loaders = subject.loader(shuffle=True), subject.loader()
    trainer.fit(module, *loaders, ckpt_path=checkpoint, weights_only=True)
    return module.state_dict()
