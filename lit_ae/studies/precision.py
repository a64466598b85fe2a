"""The one precision of all runs of a study."""

from lit_ae import tracking
from lit_ae.studies.jobs import jobs
from lit_ae.studies.spec import Profile, Study

FULL = "32-true"  # of a run that stored none: Lightning's default


def study_precision(study: Study, profile: Profile, several_machines: bool = False) -> str:
    """`trainer.precision` of the runs to come, unless a row sets its own.

    It is float32 unless the study allows for bfloat16 (`reduced_precision`) and this machine computes it natively. A
    study goes on in float32 if it has valid runs in it, so that its rows stay comparable: any machine computes it well.
    For the same reason a study on several machines is in float32.
    """
    if not study.reduced_precision or several_machines or FULL in _used(study, profile):
        return FULL
    from lit_ae.training.precision import REDUCED, is_native

    set_by = [arg for arg in profile.args if arg.startswith("--trainer.accelerator=")]
    return REDUCED if is_native(set_by[-1].partition("=")[2] if set_by else "auto") else FULL


def precision_of(run: tracking.Run) -> str:
    """The precision in which a run was trained."""
    return run.params.get("trainer.precision", FULL)


def _used(study: Study, profile: Profile) -> set[str]:
    """Precisions of the study's finished runs that are valid and whose rows set none of their own."""
    free = {
        job.config_hash
        for job in jobs(study, profile)
        if not any(a.startswith("--trainer.precision=") for a in job.args)
    }
    done = tracking.study_runs(study.name, profile.name)
    return {precision_of(run) for run in done if run.tags.get("config_hash") in free}
