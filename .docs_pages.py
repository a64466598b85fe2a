"""Pages of the documentation that follow from the code and the committed reports; a hook of MkDocs."""

import re
from pathlib import Path

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent
REPORTS = ROOT / "experiments" / "reports" / "full"
PICTURES = {  # the figure of the gallery's report that shows a family
    "AE": "ae-reconstructions",
    "ConditionalVAE": "conditional-vae-samples-by-class",
    "ContractiveAE": "contractive-interpolation",
    "DenoisingAE": "denoising-denoising",
    "Hopfield": "hopfield-recall",
    "NMN": "n-m-n-hidden-codes",
    "RBM": "rbm-samples-gibbs",
    "SAE": "sae-uncertainty",
    "SparseAE": "sparse-kl-interpolation",
    "VAE": "vae-samples-normal",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and the figures of the reports."""
    pages = {"families.md": families(), "scores.md": scores(), "reports/index.md": reports()}
    for path in sorted(REPORTS.glob("*.md")):
        pages[f"reports/{path.name}"] = path.read_text("utf-8")
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for path in sorted(REPORTS.glob("*/*.png")):
        name = f"reports/{path.relative_to(REPORTS)}"
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def families() -> str:
    """Each family with its equation, settings, a picture, and the files of configs/model that set it up."""
    files: dict[str, list[str]] = {}
    for path in sorted((ROOT / "configs" / "model").glob("*.yaml")):
        files.setdefault(yaml.safe_load(path.read_text("utf-8"))["model"]["class_path"], []).append(path.stem)
    text = (ROOT / "lit_ae" / "models" / "__init__.py").read_text("utf-8")
    modules = dict(re.findall(r"^from (lit_ae\.models\.\w+) import (\w+)$", text, re.M))
    said = [
        "# Families",
        "Each family is one file in `lit_ae/models`; `--config NAME` takes one of the names below it.",
    ]
    for module, name in modules.items():
        if name not in files:
            continue
        names = ", ".join(f"`{file}`" for file in files[name])
        said += [
            f"::: {module}.{name}\n    options:\n      members: false\n      show_bases: false",
            f"Configs: {names}.",
        ]
        if name in PICTURES:
            said.append(f"![{name} on MNIST](reports/gallery/{PICTURES[name]}.png)")
    return "\n\n".join(said) + "\n"


def scores() -> str:
    """Each score's callback, and the scores as functions on arrays."""
    said = ["# Scores", "A score is a callback: `--config scores` switches on the usual ones."]
    for path in sorted((ROOT / "lit_ae" / "callbacks" / "scores").glob("[!_]*.py")):
        for name in re.findall(r"^class (\w+)\((?:\w*Callback|Callback)\)", path.read_text("utf-8"), re.M):
            module = f"lit_ae.callbacks.scores.{path.stem}.{name}"
            said.append(f"::: {module}\n    options:\n      members: false\n      show_bases: false")
    return "\n\n".join(said) + "\n"


def reports() -> str:
    """A list of the reports."""
    found = [path for path in sorted(REPORTS.glob("*.md")) if path.with_suffix(".json").is_file()]
    lines = [f"- [{path.read_text('utf-8').splitlines()[0].lstrip('# ')}]({path.name})" for path in found]
    return "\n".join(["# Reports", "", *lines, "", "[All comparisons, corrected together](all-comparisons.md)", ""])
