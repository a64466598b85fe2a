"""Warnings and messages of libraries that say nothing here."""

import logging
import os
import warnings

import torch


def quiet() -> None:
    """Leave them out in this process."""
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*IterableDataset.*__len__.*")
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec..*")
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")  # terms are logged by the epoch
    warnings.filterwarnings("ignore", ".*sync_dist=True.*")  # values are reduced before they are logged
    warnings.filterwarnings("ignore", ".*intended to run from within Python.*")  # sys.argv is kept: ddp needs it
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(lambda r: "litlogger" not in r.getMessage())
    if not torch.cuda.is_available():
        # Lightning makes PyTorch look for GPUs by NVML, whose library every optimiser step would then search for again
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
