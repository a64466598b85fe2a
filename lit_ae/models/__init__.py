"""Model families, one file each."""

from lit_ae.models.ae import AE
from lit_ae.models.base import GenerativeModule, Latent, Reconstruction, ReconstructionModule
from lit_ae.models.gan import GAN
from lit_ae.models.stochastic import SAE
from lit_ae.models.vae import VAE

__all__ = ["AE", "GAN", "SAE", "VAE", "GenerativeModule", "Latent", "Reconstruction", "ReconstructionModule"]
