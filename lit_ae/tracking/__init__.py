"""Everything that uses MLflow: one store, writing to runs with the right status, and reading them.

Layout: an experiment is a study; its newest parent run has a child run for each model and seed. Tags: kind, study,
profile, model, data, seed, git_sha, config_hash, score_versions. The metrics of an epoch have its number, counted from
1, as their step.
"""

from lit_ae.tracking.query import (
    Run,
    children,
    get_run,
    last_checkpoint,
    newest,
    search,
    study_parent,
    study_runs,
)
from lit_ae.tracking.runs import (
    checkpoint_folder,
    create_run,
    end_run,
    log_dataset,
    log_file,
    log_json,
    log_metrics,
    log_params,
    log_text,
    reopen,
    run_status,
    set_tags,
    upload_checkpoints,
    valid_key,
)
from lit_ae.tracking.samples import log_samples, sample_values
from lit_ae.tracking.store import STORE, client, experiment_id, store_uri

__all__ = [
    "STORE",
    "Run",
    "checkpoint_folder",
    "children",
    "client",
    "create_run",
    "end_run",
    "experiment_id",
    "get_run",
    "last_checkpoint",
    "log_dataset",
    "log_file",
    "log_json",
    "log_metrics",
    "log_params",
    "log_samples",
    "log_text",
    "newest",
    "reopen",
    "run_status",
    "sample_values",
    "search",
    "set_tags",
    "store_uri",
    "study_parent",
    "study_runs",
    "upload_checkpoints",
    "valid_key",
]
