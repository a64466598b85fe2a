"""Train three small models and take the pictures of docs/explorer.md: python docs/images/explorer.py."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent
LARGEST = 150_000  # bytes of a picture
MARKERS = {  # made counts in which these genes of four kinds of blood cells are raised
    "T cell": ["CD3D", "CD3E", "IL7R", "CD2", "TRAC", "LTB"],
    "B cell": ["MS4A1", "CD79A", "CD79B", "CD19", "BANK1", "CD74"],
    "NK cell": ["NKG7", "GNLY", "KLRD1", "PRF1", "GZMB", "FCGR3A"],
    "monocyte": ["LYZ", "CD14", "S100A8", "S100A9", "VCAN", "FCN1"],
}


def command(*arguments: str) -> None:
    """`lit-ae` with these arguments, in the current folder."""
    subprocess.run([sys.executable, "-m", "lit_ae.cli", *arguments], check=True)


def write_genes(path: Path) -> None:
    """Counts of 40 genes in 1,500 made cells of four kinds, with the names of the genes."""
    rng = np.random.default_rng(0)
    names = [name for group in MARKERS.values() for name in group] + [f"HK{i}" for i in range(16)]
    kinds = rng.integers(0, 4, 1500)
    rates = np.full((1500, len(names)), 0.3)
    for k in range(4):
        rates[kinds == k, 6 * k : 6 * k + 6] = rng.gamma(4, 1.5, (int((kinds == k).sum()), 6))
    rates[:, 24:] = rng.gamma(2, 1, 16)
    with h5py.File(path, "w") as file:
        file["X"] = rng.poisson(rates)
        file["Y"] = np.array(list(MARKERS), dtype="S")[kinds]
        file["genes"] = np.array(names, dtype="S")


def take(page: Page, address: Path, name: str, acts: list[str], crop: int | None = None) -> None:
    """One picture, after some JavaScript on the page; cropped to a height in pixels."""
    page.goto(address.resolve().as_uri())
    page.evaluate("explorer.ready")
    for act in acts:
        page.evaluate(act)
    page.wait_for_timeout(500)
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    image = Image.open(path).convert("RGB")
    if crop is not None:
        image = image.crop((0, 0, image.width, min(crop, image.height)))
    for colours in (256, 128, 64, 32):
        image.quantize(colours, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            break
    print(path.name, path.stat().st_size, "bytes")


def main() -> None:
    """Everything, in a temporary folder."""
    with TemporaryDirectory() as folder:
        os.environ["LIT_AE_CACHE"] = folder
        os.chdir(folder)
        write_genes(Path("genes.h5"))
        quiet = ("--trainer.enable_progress_bar=false", "--model.latent_dim=12", "--trainer.accelerator=cpu")
        for seed in (0, 1):
            digits = ("--config", "vae", "--config", "digits", "--trainer.max_epochs=40", f"--seed_everything={seed}")
            command("fit", *digits, *quiet)
        genes = ("--config", "vae", "--config", "genes", "--data.path=genes.h5", "--model.likelihood.output=linear")
        command("fit", *genes, *quiet, "--trainer.max_epochs=60")
        command("explore", "VAE digits seed 0", "--html", "one.html")
        command("explore", "VAE digits seed 0", "VAE digits seed 1", "--html", "two.html")
        command("explore", "VAE genes seed 0", "--html", "genes.html")
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
            choose = ["explorer.choose(3)", "explorer.choose(17)"]
            tsne = "document.querySelectorAll('[data-part=map]').forEach(s => { s.selectedIndex = s.options.length - 1;"
            tsne += " s.dispatchEvent(new Event('change')); })"
            group = (
                "explorer.select([...Array(explorer.facts.count).keys()].filter(i => explorer.facts.y.data[i] === 2))"
            )
            desk = browser.new_page(viewport={"width": 1280, "height": 900})
            take(desk, Path("one.html"), "explorer-desktop", [tsne, *choose], 1500)
            take(desk, Path("genes.html"), "explorer-genes", [*choose, group], 1400)
            take(desk, Path("two.html"), "explorer-two-runs", [tsne, *choose], 1300)
            phone = browser.new_page(viewport={"width": 390, "height": 844})
            take(phone, Path("one.html"), "explorer-phone", choose, 1700)
            browser.close()


if __name__ == "__main__":
    main()
