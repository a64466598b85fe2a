"""The part of the contract that is about checkpoints."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_ae.errors import SettingError
from lit_ae.models.ae import AE
from lit_ae.models.base import GenerativeModule, ReconstructionModule
from lit_ae.models.plain_trainer import plain_trainer
from lit_ae.models.sae import SAE
from lit_ae.models.tracked import TrackedModule
from lit_ae.testing.subject import Subject, metrics_of_test


def check_checkpoint(subject: Subject, module: TrackedModule) -> None:
    """A checkpoint gives the same model back, and one that does not fit is refused in words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.ckpt"
        content = saved(module, path)
        with subject.sentence("load_from_checkpoint must rebuild the model from the file alone"):
            loaded = type(module).load_from_checkpoint(path, weights_only=True)
        check_same(subject, module, loaded)
        first = next(iter(content["state_dict"]))
        content["state_dict"][first] = content["state_dict"][first].unsqueeze(0)
        check_refused(subject, content, "weights of another shape", first)
        other = AE if type(module) is not AE else SAE
        content = saved(other(input_shape=tuple(subject.x.shape[1:]), latent_dim=2), path)
        check_refused(subject, content, "the checkpoint of another family", other.__name__, subject.name)


def saved(module: TrackedModule, path: Path) -> dict[str, Any]:
    """Content of the checkpoint that a Trainer writes of the module."""
    trainer = plain_trainer()
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path, weights_only=True)
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def check_same(subject: Subject, module: TrackedModule, loaded: TrackedModule) -> None:
    """The loaded model has the module's weights and its output."""
    state, found = module.state_dict(), loaded.state_dict()
    differing = [name for name in state if name not in found or not torch.equal(found[name], state[name])]
    subject.require(not differing, f"load_from_checkpoint must give the weights back; {', '.join(differing)} differ")
    same = all(map(torch.equal, output(subject, module), output(subject, loaded)))
    subject.require(
        same and metrics_of_test(subject, module) == metrics_of_test(subject, loaded),
        "a model from load_from_checkpoint must give the same output and metrics; they differ: let training change "
        "parameters and buffers alone, and let the constructor take all settings as arguments",
    )


def output(subject: Subject, module: TrackedModule) -> list[Tensor]:
    """What the model gives for made data in evaluation mode."""
    module.eval()
    batch = subject.batch(5)
    torch.manual_seed(1)
    with torch.no_grad():
        if isinstance(module, ReconstructionModule):
            r = module.predict_step(batch, 0)
            return [r.latent.mu, r.x_hat, r.loss, module(*batch)]
        if isinstance(module, GenerativeModule):
            return [module.decode(torch.rand(5, module.latent_dim), batch.y)]
        return [module(batch.x)]


def check_refused(subject: Subject, content: dict[str, Any], what: str, *words: str) -> None:
    """A new model refuses to load this content, with a SettingError that says why in these words."""
    found = "it is taken"
    try:
        subject.build().on_load_checkpoint(content)
    except SettingError as error:
        missing = [word for word in words if word not in str(error)]
        found = f"the message does not name {', '.join(missing)}: {error}" if missing else ""
    subject.require(not found, f"{what} must be refused with a SettingError that names {' and '.join(words)}; {found}")
