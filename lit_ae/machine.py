"""What a run was made on."""

import os
from pathlib import Path


def environment() -> dict[str, object]:
    """Versions and machine, for the report."""
    import platform
    from importlib.metadata import version

    import torch

    packages = "lit_ae lightning torch torchvision torchmetrics mlflow scikit-learn umap-learn scipy statsmodels numpy"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages.split()}},
        "hardware": {"cpu": _cpu_name(), "cores": cores(), "threads": torch.get_num_threads(), "gpu": device},
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_name() -> str:
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
