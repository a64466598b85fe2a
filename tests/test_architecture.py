"""Who may import whom, and what stands where."""

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
COMMON = {"errors", "console", "settings"}
# Each room may import itself and what stands above it; rooms in one line do not know each other unless a line says so.
ROOMS: dict[str, set[str]] = {
    "data": set(),
    "objectives": {"nets"},
    "nets": {"data"},
    "plots": set(),
    "statistics": set(),
    "models": {"data", "objectives", "nets"},
    "samplers": {"data", "objectives", "nets", "models"},
    "metrics": {"data", "objectives", "nets", "models", "samplers"},
    "tracking": {"plots", "samplers"},
}
ROOMS["evaluation"] = {*ROOMS}
ROOMS["callbacks"] = {*ROOMS}
ROOMS["training"] = {*ROOMS}
ROOMS["studies"] = {"plots", "statistics", "tracking", "training"}
ROOMS["report"] = {"plots", "statistics", "tracking", "studies"}
ROOMS["export"] = {"data", "nets", "objectives", "models", "samplers", "tracking", "api"}
ROOMS["cli"] = {"tracking", "training", "studies", "report", "export", "explorer"}
ROOMS["api"] = {*ROOMS} - {"studies", "report", "export", "cli"}
ROOMS["explorer"] = {"data", "objectives", "nets", "models", "samplers", "plots", "tracking", "callbacks", "api"}
ROOMS["scores"] = {"data", "objectives", "nets", "models", "samplers", "metrics"}
ROOMS["testing"] = {"data", "objectives", "nets", "models"}
ROOMS["sklearn"] = {"data", "objectives", "nets", "models", "samplers", "training"}


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


def room(name):
    """The folder that a module stands in; an empty text at the top of the package."""
    return (name.split(".") + ["", ""])[1] if name.count(".") else ""


def test_the_walk_sees_imports():
    """Known imports of each kind are found, so that an empty answer below means something."""
    assert "mlflow.MlflowClient" in imports("lit_ae.tracking.store")
    assert "mlflow.MlflowClient" not in imports("lit_ae.tracking.store", everywhere=False)
    assert "lit_ae.data.containers.Batch" in ours("lit_ae.models.base")
    assert {"lit_ae.data.digits", "lit_ae.models.vae", "lit_ae.callbacks.scores.generation_scores"} <= MODULES.keys()


def test_only_tracking_imports_mlflow():
    users = [name for name in MODULES if any(within(found, {"mlflow"}) for found in imports(name))]
    assert users
    assert {room(name) for name in users} == {"tracking"}


# MLflow runs a copy of it inside an exported model, and nothing imports it
COPIED = "lit_ae.tracking.served_model"


@pytest.mark.parametrize("name", sorted({*MODULES} - {COPIED}))
def test_heavy_libraries_are_imported_where_they_are_used(name):
    heavy = HEAVY - {"sklearn"} if room(name) == "sklearn" else HEAVY  # whose classes are subclasses of scikit-learn's
    assert not [found for found in imports(name, everywhere=False) if within(found, heavy)]


def test_what_is_copied_into_exported_models_needs_nothing_of_this_project():
    assert not ours(COPIED)
    assert not [name for name in MODULES if COPIED in ours(name)]


def test_every_module_stands_in_a_room():
    top = {name for name in MODULES if name.count(".") == 1 and MODULES[name].name != "__init__.py"}
    assert top == {"lit_ae.errors", "lit_ae.console"}
    assert {room(name) for name in MODULES} - COMMON - {""} == set(ROOMS)


@pytest.mark.parametrize("name", sorted(name for name in MODULES if room(name) in ROOMS))
def test_imports_run_one_way(name):
    allowed = ROOMS[room(name)] | COMMON | {room(name)}
    assert not [found for found in ours(name) if room(found) not in allowed]


@pytest.mark.parametrize("name", of({"lit_ae.settings", "lit_ae.errors", "lit_ae.console"}))
def test_what_all_share_imports_no_room(name):
    assert not [found for found in ours(name) if room(found) not in COMMON]


@pytest.mark.parametrize("name", of({"lit_ae.report"}))
def test_report_sees_mlflow_and_statistics_and_never_a_model(name):
    assert not [found for found in imports(name) if within(found, {"torch", "lightning"})]


# every other file of lit_ae/models is a family
SHARED = {
    "adversarial",
    "api",
    "base",
    "capabilities",
    "checkpoints",
    "chunks",
    "class_paths",
    "closed_form",
    "given",
    "latent",
    "plain_trainer",
    "resumable",
    "settings",
    "stored_settings",
    "tracked",
    "training_pass",
}


def test_families_know_each_other_only_where_one_subclasses_the_other():
    """A family's file imports another's only for a base class of a class that it defines."""
    families = [
        name for name in of({"lit_ae.models"}) if name.count(".") == 2 and name.rsplit(".", 1)[-1] not in SHARED
    ]
    assert len(families) >= 15
    for name in families:
        tree = ast.parse(MODULES[name].read_text("utf-8"))
        bases = {ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases}
        for found in ours(name):
            module, _, symbol = found.rpartition(".")
            assert module not in families or symbol in bases, f"{name} imports {found}"
    for base in SHARED & {name.rsplit(".", 1)[-1] for name in of({"lit_ae.models"})}:
        assert not [found for found in ours(f"lit_ae.models.{base}") if within(found, families)]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_long_file_says_why(name):
    lines = MODULES[name].read_text("utf-8").splitlines()
    assert len(lines) <= 250 or lines[0].startswith("# Over 250 lines: "), f"{name} has {len(lines)} lines"


def test_a_class_stands_in_the_file_of_its_name():
    """The families, data sets, scores and figures that YAML names are found where their name says."""
    for folder in ("models", "data", "callbacks/scores", "callbacks/figures", "callbacks/training"):
        for path in (PACKAGE / folder).glob("*.py"):
            classes = [node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ClassDef)]
            own = {name.lower() for name in classes}
            wanted = path.stem.replace("_", "")
            assert not own or path.stem in HELPERS or wanted in own, f"{path.name} holds {classes}"


# Their files are named by what they are for
HELPERS = {*SHARED, "containers", "hdf5", "subsets", "download", "tables", "image_files", "labels"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        *([name, "--help"] for name in ("study", "report", "tune", "explore", "export", "init", "list", "ui")),
        ["list", "scores"],
        ["--version"],
    ],
)
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
