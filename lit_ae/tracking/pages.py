"""Links to MLflow's pages."""

import json
from dataclasses import dataclass

from lit_ae.tracking.query import children
from lit_ae.tracking.runs import valid_key
from lit_ae.tracking.store import client

MOST = 12  # columns of metrics


@dataclass(frozen=True)
class StudyPage:
    """A study in the store.

    Attributes:
        name: of the study.
        profile: of its newest parent run.
        experiment: id of its MLflow experiment.
        parent: id of that run.
    """

    name: str
    profile: str
    experiment: str
    parent: str


def newest_study() -> StudyPage | None:
    """The study whose parent run was started last; None if there is no study."""
    ids = [experiment.experiment_id for experiment in client().search_experiments()]
    found = client().search_runs(
        ids, "tags.kind = 'study'", order_by=["attributes.start_time DESC"], max_results=1
    ) if ids else []  # fmt: skip
    if not found:
        return None
    run = found[0]
    tags = run.data.tags
    return StudyPage(tags.get("study", ""), tags.get("profile", ""), run.info.experiment_id, run.info.run_id)


def comparison(study: StudyPage) -> str:
    """The part of a link behind the server's address: the study's runs in a table with the columns of its report.

    MLflow keeps such a view as a tag of the experiment, as its own button "Share" does.
    """
    key = f"lit_ae-{study.profile}"
    columns = [f"tags.`{name}`" for name in ("model", "seed")]
    columns += [f"metrics.`{name}`" for name in _metrics(study)]
    view = {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{study.parent}'",
        "orderByKey": "tags.`model`",
        "orderByAsc": True,
        "selectedColumns": ["attributes.`Duration`", *columns],
    }
    client().set_experiment_tag(study.experiment, f"mlflow.sharedViewState.{key}", json.dumps(view))
    return f"#/experiments/{study.experiment}/runs?viewStateShareKey={key}"


def _metrics(study: StudyPage) -> list[str]:
    """The metrics of the report's columns, as far as the runs have them; of an older study, its test metrics."""
    runs = children(study.name, study.parent)
    known = {key for run in runs for key in run.metrics}
    parent = client().get_run(study.parent)
    declared = json.loads(parent.data.tags.get("columns", "[]"))
    wanted = [valid_key(name.partition("@")[0]) for name in declared]
    chosen = [name for name in dict.fromkeys(wanted) if name in known]
    return (chosen or sorted(key for key in known if key.startswith("test/")))[:MOST]
