"""Whether it matters in which precision a convolutional autoencoder is trained."""

from functools import partial

import lightning.pytorch as pl
import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lit_ae.data.digits import Digits
from lit_ae.models import AE
from lit_ae.nets.conv import ConvDecoder, ConvEncoder
from lit_ae.objectives.likelihoods import Gaussian

SEEDS = range(8)


def scores(precision, seed):
    """Mean squared error and accuracy of a linear probe on test digits, after training on 700 digits."""
    pl.seed_everything(seed, verbose=False)
    data = Digits(limit=700, batch_size=32)
    nets = {"encoder": partial(ConvEncoder, channels=[32, 64]), "decoder": partial(ConvDecoder, channels=[64, 32])}
    model = AE((1, 28, 28), latent_dim=32, likelihood=Gaussian(pixels="mean"), **nets)
    quiet = {f"enable_{what}": False for what in ("checkpointing", "progress_bar", "model_summary")}
    trainer = pl.Trainer(max_epochs=20, accelerator="cpu", precision=precision, logger=False, **quiet)
    trainer.fit(model, data)
    (found,) = trainer.test(model, data, verbose=False)
    train, test = data.split("train"), data.split("test")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(model.embed(train.x).numpy(), train.y.numpy())
    return found["test/mse"], probe.score(model.embed(test.x).numpy(), test.y.numpy())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_bfloat16_and_float32_agree_within_the_noise_of_the_seeds(record_property):
    """Two one-sided t-tests, paired by seed (Schuirmann 1987): the mean difference is below the noise of one seed.

    The bound is the standard deviation of the float32 runs over the seeds: a mean difference below it is smaller than
    what another seed would change. At 5 %, the 90 % interval of the mean difference has to lie within the bound.
    """
    single, reduced = (np.array([scores(precision, s) for s in SEEDS]) for precision in ("32-true", "bf16-mixed"))
    difference, bound = reduced - single, single.std(0, ddof=1)
    half = stats.t.ppf(0.95, len(SEEDS) - 1) * difference.std(0, ddof=1) / len(SEEDS) ** 0.5
    for name, mean, d, h, b in zip(("mse", "probe"), single.mean(0), difference.mean(0), half, bound, strict=True):
        record_property(name, f"float32 {mean:.4g}; difference {d:.2g} ± {h:.2g} (90 %), bound {b:.2g}")
    assert not np.array_equal(single, reduced)
    assert (np.abs(difference.mean(0)) + half < bound).all(), (difference, bound)
