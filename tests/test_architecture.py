"""Who may import whom: data -> models -> callbacks (metrics, samplers) -> tracking -> study -> report."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lit_ae

PACKAGE = Path(lit_ae.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
HEAVY = {"mlflow", "umap", "sklearn", "scipy", "statsmodels"}
COMMON = {"lit_ae.errors", "lit_ae.console"}
DATA = {"lit_ae.data"}
MATHS = {
    "lit_ae.likelihoods",
    "lit_ae.divergences",
    "lit_ae.penalties",
    "lit_ae.corruptions",
    "lit_ae.schedules",
    "lit_ae.stats",
}
NETS = {"lit_ae.nets"}
MODELS = {"lit_ae.models"} | NETS


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(name, everywhere=True):
    """Full names that a module imports when it runs: anywhere in it, or as it is itself imported."""
    pending, found = [ast.parse(MODULES[name].read_text("utf-8"))], set()
    while pending:
        node = pending.pop()
        if is_type_checking(node):
            pending += node.orelse
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not everywhere:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        pending += ast.iter_child_nodes(node)
    return found


def within(name, packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def ours(name):
    return {found for found in imports(name) if within(found, {"lit_ae"})}


def of(packages):
    return sorted(name for name in MODULES if within(name, packages))


def test_the_walk_sees_imports():
    """Known imports of each kind are found, so that an empty answer below means something."""
    assert "mlflow.MlflowClient" in imports("lit_ae.tracking")
    assert "mlflow.MlflowClient" not in imports("lit_ae.tracking", everywhere=False)
    assert "lit_ae.data.base.Batch" in ours("lit_ae.models.base")
    assert {"lit_ae.data.digits", "lit_ae.models.vae", "lit_ae.callbacks.generation"} <= MODULES.keys()


def test_only_tracking_imports_mlflow():
    assert [name for name in MODULES if any(within(found, {"mlflow"}) for found in imports(name))] == [
        "lit_ae.tracking"
    ]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_heavy_libraries_are_imported_where_they_are_used(name):
    assert not [found for found in imports(name, everywhere=False) if within(found, HEAVY)]


@pytest.mark.parametrize("name", of(DATA))
def test_data_imports_nothing_to_its_right(name):
    assert not [found for found in ours(name) if not within(found, DATA | COMMON)]


@pytest.mark.parametrize("name", of(MODELS))
def test_models_import_nothing_to_their_right(name):
    assert not [found for found in ours(name) if not within(found, DATA | MODELS | MATHS | COMMON)]


@pytest.mark.parametrize("name", of(MATHS))
def test_maths_knows_no_data_and_no_model(name):
    assert not [found for found in ours(name) if not within(found, MATHS | NETS | COMMON)]


@pytest.mark.parametrize("name", of({"lit_ae.metrics", "lit_ae.samplers"}))
def test_metrics_and_samplers_import_no_callback_and_nothing_to_their_right(name):
    allowed = {"lit_ae.metrics", "lit_ae.samplers"} | COMMON | DATA | MODELS | MATHS
    assert not [found for found in ours(name) if not within(found, allowed)]


@pytest.mark.parametrize("name", of({"lit_ae.callbacks"}))
def test_callbacks_import_no_study_and_no_report(name):
    right = {"lit_ae.study", "lit_ae.runner", "lit_ae.report", "lit_ae.cli", "lit_ae.lightning_cli"}
    assert not [found for found in ours(name) if within(found, right)]


def test_tracking_and_study_know_nothing_of_models_and_reports():
    for name in ("lit_ae.tracking", "lit_ae.study"):
        right = {"lit_ae.report", "lit_ae.cli", "lit_ae.lightning_cli", "lit_ae.runner", "lit_ae.callbacks"}
        assert not [found for found in ours(name) if within(found, right | DATA | MODELS)]


@pytest.mark.parametrize("name", of({"lit_ae.report"}))
def test_report_sees_mlflow_and_stats_and_never_a_model(name):
    left = {"lit_ae.callbacks", "lit_ae.metrics", "lit_ae.samplers", "lit_ae.lightning_cli"} | DATA | MODELS
    assert not [found for found in ours(name) if within(found, left)]
    assert not [found for found in imports(name) if within(found, {"torch", "lightning"})]


def test_families_do_not_know_each_other():
    shared = {"base", "adversarial"}
    families = [name for name in of({"lit_ae.models"}) if name.rsplit(".", 1)[-1] not in {*shared, "models"}]
    assert len(families) >= 4
    for base in shared:
        assert not [found for found in ours(f"lit_ae.models.{base}") if within(found, families)]


@pytest.mark.parametrize("arguments", [["--help"], ["study", "--help"], ["report", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\n"
        "from lit_ae.cli import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'torch', 'lightning', 'mlflow', 'numpy', 'pandas', 'matplotlib', 'sklearn', 'scipy', 'umap'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
