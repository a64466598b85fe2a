"""Regularisers of the code as pure functions, with one value for each sample [B] unless they say otherwise."""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lit_ae.nets import Encoder

EPSILON = 1e-6  # mean activations are clipped to [ε, 1 - ε]


def l1(h: Tensor) -> Tensor:
    """Σ_j |h_j| of each sample [B]; h [B, D]."""
    return h.abs().sum(1)


def kl_sparsity(h: Tensor, rho: float) -> Tensor:
    """Σ_j KL(ρ ‖ ρ̂_j) of a batch in nats, a scalar; ρ̂_j is the mean activation of unit j over h [B, D].

    ρ log(ρ / ρ̂) + (1 - ρ) log((1 - ρ) / (1 - ρ̂)): Ng 2011, "Sparse autoencoder", section 2. Activations should be
    rates in (0, 1), from a sigmoid; ρ̂ is clipped to [ε, 1 - ε], which keeps the sum finite for all other values.
    """
    rate = h.mean(0).clamp(EPSILON, 1 - EPSILON)  # [D]
    target = torch.full_like(rate, rho)
    return (target * (target / rate).log() + (1 - target) * ((1 - target) / (1 - rate)).log()).sum()


def jacobian_norm(encoder: Encoder, x: Tensor, chunk: int = 16) -> Tensor:
    """The exact ‖∂h/∂x‖²_F of each sample [B] for h = encoder(x), x [B, *shape].

    Rifai et al. 2011, equation 5. The Jacobian has one row for each code unit; `chunk` rows are computed at a time in
    one vectorised backward pass. Only one chunk is held in memory, in training as well, where each chunk is computed
    again for its gradient. Encoders with batch norm in training mode are not supported, because the code of a sample
    then depends on the other samples.
    """
    differentiable = torch.is_grad_enabled()

    def rows(units: Tensor) -> Tensor:  # one-hot [chunk, D] → part of the sum [B]
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
    """Unbiased estimate of ‖∂h/∂x‖²_F of each sample [B] for h [B, D], computed from x [B, *shape].

    The mean over probes of ‖vᵀ ∂h/∂x‖² with random signs v (Hutchinson 1990); one probe has the variance
    2 Σ_{i≠j} (J Jᵀ)²_ij and takes one backward pass. x must be a leaf that requires gradients. The estimate is
    differentiable if gradients are enabled. With batch norm in training mode it includes derivatives by the inputs of
    other samples.
    """
    total = h.new_zeros(len(h))
    for _ in range(probes):
        v = torch.randint_like(h, 2) * 2 - 1
        (row,) = torch.autograd.grad(h, x, v, retain_graph=True, create_graph=torch.is_grad_enabled())
        total = total + row.square().flatten(1).sum(1)
    return total / probes
