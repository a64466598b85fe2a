"""Validation draws random numbers of its own: how and how often it is done changes no weight that is trained."""

import pytest
import torch
from test_families import QUICK, UNLIKE, VECTORS, build, trainer

from lit_ae.data.digits import Digits
from lit_ae.data.one_hot import OneHot


def trained(name, **settings):
    """The trainer and the weights after two epochs of three batches."""
    vectors, sizes = name in VECTORS, {"batch_size": 32, "eval_batch_size": 32}
    run, model = trainer(2, **settings), build(name, **QUICK.get(name, {}))
    run.fit(model, datamodule=OneHot(n=8, repeats=9, **sizes) if vectors else Digits(limit=70, **sizes))
    return run, model.state_dict()


@pytest.mark.parametrize("name", UNLIKE)
def test_weights_do_not_depend_on_validation(name):
    (_, expected), (_, found) = trained(name), trained(name, limit_val_batches=0)
    assert all(torch.equal(found[key], value) for key, value in expected.items())


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_validation_draws_the_same_with_the_same_seed(name):
    run, _ = trained(name)
    of_training = {key: value for key, value in run.callback_metrics.items() if key.startswith("val/")}
    for seed, same in ((0, True), (1, False)):
        torch.manual_seed(seed)
        run.validate(run.lightning_module, datamodule=run.datamodule, verbose=False)
        assert ({key: run.callback_metrics[key] for key in of_training} == of_training) == same
