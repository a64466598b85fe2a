"""The part of the contract that needs no training: codes, steps, and no memory."""

import copy

import torch

from lit_ae.data.containers import Batch
from lit_ae.models.base import GenerativeModule, Latent, Reconstruction, ReconstructionModule, Stage
from lit_ae.testing.subject import Subject

N = 5  # samples in a batch
STAGES: tuple[Stage, ...] = ("train", "val", "test")
EACH = "one value for each sample"


def check_codes(subject: Subject, module: ReconstructionModule) -> None:
    """Shapes of the posterior, and a mean code that is the same each time."""
    module = copy.deepcopy(module).eval()
    x, y = subject.batch(N)
    with torch.no_grad():
        latent, again = module.encode(x, y), module.encode(x, y)
    subject.require(isinstance(latent, Latent), f"encode must give a Latent; it gives a {type(latent).__name__}")
    for name in ("mu", "z") if latent.logvar is None else ("mu", "logvar", "z"):
        meaning = "latent_dim numbers for each sample"
        subject.require_shape(getattr(latent, name), (N, module.latent_dim), f"{name} of encode", meaning)
    for name, term in latent.terms.items():
        subject.require_shape(term, (N,), f"{name} of encode", EACH)
    subject.require(
        torch.equal(latent.mu, again.mu), "mu of encode must be the same each time in evaluation mode; it changes"
    )


def check_decoder(subject: Subject, module: GenerativeModule) -> None:
    """Shape of decoded codes, and no memory of earlier batches."""
    module.eval()
    z, y = torch.rand(N, module.latent_dim), subject.batch(N).y
    other = subject.batch(N, last=True)
    with torch.no_grad():
        with subject.sentence("decode(z, y) must work on a new model"):
            before = module.decode(z, y)
        meaning = "a sample of input_shape for each code"
        subject.require_shape(before, (N, *module.input_shape), "decode(z, y)", meaning)
        module.decode(torch.rand(N, module.latent_dim), other.y)
        if isinstance(module, ReconstructionModule):
            module.reconstruct_batch(other, "val")
        after = module.decode(z, y)
    subject.require(
        torch.equal(before, after),
        "decode(z, y) must depend on its arguments and the weights alone; it changes once another batch was seen: "
        "pass labels as arguments and keep no values of a batch",
    )


def check_steps(subject: Subject, module: ReconstructionModule) -> None:
    """What a step gives at every stage and in prediction, and a training loss that is the mean of its terms."""
    batch = subject.batch(N)
    for stage in STAGES:
        step = copy.deepcopy(module).train(stage == "train")
        state = copy.deepcopy(step.state_dict())
        where = f"in a {stage} step"
        r = step.reconstruct_batch(batch, stage)
        check_terms(subject, step, r, batch, where)
        if stage == "train":
            continue
        with torch.no_grad():
            decoded = step.decode(r.latent.mu, batch.y)
        subject.require(torch.allclose(r.x_hat, decoded, atol=1e-5), f"x_hat {where} must be decoded from latent.mu")
        changed = [name for name, value in step.state_dict().items() if not torch.equal(value, state[name])]
        subject.require(not changed, f"nothing may change the model {where}; {', '.join(changed)} changes")
    step = copy.deepcopy(module).eval()
    check_terms(subject, step, step.predict_step(batch, 0), batch, "in predict_step")
    check_training_step(subject, module, batch)


def check_training_step(subject: Subject, module: ReconstructionModule, batch: Batch) -> None:
    """The same random numbers give the same terms, and `training_step` gives the mean of them."""

    def copied() -> ReconstructionModule:
        torch.manual_seed(1)
        return copy.deepcopy(module).train()

    first, again = (copied().reconstruct_batch(batch, "train") for _ in range(2))
    subject.require(
        torch.equal(first.loss, again.loss),
        "a step must be the same after the same torch.manual_seed; it differs: draw all random numbers with torch",
    )
    if type(module).training_step is ReconstructionModule.training_step:  # else it has an objective of its own
        found, expected = copied().training_step(batch, 0).detach(), first.loss.mean().detach()
        subject.require(
            torch.allclose(found, expected, rtol=1e-5),
            f"training_step must give the mean of nll + penalty over the batch, {expected:g}; it gives {found:g}",
        )


def check_terms(subject: Subject, module: ReconstructionModule, r: Reconstruction, batch: Batch, where: str) -> None:
    """All that a step leaves for the log and for callbacks."""
    n = len(batch.x)
    kind = type(r).__name__
    subject.require(
        isinstance(r, Reconstruction), f"a Reconstruction is what the step must give, not a {kind}, {where}"
    )
    subject.require(torch.equal(r.x, batch.x), f"x {where} must be the clean samples of the batch")
    subject.require(torch.equal(r.y, batch.y), f"y {where} must be the labels of the batch")
    for name in ("x_in", "x_hat"):
        subject.require_shape(getattr(r, name), batch.x.shape, f"{name} {where}", "a sample of input_shape for each x")
    for name in ("mu", "z"):
        meaning = "latent_dim numbers for each sample"
        subject.require_shape(getattr(r.latent, name), (n, module.latent_dim), f"latent.{name} {where}", meaning)
    for name, term in {"penalty": r.penalty, "nll": r.nll, "loss": r.loss, **r.terms}.items():
        subject.require_shape(term, (n,), f"{name} {where}", EACH)
    taken = {"loss", "nll", "penalty"} & r.terms.keys()
    subject.require(not taken, f"terms {where} must have names of their own; {', '.join(taken)} is taken")
    subject.require(
        torch.allclose(r.loss, r.nll + r.penalty, rtol=1e-4, atol=1e-4), f"loss {where} must be nll + penalty"
    )
