"""Colour images through training, scores and figures: the report on CIFAR-10, on files made in its format."""

import numpy as np
import pytest
import torch
from PIL import Image
from test_data_files import cifar  # noqa: F401 - a fixture

from lit_ae import load, load_data, tracking
from lit_ae.settings.files import config_folder
from lit_ae.studies.jobs import jobs
from lit_ae.studies.load import load_study

STUDY = load_study(config_folder().parent / "experiments" / "stochastic_cifar10.yaml")
SMALL = ("--model.encoder.channels=[8,16,32]", "--model.decoder.channels=[32,16,8]")
SMALL_GAN = ("--model.decoder.width=8", "--model.discriminator.width=8")
UNLIKE_AN_AE = {"DCGAN"}  # without an encoder


def is_coloured(path):
    """Whether a share of a picture is not grey, as text and images of one channel are."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return bool((pixels.max(2) > pixels.min(2)).mean() > 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("cifar", [30], indirect=True)
@pytest.mark.parametrize("row", STUDY.models)
def test_a_row_of_the_full_profile_on_made_files(row, cifar, store, lit_ae, tmp_path, monkeypatch):  # noqa: F811
    cifar.path.write_bytes(cifar.content)
    monkeypatch.setenv("LIT_AE_DATA", str(cifar.root))
    job = next(job for job in jobs(STUDY, STUDY.profile("full")) if job.model == row)
    files = []
    for name, text in job.configs:
        (tmp_path / name).write_text(text)
        files += ["--config", str(tmp_path / name)]
    small = SMALL_GAN if row in UNLIKE_AN_AE else (*SMALL, "--model.latent_dim=4")
    settings = (*files, *job.args, *small, "--trainer.max_epochs=1", "--trainer.accelerator=cpu")
    assert lit_ae("fit", *settings) == 0
    assert lit_ae("test", *settings) == 0
    (run,) = tracking.search("lit_ae", kind="single")

    generated = ("fid", "is", "fd_lite0", "kid_lite0")
    wanted = {
        column.metric
        for column in STUDY.columns
        if row not in UNLIKE_AN_AE or (column.metric.endswith("/normal") and column.metric.split("/")[1] in generated)
    }
    assert wanted <= run.metrics.keys()
    assert all(np.isfinite(run.metrics[name]) for name in wanted)
    shown = {figure.name for figure in STUDY.figures if row in figure.models}
    drawn = {path.stem: path for path in run.artifact("figures").glob("*.png")}
    assert shown <= drawn.keys()
    assert row in UNLIKE_AN_AE or {"tsne", "umap"} <= drawn.keys()
    assert all(is_coloured(drawn[name]) for name in shown)

    if row not in UNLIKE_AN_AE:
        model, data = load(run.id), load_data(run.id)
        train, test = (data.split(name).x.numpy() / 255 for name in ("train", "test"))
        with torch.no_grad():
            found = model.reconstruct(torch.tensor(test, dtype=torch.float32)).numpy()
        mean, std = train.mean(), train.std()  # over all pixels of all channels
        assert run.metrics["test/mse"] == pytest.approx(np.square(test - found).mean(), rel=1e-4)
        standardised = np.square((test - mean) / std - ((found - mean) / std).clip(0, 1)).mean()
        assert run.metrics["test/mse_standardised"] == pytest.approx(standardised, rel=1e-4)
