"""Model families, one file each. Importing this package makes their class names known to the command line."""

from lit_ae.models.ae import AE
from lit_ae.models.base import GenerativeModule, Latent, Reconstruction, ReconstructionModule
from lit_ae.models.beta_tcvae import BetaTCVAE
from lit_ae.models.classifier import Classifier
from lit_ae.models.conditional_ae import ConditionalAE
from lit_ae.models.conditional_vae import ConditionalVAE
from lit_ae.models.contractive_ae import ContractiveAE
from lit_ae.models.dec import DEC
from lit_ae.models.denoising_ae import DenoisingAE
from lit_ae.models.dip_vae import DIPVAE
from lit_ae.models.factor_vae import FactorVAE
from lit_ae.models.gan import GAN
from lit_ae.models.hopfield import Hopfield
from lit_ae.models.info_vae import InfoVAE
from lit_ae.models.iwae import IWAE
from lit_ae.models.nmn import NMN
from lit_ae.models.pca import PCA
from lit_ae.models.rae import RAE
from lit_ae.models.rae_gp import RAEGP
from lit_ae.models.rae_sn import RAESN
from lit_ae.models.rbm import RBM
from lit_ae.models.sae import SAE
from lit_ae.models.sparse_ae import SparseAE
from lit_ae.models.vae import VAE
from lit_ae.models.vamp_prior_vae import VampPriorVAE
from lit_ae.models.vq_vae import VQVAE
from lit_ae.models.wae import WAE
from lit_ae.models.wae_gan import WAEGAN

__all__ = [
    "AE",
    "DEC",
    "DIPVAE",
    "GAN",
    "IWAE",
    "NMN",
    "PCA",
    "RAE",
    "RAEGP",
    "RAESN",
    "RBM",
    "SAE",
    "VAE",
    "VQVAE",
    "WAE",
    "WAEGAN",
    "BetaTCVAE",
    "Classifier",
    "ConditionalAE",
    "ConditionalVAE",
    "ContractiveAE",
    "DenoisingAE",
    "FactorVAE",
    "GenerativeModule",
    "Hopfield",
    "InfoVAE",
    "Latent",
    "Reconstruction",
    "ReconstructionModule",
    "SparseAE",
    "VampPriorVAE",
]
