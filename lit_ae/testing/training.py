"""The part of the contract that a short training shows."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lit_ae.models.closed_form import ClosedFormModule
from lit_ae.models.plain_trainer import plain_trainer
from lit_ae.models.tracked import Stage, TrackedModule
from lit_ae.testing.subject import Subject, metrics_of_test


@dataclass
class Training:
    """An epoch and the test after it."""

    module: TrackedModule
    before: dict[str, Tensor]  # the state before
    metrics: dict[str, float] = field(default_factory=dict)
    terms: dict[Stage, dict[str, list[Tensor]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    reached: set[str] = field(default_factory=set)  # parameters that got a gradient other than 0


def trained(subject: Subject) -> Training:
    """Train for an epoch and test, and keep what is needed to see whether all was right."""
    module = subject.build()
    result = Training(module, {name: value.clone() for name, value in module.state_dict().items()})
    track = module.track

    def watched(stage: Stage, **terms: Tensor) -> None:
        for name, term in terms.items():
            single = isinstance(term, Tensor) and term.ndim == 1
            subject.require(single, f"{stage}/{name} must be tracked with one value for each sample of the batch, [B]")
            result.terms[stage][name].append(term.detach().clone())
        track(stage, **terms)

    def gradient(name: str, value: Tensor) -> None:
        subject.require(bool(value.isfinite().all()), f"gradients must be finite; that of {name} is not")
        if value.any():
            result.reached.add(name)

    hooks = [
        parameter.register_hook(lambda value, name=name: gradient(name, value))
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    ]
    module.track = watched  # type: ignore[method-assign]
    trainer = plain_trainer()
    trainer.fit(module, subject.loader(shuffle=True), subject.loader())
    result.metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    result.metrics |= metrics_of_test(subject, module)
    del module.track
    for hook in hooks:
        hook.remove()
    return result


def check_training(subject: Subject) -> TrackedModule:
    """An epoch, its logged values, and the same once more; gives the trained model."""
    first, again = trained(subject), trained(subject)
    check_parameters(subject, first)
    check_logged(subject, first)
    differing = sorted(name for name in first.metrics if first.metrics[name] != again.metrics.get(name))
    subject.require(
        not differing,
        f"the same seed must give the same metrics; {', '.join(differing)} differ: draw all random numbers from "
        "torch's generator, and keep nothing between two models",
    )
    by_bytes, by_floats = (metrics_of_test(subject, first.module, floats) for floats in (False, True))
    differing = sorted(name for name in by_bytes if not math.isclose(by_bytes[name], by_floats[name], rel_tol=1e-5))
    subject.require(not differing, f"bytes must give what their floats in [0, 1] give; {', '.join(differing)} differ")
    return first.module


def check_parameters(subject: Subject, training: Training) -> None:
    """Every parameter that asks for a gradient got one and has changed."""
    wanted = {name for name, parameter in training.module.named_parameters() if parameter.requires_grad}
    if not isinstance(training.module, ClosedFormModule):
        ignored = sorted(wanted - training.reached)
        subject.require(not ignored, f"the loss must depend on every parameter; {', '.join(ignored)} got no gradient")
    after = training.module.state_dict()
    same = {name for name, value in after.items() if torch.equal(value, training.before[name])}
    subject.require(
        not wanted & same, f"an epoch must change every parameter; {', '.join(sorted(wanted & same))} stayed the same"
    )
    subject.require(same != after.keys(), "an epoch must change the model, and all its state stayed the same")


def check_logged(subject: Subject, training: Training) -> None:
    """Each stage logs finite means over its samples, the last and smaller batch not weighing more than its share."""
    for name, value in training.metrics.items():
        subject.require(math.isfinite(value), f"metrics must be finite; {name} is {value}")
    for stage in ("train", "val", "test"):
        terms = training.terms[stage]
        subject.require(bool(terms), f"a {stage} step must track its terms, by name; it tracks none")
        for name, parts in terms.items():
            values, key = torch.cat(parts).double(), f"{stage}/{name}"
            n = len(subject.x)
            subject.require(
                len(values) == n, f"{key} must be tracked once for each of {n} samples, and has {len(values)} values"
            )
            found, expected = training.metrics.get(key, math.nan), values.mean().item()
            subject.require(
                math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-7),
                f"{key} must be logged as the mean over samples, {expected:g}; it is {found:g}",
            )


def check_not_a_number(subject: Subject) -> None:
    """A loss that is not a number stops training before the first step."""
    module = subject.build()
    net = getattr(module, "decoder", None) or getattr(module, "encoder", None)
    if not isinstance(net, nn.Module):
        return
    net.register_forward_hook(lambda _module, _inputs, output: output * math.nan)
    trainer = plain_trainer()
    sentence = "training must stop with a FloatingPointError at the first loss that is not a number"
    found: Any = "it goes on"
    try:
        trainer.fit(module, subject.loader(shuffle=True))
    except FloatingPointError:
        found = f"it stops after {trainer.global_step} steps" if trainer.global_step else None
    except Exception as error:
        found = f"it raises {type(error).__name__}: {error}"
    subject.require(found is None, f"{sentence}; {found}")
