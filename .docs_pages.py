"""Pages of the documentation that follow from the code and the committed reports; a hook of MkDocs."""

import re
from pathlib import Path
from typing import Any

import yaml
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent
REPORTS = ROOT / "experiments" / "reports" / "full"
MNIST = {  # the figure of the gallery's report that shows a family
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
    told = yaml.safe_load((ROOT / "docs" / "families.yaml").read_text("utf-8"))
    said = [
        "# Families",
        "Each family is one file in `lit_ae/models`; `--config NAME` takes one of the names below it. An "
        "equation is the loss of one sample unless it says otherwise: *f* is the encoder, *g* the decoder, "
        "*p(x | z)* the likelihood and *q(z | x)* the posterior, as in the [glossary](glossary.md).",
        "The pictures show one seed each, trained briefly with the settings of a file of `configs/model` on "
        "the 1,797 digits that come with scikit-learn, 8 × 8 pixels enlarged to 28 × 28. They show what kind "
        "of samples and codes a family has, and are no comparison: that is what the "
        "[reports](reports/index.md) are for. `python docs/images/families.py` draws them.",
    ]
    for module, name in modules.items():
        if name not in files:
            continue
        names = ", ".join(f"`{file}`" for file in files[name])
        family = told[name]
        said += [
            f"::: {module}.{name}\n    options:\n      members: false\n      show_bases: false",
            equation(family["equation"]),
            f"**When to use it.** {family['when']}",
            "**Reference.** " + " ".join(family["references"]),
            f"**Configs.** {names}.",
            caption(name, family["picture"]),
        ]
        if name in MNIST:
            said.append(f"![{name} on MNIST, as in the report](reports/gallery/{MNIST[name]}.png)")
    return "\n\n".join(said) + "\n"


def equation(latex: str) -> str:
    """LaTeX as MathML in a box of its own, which a phone scrolls sideways and the search leaves out."""
    return f'<div data-search-exclude style="overflow-x: auto">{convert(latex, display="block")}</div>'


def caption(name: str, picture: dict[str, Any]) -> str:
    """The picture of docs/images/families with a text for those who do not see it, and what it was made from."""
    data = "8 one-hot vectors" if name == "NMN" else "digits"
    density = "its prior" if picture.get("prior") else "a Gaussian fitted to training codes"
    codes = "two principal components of the codes of test digits, coloured and numbered by class"
    shown = {
        "Classifier": f"{codes} (a classifier has no samples)",
        "GAN": "samples (a GAN has no codes of given images)",
        "Hopfield": f"stored digits, the same with a fifth of the pixels flipped, and what is retrieved; {codes}",
        "NMN": "outputs and hidden codes for each of the 8 inputs, from 0 (dark) to 1 (light)",
    }.get(name, f"samples from {density}{' for a class in each row' if 'Conditional' in name else ''}; {codes}")
    trained = "solved in closed form" if picture["epochs"] == 1 else f"{picture['epochs']} epochs"
    trained += f", {picture['more']}" if "more" in picture else ""
    text = f"{name} on {data}: {shown}"
    return f"![{text}](images/families/{name}.png)\n\n*{text}. {capital(trained)}, seed 0.*"


def scores() -> str:
    """Each score's callback, and the scores as functions on arrays."""
    told = yaml.safe_load((ROOT / "docs" / "scores.yaml").read_text("utf-8"))
    said = [
        "# Scores",
        "A score is a callback: `--config scores` switches on the usual ones. Below each are the range of its"
        " values and what most often misleads; [questions and pitfalls](pitfalls.md) has what concerns all of"
        " them.",
    ]
    for path in sorted((ROOT / "lit_ae" / "callbacks" / "scores").glob("[!_]*.py")):
        for name in re.findall(r"^class (\w+)\([\w, ]*Callback\)", path.read_text("utf-8"), re.M):
            module = f"lit_ae.callbacks.scores.{path.stem}.{name}"
            said.append(f"::: {module}\n    options:\n      members: false\n      show_bases: false")
            said.append(f"**Range.** {capital(told[name]['range'])}.\n\n**Pitfall.** {told[name]['pitfall']}")
    return "\n\n".join(said) + "\n"


def capital(text: str) -> str:
    """The text with a capital letter, unless it begins with a sign or a name in code."""
    return text[:1].upper() + text[1:]


def reports() -> str:
    """A list of the reports."""
    found = [path for path in sorted(REPORTS.glob("*.md")) if path.with_suffix(".json").is_file()]
    lines = [f"- [{path.read_text('utf-8').splitlines()[0].lstrip('# ')}]({path.name})" for path in found]
    return "\n".join(["# Reports", "", *lines, "", "[All comparisons, corrected together](all-comparisons.md)", ""])
