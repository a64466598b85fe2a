"""What the explorer knows of a run: its model, and the codes and scores of the test samples."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_ae import tracking
from lit_ae.api.load import RUN_ID, load, load_data
from lit_ae.api.runs import need_store
from lit_ae.callbacks.figures.latent_plot import LEAST, TITLES, Method, embed
from lit_ae.data.base import BaseDataModule
from lit_ae.errors import NotComputable, SettingError
from lit_ae.models.base import GenerativeModule, ReconstructionModule
from lit_ae.models.capabilities import Conditional, DrawsCodes
from lit_ae.models.chunks import in_chunks, mean_codes, posteriors
from lit_ae.samplers.fitted_gaussian import FittedGaussian
from lit_ae.samplers.mixture import Mixture

FITTED = 10_000  # training samples to whose codes the samplers are fitted
COMPONENTS = 10  # of the mixture
OWN = 256  # codes that a family's own prior draws for the page

Floats = NDArray[np.float32]


@dataclass
class Subject:
    """One run.

    Attributes:
        source: what the user called it.
        title: family, data and seed.
        model: in evaluation mode.
        codes: mean codes [N, D] of the first N test samples; [0, D] of a model without encoder.
        std: standard deviations [N, D] of the posteriors, if the code is a Gaussian whose spread differs.
        values: by name, a number of each sample [N].
        embeddings: by name, points [N, 2].
        samplers: by name, the parameters of a density over codes, or codes drawn from one.
    """

    source: str
    title: str
    model: GenerativeModule
    codes: Floats
    std: Floats | None = None
    values: dict[str, Floats] = field(default_factory=dict)
    embeddings: dict[str, NDArray[Any]] = field(default_factory=dict)
    samplers: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def found(source: str) -> str:
    """The run's id if `source` is the name of a run, else itself, for `lit_ae.load`.

    Raises:
        SettingError: no run has this name, or several have.
    """
    if RUN_ID.fullmatch(source) or Path(source).expanduser().exists():
        return source
    need_store()
    names = [str(experiment.name) for experiment in tracking.client().search_experiments()]
    runs = [run for name in names for run in tracking.search(name, **{"mlflow.runName": source})]
    if not runs:
        raise SettingError(
            f"RUN {source} is no file or folder, and neither the id (32 hexadecimal digits) nor the name of a run: "
            "give one that lit_ae.runs() lists"
        )
    if len(runs) > 1:
        ids = ", ".join(run.id for run in sorted(runs, key=lambda run: -run.start)[:5])
        raise SettingError(f"RUN {source} is the name of {len(runs)} runs: give the id of one, newest first: {ids}")
    return runs[0].id


def subject(source: str, samples: int, maps: tuple[Method, ...]) -> tuple[Subject, BaseDataModule]:
    """A run and its data.

    Args:
        source: id or name of a run, or path of a checkpoint.
        samples: largest number of test samples.
        maps: embeddings to compute beside PCA.

    Raises:
        SettingError: there is no such run, or its model decodes no codes.
    """
    run = found(source)
    model, data = load(run), load_data(run)
    if not isinstance(model, GenerativeModule):
        raise SettingError(f"{source} is a {type(model).__name__}, which has no codes to explore: give another run")
    model = model.cpu().float().eval()
    name = type(model).__name__
    title = f"{name} on {data.name}"
    if RUN_ID.fullmatch(run):
        known = tracking.get_run(run)
        title = f"{known.model or name} on {known.data or data.name}, seed {known.seed}"
    return described(source, title, model, data, samples, maps), data


def described(
    source: str, title: str, model: GenerativeModule, data: BaseDataModule, samples: int, maps: tuple[Method, ...]
) -> Subject:
    """What the page shows of a model in evaluation mode; the arguments are those of `subject`."""
    made = Subject(source, title, model, np.zeros((0, model.latent_dim), np.float32))
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(0)
        if isinstance(model, ReconstructionModule):
            _measure(made, model, data, samples, maps)
            _fit(made, model, data)
        if isinstance(model, DrawsCodes):
            made.samplers["own prior"] = {"codes": model.draw_codes(OWN, torch.Generator().manual_seed(0)).float()}
    return made


def _measure(
    made: Subject, model: ReconstructionModule, data: BaseDataModule, samples: int, maps: tuple[Method, ...]
) -> None:
    """Codes, scores and embeddings of test samples."""
    part = data.split("test").first(samples)
    labels = part.y if isinstance(model, Conditional) else None
    x = part.x
    mu, logvar = posteriors(model, x, labels)

    def errors(some: Tensor, y: Tensor | None) -> Tensor:
        fit = model.likelihood.fit(model.raw(model.encode(some, y).mu, y), some)
        return torch.stack([fit.mse, fit.nll], 1)

    mse, nll = in_chunks(model, errors, x, labels).numpy().T
    made.codes = mu.numpy()
    made.values["reconstruction error (MSE)"] = mse
    if len(mse) > 1 and not np.allclose(nll, mse * np.mean(nll / np.maximum(mse, 1e-12)), rtol=1e-3):
        made.values["anomaly score (nll, nats)"] = nll
    if logvar is not None:
        std = (0.5 * logvar).exp()
        made.std = std.numpy()
        if len(std) > 1 and float(std.mean(1).std()) > 1e-6:  # of the stochastic AE it is the same for all
            made.values["uncertainty (mean posterior std)"] = std.mean(1).numpy()
    if len(mu) >= LEAST and model.latent_dim > 2:
        made.embeddings = {TITLES[method]: embed(made.codes, method, seed=0) for method in maps}


def _fit(made: Subject, model: ReconstructionModule, data: BaseDataModule) -> None:
    """A Gaussian and a mixture, fitted to codes of training samples."""
    part = data.split("train").first(FITTED)
    codes = mean_codes(model, part.x, part.y if isinstance(model, Conditional) else None)
    for name, sampler in (("Gaussian", FittedGaussian()), ("mixture", Mixture(COMPONENTS))):
        if name == "mixture" and len(codes) < COMPONENTS * (model.latent_dim + 1):
            continue  # fewer codes than a covariance of each component needs
        try:
            sampler.fit(codes)
        except NotComputable:
            continue
        made.samplers[name] = sampler.state_dict()
