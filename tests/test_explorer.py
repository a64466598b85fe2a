"""The explorer without a browser: operations, rounding, the page as a file, its server, and what is refused."""

import base64
import http.client
import json
import re
import threading
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pages import MODELS, Made, model, page_file, subject
from torch import nn

from lit_ae import tracking
from lit_ae.data.containers import ArrayDataset
from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.explorer import layers, page, subjects
from lit_ae.explorer.server import Server
from lit_ae.models import VAE
from lit_ae.models.ae import AE
from lit_ae.models.classifier import Classifier
from lit_ae.models.hopfield import Hopfield

FACTS = re.compile(r'<script type="application/json" id="facts">(.*?)</script>', re.DOTALL)


def facts_of(path):
    return json.loads(FACTS.search(path.read_text("utf-8"))[1])


def unpacked(array):
    content = zlib.decompress(base64.b64decode(array["data"]))
    return np.frombuffer(content, array["dtype"]).reshape(array["shape"])


@pytest.mark.parametrize(("most", "expected"), [(0.4, [0.0, 1.0]), (3.0, [0.0, 3.0])])
def test_pixels_are_shown_and_compared_on_their_own_scale_from_0_to_1(most, expected):
    x = torch.linspace(0, most, 20 * 16).view(20, 1, 4, 4)
    split = ArrayDataset(x, torch.zeros(20, dtype=torch.long))
    data = SimpleNamespace(
        split=lambda name: split, input_shape=(1, 4, 4), num_classes=0, class_names=(), factor_names=(),
        feature_names=(), background=200,
    )  # fmt: skip
    facts = page._samples(data, 20)
    assert facts["range"] == expected
    assert facts["background"] == 200
    low, high = expected
    np.testing.assert_allclose(unpacked(facts["x"]) / 255 * (high - low) + low, x, atol=(high - low) / 500)


# -- operations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_operations_are_those_of_the_model(name):
    made = model(name)
    y = torch.arange(20) % 3 if name == "conditional" else None
    z = torch.randn(20, made.latent_dim, generator=torch.Generator().manual_seed(1))
    ops = layers.decoder_ops(made, z, y)
    with torch.no_grad():
        expected = made.decode(z, y)
        assert (layers.run(ops, z, y) - expected).abs().max() < 1e-5
        assert (expected[0] - expected[1]).abs().max() > 1e-3  # the codes matter
        if name in ("dcgan", "conditional"):  # no encoder, and one that needs labels
            assert layers.encoder_ops(made, torch.rand(20, *made.input_shape)) is None
            return
        x = torch.rand(20, *made.input_shape, generator=torch.Generator().manual_seed(2))
        assert (layers.run(layers.encoder_ops(made, x), x) - made.encode(x).mu).abs().max() < 1e-5


def test_a_layer_that_the_page_does_not_know_is_left_to_the_server():
    made = model("tanh")
    made.decoder.layers.append(nn.GELU())
    z = torch.zeros(3, made.latent_dim)
    assert layers.decoder_ops(made, z, None) is None
    assert layers.decoder_ops(Hopfield(input_shape=(4,), latent_dim=4).eval(), torch.zeros(3, 4), None) is None


def test_a_decoder_that_does_more_than_its_network_is_left_to_the_server():
    class Doubled(AE):
        def raw(self, z, y=None):
            return 2 * super().raw(z, y)

    assert layers.decoder_ops(Doubled((9,), 3).eval(), torch.randn(5, 3), None) is None


def test_bytes_stand_for_the_lowest_and_highest_weight_of_each_row_exactly():
    weights = torch.tensor([[0.0, 255.0, 3.0], [-1.0, 1.0, 0.0]])
    levels, low, step = layers.quantised(weights)
    assert levels.tolist() == [[0, 255, 3], [0, 255, 128]]
    assert low.tolist() == [0, -1]
    assert step.tolist() == pytest.approx([1, 2 / 255])
    ops = [layers.Op("linear", {}, {"w": weights, "b": torch.tensor([0.1, 0.2])})]
    (rounded,) = layers.rounded(ops, "uint8")
    assert (rounded.tensors["w"] - weights).abs().max() <= 1 / 255 + 1e-6  # half a step of the second row
    assert torch.equal(rounded.tensors["b"], ops[0].tensors["b"])


def test_half_precision_keeps_eleven_bits():
    weights = torch.tensor([[1 + 2**-10, 1 + 2**-12]])
    (rounded,) = layers.rounded([layers.Op("linear", {}, {"w": weights, "b": torch.zeros(1)})], "float16")
    assert rounded.tensors["w"].tolist() == [[1 + 2**-10, 1.0]]


def test_the_finest_precision_is_taken_that_leaves_room():
    def net(n):
        return [layers.Op("linear", {}, {"w": torch.zeros(1, n), "b": torch.zeros(1)})]

    def chosen(n):
        return page._fitting([net(n)], [net(n)], page.LIMIT)

    assert chosen(200_000) == ("float32", True)
    assert chosen(600_000) == ("float16", True)
    assert chosen(1_900_000) == ("uint8", True)
    assert chosen(3_000_000) == ("uint8", False)
    assert chosen(5_000_000) == (None, False)


# -- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits_page(tmp_path_factory):
    """A VAE on digits that was not trained."""
    torch.manual_seed(0)
    data = Digits()
    made = VAE(input_shape=(1, 28, 28), latent_dim=6).eval()
    return page_file(tmp_path_factory.mktemp("page") / "page.html", [subject(made, data)], data), made, data


def test_the_page_is_one_file_that_loads_nothing(digits_page):
    path, _, _ = digits_page
    text = path.read_text("utf-8")
    assert path.stat().st_size <= 8_000_000
    assert not re.findall(r"(?:https?:)?//[a-z0-9]+\.[a-z]", text)
    assert re.findall(r'(?:src|href)="(?!#)([^"]*)"', text) == ["data:,"]
    assert not re.findall(r"@import|url\(", text)


def test_the_page_holds_codes_scores_and_samples(digits_page):
    path, made, data = digits_page
    facts, part = facts_of(path), data.split("test")
    (run,) = facts["runs"]
    codes = made.embed(part.x[:].numpy())
    assert np.allclose(unpacked(run["codes"]), codes, atol=1e-5)
    assert np.array_equal(unpacked(facts["x"]), part.x[:].numpy())
    assert unpacked(facts["y"]).tolist() == part.y.tolist()
    errors = ((made.reconstruct(part.x[:].numpy()) - part.x[:].numpy() / 255) ** 2).mean((1, 2, 3))
    assert np.allclose(unpacked(run["values"]["reconstruction error (MSE)"]), errors, rtol=1e-4)
    (pca,) = run["maps"]
    axes = unpacked(pca["axes"])
    assert np.allclose(axes @ axes.T, np.eye(2), atol=1e-5)
    share = ((codes - codes.mean(0)) @ axes.T).var(0) / codes.var(0).sum()
    expected = np.linalg.eigvalsh(np.cov(codes.T))[::-1]
    assert np.allclose(share, (expected / expected.sum())[:2], rtol=1e-3)
    assert run["order"] == np.argsort(-codes.std(0)).tolist()
    assert [sampler["name"] for sampler in run["samplers"]] == ["N(0, I)", "Gaussian", "mixture"]
    assert np.allclose(
        unpacked(run["samplers"][1]["mean"]), made.embed(data.split("train").x[:].numpy()).mean(0), atol=1e-4
    )


def test_a_large_network_is_rounded_and_the_page_says_how_much(tmp_path, capsys):
    data = Made((1200,), n=3000)
    made = AE((1200,), 32).eval()
    path = tmp_path / "page.html"
    said = page.write([subject(made, data)], data, path)
    (run,) = facts_of(path)["runs"]
    assert path.stat().st_size <= 8_000_000
    assert run["precision"] == "float16"
    assert 0 < run["error"] < 1e-2
    assert f"by at most {run['error']:.1e}" in said
    assert facts_of(path)["count"] < 1000  # as many samples as fit, of 1,000


def test_a_model_without_encoder_has_sliders_and_samples_alone(tmp_path):
    data = Made((1, 28, 28))
    facts = facts_of(page_file(tmp_path / "page.html", [subject(model("dcgan"), data)], data))
    assert facts["count"] == 0
    assert facts["runs"][0]["codes"]["shape"] == [0, 5]


# -- what is refused -------------------------------------------------------------------------------------------------


def refused(lit_ae, capsys, *arguments):
    """The one line that `lit-ae explore` prints as it refuses these arguments."""
    capsys.readouterr()
    assert lit_ae("explore", *arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.slow  # the browser tests open such pages too
def test_a_run_is_found_by_its_id_and_by_its_name(store, lit_ae, settings, capsys, tmp_path):
    assert lit_ae("fit", *settings("vae"), "--model.latent_dim=3") == 0
    run_id = subjects.found("VAE digits seed 0")
    assert tracking.get_run(run_id).model == "VAE"
    assert subjects.found(run_id) == run_id
    capsys.readouterr()
    assert lit_ae("explore", "VAE digits seed 0", "--html", "page.html", "--maps", "tsne") == 0
    assert "page.html: 60 test samples" in capsys.readouterr().out
    (run,) = facts_of(tmp_path / "page.html")["runs"]
    assert run["title"] == "VAE on digits, seed 0"
    assert [found["name"] for found in run["maps"]] == ["PCA", "t-SNE"]
    tracking.create_run("default", "VAE digits seed 0", {})
    assert "is the name of 2 runs: give the id of one" in refused(lit_ae, capsys, "VAE digits seed 0")


def test_arguments_that_cannot_work_are_refused_in_one_line(store, lit_ae, capsys, tmp_path):
    assert "neither the id (32 hexadecimal digits) nor the name of a run" in refused(lit_ae, capsys, "nothing")
    assert "there is no folder" in refused(lit_ae, capsys, "x", "--html", tmp_path / "none" / "page.html")
    assert "give one of them" in refused(lit_ae, capsys, "x", "--html", "page.html", "--port", "1")
    (tmp_path / "own.html").write_text("<!doctype html><title>My page</title>")
    assert "no page of `lit-ae explore`, so it is not replaced" in refused(lit_ae, capsys, "x", "--html", "own.html")
    assert "--samples is 3: it must be at least 20" in refused(lit_ae, capsys, "x", "--samples", "3")
    assert "invalid choice: 'pca'" in refused(lit_ae, capsys, "x", "--maps", "pca")
    assert "arguments are required: RUN" in refused(lit_ae, capsys)


def test_runs_that_cannot_be_explored_are_refused_in_one_line(monkeypatch, lit_ae, capsys, tmp_path):
    models = {"a": model("linear"), "b": model("linear"), "c": Classifier(input_shape=(9,), num_classes=3)}
    data = {"a": Made((9,)), "b": Made((9,), n=90), "c": Made((9,))}
    monkeypatch.setattr(subjects, "found", str)
    monkeypatch.setattr(subjects, "load", models.get)
    monkeypatch.setattr(subjects, "load_data", data.get)
    path = tmp_path / "page.html"
    path.write_text("<!doctype html><head><title>Explorer: an older page</title>")  # which may be replaced
    assert "RUN b was trained on other data than a" in refused(lit_ae, capsys, "a", "b", "--html", path)
    assert "c is a Classifier, which has no codes to explore" in refused(lit_ae, capsys, "c", "--html", path)
    assert "cannot be written" in refused(lit_ae, capsys, "a", "--html", tmp_path)
    assert "an older page" in path.read_text()


def test_a_decoder_of_an_unknown_kind_needs_the_server(tmp_path):
    data = Made((9,))
    made = model("softmax")
    made.decoder.layers.append(nn.GELU())
    with pytest.raises(SettingError, match="leave --html out, so that a server on this machine decodes"):
        page_file(tmp_path / "page.html", [subject(made, data)], data)
    served = facts_of(page_file(tmp_path / "page.html", [subject(made, data)], data, served=True))
    assert served["runs"][0]["decoder"] is None


# -- the server ------------------------------------------------------------------------------------------------------


@pytest.fixture
def served():
    """A running server of two models, and a function that asks it: (status, content)."""
    data = Made((9,))
    both = [subject(model("softmax"), data), subject(model("conditional"), data)]
    with Server("<p>page</p>", both, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def ask(method, path, body=None, **headers):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answer.status, content

        yield ask, both, server
        server.shutdown()
        thread.join()


def test_the_server_gives_the_page_and_decodes(served):
    ask, both, server = served
    assert server.server_address[0] == "127.0.0.1"
    assert ask("GET", "/") == (200, b"<p>page</p>")
    z = [[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]]
    status, content = ask("POST", "/decode", json.dumps({"run": 0, "z": z}))
    expected = both[0].model.decode(torch.tensor(z)).detach()
    assert status == 200
    assert torch.allclose(torch.tensor(json.loads(content)["x"]), expected, atol=1e-6)
    _, content = ask("POST", "/decode", json.dumps({"run": 1, "z": [[0.1] * 4], "y": 2}))
    expected = both[1].model.decode(torch.full((1, 4), 0.1), torch.tensor([2])).detach()
    assert torch.allclose(torch.tensor(json.loads(content)["x"]), expected, atol=1e-6)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "evil.example:{port}", ""])
def test_a_request_under_another_name_is_refused(served, host):
    ask, _, server = served
    for method, path in (("GET", "/"), ("POST", "/decode")):
        assert (
            ask(method, path, "{}" if method == "POST" else None, Host=host.format(port=server.server_port))[0] == 403
        )
    assert ask("GET", "/", Host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("no json", b"Expecting value"),
        ("[]", b"run is no number of a run"),
        ('{"run": 2, "z": [[0, 0, 0]]}', b"run is no number of a run"),
        ('{"run": [0], "z": [[0, 0, 0]]}', b"run is no number of a run"),
        ('{"run": 0, "z": [[0, 0]]}', b"z is not [N, 3]"),
        ('{"run": 0, "z": [[0, 0, NaN]]}', b"z is not [N, 3]"),
        ('{"run": 0, "z": "text"}', b"z holds no numbers"),
        ('{"run": 1, "z": [[0, 0, 0, 0]], "y": 3}', b"y is no class"),
    ],
)
def test_a_request_that_is_none_is_refused(served, body, why):
    ask, _, _ = served
    status, content = ask("POST", "/decode", body)
    assert status == 400
    assert why in content


def test_other_paths_and_large_requests_are_refused(served):
    ask, _, _ = served
    assert ask("GET", "/decode")[0] == 404
    assert ask("POST", "/", "{}")[0] == 404
    assert ask("POST", "/decode", "x", **{"Content-Length": "1000001"})[0] == 413


def test_a_port_that_is_taken_is_refused(served):
    with pytest.raises(SettingError, match=r"--port \d+ cannot be used .*: give another, or 0 for any"):
        Server("", [], served[2].server_port)
    with pytest.raises(SettingError, match="--port 99999 cannot be used"):
        Server("", [], 99999)


def test_an_interrupt_ends_the_server_of_the_command(monkeypatch, lit_ae, capsys):
    def interrupted(server):
        assert b"<!doctype html>" in server.page
        raise KeyboardInterrupt

    monkeypatch.setattr(subjects, "found", str)
    monkeypatch.setattr(subjects, "load", lambda _: model("linear"))
    monkeypatch.setattr(subjects, "load_data", lambda _: Made((9,)))
    monkeypatch.setattr(Server, "serve_forever", interrupted)
    assert lit_ae("explore", "a", "--port", "0", "--maps") == 0
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"open http://127\.0\.0\.1:\d+/ in a browser; Ctrl-C ends the server", said[0])
    assert said[1:] == ["ended"]


def test_large_values_of_vectors_are_kept():
    """An income of 120,000 is infinite in float16."""
    data = Made((9,))
    data.split("test").x[0, 0] = 120_000.0
    assert unpacked(page._samples(data, 5)["x"])[0, 0] == 120_000
    data.split("test").x[0, 0] = 0.5
    assert unpacked(page._samples(data, 5)["x"]).dtype == np.float16
