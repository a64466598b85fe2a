"""Deterministic autoencoder."""

from lit_ae.models.base import ReconstructionModule


class AE(ReconstructionModule):
    """Deterministic autoencoder: z = f(x), x_hat = g(z), no penalty.

    Hinton & Salakhutdinov 2006, without their pretraining. The publication on stochastic autoencoders calls it DAE, an
    abbreviation that usually means the denoising autoencoder.
    """
