"""The verdict on a claim, by the rule of `lit_ae/report/verdicts.py`, and old reports read by it."""

import json

import pytest
from test_report import Page

from lit_ae.report.render import write_index
from lit_ae.report.summary import counted
from lit_ae.report.verdicts import Shown, decide, direction

NOTHING, EQUIVALENT = Shown(), Shown(equivalent=True)
HIGHER, LOWER = Shown("higher"), Shown("lower")
TINY = Shown("higher", equivalent=True)  # significant, and yet less than the margin
WITHIN_OR_BEYOND = Shown("higher", beyond_margin=False)  # significant, and perhaps less than the margin


@pytest.mark.parametrize(
    ("claim", "row", "said"),
    [
        ("higher", "SAE", "higher"),
        ("SAE higher", "SAE", "higher"),
        ("SAE lower (published p < 0.05)", "SAE", "lower"),
        ("Lower: more codes, less error", "AE 256", "lower"),
        ("no difference (published p = 0.12)", "SAE", "no difference"),
        ("no worse at as many updates", "A", "no worse"),
        ("GAN higher", "SAE", ""),  # of another row
        ("A-VAE higher", "A", ""),
        ("lowering the noise helps", "A", ""),
        ("better", "A", ""),
        ("", "A", ""),
    ],
)
def test_the_direction_is_what_the_claim_begins_with(claim, row, said):
    assert direction(claim, row) == said


@pytest.mark.parametrize(
    ("claimed", "shown", "verdict"),
    [
        ("higher", HIGHER, "confirmed"),
        ("higher", LOWER, "contradicted"),
        ("higher", EQUIVALENT, "contradicted"),
        ("higher", NOTHING, "cannot be told"),
        ("higher", TINY, "cannot be told"),
        ("lower", TINY, "contradicted"),
        ("lower", LOWER, "confirmed"),
        ("no difference", NOTHING, "cannot be told"),  # no difference shown is not equality
        ("no difference", EQUIVALENT, "confirmed"),
        ("no difference", TINY, "confirmed"),
        ("no difference", HIGHER, "contradicted"),
        ("no difference", WITHIN_OR_BEYOND, "cannot be told"),
        ("", HIGHER, "cannot be told"),
        ("", EQUIVALENT, "cannot be told"),
    ],
)
def test_verdicts(claimed, shown, verdict):
    assert decide(claimed, shown) == verdict


@pytest.mark.parametrize(
    ("shown", "better", "verdict"),
    [
        (HIGHER, "higher", "confirmed"),
        (LOWER, "higher", "contradicted"),
        (LOWER, "lower", "confirmed"),
        (EQUIVALENT, "lower", "confirmed"),
        (NOTHING, "lower", "cannot be told"),
        (WITHIN_OR_BEYOND, "lower", "cannot be told"),
        (HIGHER, "none", "cannot be told"),
    ],
)
def test_no_worse_needs_a_metric_with_a_direction(shown, better, verdict):
    assert decide("no worse", shown, better) == verdict


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        (["confirmed"] * 3, "All 3 declared claims are confirmed."),
        (["confirmed", "cannot be told"], "Of 2 declared claims, 1 is confirmed and 1 cannot be told."),
        (["contradicted"], "The declared claim is contradicted (that)."),
        (["cannot be told"], "Whether the declared claim holds cannot be told (that)."),
    ],
)
def test_the_answer_is_one_plain_sentence(verdicts, sentence):
    assert counted([{"claim": "that", "verdict": verdict} for verdict in verdicts]) == sentence


BETTER = "significant at 5 % (Holm): SAE lower, which is better"
VARIES = "significant at 5 % (Holm): SAE varies more"


def earlier_page():
    """A report of format 4, as the ones whose runs are gone."""
    cell = {"few": "", "published": "", "best": False}
    means = ["comparison", "metric", "claim", "result", "n", "difference"]
    spreads = ["comparison", "metric", "claim", "result", "n", "std"]
    return {
        "format": 4, "name": "old", "title": "An old report", "question": "Which?", "answer": "With 3 seeds, a; b; c.",
        "profile": "full", "problems": [], "columns": [{"label": "FID", "better": "lower"}],
        "rows": [
            {"model": "SAE", "cells": [cell | {"text": "20.0 ± 1.0†", "published": "19.0"}]},
            {"model": "AE", "cells": [cell | {"text": "30.0 ± 2.0"}]},
        ],
        "legend": "", "left_out": [], "published": [], "published_caption": "", "unplaced": "",
        "readings": [{"title": "All seeds", "limits": "", "caption": "", "tables": [
            {"title": "Means", "header": means, "rows": [
                ["SAE − AE", "FID ↓", "lower", BETTER, "3", "−10"],
                ["SAE − AE", "FID ↓", "no difference (published p = 0.1)", "no significant difference", "3", "−1"],
            ]},
            {"title": "Variances", "header": spreads, "rows": [
                ["SAE against AE", "FID ↓", "SAE lower", VARIES, "3", "2.0 against 1.0"],
            ]},
        ]}],
        "figures": [
            {"src": "old/loss.png", "caption": "Training loss by epoch, mean over seeds."},
            {"src": "old/a.png", "caption": "SAE, seed 0: samples"},
            {"src": "old/b.png", "caption": "AE, seed 0: samples"},
        ],
        "cards": [], "seeds": "3 seeds", "notes": [], "order": 1,
    }  # fmt: skip


def test_a_report_of_the_format_before_gets_its_verdicts(tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(earlier_page()), "utf-8")
    write_index(tmp_path)
    page = Page(tmp_path / "index.html")
    text = "".join(page.text)
    assert "Of 3 declared claims, 1 is confirmed, 1 is contradicted and 1 cannot be told." in text
    assert "a; b; c" not in text
    start = page.cells.index("SAE against AE, FID ↓: lower")
    assert page.cells[start : start + 12] == [
        "SAE against AE, FID ↓: lower", "SAE 19.0", "20.0 ± 1.0 against 30.0 ± 2.0 (n = 3)",
        f"confirmed{BETTER}",
        "SAE against AE, FID ↓: no difference", "SAE 19.0; p = 0.1", "20.0 ± 1.0 against 30.0 ± 2.0 (n = 3)",
        "cannot be toldno significant difference",
        "SAE against AE, spread of FID ↓: SAE lower", "SAE 19.0", "std 2.0 against 1.0 (n = 3)",
        f"contradicted{VARIES}",
    ]  # fmt: skip
    headings = [line.strip() for line in page.text if line.strip() in ("Losses", "Samples")]
    assert headings == ["Losses", "Samples"], "figures of one kind are in one row"


def test_reports_of_other_formats_are_left_out(tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(earlier_page() | {"format": 3}), "utf-8")
    write_index(tmp_path)
    assert "An old report" not in (tmp_path / "index.html").read_text("utf-8")
