"""Everything that uses MLflow: one store, writing to runs with the right status, and reading them.

Layout: an experiment is a study; its newest parent run has a child run for each model and seed. Tags: kind, study,
profile, model, data, seed, git_sha, config_hash, score_versions; `owner` and `heartbeat` say which process is working
on a run. The metrics of an epoch have its number, counted from 1, as their step.
"""

from lit_ae.tracking.additions import add_protocol, add_score_versions
from lit_ae.tracking.data_digest import DIGEST, refuse_other_data
from lit_ae.tracking.owner import STALE, end_abandoned, is_alive, is_own, owned, owner_name, owner_tags
from lit_ae.tracking.query import (
    Run,
    children,
    dataset,
    get_run,
    heads,
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
    has_local_artifacts,
    log_dataset,
    log_file,
    log_json,
    log_metrics,
    log_params,
    log_text,
    reopen,
    run_status,
    set_tags,
    timed,
    valid_key,
    write_all_metrics,
    write_end,
)
from lit_ae.tracking.samples import log_samples, sample_values
from lit_ae.tracking.shared import shared_with_study
from lit_ae.tracking.sqlite_reads import as_logged
from lit_ae.tracking.store import STORE, client, experiment_id, store_uri
from lit_ae.tracking.unsent import ServerGone, send_unsent, unsent_runs, waits
from lit_ae.tracking.uploads import fetch_checkpoints, has_last_checkpoint, is_whole, upload_checkpoints

__all__ = [
    "DIGEST",
    "STALE",
    "STORE",
    "Run",
    "ServerGone",
    "add_protocol",
    "add_score_versions",
    "as_logged",
    "checkpoint_folder",
    "children",
    "client",
    "create_run",
    "dataset",
    "end_abandoned",
    "end_run",
    "experiment_id",
    "fetch_checkpoints",
    "get_run",
    "has_last_checkpoint",
    "has_local_artifacts",
    "heads",
    "is_alive",
    "is_own",
    "is_whole",
    "last_checkpoint",
    "log_dataset",
    "log_file",
    "log_json",
    "log_metrics",
    "log_params",
    "log_samples",
    "log_text",
    "newest",
    "owned",
    "owner_name",
    "owner_tags",
    "refuse_other_data",
    "reopen",
    "run_status",
    "sample_values",
    "search",
    "send_unsent",
    "set_tags",
    "shared_with_study",
    "store_uri",
    "study_parent",
    "study_runs",
    "timed",
    "unsent_runs",
    "upload_checkpoints",
    "valid_key",
    "waits",
    "write_all_metrics",
    "write_end",
]
