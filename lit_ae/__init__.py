"""Autoencoder families compared: Lightning, MLflow, and honest statistics.

From Python: `lit_ae.VAE(input_shape=(1, 28, 28), latent_dim=16)` is a LightningModule that a plain `lightning.Trainer`
trains, `lit_ae.load` gives back a trained model, `lit_ae.scores` scores arrays, `lit_ae.compare` tests two models
across seeds, and `lit_ae.runs` lists the runs of the MLflow store. Each name is imported when it is first used.

>>> import lit_ae
>>> lit_ae.VAE(input_shape=(1, 28, 28), latent_dim=16).latent_dim
16
>>> {"VAE", "load", "scores"} <= set(dir(lit_ae))
True
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lit_ae import samplers as samplers
    from lit_ae import scores as scores
    from lit_ae import sklearn as sklearn
    from lit_ae import testing as testing
    from lit_ae.api.compare import Comparison as Comparison
    from lit_ae.api.compare import compare as compare
    from lit_ae.api.load import load as load
    from lit_ae.api.load import load_data as load_data
    from lit_ae.api.predictions import load_predictions as load_predictions
    from lit_ae.api.runs import runs as runs
    from lit_ae.data import CIFAR10 as CIFAR10
    from lit_ae.data import MNIST as MNIST
    from lit_ae.data import Array as Array
    from lit_ae.data import Digits as Digits
    from lit_ae.data import FashionMNIST as FashionMNIST
    from lit_ae.data import FreyFaces as FreyFaces
    from lit_ae.data import Genes as Genes
    from lit_ae.data import OneHot as OneHot
    from lit_ae.data import PhotoPatches as PhotoPatches
    from lit_ae.data import Shapes as Shapes
    from lit_ae.errors import SettingError as SettingError
    from lit_ae.export import from_pretrained as from_pretrained
    from lit_ae.export import save_pretrained as save_pretrained
    from lit_ae.models import AE as AE
    from lit_ae.models import DEC as DEC
    from lit_ae.models import DIPVAE as DIPVAE
    from lit_ae.models import GAN as GAN
    from lit_ae.models import IWAE as IWAE
    from lit_ae.models import NMN as NMN
    from lit_ae.models import PCA as PCA
    from lit_ae.models import RAE as RAE
    from lit_ae.models import RAEGP as RAEGP
    from lit_ae.models import RAESN as RAESN
    from lit_ae.models import RBM as RBM
    from lit_ae.models import SAE as SAE
    from lit_ae.models import VAE as VAE
    from lit_ae.models import VQVAE as VQVAE
    from lit_ae.models import WAE as WAE
    from lit_ae.models import WAEGAN as WAEGAN
    from lit_ae.models import BetaTCVAE as BetaTCVAE
    from lit_ae.models import Classifier as Classifier
    from lit_ae.models import ConditionalAE as ConditionalAE
    from lit_ae.models import ConditionalVAE as ConditionalVAE
    from lit_ae.models import ContractiveAE as ContractiveAE
    from lit_ae.models import DenoisingAE as DenoisingAE
    from lit_ae.models import FactorVAE as FactorVAE
    from lit_ae.models import Hopfield as Hopfield
    from lit_ae.models import InfoVAE as InfoVAE
    from lit_ae.models import SparseAE as SparseAE
    from lit_ae.models import VampPriorVAE as VampPriorVAE
    from lit_ae.samplers import FittedGaussian as FittedGaussian
    from lit_ae.samplers import Flow as Flow
    from lit_ae.samplers import FlowMatching as FlowMatching
    from lit_ae.samplers import Mixture as Mixture
    from lit_ae.samplers import Normal as Normal
    from lit_ae.samplers import TwoStageVAE as TwoStageVAE

_MODULES = ("samplers", "scores", "sklearn", "testing")
_NAMES = {  # by the module that they are imported from, as above
    "api.compare": "Comparison compare",
    "api.load": "load load_data",
    "api.predictions": "load_predictions",
    "api.runs": "runs",
    "data": "CIFAR10 MNIST Array Digits FashionMNIST FreyFaces Genes OneHot PhotoPatches Shapes",
    "errors": "SettingError",
    "export": "from_pretrained save_pretrained",
    "models": (
        "AE BetaTCVAE Classifier ConditionalAE ConditionalVAE ContractiveAE DEC DIPVAE DenoisingAE FactorVAE GAN "
        "Hopfield IWAE InfoVAE NMN PCA RAE RAEGP RAESN RBM SAE SparseAE VAE VQVAE VampPriorVAE WAE WAEGAN"
    ),
    "samplers": "FittedGaussian Flow FlowMatching Mixture Normal TwoStageVAE",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [*_MODULES, *_HOMES]  # noqa: PLE0604 - they are all names


if not TYPE_CHECKING:  # a type checker sees the imports above, and reports any other name

    def __getattr__(name):
        """Import a name when it is first used (PEP 562)."""
        from importlib import import_module

        if name in _MODULES:
            return import_module(f"lit_ae.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'lit_ae' has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f"lit_ae.{_HOMES[name]}"), name)
        return found

    def __dir__():
        """All names, imported or not."""
        return sorted({*globals(), *__all__})
