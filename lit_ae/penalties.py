"""Regularisers of the code as pure functions, one value a sample [B] unless they say otherwise."""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lit_ae.nets import Encoder

EPSILON = 1e-6  # how near to 0 and 1 a mean activation is let come


def l1(h: Tensor) -> Tensor:
    """Σ_j |h_j| of each sample [B]; h [B, D]."""
    return h.abs().sum(1)


def kl_sparsity(h: Tensor, rho: float) -> Tensor:
    """Σ_j KL(ρ ‖ ρ̂_j) of a batch, in nats, a scalar; ρ̂_j is unit j's mean activation over h [B, D].

    ρ log(ρ / ρ̂) + (1 - ρ) log((1 - ρ) / (1 - ρ̂)): Ng 2011, "Sparse autoencoder", section 2. The activations are to
    be rates in (0, 1), from a sigmoid; ρ̂ is clipped to [ε, 1 - ε], which keeps the sum finite for any others.
    """
    rate = h.mean(0).clamp(EPSILON, 1 - EPSILON)  # [D]
    target = torch.full_like(rate, rho)
    return (target * (target / rate).log() + (1 - target) * ((1 - target) / (1 - rate)).log()).sum()


def jacobian_norm(encoder: Encoder, x: Tensor, chunk: int = 16) -> Tensor:
    """‖∂h/∂x‖²_F of each sample [B], exact, for h = encoder(x); x [B, *shape].

    Rifai et al. 2011, equation 5. One row of the Jacobian for each code unit, `chunk` rows at a time in one vectorised
    backward pass. Memory is that of one chunk, in training too, where each chunk is made again for its gradient. No
    sample's code may depend on another sample: no batch norm in training mode.
    """
    differentiable = torch.is_grad_enabled()

    def rows(units: Tensor) -> Tensor:  # one-hot [chunk, D] → their part of the sum [B]
        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.clone().requires_grad_()
            h = encoder(leaf)
            v = units.to(h.dtype)[:, None].expand(-1, len(x), -1)  # [chunk, B, D]
            (row,) = torch.autograd.grad(h, leaf, v, create_graph=differentiable, is_grads_batched=True)
        return row.square().flatten(2).sum((0, 2))

    basis = torch.eye(encoder.out_features, dtype=x.dtype, device=x.device)
    parts = [
        checkpoint(rows, units, use_reentrant=False) if differentiable else rows(units) for units in basis.split(chunk)
    ]
    return torch.stack(parts).sum(0)


def jacobian_norm_estimate(h: Tensor, x: Tensor, probes: int = 1) -> Tensor:
    """Unbiased estimate of ‖∂h/∂x‖²_F of each sample [B]; h [B, D] made from the leaf x [B, *shape], which asks for
    its gradient.

    mean over probes of ‖vᵀ ∂h/∂x‖², v of random signs: Hutchinson 1990. Variance of one probe: 2 Σ_{i≠j} (J Jᵀ)²_ij.
    One backward pass a probe; differentiable where gradients are enabled. With batch norm in training mode, samples'
    derivatives by each other's inputs count too.
    """
    total = h.new_zeros(len(h))
    for _ in range(probes):
        v = torch.randint_like(h, 2) * 2 - 1
        (row,) = torch.autograd.grad(h, x, v, retain_graph=True, create_graph=torch.is_grad_enabled())
        total = total + row.square().flatten(1).sum(1)
    return total / probes
