"""FID and Inception Score of every sampler."""

from typing import Literal

import torch
from lightning.pytorch import Trainer

from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, as_images, datamodule
from lit_ae.metrics.extractors import FeatureExtractor, Features, extract

_REFERENCE: dict[tuple[str, str, str], Features] = {}  # kept between runs of one process; see `_reference`


class GenerationScores(ScoreCallback):
    """`fid/SAMPLER`, `is/SAMPLER` and `is_std/SAMPLER`, with the protocol that gives them meaning.

    Heusel et al. 2017, equation 6; Salimans et al. 2016, section 4. Reference: the split at hand.

    Args:
        extractor: `lenet`, trained on the data's own labels, or `inception`; never mixed in one table.
        inception_weights: file of the torch-fidelity Inception weights; torchmetrics' download where null.
        n: images generated for each sampler; as many as the reference split holds where null.
        splits: of the Inception Score.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True
    needs_codes = False
    rank_zero = False

    def __init__(
        self,
        extractor: Literal["lenet", "inception"] = "lenet",
        inception_weights: str | None = None,
        n: int | None = None,
        splits: int = 10,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        self.extractor, self.inception_weights, self.n, self.splits = extractor, inception_weights, n, splits

    def _extractor(self, trainer: Trainer) -> FeatureExtractor:
        device = trainer.strategy.root_device
        if self.extractor == "inception":
            from lit_ae.metrics.inception import InceptionExtractor

            return InceptionExtractor(self.inception_weights).to(device)
        from lit_ae.metrics.lenet import LeNetExtractor

        with torch.inference_mode(False), torch.enable_grad():  # it may have to be trained first
            return LeNetExtractor.for_data(datamodule(trainer), device)

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """FID and IS of each sampler."""
        from lit_ae.metrics.frechet import FrechetDistance
        from lit_ae.metrics.inception_score import InceptionScore

        extractor = self._extractor(trainer)
        split = "test" if trainer.testing else "val"
        images = datamodule(trainer).split(split).x  # type: ignore[arg-type]
        n = self.n or len(images)
        real = self._reference(trainer, extractor, split)
        values: dict[str, float] = {}
        for name, sampler in evaluation.samplers(trainer).items():
            fake = extract(extractor, evaluation.generate(trainer, sampler, n), progress=f"features of {name} samples")
            fid = FrechetDistance(extractor.num_features).to(extractor.device)
            fid.update(real.features, real=True)
            fid.update(fake.features, real=False)
            score = InceptionScore(self.splits).to(extractor.device)
            score.update(fake.probs)
            mean, std = score.compute()
            values |= {
                f"fid/{name}": fid.compute().item(),
                f"is/{name}": mean.item(),
                f"is_std/{name}": std.item(),
            }
        evaluation.protocol |= {
            **extractor.description(),
            "generated": f"{n:,} images a sampler",
            "reference": f"{split} split, {len(images):,} images",
            "inception_score_splits": self.splits,
        }
        return values

    def _reference(self, trainer: Trainer, extractor: FeatureExtractor, split: str) -> Features:
        """This rank's share of the reference split's features; runs of one process share them."""
        data = datamodule(trainer)
        share = f"{trainer.global_rank} of {trainer.world_size}"
        key = (data.digest(), f"{split} {extractor.description()}", share)
        if key not in _REFERENCE:
            x = data.split(split).x[trainer.global_rank :: trainer.world_size]  # type: ignore[arg-type]
            _REFERENCE.clear()
            _REFERENCE[key] = extract(extractor, as_images(x, trainer.lightning_module), progress="reference features")
        return _REFERENCE[key]
