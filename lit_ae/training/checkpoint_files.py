"""Checkpoints are written aside and take their place when they are whole."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Trainer

from lit_ae.settings.whole_files import write_whole


class WholeCheckpoints(TorchCheckpointIO):
    """As Lightning's own, whose temporary files may lie on another disk, so that they are copied and not renamed."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            SettingError: the disk is full, or the folder cannot be written.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_whole(Path(path), buffer.getvalue(), "set --trainer.default_root_dir or run in another folder")


def write_whole_checkpoints(trainer: Trainer) -> None:
    """Let a trainer write its checkpoints so, unless the settings name another way."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = WholeCheckpoints()
