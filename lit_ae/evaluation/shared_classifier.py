"""The classifier whose features score generated images: the same one for all runs of a study."""

from functools import partial
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import Trainer

from lit_ae import tracking
from lit_ae.evaluation.access import datamodule
from lit_ae.tracking.logger import run_logger

if TYPE_CHECKING:
    from lit_ae.metrics.images.lenet import LeNetExtractor


def lenet_of(trainer: Trainer) -> "LeNetExtractor":
    """The `lenet` extractor of the trainer's data, on its device.

    A run of a study takes the classifier that the study's first run trained or found in its machine's cache: trained on
    another processor it may differ, and FIDs would not compare.

    Raises:
        NotComputable: as `LeNetExtractor.cached`.
        SettingError: as `LeNetExtractor.cached`.
    """
    from lit_ae.metrics.images.lenet import LeNetExtractor

    data, logger, device = datamodule(trainer), run_logger(trainer), trainer.strategy.root_device
    with torch.inference_mode(False), torch.enable_grad():  # it may have to be trained first
        if logger is None or logger.run_id is None:
            return LeNetExtractor.for_data(data, device)
        make = partial(LeNetExtractor.cached, data, device)
        path = tracking.shared_with_study(logger.run_id, LeNetExtractor.file_name(data), make)
        return LeNetExtractor.from_file(path, data).to(device)
