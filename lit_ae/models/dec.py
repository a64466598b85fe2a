"""Deep embedded clustering."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from lit_ae.data.base import Batch
from lit_ae.errors import SettingError
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.models.pretrained import load_pretrained, saved_part
from lit_ae.models.training_pass import descend, training_batches


class DEC(ReconstructionModule):
    """An autoencoder whose codes are drawn to cluster centres (Xie et al. 2016); penalty KL(p ‖ q).

    A plain AE is trained for `pretrain_epochs`, or read from a checkpoint, before the trainer's epochs; KMeans on its
    codes places the centres. q (equation 1) are soft assignments, p (equation 3) the same sharpened, of the encoder and
    centres as they stood when the epoch began. Training stops once fewer than `tolerance` of the samples change
    cluster over an epoch. The paper drops the decoder: with `reconstruction` 0 it is left as it is and
    reconstructs ever worse; above 0 it is trained on (IDEC, Guo et al. 2017).

    Args:
        clusters: number K of centres.
        pretrain_epochs: of the plain AE, on top of the trainer's.
        pretrained: checkpoint of a trained AE with the same nets, instead of `pretrain_epochs`.
        reconstruction: weight of nll beside the penalty while clustering.
        tolerance: share of samples; the paper's is 0.001.
        seed: of KMeans.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: fewer than two clusters, a negative setting, a checkpoint that does not fit.
    """

    frequency: Tensor  # [K], f of equation 3

    def __init__(
        self,
        clusters: int = 10,
        pretrain_epochs: int = 20,
        pretrained: str | None = None,
        reconstruction: float = 0.0,
        tolerance: float = 0.001,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        least = {"clusters": (clusters, 2), "pretrain_epochs": (pretrain_epochs, 0), "tolerance": (tolerance, 0)}
        for setting, (value, bound) in (least | {"reconstruction": (reconstruction, 0)}).items():
            if value < bound:
                raise SettingError(f"model.{setting} is {value}: it must be at least {bound}")
        self.pretrain_epochs, self.pretrained, self.seed = pretrain_epochs, pretrained, seed
        self.reconstruction, self.tolerance = reconstruction, tolerance
        self.centres = nn.Parameter(torch.randn(clusters, self.latent_dim))  # [K, D]
        self.register_buffer("frequency", torch.ones(clusters))
        self.initial = FrozenClusters(self.encoder, self.centres)  # the plain AE with KMeans
        self.teacher = FrozenClusters(self.encoder, self.centres)  # as the epoch began

    def assign(self, x: Tensor) -> Tensor:
        """Soft assignments q of x [B, *shape], [B, K]."""
        return student_t(self.encoder(x), self.centres)

    def penalty(self, x_in: Tensor, latent: Latent) -> Tensor:
        """KL(p ‖ q) of each sample [B], p held fixed."""
        p = sharpened(self.teacher(x_in), self.frequency)
        return torch.xlogy(p, p / student_t(latent.mu, self.centres)).sum(1)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """mean(reconstruction · nll + KL)."""
        r = self._step(batch, "train")
        return (self.reconstruction * r.nll + r.penalty).mean()

    def on_train_start(self) -> None:
        """A trained AE, centres by KMeans and the first target; where training goes on, the target alone."""
        if not self.trainer.ckpt_path:
            self._train_autoencoder()
            self.initial.load(self.encoder, self.centres)
            codes = torch.cat([self.initial.codes(x) for x, _ in training_batches(self)])
            self.centres.data.copy_(kmeans_centres(codes, len(self.centres), self.seed))
            self.initial.load(self.encoder, self.centres)
        self._clusters = self._renew_target()

    def on_train_epoch_end(self) -> None:
        """The next target; stop where hardly any sample has changed its cluster."""
        super().on_train_epoch_end()
        before, self._clusters = self._clusters, self._renew_target()
        changed = (before != self._clusters).double().mean().item()
        self.log("train/changed_assignments", changed)
        if changed < self.tolerance:
            self.trainer.should_stop = True

    def _renew_target(self) -> Tensor:
        """The teacher as of now, and the cluster of each training sample by it, [N]."""
        self.teacher.load(self.encoder, self.centres)
        q = torch.cat([self.teacher(x) for x, _ in training_batches(self)])  # [N, K]
        self.frequency.copy_(q.sum(0))
        return q.argmax(1)

    def _train_autoencoder(self) -> None:
        if self.pretrained is None:
            parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
            descend(self, self.optimizer(parameters), self._nll, self.pretrain_epochs)
            return
        for name, part in (("encoder", self.encoder), ("decoder", self.decoder)):
            load_pretrained(part, saved_part(self.pretrained, name), self.pretrained)

    def _nll(self, x: Tensor) -> Tensor:
        return self.likelihood.fit(self.decoder(self.encoder(x)), x).nll


class FrozenClusters(nn.Module):
    """An encoder with its centres as they were at one time: buffers of a checkpoint, nothing to train."""

    centres: Tensor

    def __init__(self, encoder: nn.Module, centres: Tensor) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder)
        for part in self.encoder.modules():
            for name, parameter in list(part.named_parameters(recurse=False)):
                delattr(part, name)
                part.register_buffer(name, parameter.detach())
        self.register_buffer("centres", centres.detach().clone())

    def load(self, encoder: nn.Module, centres: Tensor) -> None:
        """Become a copy of these."""
        self.encoder.load_state_dict(encoder.state_dict())
        self.centres.copy_(centres.detach())

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Codes [B, D], without dropout and on the norms' running statistics."""
        self.eval()
        z: Tensor = self.encoder(x)
        return z

    def forward(self, x: Tensor) -> Tensor:
        """Soft assignments of x [B, *shape], [B, K]."""
        return student_t(self.codes(x), self.centres)


def student_t(z: Tensor, centres: Tensor) -> Tensor:
    """q_ij ∝ 1 / (1 + ‖z_i - μ_j‖²) of codes [B, D] and centres [K, D], [B, K] (Xie et al. 2016, equation 1, α = 1)."""
    kernel = 1 / (1 + (z.unsqueeze(1) - centres).square().sum(2))
    return kernel / kernel.sum(1, keepdim=True)


def sharpened(q: Tensor, frequency: Tensor) -> Tensor:
    """p_ij ∝ q_ij² / f_j of assignments q [B, K] and cluster frequencies f [K] (Xie et al. 2016, equation 3)."""
    weight = q.square() / frequency
    return weight / weight.sum(1, keepdim=True)


def kmeans_centres(codes: Tensor, clusters: int, seed: int) -> Tensor:
    """Centres [K, D] of KMeans, best of 20 starts, on codes [N, D].

    Raises:
        SettingError: fewer codes than clusters.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if len(codes) < clusters:
        raise SettingError(f"model.clusters is {clusters} but there are {len(codes)} training samples: lower it")
    with threadpool_limits(1, "openmp"):  # threads add in any order, and the last bits change from run to run
        kmeans = KMeans(clusters, n_init=20, random_state=seed).fit(codes.cpu().double().numpy())
    return torch.as_tensor(kmeans.cluster_centers_, dtype=codes.dtype, device=codes.device)
