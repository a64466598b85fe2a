import threading

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from lit_ae import plots


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(float) / 255


def texts(figure):
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


def inside(figure):
    """All that is drawn lies on the canvas."""
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
    variance = 4.0 * x + 1.0  # outside [0, 1] on purpose
    rows = [("original", x), ("mean", x), ("variance", variance)]
    figure = plots.image_rows(rows, "Uncertainty", heat={"variance": "variance (unit)"})
    said = texts(figure)
    assert {"original", "mean", "variance", "Uncertainty", "variance (unit)"} <= set(said)
    heat = next(axes.images[0] for axes in figure.axes if axes.get_ylabel() == "variance")
    assert heat.get_array().ndim == 2  # values, not colours: the colour bar's scale is theirs
    assert heat.get_clim() == (0.0, pytest.approx(variance.max().item()))


def test_heat_map_of_zeros_is_drawn(tmp_path):
    figure = plots.image_rows([("variance", torch.zeros(3, 1, 4, 4))], "t", heat={"variance": "v"})
    assert plots.save(figure, tmp_path / "zero.png").stat().st_size > 0


@pytest.mark.parametrize("shape", [(4, 28, 28), (4, 2, 8, 8), (0, 1, 8, 8)])
def test_wrong_image_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\[N, 1 or 3, H, W\]"):
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


def test_a_single_epoch_is_visible():
    line = plots.curves({"A": [(1, 1.0)]}, "x", "y", "t").axes[0].get_lines()[0]
    assert line.get_marker() == "o"


def figures():
    x = torch.rand(10, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    codes = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    return {
        "rows": plots.image_rows([("input", x), ("reconstruction", x)], "Reconstructions of the test split"),
        "heat": plots.image_rows([("original", x), ("variance", x)], "Uncertainty", heat={"variance": "unit"}),
        "grid": plots.image_grid(x, "Samples from a mixture of 10 Gaussians"),
        "embedding": plots.embedding(codes, torch.arange(500) % 10, "t-SNE of the codes"),
        "curves": plots.curves({"AE": [(1, 1.0), (2, 0.5)]}, "epoch", "training loss", "Training loss"),
    }


@pytest.mark.parametrize("name", ["rows", "heat", "grid", "embedding", "curves"])
def test_text_is_large_enough_and_nothing_is_clipped(name):
    figure = agg(figures()[name])
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


@pytest.mark.parametrize("name", ["rows", "heat", "grid", "embedding", "curves"])
def test_saved_png_is_small_and_the_same_each_time(tmp_path, name):
    first = plots.save(figures()[name], tmp_path / "new folder" / "a.png")
    second = plots.save(figures()[name], tmp_path / "b.png")
    assert first == tmp_path / "new folder" / "a.png"
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size <= plots.MAX_BYTES
    shown = pixels(first)
    assert 200 < shown.shape[1] < 1100
    assert shown.std() > 0.02  # not an empty page


def test_a_large_picture_is_reduced_but_keeps_its_look(tmp_path):
    x = torch.rand(100, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    figure = plots.image_grid(x, "noise")
    reduced = plots.save(figure, tmp_path / "reduced.png")
    figure.savefig(tmp_path / "full.png")
    assert reduced.stat().st_size < 0.6 * (tmp_path / "full.png").stat().st_size
    assert Image.open(reduced).size == Image.open(tmp_path / "full.png").size
    assert np.abs(pixels(reduced) - pixels(tmp_path / "full.png")).mean() < 0.12


def test_no_global_state_is_left_behind(tmp_path):
    before = dict(mpl.rcParams)
    for name, figure in figures().items():
        assert type(figure) is Figure
        plots.save(figure, tmp_path / f"{name}.png")
    assert dict(mpl.rcParams) == before


def test_threads_draw_what_one_thread_draws(tmp_path):
    before = dict(mpl.rcParams)
    alone = plots.save(figures()["curves"], tmp_path / "alone.png").read_bytes()
    threads = [
        threading.Thread(target=lambda i=i: plots.save(figures()["curves"], tmp_path / f"{i}.png")) for i in range(4)
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

    sorted_lightness = sorted(map(lightness, plots.PALETTE))
    assert min(np.diff(sorted_lightness)) > 4
    assert sorted_lightness[-1] < 86  # still seen on white
