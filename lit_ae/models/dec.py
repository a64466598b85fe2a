"""Deep embedded clustering."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from lit_ae.data.containers import Batch
from lit_ae.errors import SettingError, require_at_least
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.models.checkpoints import load_pretrained, saved_part
from lit_ae.models.training_pass import descend, training_batches
from lit_ae.nets.precision import full


class DEC(ReconstructionModule):
    """Deep embedded clustering: the penalty KL(p ‖ q) pulls codes to cluster centres (Xie et al. 2016).

    Before the trainer's epochs a plain AE is trained for `pretrain_epochs`, or read from a checkpoint, and KMeans on
    its codes gives the initial centres. q (equation 1) are the soft assignments of samples to clusters; p (equation 3)
    is the sharpened q of encoder and centres at the start of the epoch. Training stops when less than a share
    `tolerance` of the samples changes cluster in an epoch. The paper discards the decoder: with `reconstruction` 0 it
    is not trained any further, so that reconstructions get worse; above 0 it is (IDEC, Guo et al. 2017). The logged
    `loss` is nll + KL as for all families, which rises while the codes are clustered: to choose a checkpoint, watch
    `val/penalty`, the KL.

    Args:
        clusters: number K of clusters.
        pretrain_epochs: epochs of the plain AE, in addition to the trainer's.
        pretrained: checkpoint of a trained AE with the same networks, which replaces `pretrain_epochs`.
        reconstruction: weight of nll in the loss while clustering.
        tolerance: share of samples below which training stops; 0.001 in the paper.
        seed: seed of KMeans.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: fewer than two clusters, a negative setting, or a checkpoint that does not fit.
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
        require_at_least(2, "model.{}", clusters=clusters)
        not_negative = {"pretrain_epochs": pretrain_epochs, "reconstruction": reconstruction, "tolerance": tolerance}
        require_at_least(0, "model.{}", **not_negative)
        self.pretrain_epochs, self.pretrained, self.seed = pretrain_epochs, pretrained, seed
        self.reconstruction, self.tolerance = reconstruction, tolerance
        self.centres = nn.Parameter(torch.randn(clusters, self.latent_dim))  # [K, D]
        self.register_buffer("frequency", torch.ones(clusters))
        self.initial = FrozenClusters(self.encoder, self.centres)  # the plain AE and the centres from KMeans
        self.teacher = FrozenClusters(self.encoder, self.centres)  # encoder and centres at the start of the epoch

    def assign(self, x: Tensor) -> Tensor:
        """Soft assignments q [B, K] of x [B, *shape]."""
        return student_t(self.encoder(x), self.centres)

    def assign_initially(self, x: Tensor) -> Tensor:
        """Soft assignments [B, K] of x [B, *shape] by the plain AE and KMeans, before DEC's own training."""
        q: Tensor = self.initial(x)
        return q

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> Tensor:
        """KL(p ‖ q) of each sample [B], where p is constant."""
        p = sharpened(self.teacher(x_in), self.frequency)
        return torch.xlogy(p, p / student_t(latent.mu, self.centres)).sum(1)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """mean(reconstruction · nll + KL)."""
        r = self._step(batch, "train")
        return (self.reconstruction * r.nll + r.penalty).mean()

    def on_train_start(self) -> None:
        """Train the AE, place the centres by KMeans and compute the first p; a checkpoint holds all of these."""
        super().on_train_start()
        if self.trainer.ckpt_path:
            self._clusters = self._assign_all().argmax(1)
            return
        self._train_autoencoder()
        self.initial.load(self.encoder, self.centres)
        codes = torch.cat([self.initial.codes(x) for x, _ in training_batches(self)])
        self.centres.data.copy_(kmeans_centres(codes, len(self.centres), self.seed))
        self.initial.load(self.encoder, self.centres)
        self._clusters = self._renew_target()

    def on_train_epoch_end(self) -> None:
        """Compute the next p, and stop if hardly any sample has changed its cluster."""
        super().on_train_epoch_end()
        before, self._clusters = self._clusters, self._renew_target()
        changed = (before != self._clusters).double().mean().item()
        self.log("train/changed_assignments", changed)
        if changed < self.tolerance:
            self.trainer.should_stop = True

    def _renew_target(self) -> Tensor:
        """Set the teacher to the present encoder and centres; return its cluster of each training sample, [N]."""
        self.teacher.load(self.encoder, self.centres)
        q = self._assign_all()
        self.frequency.copy_(q.sum(0))
        return q.argmax(1)

    def _assign_all(self) -> Tensor:
        """The teacher's soft assignments [N, K] of the training samples."""
        return torch.cat([self.teacher(x) for x, _ in training_batches(self)])

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
    """A copy of an encoder and its centres at some time; stored in checkpoints as buffers and never trained."""

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
        """Copy the weights of an encoder and centres of the same shapes."""
        self.encoder.load_state_dict(encoder.state_dict())
        self.centres.copy_(centres.detach())

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Codes [B, D] in evaluation mode: without dropout, and with the running statistics of norms."""
        self.eval()
        z: Tensor = self.encoder(x)
        return z

    def forward(self, x: Tensor) -> Tensor:
        """Soft assignments [B, K] of x [B, *shape]."""
        return student_t(self.codes(x), self.centres)


def student_t(z: Tensor, centres: Tensor) -> Tensor:
    """q_ij ∝ 1 / (1 + ‖z_i - μ_j‖²), [B, K], of codes [B, D], centres [K, D] (Xie et al. 2016, equation 1, α = 1)."""
    z, centres = full(z), full(centres)
    kernel = 1 / (1 + (z.unsqueeze(1) - centres).square().sum(2))
    return kernel / kernel.sum(1, keepdim=True)


def sharpened(q: Tensor, frequency: Tensor) -> Tensor:
    """p_ij ∝ q_ij² / f_j, [B, K], of assignments q and cluster frequencies f [K] (Xie et al. 2016, equation 3)."""
    weight = q.square() / frequency
    return weight / weight.sum(1, keepdim=True)


def kmeans_centres(codes: Tensor, clusters: int, seed: int) -> Tensor:
    """The centres [K, D] of the best of 20 runs of KMeans on codes [N, D].

    Raises:
        SettingError: fewer codes than clusters.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if len(codes) < clusters:
        raise SettingError(f"model.clusters is {clusters} but there are {len(codes)} training samples: lower it")
    with threadpool_limits(1, "openmp"):  # several threads add in a varying order, so that the last bits would vary
        kmeans = KMeans(clusters, n_init=20, random_state=seed).fit(codes.cpu().double().numpy())
    return torch.as_tensor(kmeans.cluster_centers_, dtype=codes.dtype, device=codes.device)
