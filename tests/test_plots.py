import threading

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from lit_ae import plots
from lit_ae.plots import codes as plots_codes
from lit_ae.plots import style
from lit_ae.plots import sweeps as plots_sweeps


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(float) / 255


def texts(figure):
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


def inside(figure):
    """Everything that is drawn lies on the canvas."""
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    box = figure.get_tightbbox(figure.canvas.get_renderer())  # inches, without ticks beyond the limits
    right, top = box.x1 * figure.dpi, box.y1 * figure.dpi
    return box.x0 >= -0.01 and box.y0 >= -0.01 and right <= width + 1 and top <= height + 1


def agg(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    return figure


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_image_grid_shows_the_pixels(tmp_path, channels, kind):
    # one red (or white) image among black ones: its colour is found once, at its cell
    images = torch.zeros(6, channels, 8, 8, requires_grad=kind == "torch")
    images.data[4, 0] = 1.0
    figure = plots.image_grid(images if kind == "torch" else images.detach().numpy(), "grid", columns=3)
    shown = figure.axes[0].images[0].get_array()  # [2 rows, 3 columns of 8 pixels and a gap of 1]
    assert shown.shape == (17, 26, 4)
    expected = [1, 1, 1] if channels == 1 else [1, 0, 0]
    assert np.allclose(shown[9:17, 9:17, :3], expected)
    assert np.allclose(shown[:8, :, :3], 0)
    assert np.allclose(shown[8, :, 3], 0)  # the gap is transparent


def test_values_out_of_range_are_clipped_not_wrapped():
    figure = plots.image_grid(torch.tensor([-0.5, 1.5]).view(2, 1, 1, 1).expand(2, 1, 4, 4), "grid")
    shown = figure.axes[0].images[0].get_array()
    assert shown[0, 0, 0] == 0
    assert shown[0, -1, 0] == 1


def test_image_rows_labels_title_and_heat_map():
    x = torch.rand(5, 1, 8, 8)
    variance = 4.0 * x + 1.0  # deliberately outside [0, 1]
    rows = [("original", x), ("mean", x), ("variance", variance)]
    figure = plots.image_rows(rows, "Uncertainty", heat={"variance": "variance (unit)"})
    said = texts(figure)
    assert {"original", "mean", "variance", "Uncertainty", "variance\n(unit)"} <= set(said)  # no longer than its bar
    heat = next(axes.images[0] for axes in figure.axes if axes.get_ylabel() == "variance")
    assert heat.get_array().ndim == 2  # values, not colours, so that the colour bar shows their scale
    assert heat.get_clim() == (0.0, pytest.approx(variance.max().item()))


def test_heat_map_of_zeros_is_drawn(tmp_path):
    figure = plots.image_rows([("variance", torch.zeros(3, 1, 4, 4))], "t", heat={"variance": "v"})
    heat = next(axes.images[0] for axes in figure.axes if axes.images)
    colours = heat.to_rgba(heat.get_array())
    shown = heat.get_array().filled(0)  # the gaps between images are masked
    assert not shown.any()
    assert len({tuple(colour) for colour in colours.reshape(-1, 4) if colour[3]}) == 1, "one colour, that of 0"
    low, high = heat.get_clim()
    assert low == 0 < high, "a scale without an extent cannot be drawn"
    plots.save(figure, tmp_path / "zero.png")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 28, 28), r"\[N, 1 or 3, H, W\]"),
        ((0, 1, 8, 8), r"\[N, 1 or 3, H, W\]"),
        ((4, 2, 8, 8), "images of 2 channels cannot be drawn"),
    ],
)
def test_wrong_image_shapes_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        plots.image_grid(torch.zeros(shape), "t")


def test_embedding_names_every_class_in_legend_and_plot():
    points, labels = torch.randn(60, 2), torch.arange(60) % 4 - 1
    figure = plots.embedding(points, labels, "codes", class_names=["circle", "square", "triangle"])
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [
        "no label",
        "circle",
        "square",
        "triangle",
    ]
    at_medians = {t.get_text(): t.xy for t in axes.texts}
    assert np.allclose(at_medians["square"], np.median(points[labels == 1].numpy(), axis=0))
    assert axes.get_xlabel()
    assert axes.get_ylabel()


def test_legend_and_labels_of_many_classes_stay_in_the_figure():
    names = [f"class number {i}" for i in range(47)]
    points, labels = torch.randn(470, 2), torch.arange(470) % 47
    figure = plots.embedding(points, labels, "codes", class_names=names)
    figure.draw_without_rendering()
    box = figure.axes[0].get_legend().get_window_extent()
    assert 0 <= box.y0 < box.y1 <= figure.bbox.y1
    assert box.x1 <= figure.bbox.x1
    figure = plots_codes.distributions(points, labels, ["z 0", "z 1"], "label", "t", names)
    assert figure.get_figwidth() < 25
    assert {label.get_rotation() for label in figure.axes[0].get_xticklabels()} == {90}


def test_embedding_refuses_other_shapes():
    with pytest.raises(ValueError, match="points must be"):
        plots.embedding(torch.randn(5, 3), torch.zeros(5), "t")
    with pytest.raises(ValueError, match="points must be"):
        plots.embedding(torch.randn(5, 2), torch.zeros(4), "t")


def test_curves_differ_in_colour_and_dashes_and_carry_their_bands():
    series = {name: [(e, 1.0 / e + i) for e in range(1, 6)] for i, name in enumerate("ABCDE")}
    low = [y - 0.1 for _, y in series["A"]]
    high = [y + 0.2 for _, y in series["A"]]
    figure = plots.curves(series, "epoch", "loss", "Loss", bands={"A": (low, high)}, log_y=True)
    axes = figure.axes[0]
    lines = axes.get_lines()
    assert len({line.get_color() for line in lines}) == 5
    assert len({repr(line._dash_pattern) for line in lines}) == 5
    assert np.allclose(lines[1].get_ydata(), [y for _, y in series["B"]])
    band = axes.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == (pytest.approx(min(low)), pytest.approx(max(high)))
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("epoch", "loss", "log")


def test_a_band_of_another_length_is_refused():
    with pytest.raises(ValueError, match="band of 'A'"):
        plots.curves({"A": [(1, 1.0), (2, 2.0)]}, "x", "y", "t", bands={"A": ([1.0], [2.0])})


def test_twenty_lines_differ_in_colour_or_dashes():
    lines = plots.curves({str(i): [(1, i), (2, i)] for i in range(20)}, "x", "y", "t").axes[0].get_lines()
    assert len({(line.get_color(), repr(line._dash_pattern)) for line in lines}) == 20


def test_stacked_curves_share_the_epochs():
    figure = plots.stacked_curves({"nll": {"A": [(1, 9.0), (2, 8.0)]}, "KL": {"A": [(1, 0.1), (2, 0.3)]}}, "epoch", "t")
    above, below = figure.axes
    assert (above.get_ylabel(), below.get_ylabel(), below.get_xlabel()) == ("nll", "KL", "epoch")
    assert above.get_xlim() == below.get_xlim()
    assert below.get_lines()[0].get_ydata().tolist() == [0.1, 0.3]


def test_texts_are_below_their_columns():
    x = torch.rand(4, 1, 28, 20)
    figure = agg(plots.image_rows([("", x), ("strip", x)], "t", below={"α": list("abcd"), "PSNR": list("efgh")}))
    figure.canvas.draw()
    at = {t.get_text(): t.get_window_extent() for t in figure.texts}
    (picture,) = (axes for axes in figure.axes if axes.get_ylabel() == "strip")
    box = picture.images[0].get_window_extent()
    for k, (upper, lower) in enumerate(zip("abcd", "efgh", strict=True)):
        middle = box.x0 + box.width * (k * 21 + 10) / (4 * 21 - 1)  # 20 pixels an image and a gap of 1
        assert (at[upper].x0 + at[upper].x1) / 2 == pytest.approx(middle, abs=2)
        assert at[lower].y1 <= at[upper].y0 + 1
        assert at[upper].y1 < box.y0
    with pytest.raises(ValueError, match="line 'α' has 3 texts for 4 columns"):
        plots.image_rows([("strip", x)], "t", below={"α": list("abc")})


def test_embeddings_have_a_panel_each_and_one_legend():
    points, labels = torch.randn(60, 2), torch.arange(60) % 3
    figure = plots.embeddings({"t-SNE": points, "PCA": 2 * points}, labels, "60 codes")
    assert [axes.get_title() for axes in figure.axes] == ["t-SNE", "PCA"]
    assert [axes.get_legend() is not None for axes in figure.axes] == [False, True]
    assert np.allclose(figure.axes[1].collections[0].get_offsets(), 2 * points[labels == 0])


def test_saved_figure_is_laid_out_as_matplotlib_does_by_itself(tmp_path):
    def made():
        return plots.embeddings({"t-SNE": CODES, "PCA": CODES}, DIGITS, "300 codes")

    ours = plots.save(made(), tmp_path / "a.png").read_bytes()
    with style.styled():
        made().savefig(tmp_path / "b.png", metadata={"Software": None})
        free = made()
        free.set_layout_engine(None)
        free.savefig(tmp_path / "c.png", metadata={"Software": None})
    theirs, without = ((tmp_path / name).read_bytes() for name in ("b.png", "c.png"))
    assert ours == theirs != without


def test_distributions_have_a_panel_a_dimension_and_a_violin_a_group():
    codes = torch.cat([torch.full((5, 1), 2.0), torch.linspace(-1, 1, 5)[:, None]], 1)  # one all equal
    figure = plots_codes.distributions(codes, torch.tensor([0, 0, 1, 1, 2]), ["z 4", "z 7"], "shape", "t")
    equal, spread = figure.axes
    assert (equal.get_title(), spread.get_title(), figure.get_supxlabel()) == ("z 4", "z 7", "shape")
    medians = [segment[0, 1] for segment in spread.collections[-1].get_segments()]
    assert medians == pytest.approx([-0.75, 0.25, 1.0])
    figure = plots_codes.distributions(torch.rand(20, 6), torch.arange(20) % 2, list("abcdef"), "g", "t")
    assert [axes.get_title() for axes in figure.axes if axes.get_visible()] == list("abcdef"), "no empty panel"
    with pytest.raises(ValueError, match=r"codes must be \[N, 1\]"):
        plots_codes.distributions(codes, torch.zeros(5), ["z"], "g", "t")


def test_correlations_are_printed_and_lighter_the_higher():
    figure = plots_codes.correlations(
        np.array([[-1.0, 0.0], [0.5, np.nan]]), ["size", "x"], ["3", "8"], "code", "f", "t"
    )
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts] == ["−1.00", "0.00", "0.50"]
    colours = axes.images[0].to_rgba(np.linspace(-1, 1, 50))[:, :3]
    assert (np.diff(colours @ [0.299, 0.587, 0.114]) > 0).all()
    with pytest.raises(ValueError, match="correlations must be"):
        plots_codes.correlations(np.zeros((2, 2)), ["size"], ["3", "8"], "code", "f", "t")


def test_all_dimensions_of_a_code_have_one_scale():
    codes = torch.stack([torch.linspace(-60, 20, 30), torch.linspace(-1, 1, 30)], 1)
    figure = plots_codes.distributions(codes, torch.arange(30) % 2, ["z 0", "z 1"], "label", "t")
    wide, narrow = (axes.get_ylim() for axes in figure.axes)
    assert wide == narrow
    assert narrow[0] < -60


def test_correlations_of_many_dimensions_are_readable_on_a_phone():
    """A dimension is a row: 32 of them make the figure longer, not wider. Text of 8 pt has at least 6 px at 358 px."""
    rows, factors = [str(k) for k in range(32)], ["shape (η)", "size", "x", "y"]
    figure = agg(plots_codes.correlations(np.zeros((32, 4)), rows, factors, "", "code dimension", "t"))
    assert inside(figure)
    assert 8 / 72 * 358 / figure.get_figwidth() > 6


def test_more_labels_than_colours_differ_in_shape():
    labels = torch.arange(150) % 15
    axes = plots.embedding(torch.randn(150, 2), labels, "t").axes[0]
    looks = {(tuple(c.get_facecolor()[0][:3]), len(c.get_paths()[0].vertices)) for c in axes.collections}
    assert len(looks) == 15


def test_texts_of_points_at_one_place_do_not_cover_each_other():
    points = [(1.0 + 1e-4 * k, 1.0) for k in range(6)] + [(2.0, 3.0)]
    figure = agg(
        plots_sweeps.trade_off({"all": points}, {"all": ["0.5", "1", "2", "5", "10", "20", "50"]}, "x", "y", "t")
    )
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 7
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


@pytest.mark.parametrize("heat", [True, False])
def test_text_beside_rows_of_images_is_readable_in_a_column_of_the_page(heat):
    """Ten images a row: ticks, colour bar and values have at least 9 pt in a figure of at most 8 inches."""
    x = torch.rand(10, 1, 8, 8)
    bar, below = ({"v": "variance (pixel²)"}, None) if heat else ({}, {"α": [str(k) for k in range(10)]})
    figure = agg(plots.image_rows([("original", x), ("v", x)], "t", heat=bar, below=below))
    figure.canvas.draw()
    assert figure.get_figwidth() <= 8
    assert inside(figure)
    assert min(t.get_fontsize() for t in figure.findobj(mpl.text.Text) if t.get_text()) >= 9


def test_a_single_epoch_is_visible():
    line = plots.curves({"A": [(1, 1.0)]}, "x", "y", "t").axes[0].get_lines()[0]
    assert line.get_marker() == "o"


X = torch.rand(10, 1, 28, 28, generator=torch.Generator().manual_seed(0))
CODES, DIGITS = torch.randn(300, 2, generator=torch.Generator().manual_seed(0)), torch.arange(300) % 10
EVERY = {
    "rows": lambda: plots.image_rows([("input", X), ("reconstruction", X)], "Reconstructions of the test split"),
    "heat": lambda: plots.image_rows([("original", X), ("variance", X)], "Uncertainty", heat={"variance": "unit"}),
    "grid": lambda: plots.image_grid(X, "Samples from a mixture of 10 Gaussians"),
    "embedding": lambda: plots.embedding(CODES, DIGITS, "t-SNE of the codes"),
    "curves": lambda: plots.curves({"AE": [(1, 1.0), (2, 0.5)]}, "epoch", "training loss", "Training loss"),
    "strips": lambda: plots.image_rows(
        [("3 → 5", X), ("", X)], "Interpolation", below={"mean L2 (codes)": [f"{i}.25" for i in range(10)]}
    ),
    "side by side": lambda: plots.embeddings({"t-SNE": CODES, "PCA": CODES}, DIGITS, "300 codes"),
    "stacked": lambda: plots.stacked_curves({"nll": {"A": [(1, 1.0)]}, "KL": {"A": [(1, 0.5)]}}, "epoch", "t"),
    "distributions": lambda: plots_codes.distributions(CODES, DIGITS, ["z 0", "z 1"], "label", "Codes"),
    "correlations": lambda: plots_codes.correlations(
        CODES[:4].clamp(-1, 1), list("abcd"), ["0", "1"], "code", "f", "t"
    ),
}
NAMES = list(EVERY)


@pytest.mark.parametrize("name", NAMES)
def test_text_is_large_enough_and_nothing_is_clipped(name):
    figure = agg(EVERY[name]())
    assert min(t.get_fontsize() for t in figure.findobj(mpl.text.Text) if t.get_text()) >= 8
    assert inside(figure)


def test_a_long_title_is_broken_not_clipped():
    title = "Samples decoded from a mixture of ten Gaussians fitted to the codes of the training split, " * 2
    for figure in (
        plots.image_grid(torch.rand(3, 1, 8, 8), title),
        plots.image_rows([("a rather long label", torch.rand(3, 1, 8, 8))], title),
        plots.image_rows([("original", torch.rand(8, 1, 28, 20))] * 3, "t", heat={"original": "variance"}),
        plots.embedding(torch.randn(9, 2), torch.arange(9), title),
        plots.curves({"A": [(1, 1.0), (2, 2.0)]}, "x", "y", title),
    ):
        assert inside(agg(figure))
        axes = figure.axes[0].get_window_extent()
        assert axes.width > 100  # the title takes no room from the picture
        assert axes.height > 50


@pytest.mark.parametrize("name", NAMES)
def test_saved_png_is_small_and_the_same_each_time(tmp_path, name):
    first = plots.save(EVERY[name](), tmp_path / "new folder" / "a.png")
    second = plots.save(EVERY[name](), tmp_path / "b.png")
    assert first == tmp_path / "new folder" / "a.png"
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size <= style.MAX_BYTES
    shown = pixels(first)
    assert 200 < shown.shape[1] < 1100
    assert shown.std() > 0.02  # not an empty page


@pytest.mark.parametrize("name", NAMES)
def test_saved_pdf_is_small_and_the_same_each_time(tmp_path, name):
    first, second = (plots.save(EVERY[name](), tmp_path / f"{k}.pdf").read_bytes() for k in "ab")
    assert first == second
    assert first.startswith(b"%PDF")
    assert 2000 < len(first) < style.MAX_BYTES


def test_a_large_picture_is_reduced_but_looks_the_same(tmp_path):
    x = torch.rand(100, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    figure = plots.image_grid(x, "noise")
    reduced = plots.save(figure, tmp_path / "reduced.png")
    figure.savefig(tmp_path / "full.png")
    assert reduced.stat().st_size < 0.6 * (tmp_path / "full.png").stat().st_size
    assert Image.open(reduced).size == Image.open(tmp_path / "full.png").size
    assert np.abs(pixels(reduced) - pixels(tmp_path / "full.png")).mean() < 0.12


def test_no_global_state_is_left_behind(tmp_path):
    before = dict(mpl.rcParams)
    for name, make in EVERY.items():
        figure = make()
        assert type(figure) is Figure
        plots.save(figure, tmp_path / f"{name}.png")
    assert dict(mpl.rcParams) == before


def test_threads_draw_what_one_thread_draws(tmp_path):
    before = dict(mpl.rcParams)
    alone = plots.save(EVERY["curves"](), tmp_path / "alone.png").read_bytes()
    threads = [
        threading.Thread(target=lambda i=i: plots.save(EVERY["curves"](), tmp_path / f"{i}.png")) for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((tmp_path / f"{i}.png").read_bytes() == alone for i in range(4))
    assert dict(mpl.rcParams) == before


def test_palette_differs_in_grey():
    def lightness(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return 116 * (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]) ** (1 / 3) - 16

    sorted_lightness = sorted(map(lightness, style.PALETTE))
    assert min(np.diff(sorted_lightness)) > 4
    assert sorted_lightness[-1] < 86  # still visible on white
