"""A Ray cluster, or a Ray of this machine alone."""

import logging
import os
from collections.abc import Collection
from concurrent.futures import Future
from typing import Any, Self

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.studies.run_job import JobSpec, run_job

RETRIES = 3  # attempts after one whose process or machine has died
SECONDS_TO_STOP = 10.0
DIED = ("WorkerCrashedError", "OutOfMemoryError", "NodeDiedError", "ObjectLostError", "RaySystemError")


class RayExecutor:
    """Each run is a Ray task: queued by its needs, and begun again elsewhere when its process or machine dies.

    Args:
        address: of the cluster, such as `auto` or `ray://HOST:10001`; null: `RAY_ADDRESS`, else a Ray of this machine.
        cpus_per_run: processor cores that each run is given; also its number of threads.
        gpus_per_run: GPUs that each run is given; 0.25 lets four runs share one.
        size: the largest number of runs at the same time; as many as fit if null.

    Raises:
        SettingError: a number of cores, GPUs or runs is not positive.
    """

    several_machines = True

    def __init__(
        self, address: str | None, cpus_per_run: float = 1, gpus_per_run: float = 0, size: int | None = None
    ) -> None:
        if cpus_per_run <= 0 or gpus_per_run < 0:
            raise SettingError(
                f"--cpus-per-run is {cpus_per_run:g} and --gpus-per-run {gpus_per_run:g}: give more than 0 cores, and "
                "0 GPUs or more"
            )
        if size is not None and size < 1:
            raise SettingError(f"--workers is {size}: it must be at least 1, or be left out")
        self.address, self.cpus, self.gpus, self._most = address, cpus_per_run, gpus_per_run, size
        self.threads = max(1, int(cpus_per_run))
        self._task: Any = None

    @property
    def size(self) -> int:
        """How many runs the cluster has room for."""
        import ray

        found = ray.cluster_resources()
        room = int(found.get("CPU", 0) / self.cpus + 1e-9)
        if self.gpus:
            room = min(room, int(found.get("GPU", 0) / self.gpus + 1e-9))
        return room if self._most is None else min(room, self._most)

    def start(self, jobs: int) -> None:
        """Refuse what the cluster cannot do.

        Raises:
            SettingError: no room for a single run, or a store that its machines cannot share.
        """
        import ray

        if not self.size:
            raise SettingError(
                f"the Ray cluster has no room for a run with {self.cpus:g} cores and {self.gpus:g} GPUs: it has "
                f"{ray.cluster_resources().get('CPU', 0):g} cores and {ray.cluster_resources().get('GPU', 0):g} GPUs; "
                "lower --cpus-per-run or --gpus-per-run"
            )
        nodes = sum(node["Alive"] for node in ray.nodes())
        if nodes > 1 and tracking.store_uri().startswith("sqlite"):
            folder = tracking.STORE.resolve()
            raise SettingError(
                f"the Ray cluster has {nodes} nodes, which cannot share the sqlite store {tracking.store_uri()}: start "
                f"`mlflow server --host 0.0.0.0 --allowed-hosts '*' --backend-store-uri sqlite:///{folder}/server.db "
                f"--artifacts-destination {folder}/server` here and set MLFLOW_TRACKING_URI=http://THIS_HOST:5000"
            )
        threads = {f"{library}_NUM_THREADS": str(self.threads) for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
        # The name of the task is what Ray's own pages show
        self._task = ray.remote(
            num_cpus=self.cpus,
            num_gpus=self.gpus,
            max_retries=RETRIES,
            runtime_env={"env_vars": threads},
        )(run_job)

    def submit(self, spec: JobSpec) -> "Future[str]":
        """Begin a run when there is room for it."""
        reference = self._task.options(name=f"run {spec.run_id}").remote(spec)
        future: Future[str] = reference.future()  # it holds the reference as `object_ref`
        return future

    def outcome(self, future: "Future[str]") -> str:
        """The error of an ended run, or ""."""
        try:
            return future.result()
        except Exception as error:
            cause = getattr(error, "cause", None) or error  # of the task itself, such as a store that cannot be reached
            reason = f"{type(cause).__name__}: {cause}".splitlines()[0]
            return f"the worker died {RETRIES + 1} times: {reason}" if type(error).__name__ in DIED else reason

    def cancel(self, futures: Collection["Future[str]"]) -> None:
        """Kill the processes of runs."""
        import ray

        references = [future.object_ref for future in futures]  # type: ignore[attr-defined]
        for reference in references:
            ray.cancel(reference, force=True)
        if references:
            ray.wait(references, num_returns=len(references), timeout=SECONDS_TO_STOP)

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            SettingError: Ray is not installed, or no cluster answers at the address.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError as error:
            raise SettingError("--engine ray needs Ray: pip install 'lit_ae[ray]'") from error
        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        here: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, **here)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise SettingError(
                f"--address {address}: no Ray cluster answers there ({str(error).splitlines()[0]}): start one with "
                "`ray start --head`, or leave --address out to use this machine"
            ) from error
        return self

    def __exit__(self, *error: object) -> None:
        """Disconnect; a Ray of this machine alone ends."""
        import ray

        ray.shutdown()
