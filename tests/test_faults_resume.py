"""Weights of a training that is killed twice at random steps and resumed, against those of an uninterrupted one."""

import hashlib
import random

import pytest
import torch
from fault_tools import Command, found, new_store, settings

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]
FAMILIES = {
    "AE": ("ae", []),
    "VAE": ("vae", []),
    "DCGAN": ("dcgan", []),
    "DEC": ("dec", ["--model.pretrain_epochs=2", "--model.tolerance=0"]),
}
EPOCHS, STEPS = 6, 4  # in an epoch, of 60 digits in batches of 16


def digest(folder):
    """SHA-256 of the names, types, shapes and bytes of all entries of the newest run's state_dict."""
    paths = folder.glob("mlruns/artifacts/*/artifacts/checkpoints/last.ckpt")
    state = torch.load(max(paths, key=lambda path: path.stat().st_mtime), weights_only=True)["state_dict"]
    sha = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.contiguous().numpy().tobytes())
    return sha.hexdigest(), len(state)


@pytest.mark.parametrize("name", FAMILIES)
def test_weights_after_two_kills(empty_store, tmp_path, name, request):
    model, options = FAMILIES[name]
    fit = ["fit", *settings(model, EPOCHS), *options, "--resume=true"]
    whole, killed = (new_store(empty_store, tmp_path / kind) for kind in ("whole", "killed"))
    plain = Command(whole, *fit)
    assert plain.wait() == 0, plain.log
    drawn, steps = random.Random(name), []
    nets = 2 if name == "DCGAN" else 1  # each step of a GAN is one of either network
    before = 2 * STEPS if name == "DEC" else 0  # steps of its pretraining, which no checkpoint is written in
    for low, high, first in ((STEPS + 1, 3 * STEPS, before), (STEPS + 1, 2 * STEPS, 0)):
        steps.append(first + drawn.randrange(nets * low, nets * high))
        command = Command(killed, *fit, "--trainer.callbacks+=fault_tools.KilledAt", KILLED_AT=str(steps[-1]))
        assert command.wait() == -9, command.log
    last = Command(killed, *fit)
    assert last.wait() == 0, last.log
    assert found(killed).statuses == ["FINISHED"]
    (ours, n), (theirs, _) = digest(killed), digest(whole)
    request.node.user_properties.append(("resumed", (name, f"{steps[0]}, then {steps[1]}", n, theirs, ours)))
    assert ours == theirs
