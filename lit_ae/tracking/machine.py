"""The machine, the package versions and the revision that a run was made with."""

import os
import subprocess
from functools import cache
from pathlib import Path


def environment() -> dict[str, object]:
    """Package versions and hardware, for the report."""
    import platform

    import torch

    packages = "lit_ae lightning torch torchvision torchmetrics mlflow scikit-learn umap-learn scipy statsmodels numpy"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "versions": {"python": platform.python_version(), **{p: _version(p) for p in packages.split()}},
        "hardware": {"cpu": _cpu_name(), "cores": cores(), "threads": torch.get_num_threads(), "gpu": device},
    }


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_bfloat16_instructions() -> bool:
    """Whether the processor's list of features holds instructions for bfloat16; False where there is no such list."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return _has_apple_bfloat16()
    features = (line.split(":", 1)[1] for line in lines if line.startswith(("flags", "Features")))
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(next(features, "").split())  # "bf16": of ARM


def git_sha() -> str:
    """Revision of the checkout that holds the package, with `-dirty` if package or configs have been changed since."""
    here = Path(__file__).parent.parent
    try:
        sha = subprocess.check_output(
            ["git", "-C", str(here), "rev-parse", "--short=12", "HEAD"], text=True, stderr=subprocess.DEVNULL
        ).strip()
        status = ["git", "-C", str(here.parent), "status", "--porcelain", "--", "lit_ae", "configs"]
        dirty = subprocess.check_output(status, text=True, stderr=subprocess.DEVNULL).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{sha}-dirty" if dirty else sha


@cache
def _version(package: str) -> str:
    """Of an installed package: looking it up takes milliseconds."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:  # run from a source folder
        return "not installed"


def _has_apple_bfloat16() -> bool:
    try:
        asked = ["sysctl", "-n", "hw.optional.arm.FEAT_BF16"]
        return subprocess.check_output(asked, text=True, stderr=subprocess.DEVNULL).strip() == "1"
    except (OSError, subprocess.CalledProcessError):
        return False


def _cpu_name() -> str:
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
