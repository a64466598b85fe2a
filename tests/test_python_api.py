"""What Python code is offered as `lit_ae.NAME`: names, loading, arrays in and out, scores, comparisons, runs."""

import ast
import inspect
import json
import math
import pkgutil
import subprocess
import sys
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import lightning
import numpy as np
import pytest
import scipy.linalg
import torch
from scipy import stats as scipy_stats
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils.data import DataLoader

import lit_ae as api
from lit_ae import statistics
from lit_ae.callbacks.scores.log_likelihood import LogLikelihood
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.errors import SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.metrics.codes.clustering import clustering_scores
from lit_ae.metrics.codes.factors import mutual_information_gap
from lit_ae.metrics.codes.probe import probe_scores
from lit_ae.metrics.images.extractors import FeatureExtractor, Features
from lit_ae.metrics.reconstruction.errors import ssim
from lit_ae.models.settings import as_plain
from lit_ae.models.tracked import TrackedModule
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.nets.conv import ConvDecoder, ConvEncoder
from lit_ae.objectives.corruptions import Masking
from lit_ae.objectives.likelihoods import Bernoulli, Gaussian, Huber
from lit_ae.objectives.schedules import LinearSchedule
from lit_ae.samplers.base import Sampler

IMAGE = (1, 8, 8)
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


def saved(model, path):
    """A checkpoint of a model as it is, as `Trainer.save_checkpoint` writes it."""
    trainer = lightning.Trainer(accelerator="cpu", **QUIET)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(path)
    return path


def random(n, *shape, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def same_weights(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


# -- names ---------------------------------------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys; import lit_ae; assert 'VAE' in dir(lit_ae)\n"
        "assert not {'torch', 'lightning', 'mlflow', 'numpy', 'pandas', 'lit_ae.models'} & set(sys.modules)\n"
        "lit_ae.compare; assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_each_name_is_there_documented_and_seen_by_type_checkers():
    assert sorted(set(api.__all__)) == sorted(api.__all__)
    assert set(api.__all__) <= set(dir(api))
    (typed,) = [node for node in ast.parse(Path(api.__file__).read_text()).body if isinstance(node, ast.If)][:1]
    assert {alias.asname for node in typed.body for alias in node.names} == set(api.__all__)
    for name in api.__all__:
        found = getattr(api, name)
        assert found is getattr(api, name), "the same object each time"
        assert isinstance(found, ModuleType) or found.__name__ == name
        assert inspect.getdoc(found), name
    with pytest.raises(AttributeError, match="no attribute 'VEA'"):
        _ = api.VEA


@pytest.mark.parametrize(
    ("package", "base"), [("data", BaseDataModule), ("samplers", Sampler), ("models", TrackedModule)]
)
def test_no_class_is_forgotten(package, base):
    for module in pkgutil.iter_modules(import_module(f"lit_ae.{package}").__path__, f"lit_ae.{package}."):
        import_module(module.name)
    pending, found = [base], set()
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        shared = cls.__module__.rpartition(".")[2] in ("base", "torchvision_images", "learned", "gibbs")
        if cls.__module__.startswith(f"lit_ae.{package}.") and not inspect.isabstract(cls) and not shared:
            found.add(cls.__name__)
    assert found - {"TrackedModule"} <= set(api.__all__)
    assert len(found) >= 5


def test_scores_list_what_they_have():
    assert all(
        callable(getattr(api.scores, name)) and ">>> " in getattr(api.scores, name).__doc__
        for name in api.scores.__all__
    )
    functions = {name for name, value in vars(api.scores).items() if inspect.isfunction(value)}
    assert functions == set(api.scores.__all__)


# -- loading -------------------------------------------------------------------------------------------------------


class Narrow(MLPEncoder):
    """An encoder of the user's own."""

    def __init__(self, input_shape, out_features, width: int = 5):
        super().__init__(input_shape, out_features, widths=[width])


class OwnVAE(api.VAE):
    """A family of the user's own, which fixes a setting of its base and adds one."""

    def __init__(self, power: float = 2.0, **kwargs):
        super().__init__(free_bits=0.0, **kwargs)
        self.power = power


class Pair(api.AE):
    """A family that builds another one in its constructor."""

    def __init__(self, extra: int = 3, **kwargs):
        self.inner = None
        super().__init__(**kwargs)
        self.inner = api.AE(input_shape=(extra,), latent_dim=2)


PYTHON = [
    api.VAE(input_shape=IMAGE, latent_dim=3, beta=4.0, annealing=LinearSchedule(0.5), likelihood=Bernoulli("mean")),
    api.VAE(input_shape=IMAGE, encoder=partial(ConvEncoder, channels=[4]), decoder=partial(ConvDecoder, channels=[4])),
    api.AE(input_shape=IMAGE, encoder=ConvEncoder, decoder=ConvDecoder, likelihood=Gaussian("mean", "linear")),
    api.AE(input_shape=np.zeros((2, 1, 8, 8)).shape[1:], latent_dim=np.int64(3), optimizer=torch.optim.SGD),
    api.AE(input_shape=(6,), encoder=partial(Narrow, width=7), likelihood=Huber(0.2, output="linear")),
    api.AE(input_shape=IMAGE, lr_scheduler=partial(torch.optim.lr_scheduler.StepLR, step_size=2)),
    api.DenoisingAE(input_shape=IMAGE, corruption=Masking(0.4), noise_seed=3),
    api.SparseAE(input_shape=IMAGE, sparsity="l1", activation="relu"),
    api.ConditionalVAE(input_shape=IMAGE, num_classes=4, decoder=partial(MLPDecoder, widths=[9])),
    api.GAN(input_shape=IMAGE, discriminator=partial(MLPEncoder, widths=[11])),
    api.WAEGAN(input_shape=IMAGE, weight=2.0),
    api.PCA(input_shape=IMAGE, latent_dim=4),
    api.RBM(input_shape=IMAGE, chains=3, steps=2),
    api.DEC(input_shape=IMAGE, clusters=4),
    api.Classifier(input_shape=IMAGE, num_classes=3),
    api.BetaTCVAE(input_shape=IMAGE, beta=3.0),
    OwnVAE(power=3.0, input_shape=(6,), beta=2.0),
    Pair(extra=4, input_shape=(6,), latent_dim=3),
]


@pytest.mark.parametrize("model", PYTHON, ids=lambda model: type(model).__name__)
def test_a_model_made_in_python_comes_back(model, tmp_path):
    """Factories, instances, classes and numbers of NumPy are stored and give the same model again."""
    path = saved(model, tmp_path / "model.ckpt")
    stored = torch.load(path, weights_only=True)
    assert stored["settings_not_stored"] == []
    assert json.loads(json.dumps(stored["hyper_parameters"])) == stored["hyper_parameters"], "plain data"
    for loaded in (api.load(path), type(model).load_from_checkpoint(path)):
        assert type(loaded) is type(model)
        assert same_weights(loaded, model)
        assert as_plain(loaded.init_args) == as_plain(model.init_args)
        for name, part in model.named_modules():
            assert type(loaded.get_submodule(name)) is type(part)
        if hasattr(model, "likelihood"):
            assert as_plain(loaded.likelihood) == as_plain(model.likelihood)
    assert not api.load(path).training
    assert type(model).load_from_checkpoint(path, map_location="cpu").training


def test_a_loaded_model_trains_on_like_the_one_that_was_saved(tmp_path):
    x = random(32, *IMAGE)
    states = []
    model = api.VAE(input_shape=IMAGE, latent_dim=3, optimizer=partial(torch.optim.SGD, lr=0.01))
    path = saved(model, tmp_path / "model.ckpt")
    for one in (model, api.load(path).train()):
        torch.manual_seed(0)
        lightning.Trainer(accelerator="cpu", max_epochs=2, **QUIET).fit(one, DataLoader(x, batch_size=8))
        states.append(one)
    assert same_weights(*states)


@pytest.mark.parametrize("setting", ["encoder", "likelihood"])
def test_what_cannot_be_stored_has_to_be_given_again(tmp_path, setting):
    class Local(Gaussian):
        pass

    value = {"encoder": lambda shape, n: MLPEncoder(shape, n, widths=[6]), "likelihood": Local()}[setting]
    path = saved(api.AE(input_shape=IMAGE, **{setting: value}), tmp_path / "model.ckpt")
    with pytest.raises(SettingError, match=rf"does not hold {setting}.*give {setting}=\.\.\."):
        api.load(path)
    assert torch.equal(
        api.load(path, **{setting: value}).decoder.layers[0].weight,
        api.AE.load_from_checkpoint(path, **{setting: value}).decoder.layers[0].weight,
    )


def test_settings_may_be_replaced(tmp_path):
    path = saved(api.VAE(input_shape=IMAGE, beta=4.0), tmp_path / "model.ckpt")
    loaded = api.VAE.load_from_checkpoint(path, beta=1.5, likelihood=Bernoulli(), optimizer=torch.optim.SGD)
    assert (loaded.beta, type(loaded.likelihood), loaded.optimizer) == (1.5, Bernoulli, torch.optim.SGD)
    with pytest.raises(SettingError, match="does not fit the model"):
        api.load(path, latent_dim=3)
    with pytest.raises(TypeError, match="bete"):
        api.load(path, bete=3)


def test_a_checkpoint_of_another_family_is_refused(tmp_path):
    path = saved(api.VAE(input_shape=IMAGE), tmp_path / "model.ckpt")
    with pytest.raises(SettingError, match=r"holds a VAE and not a SAE.*lit_ae\.load"):
        api.SAE.load_from_checkpoint(path)
    content = torch.load(path, weights_only=True)
    del content["family"]
    torch.save(content, path)
    with pytest.raises(SettingError, match="holds a model of another project"):
        api.load(path)
    del content["family_module"]
    torch.save({**content, "family": "Unknown"}, path)
    with pytest.raises(SettingError, match=r"no class Unknown.*import the module"):
        api.load(path)


def test_of_two_families_of_one_name_the_class_has_to_be_named(tmp_path):
    first = type("Twice", (api.AE,), {"__module__": "first"})
    path = saved(first(input_shape=IMAGE), tmp_path / "model.ckpt")
    again = type("Twice", (api.AE,), {"__module__": "first"})  # as when a cell of a notebook is run again
    assert type(api.load(path)) is again
    second = type("Twice", (api.AE,), {"__module__": "second"})
    assert type(api.load(path)) is again
    older = torch.load(path, weights_only=True)
    del older["family_module"]
    torch.save(older, path)
    with pytest.raises(SettingError, match=r"any of first\.Twice, second\.Twice.*load_from_checkpoint"):
        api.load(path)
    assert type(second.load_from_checkpoint(path)) is second


@pytest.fixture
def named_alike():
    """Makes a subclass with the name of its base, as in a module of a user's own, which other tests do not see."""
    made = []

    def make(base):
        made.append(type(base.__name__, (base,), {"__module__": "mymod"}))
        return made[-1]

    yield make
    for cls in made:
        cls.__name__ = cls.__qualname__ = "Gone"  # it lives on until Python collects cycles


def test_ones_own_class_with_the_name_of_a_shipped_one_is_the_one_that_is_loaded(named_alike, tmp_path):
    own = named_alike(api.AE)
    paths = [saved(cls(input_shape=(8,)), tmp_path / f"{cls.__module__}.ckpt") for cls in (own, api.AE)]
    api.save_pretrained(own(input_shape=(8,)), tmp_path / "folder")
    assert [type(api.load(path)) for path in paths] == [own, api.AE]
    assert type(api.from_pretrained(tmp_path / "folder")) is own
    for path in (paths[0], tmp_path / "folder" / "config.json"):  # as a process that has not imported the module
        if path.suffix == ".ckpt":
            torch.save({**torch.load(path, weights_only=True), "family_module": "elsewhere"}, path)
        else:
            path.write_text(path.read_text().replace("mymod", "elsewhere"))
    for load in (lambda: api.load(paths[0]), lambda: api.from_pretrained(tmp_path / "folder")):
        with pytest.raises(
            SettingError, match=r"elsewhere\.AE is a class of your own.*import elsewhere before loading"
        ):
            load()
    script = type("Mine", (api.AE,), {"__module__": "__main__"})
    path = saved(script(input_shape=(8,)), tmp_path / "script.ckpt")
    script.__module__ = "script"  # which is imported by its name later
    assert type(api.load(path)) is script


def test_ones_own_data_with_the_name_of_shipped_ones_are_those_that_are_loaded(named_alike, tmp_path):
    own = named_alike(api.Digits)
    for path, cls in (("mymod.Digits", own), ("lit_ae.data.digits.Digits", api.Digits), ("Digits", api.Digits)):
        (tmp_path / "config.yaml").write_text(f"data: {{class_path: {path}, init_args: {{limit: 20}}}}")
        assert type(api.load_data(tmp_path)) is cls
    (tmp_path / "config.yaml").write_text("data: {class_path: elsewhere.Digits}")
    with pytest.raises(SettingError, match="import elsewhere before loading"):
        api.load_data(tmp_path)


class Payload:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_loading_runs_no_code_of_the_file(tmp_path):
    path, trace = saved(api.VAE(input_shape=IMAGE), tmp_path / "model.ckpt"), tmp_path / "trace"
    content = torch.load(path, weights_only=True)
    torch.save({**content, "extra": Payload(trace)}, path)
    for load in (api.load, api.VAE.load_from_checkpoint, partial(api.VAE.load_from_checkpoint, weights_only=False)):
        with pytest.raises(SettingError, match="cannot be read as a checkpoint"):
            load(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("encoder", {"class_path": "antigravity.Encoder"}, "antigravity.Encoder, which is not imported"),
        ("encoder", "os.system", "give the class itself as encoder="),
        ("encoder", {"class_path": "os.system"}, "is no class of networks"),
        ("likelihood", {"class_path": "subprocess.Popen", "init_args": {"args": "true"}}, "is no class of networks"),
        ("likelihood", {"class_path": "Gaussian", "init_args": {"pixel": "sum"}}, "cannot be used"),
        ("beta", "much", "cannot be used"),
        ("betta", 1.0, "has no setting betta"),
    ],
)  # fmt: skip
def test_settings_in_a_file_name_no_code_to_run(tmp_path, setting, value, said):
    path = saved(api.VAE(input_shape=IMAGE), tmp_path / "model.ckpt")
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"][setting] = value
    torch.save(content, path)
    with pytest.raises(SettingError, match=said):
        api.load(path)
    assert "antigravity" not in sys.modules


def test_folders(tmp_path):
    model = api.AE(input_shape=IMAGE)
    with pytest.raises(SettingError, match=r"has no checkpoint last\.ckpt"):
        api.load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    saved(model, tmp_path / "checkpoints" / "epoch=1.ckpt")
    assert same_weights(api.load(tmp_path), model)
    saved(model, tmp_path / "checkpoints" / "epoch=2.ckpt")
    with pytest.raises(SettingError, match=r"2 checkpoints \(epoch=1.ckpt, epoch=2.ckpt\): give the path of one"):
        api.load(tmp_path)
    last = api.AE(input_shape=IMAGE)
    saved(last, tmp_path / "checkpoints" / "last.ckpt")
    assert same_weights(api.load(tmp_path), last)
    assert same_weights(api.load(str(tmp_path / "checkpoints")), last)


def test_what_is_not_there_is_named_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError, match=r"no file or folder, and not the id of a run.*lit_ae\.runs\(\)"):
        api.load("vae.ckpt")
    for call in (lambda: api.load("0" * 32), lambda: api.load_data("0" * 32), api.runs):
        with pytest.raises(SettingError, match=r"no MLflow store at .*mlruns.*MLFLOW_TRACKING_URI"):
            call()
    assert not list(tmp_path.iterdir()), "no store is made"
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    with pytest.raises(SettingError, match=r"text\.ckpt cannot be read as a checkpoint"):
        api.load("text.ckpt")
    torch.save({"weights": torch.zeros(3)}, "other.ckpt")
    with pytest.raises(SettingError, match="is no checkpoint of a training run"):
        api.load("other.ckpt")


# -- runs ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(shared_store, lit_ae, settings):
    """Ids of a VAE, and of a conditional VAE with few labels, that the command line trained on digits."""
    assert lit_ae("fit", *settings("vae"), "--run_name=first") == 0
    assert lit_ae("fit", *settings("conditional_vae", seed=7, limit=300), "--data.labels_per_class=3") == 0
    table = api.runs(experiment="lit_ae")
    return {name: table[table.model == name].run_id.item() for name in ("VAE", "ConditionalVAE")}


def artifacts(run_id):
    return Path(next(iter(Path("mlruns/artifacts").glob(f"{run_id}/artifacts")))).resolve()


def as_older_code_wrote_it(folder, target):
    """A run's checkpoint without settings, and its config.yaml with the paths that classes used to have."""
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    for key in ("hyper_parameters", "settings_not_stored"):
        del content[key]
    target.mkdir(parents=True)
    torch.save(content, target / "last.ckpt")
    text = (folder / "config.yaml").read_text()
    for room in ("objectives.likelihoods", "models.vae", "models"):
        text = text.replace(f"lit_ae.{room}.", f"lit_ae.long_ago.{room.rpartition('.')[2]}.")
    return text


def test_a_run_is_loaded_by_id_folder_and_checkpoint(trained):
    folder = artifacts(trained["VAE"])
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for source in (trained["VAE"], folder, str(folder.parent), folder / "checkpoints" / "last.ckpt"):
        model = api.load(source)
        assert type(model) is api.VAE
        assert model.input_shape == (1, 28, 28)
        assert not model.training
        assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_older_checkpoints_are_loaded_through_the_config_of_their_run(trained, tmp_path):
    folder = artifacts(trained["VAE"])
    text = as_older_code_wrote_it(folder, tmp_path / "run" / "checkpoints")
    assert "long_ago" in text
    model, older = api.load(folder), tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert same_weights(api.load(older), model), "from the store, by the run_id in the checkpoint"
    (tmp_path / "run" / "config.yaml").write_text(text)
    content = torch.load(older, weights_only=True)
    torch.save({**content, "run_id": None}, older)
    for source in (tmp_path / "run", older):
        again = api.load(source)
        assert same_weights(again, model)
        assert again.input_shape == (1, 28, 28)
        assert as_plain(again.likelihood) == as_plain(model.likelihood)
    (tmp_path / "run" / "config.yaml").unlink()
    with pytest.raises(SettingError, match=r"comes without the config\.yaml of its run: give the run_id"):
        api.load(older)
    (tmp_path / "run" / "config.yaml").write_text("- 1")
    with pytest.raises(SettingError, match="holds no settings"):
        api.load(older)


def test_the_data_of_a_run(trained):
    data = api.load_data(trained["VAE"])
    assert (type(data), data.limit, len(data.split("train"))) == (api.Digits, 60, 60)
    before = torch.initial_seed(), torch.get_rng_state()
    few = api.load_data(artifacts(trained["ConditionalVAE"]) / "checkpoints" / "last.ckpt").split("train")
    assert (torch.initial_seed(), torch.get_rng_state().tolist()) == (before[0], before[1].tolist())
    assert few.y.bincount().tolist() == [3] * 10
    torch.manual_seed(7)
    assert torch.equal(few.x, api.Digits(limit=300, labels_per_class=3).split("train").x), "drawn by the run's seed"
    with pytest.raises(SettingError, match=r"no file or folder"):
        api.load_data("nowhere")


def test_the_table_of_runs(trained):
    table = api.runs()
    assert list(table.columns[:7]) == ["run_id", "study", "profile", "model", "data", "seed", "status"]
    assert table.model.tolist() == ["ConditionalVAE", "VAE"], "newest first"
    row = table.set_index("run_id").loc[trained["VAE"]]
    assert (row.seed, row.data, row.status) == (0, "digits", "FINISHED")
    assert row["tags.mlflow.runName"] == "first"
    assert row["params.data.limit"] == "60"
    assert 0 < row["metrics.val/mse"] < 1
    kinds = [name.partition(".")[0] for name in table.columns[7:]]
    assert [a for a, b in pairwise([*kinds, ""]) if a != b] == ["params", "metrics", "tags"]
    assert api.runs(model="VAE", experiment="lit_ae").run_id.tolist() == [trained["VAE"]]
    nothing = api.runs(model="GAN")
    assert (len(nothing), list(nothing.columns)) == (0, list(table.columns[:7]))
    with pytest.raises(SettingError, match=r"no study or experiment 'lit_aa'.*did you mean 'lit_ae'"):
        api.runs(study="lit_aa")
    with pytest.raises(SettingError, match=r"run_id .* is not in"):
        api.load("0" * 32)


def test_the_parent_of_a_study_is_no_row(store):
    from lit_ae import tracking

    parent = tracking.create_run("made", "made quick", {"kind": "study", "study": "made", "profile": "quick"})
    tags = {"kind": "run", "study": "made", "profile": "quick", "model": "AE", "data": "digits"}
    for seed in (0, 1):
        run = tracking.create_run("made", "AE", {**tags, "seed": str(seed)}, parent)
        tracking.log_metrics(run, {"test/fid": 3.0 + seed})
        tracking.end_run(run, "FINISHED")
    table = api.runs(study="made")
    assert table.seed.tolist() == [1, 0]
    assert table.profile.unique().tolist() == ["quick"]
    fid = table.set_index("seed")["metrics.test/fid"]
    assert fid.to_dict() == {1: 4.0, 0: 3.0}
    other = fid + 1
    other[0] = 9.0
    assert api.compare(fid, other).mean_difference == -3.5, "columns of the table can be compared"


# -- arrays in and out ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return api.VAE(input_shape=IMAGE, latent_dim=3, encoder=partial(MLPEncoder, widths=[9], dropout=0.5))


def test_codes_and_reconstructions_are_those_of_direct_computation(vae):
    x = random(7, *IMAGE)
    vae.eval()
    mu = vae.encode(x).mu.detach()
    vae.train()
    assert torch.allclose(vae.embed(x), mu, atol=1e-6)
    assert torch.allclose(vae.reconstruct(x), vae.decode(mu).detach(), atol=1e-6)
    for batch_size in (1, 3, 7, 1000):
        assert torch.allclose(vae.embed(x, batch_size=batch_size), mu, atol=1e-6)
        assert torch.allclose(vae.reconstruct(x, batch_size=batch_size), vae.decode(mu).detach(), atol=1e-6)


def test_modes_and_random_numbers_stay_as_they_were(vae):
    vae.train()
    vae.decoder.eval()  # a frozen part, say
    modes, state = [part.training for part in vae.modules()], torch.get_rng_state()
    for call in (vae.embed, vae.reconstruct, lambda x: vae.log_likelihood(x, k=5), lambda x: vae.sample(2)):
        call(random(3, *IMAGE))
        assert [part.training for part in vae.modules()] == modes
        assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(SettingError):
        vae.embed(random(3, 2))
    assert [part.training for part in vae.modules()] == modes
    vae.train()


def test_bytes_floats_and_precisions(vae):
    stored = torch.randint(0, 256, (5, *IMAGE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = vae.embed(stored / 255)
    for x in (stored, (stored.double() / 255), (stored / 255).requires_grad_()):
        assert torch.allclose(vae.embed(x), expected, atol=1e-6)
        assert (vae.embed(x).dtype, vae.embed(x).requires_grad) == (torch.float32, False)
    binary = stored > 127
    assert torch.equal(vae.embed(binary), vae.embed(binary.float()))
    double = api.AE(input_shape=IMAGE, latent_dim=3).double()
    assert double.embed(stored).dtype == torch.float32
    assert torch.allclose(double.embed(stored), double.encode(stored.double() / 255).mu.float())
    with pytest.raises(SettingError, match=r"holds torch\.int64: give bytes \(uint8\) or floats"):
        vae.embed(stored.long())


def test_numpy_in_gives_numpy_and_a_tensor_its_device(vae):
    x = random(5, *IMAGE)
    for call in (vae.embed, vae.reconstruct, partial(vae.log_likelihood, k=5)):
        array = call(x.numpy())
        assert (type(array), array.dtype) == (np.ndarray, np.float32)
        assert np.array_equal(array, call(x).numpy())
    reversed_view, frozen = x.numpy()[::-1], x.numpy().copy()
    frozen.flags.writeable = False
    assert np.allclose(vae.embed(reversed_view), vae.embed(x.numpy())[::-1], atol=1e-6)
    assert np.allclose(vae.embed(frozen), vae.embed(x.numpy()), atol=1e-6)
    for kind in (">f4", ">f8", np.longdouble):
        assert np.allclose(vae.embed(x.numpy().astype(kind)), vae.embed(x), atol=1e-6)
    assert np.allclose(vae.embed(x.numpy().tolist()), vae.embed(x.numpy()), atol=1e-6)
    for call in (vae.embed, vae.reconstruct, partial(vae.log_likelihood, k=5)):
        assert call(x[:0]).shape[:1] == (0,)
        assert call(x.numpy()[:0]).shape[0] == 0
    assert vae.embed(x[:0]).shape == (0, 3)
    if torch.cuda.is_available():
        assert vae.embed(x.cuda()).device.type == "cuda"
        assert torch.allclose(vae.cuda().embed(x), vae.cpu().embed(x), atol=1e-4)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.embed(random(8, 8)), r"x has shape \[8, 8\], but the model takes samples \[N, 1, 8, 8\]"),
        (lambda m: m.embed(random(2, *IMAGE), batch_size=0), "batch_size is 0: it must be at least 1"),
        (lambda m: m.embed(random(2, *IMAGE), y=[1, 2]), "y is given, but VAE takes no labels: leave it out"),
        (lambda m: m.sample(2, y=1), "y is given, but VAE takes no labels"),
        (
            lambda m: m.embed(255 * random(2, *IMAGE)),
            r"have values from .* model.likelihood is Gaussian \(output sigmoid",
        ),
        (
            lambda m: m.reconstruct(random(1200, *IMAGE).index_fill_(0, torch.tensor(1100), math.nan)),
            r"NaN at index \[1100",
        ),
        (lambda m: m.embed(np.full((2, *IMAGE), 1e39)), "hold infinity at index"),
        (lambda m: m.log_likelihood(random(2, *IMAGE).long()), "x holds torch.int64: give bytes"),
        (lambda m: m.embed(np.full((2, *IMAGE), "a")), "x holds <U1: give bytes"),
        (
            lambda m: m.sample(2, sampler="mixture"),
            r"sampler is 'mixture': give a fitted one, such as lit_ae.Mixture\(\)",
        ),
        (lambda m: m.sample(2, sampler=api.Mixture), "sampler is Mixture: give a fitted one"),
        (lambda m: m.log_likelihood(random(2, *IMAGE), k=0), "k is 0: it must be at least 1"),
        (lambda m: m.sample(-1), "n is -1: it must be at least 0"),
        (lambda m: m.sample(2, sampler=api.Normal().fit(random(9, 5))), r"shape \[5\] and the model's \[3\]: fit it"),
    ],
)
def test_arguments_that_do_not_fit_are_named(vae, call, said):
    with pytest.raises(SettingError, match=said):
        call(vae)


def test_samples(vae):
    assert torch.equal(vae.sample(4, seed=1), vae.sample(4, seed=1))
    assert not torch.equal(vae.sample(4, seed=1), vae.sample(4, seed=2))
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(vae.sample(5, seed=3, batch_size=2), vae.decode(z).detach(), atol=1e-6), "N(0, I)"
    codes = 0.01 * torch.randn(400, 3) + torch.tensor([3.0, -2.0, 1.0])
    centre = vae.decode(codes.mean(0, keepdim=True)).detach()
    for of in (codes, codes.numpy()):
        drawn = vae.sample(50, sampler=api.FittedGaussian().fit(of))
        assert (drawn - centre).abs().max() < 0.05
    assert vae.sample(0).shape == (0, *IMAGE)


def test_a_models_own_prior_is_drawn_from():
    torch.manual_seed(0)
    rbm = api.RBM(input_shape=(6,), latent_dim=4, sample_steps=20)
    with torch.no_grad():
        rbm.decoder.bias.fill_(-8.0)
    assert rbm.sample(30).max() < 0.05, "visible units that are hardly ever on"


def test_conditional_families_are_given_classes():
    torch.manual_seed(0)
    model = api.ConditionalVAE(input_shape=(6,), num_classes=3, latent_dim=2).eval()
    with torch.no_grad():
        model.shift.normal_()
    x, y = random(7, 6), torch.arange(7) % 3
    for labels in (y, y.numpy(), y.tolist(), y.float()):
        assert torch.allclose(model.embed(x, labels, batch_size=2), model.encode(x, y).mu, atol=1e-6)
        assert torch.allclose(model.reconstruct(x, labels, batch_size=3), model(x, y), atol=1e-6)
    assert not torch.allclose(model.embed(x, y), model.embed(x, (y + 1) % 3))
    for wrong, said in (
        ([0.9, 1.9, 2.9, 0, 0, 0, 0], "y holds fractions or NaN: give classes as whole numbers from 0 to 2"),
        ([math.nan] * 7, "y holds fractions or NaN"),
        (["cat"] * 7, "y holds no numbers"),
        ([1, 2, 3], r"y has shape \[3\], but there are 7 samples"),
    ):
        with pytest.raises(SettingError, match=said):
            model.embed(x, wrong)
    assert torch.equal(model.sample(4, y=1), model.sample(4, y=torch.ones(4)))
    assert not torch.allclose(model.sample(4, y=1), model.sample(4, y=2))
    assert torch.allclose(model.log_likelihood(x, y, k=20), model.log_likelihood(x, y, k=20, batch_size=40), atol=1e-4)
    assert model.log_likelihood(x, y, k=20).shape == (7,)
    for labels in ([0, 1, 2, 3, 0, 0, 0], [-1] * 7):
        with pytest.raises(SettingError, match="knows classes 0 to 2"):
            model.embed(x, labels)
    with pytest.raises(ValueError, match="ConditionalVAE"):
        model.embed(x)


def linear_gaussian(wrong=0.0):
    """A VAE x = W z + b + noise of variance ½ whose encoder is the exact posterior, but for `wrong`; and log p(x)."""
    torch.manual_seed(0)
    linear = {"encoder": partial(MLPEncoder, widths=[]), "decoder": partial(MLPDecoder, widths=[])}
    model = api.VAE(input_shape=(6,), latent_dim=2, **linear)
    w, b = torch.linalg.qr(torch.randn(6, 2))[0] * torch.tensor([2.0, 0.7]), torch.randn(6)
    variance = 1 / (1 + 2 * w.square().sum(0))  # [D], of the posterior
    to_mu = (2 * variance).unsqueeze(1) * w.T
    with torch.no_grad():
        model.decoder.layers[0].weight.copy_(w)
        model.decoder.layers[0].bias.copy_(b)
        model.encoder.layers[0].weight.copy_(torch.cat([to_mu, torch.zeros(2, 6)]))
        model.encoder.layers[0].bias.copy_(torch.cat([wrong - to_mu @ b, variance.log() + wrong]))
    exact = scipy_stats.multivariate_normal(b.numpy(), (w @ w.T + 0.5 * torch.eye(6)).numpy())
    return model, exact.logpdf


def test_log_likelihood_of_a_linear_gaussian_model_is_its_closed_form():
    x = random(20, 6).numpy() * 3
    model, log_p = linear_gaussian()
    np.testing.assert_allclose(model.log_likelihood(x, k=1), log_p(x), atol=1e-4)  # exact posterior: one draw is enough
    model, log_p = linear_gaussian(wrong=0.5)
    one, many = model.log_likelihood(x, k=1, seed=1), model.log_likelihood(x, k=20_000, seed=1)
    assert one.mean() < log_p(x).mean() - 0.2
    np.testing.assert_allclose(many, log_p(x), atol=0.1)
    for batch_size in (1, 100, 4000):
        np.testing.assert_allclose(
            model.log_likelihood(x, k=50, batch_size=batch_size), model.log_likelihood(x, k=50), atol=1e-4
        )
    np.testing.assert_allclose(model.log_likelihood(x[:3], k=50), model.log_likelihood(x, k=50)[:3], atol=1e-4)


class Given(BaseDataModule):
    """Given samples as every split."""

    name, num_classes = "given", 0

    def __init__(self, x):
        super().__init__()
        self.x, self.input_shape = x, tuple(x.shape[1:])

    def load(self):
        return Splits(*[ArrayDataset(self.x, torch.full((len(self.x),), -1))] * 3)


def test_log_likelihood_is_what_the_score_averages():
    x = random(20, 6)
    model, _ = linear_gaussian(wrong=0.5)
    run = lightning.Trainer(accelerator="cpu", callbacks=[Evaluation(), LogLikelihood(k=30, seed=4)], **QUIET)
    (scored,) = run.test(model, datamodule=Given(x), verbose=False)
    ours = model.log_likelihood(x, k=30, seed=4).mean().item()
    assert scored["test/log_likelihood"] == pytest.approx(ours, rel=1e-5)
    assert scored["test/log_likelihood"] != pytest.approx(model.log_likelihood(x, k=30).mean().item(), rel=1e-5)


def test_log_likelihood_is_refused_where_there_is_none():
    x = random(3, *IMAGE)
    for model in (api.AE(input_shape=IMAGE), api.VAE(input_shape=IMAGE, likelihood=Huber())):
        with pytest.raises(SettingError, match="has no log-likelihood: choose a family with a Gaussian code"):
            model.log_likelihood(x)
    with pytest.raises(ValueError, match="binar"):
        api.VAE(input_shape=IMAGE, likelihood=Bernoulli()).log_likelihood(x)
    assert (api.VAE(input_shape=IMAGE, likelihood=Bernoulli()).log_likelihood(x > 0.5, k=5) < 0).all()


@pytest.mark.parametrize("name", ["DEC", "IWAE", "NMN", "PCA", "RBM", "SAE", "VQVAE", "WAE", "WAEGAN", "Hopfield"])
def test_every_kind_of_family_takes_and_gives_arrays(name):
    torch.manual_seed(0)
    model, x = getattr(api, name)(input_shape=(8,), latent_dim=4), random(5, 8).softmax(1).numpy()  # as NMN's one-hot
    assert model.embed(x).shape == (5, 4)
    assert model.reconstruct(x).shape == (5, 8)
    assert model.sample(3).shape == (3, 8)
    assert np.allclose(model.embed(x, batch_size=2), model.embed(x), atol=1e-6)


# -- scores --------------------------------------------------------------------------------------------------------


class Means(FeatureExtractor):
    """Features are an image's mean and its square; classes are dark and light."""

    name = "means"

    def __init__(self):
        super().__init__(nn.Linear(1, 1), 2)

    def description(self):
        return {}

    def features_of(self, images):
        mean = images.mean((1, 2, 3))
        return Features(torch.stack([mean, mean**2], 1), torch.stack([1 - mean, mean], 1))


def test_fid_is_that_of_gaussians(agrees):
    generator = np.random.default_rng(0)
    real, fake = generator.normal(size=(300, 3)), generator.normal(size=(200, 3)) * [1, 2, 0.5] + [0, 1, 0]
    covariances = [np.cov(features.T) for features in (real, fake)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    exact = ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    agrees("scores.fid", "NumPy and scipy.linalg.sqrtm", "2 made sets", api.scores.fid(real, fake), exact)
    assert abs(api.scores.fid(real, real)) < 1e-6


def test_every_kind_of_array_and_extractor_gives_the_same_score():
    real, fake = (torch.randint(0, 256, (60, 1, 8, 8), dtype=torch.uint8) for _ in range(2))
    fake = (fake * 0.7).to(torch.uint8)
    scores, means = api.scores, Means()
    first = scores.fid(real, fake, extractor=means)
    assert first > 0.01
    pairs = [(real.numpy(), fake), (real / 255, (fake / 255).double().numpy()), (real.numpy()[::-1], fake)]
    assert [scores.fid(*pair, extractor=means) for pair in pairs] == pytest.approx([first] * 3, rel=1e-4)
    features = [scores.features(x, means) for x in (real, fake)]
    assert features[0].shape == (60, 2)
    assert scores.fid(*features) == pytest.approx(first, rel=1e-6)

    def function(images):
        assert 0 <= images.min() <= images.max() <= 1
        return means(images).features.numpy()

    assert scores.fid(real, fake, extractor=function) == pytest.approx(first, rel=1e-6)
    for name in ("kid", "precision_recall"):
        score = getattr(scores, name)
        assert score(real, fake, extractor=means) == pytest.approx(score(*features), rel=1e-6)
    probs = means(fake / 255).probs
    ours = scores.inception_score(fake, extractor=means, splits=2)
    assert ours == pytest.approx(scores.inception_score(probs, splits=2), rel=1e-5)
    assert ours == pytest.approx(scores.inception_score(fake, extractor=lambda x: means(x).probs, splits=2), rel=1e-5)
    parts = [(p * (p / p.mean(0)).log()).sum(1).mean().exp() for p in (probs[::2], probs[1::2])]
    assert ours["is"] == pytest.approx(float(sum(parts)) / 2, rel=1e-4)


@pytest.mark.slow
def test_lenet_of_a_named_data_set():
    data = api.Digits()
    digits = data.split("test").x[:200]
    extractor = api.scores.lenet("digits")
    assert extractor.accuracy > 0.9
    noise = torch.rand(200, 1, 28, 28)
    near, far = (api.scores.fid(digits[:100], fake, extractor="lenet:digits") for fake in (digits[100:], noise))
    assert near < 0.2 * far
    assert api.scores.fid(digits[:100], noise, extractor=api.scores.lenet(data)) == pytest.approx(far, rel=1e-6)
    assert api.scores.inception_score(digits, extractor="lenet:digits", splits=2)["is"] > 5


def test_scores_of_codes_and_images_are_those_of_their_metrics():
    """What the metrics are is tested elsewhere: here, that the functions pass on what they are given."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 120)
    z = np.eye(3)[y] + 0.4 * generator.normal(size=(120, 3))
    codes, labels, scores = torch.from_numpy(z), torch.from_numpy(y), api.scores
    assert scores.clustering(z, y, seed=1) == clustering_scores(codes, labels, 3, 1)
    assert scores.clustering(z, y, clusters=5) == clustering_scores(codes, labels, 5, 0)
    ours = scores.probe(z[:80], y[:80], z[80:], y[80:], max_train=50, seed=2, k=3)
    assert ours == probe_scores(codes[:80], labels[:80], codes[80:], labels[80:], 2, 50, k=3)
    factors = np.stack([y, generator.integers(0, 4, 120)], 1)
    ours = scores.disentanglement(z[:80], factors[:80], z[80:], factors[80:], nominal=[0])
    assert ours["mig"] == mutual_information_gap(codes[80:], torch.from_numpy(factors[80:]).float())
    assert ours.keys() == {"mig", "sap", "dci_disentanglement", "dci_completeness", "dci_informativeness"}
    x, x_hat = random(6, *IMAGE), random(6, *IMAGE, seed=1)
    mse = (x - x_hat).square().flatten(1).mean(1)
    assert scores.psnr(x_hat, x.numpy()) == pytest.approx((-10 * mse.log10()).mean().item(), rel=1e-5)
    assert scores.ssim(x_hat, x) == pytest.approx(ssim(x_hat, x).mean().item(), rel=1e-9)
    stranger = torch.tensor([0.1, 0.4, 0.35, 0.8])
    found = scores.detection(stranger, np.array([0, 0, 1, 1]))
    assert found["auroc"] == pytest.approx(roc_auc_score([0, 0, 1, 1], stranger))
    copies = scores.train_distance_ratio(z[:40] + 1e-3, z[40:80], z[:40])
    assert copies < 0.1 < scores.train_distance_ratio(z[80:], z[40:80], z[:40])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s, x: s.fid(x, x), "real has shape .* give features"),
        (lambda s, x: s.fid(x.flatten(1), x.flatten(1), extractor=Means()), "real has shape .* give images"),
        (lambda s, x: s.fid(x[:1], x, extractor=Means()), "real holds 1 samples: this score needs at least 2"),
        (lambda s, x: s.kid(x, x[:0], extractor=Means()), "fake holds 0 samples"),
        (lambda s, x: s.fid(x[:, 0], x, extractor=Means()), r"grey images \[N, H, W\] become that by x\[:, None\]"),
        (lambda s, x: s.fid(x, x[..., :4], extractor=Means()), r"shapes \[1, 8, 8\] and \[1, 8, 4\]"),
        (lambda s, x: s.fid(x.flatten(1), x.flatten(1)[:, :5]), r"shapes \[64\] and \[5\]"),
        (lambda s, x: s.fid(x, x * 255, extractor=Means()), r"fake holds pixels from .* to .*: scale them to \[0, 1\]"),
        (lambda s, x: s.fid(x, x - 1, extractor=Means()), r"clip them by x\.clip\(0, 1\)"),
        (lambda s, x: s.fid(x, x.long(), extractor=Means()), r"fake holds torch\.int64: give bytes"),
        (lambda s, x: s.psnr(x.round().byte(), x), "x_hat holds bytes of 0 and 1, which mean 0 and 1/255"),
        (lambda s, x: s.fid(x, x / 0, extractor=Means()), "fake holds NaN or infinite values"),
        (lambda s, x: s.fid(x, x, extractor=lambda x: x), r"returns shape \[10, 1, 8, 8\] for 10 images"),
        (lambda s, x: s.fid(x, x, extractor=lambda x: x.flatten(1) / 0), "output of the extractor holds NaN"),
        (lambda s, x: s.precision_recall(x[:5], x, extractor=lambda x: x.flatten(1)), "5 real samples"),
        (lambda s, x: s.inception_score(x.flatten(1)), "apply softmax to logits"),
        (lambda s, x: s.psnr(x, x[:3]), r"x_hat has shape \[10, 1, 8, 8\] and x \[3, 1, 8, 8\]"),
        (lambda s, x: s.ssim(x[..., :4, :4], x[..., :4, :4]), "at least 6 x 6"),
        (lambda s, x: s.psnr(x[:0], x[:0]), "no images to score"),
        (lambda s, x: s.clustering(x.flatten(1), [0] * 10), "10 codes and 1 clusters"),
        (lambda s, x: s.clustering(x.flatten(1), [-1] * 10), "whole numbers from 0"),
        (lambda s, x: s.clustering(x.flatten(1), [0, 1]), "y has 2 labels, but there are 10 samples"),
        (lambda s, x: s.clustering(x, [0, 1] * 5), r"give codes \[N, D\]"),
        (lambda s, x: s.probe(x.flatten(1), [1] * 10, x.flatten(1), [1] * 10), "train_y holds a single class"),
        (lambda s, x: s.probe(x.flatten(1), [1] * 10, x.flatten(1)[:, :3], [1] * 10), "64 and 3 dimensions"),
        (lambda s, x: s.disentanglement(x[:, 0, 0], x[:, 0, 0, :2], x[:, 0, 0], x[:, 0, 0, :3]), "2 and 3 columns"),
        (lambda s, x: s.disentanglement(*[x[:, 0, 0]] * 4, nominal=[-1]), "nominal has -1: give numbers of columns"),
        (lambda s, x: s.disentanglement(*[x[:, 0, 0]] * 4, nominal=[True]), "nominal has True: give numbers"),
        (lambda s, x: s.detection([1.0, 2.0], [0, 3]), "True and False"),
        (lambda s, x: s.detection([1.0, 2.0], [1, 1]), "some of either kind|both kinds|anomal"),
        (lambda s, x: s.train_distance_ratio(x[:, 0, 0], x[:, 0, 0], x[:, 0, 0, :3]), "fake and train"),
    ],
)  # fmt: skip
def test_scores_say_in_plain_words_what_is_wrong(call, said):
    with pytest.raises(ValueError, match=said):
        call(api.scores, random(10, *IMAGE))


def test_scores_keep_the_precision_that_they_are_given():
    generator = np.random.default_rng(0)
    real, grid = generator.normal(size=(300, 8)), np.stack(np.meshgrid(range(5), range(5)), -1).reshape(-1, 2)
    for far in (0, 1e8):
        assert api.scores.fid(far + real, far + real + 3) == pytest.approx(72, rel=1e-4)
        near = api.scores.train_distance_ratio(far + real[:100] + 0.01, far + real[100:200], far + real[:100])
        assert near == pytest.approx(api.scores.train_distance_ratio(*(real[:100] + 0.01, real[100:200], real[:100])))
    z = grid + generator.normal(size=grid.shape) / 10
    found = [api.scores.disentanglement(z, far + grid, z, far + grid) for far in (0, 2**30)]
    assert found[1] == pytest.approx(found[0])
    assert api.scores.fid(np.float32(real), real + 3) == pytest.approx(72, rel=1e-4)  # of two precisions
    assert api.scores.clustering(z, grid[:, 0].astype(np.uint16)) == api.scores.clustering(z, grid[:, 0])


def test_the_inception_score_does_not_depend_on_the_order_of_images():
    in_turn = torch.eye(10).repeat(100, 1)
    found = [api.scores.inception_score(part)["is"] for part in (in_turn, in_turn[in_turn.argmax(1).argsort()])]
    assert min(found) > 9
    assert api.scores.inception_score(in_turn, seed=1) != api.scores.inception_score(in_turn)
    assert api.scores.inception_score(in_turn, splits=1)["is"] == pytest.approx(10)


def test_numbers_of_classes_are_not_binned_for_mig():
    generator = np.random.default_rng(0)
    kind = generator.integers(0, 30, 6000)
    renamed = generator.permutation(30)[kind]
    for factor in (kind, renamed):
        codes = np.stack([kind, generator.normal(size=6000)], 1)
        found = mutual_information_gap(torch.from_numpy(codes), torch.from_numpy(factor[:, None]), nominal=(0,))
        assert found == pytest.approx(0.87, abs=0.05)


@pytest.mark.parametrize(
    ("extractor", "said"),
    [
        ("resnet", "choose inception, lite0, lenet:NAME"),
        ("lenet", "choose inception"),
        ("lenet:digit", "did you mean 'digits'"),
    ],
)
def test_unknown_extractors_are_refused(extractor, said):
    with pytest.raises(SettingError, match=said):
        api.scores.fid(random(4, *IMAGE), random(4, *IMAGE), extractor=extractor)


# -- comparisons ---------------------------------------------------------------------------------------------------


def test_a_comparison_is_the_paired_test_and_says_it_in_words():
    a, b = {0: 1.0, 1: 2.0, 3: 4.0, 2: 3.5}, {3: 3.1, 2: 2.6, 1: 1.1, 0: 0.4}
    result, tested = api.compare(a, b), statistics.paired_test(a, b)
    assert {name: getattr(result, name) for name in vars(tested)} == vars(tested)
    assert result.detectable == tested.detectable
    assert (result.mean_a, result.mean_b) == pytest.approx((2.625, 1.8))
    assert result.std_a == pytest.approx(np.std([1, 2, 3.5, 4], ddof=1))
    text = str(result)
    assert "Over 4 seeds a is 2.625" in text
    assert "a is higher than b by 0.825 on average" in text
    assert f"{result.ci_low:.4g} to {result.ci_high:.4g}" in text
    assert "The difference is significant at 5 %" in text
    assert "cannot give a p below 0.12" in text
    with pytest.raises(AttributeError):
        result.p = 0.0
    lists = api.compare([1.0, 2.0, 3.5, 4.0], np.array([0.4, 1.1, 2.6, 3.1]))
    assert lists.p == pytest.approx(result.p, rel=1e-12)
    swapped = str(api.compare(b, a))
    assert "a is lower than b by 0.825" in swapped
    assert "is not significant at 5 %" in str(api.compare([1.0, 2.0, 3.0], [2.0, 1.5, 3.1]))
    assert "Effect size" not in str(api.compare([1.0, 2.0], [2.0, 1.5]))


def test_a_comparison_with_a_constant_baseline_gives_no_p():
    result = api.compare([0.00701, 0.00704, 0.00706], [0.01683] * 3)
    assert all(
        map(math.isnan, (result.p, result.wilcoxon_p, result.sign_flip_p, result.effect_size, result.detectable))
    )
    text = str(result)
    assert "No test is made: b is the same for every seed" in text
    low, high = statistics.confidence_interval([0.00701 - 0.01683, 0.00704 - 0.01683, 0.00706 - 0.01683])
    assert (
        f"a is lower than b by 0.009793 on average; 95 % confidence interval of a - b: {low:.4g} to {high:.4g}" in text
    )
    assert "significant" not in text
    assert "d_z" not in text
    assert "No test is made: a is the same" in str(api.compare([0.01683] * 3, [0.00701, 0.00704, 0.00706]))


def test_a_comparison_gives_an_interval_of_the_ratio_of_spreads_from_four_seeds_on():
    a, b = {0: 1.0, 1: 2.0, 3: 4.0, 2: 3.5}, {3: 3.1, 2: 2.6, 1: 1.1, 0: 0.4}
    result = api.compare(a, b)
    paired = statistics.variance_ratio_interval_paired([1.0, 2.0, 3.5, 4.0], [0.4, 1.1, 2.6, 3.1])
    assert (result.std_ratio_low, result.std_ratio_high) == pytest.approx(paired)
    said = f"{np.std([1, 2, 3.5, 4]) / np.std([0.4, 1.1, 2.6, 3.1]):.2g} times that of b; 95 % confidence interval: "
    assert f"The standard deviation of a is {said}{paired[0]:.2g} to {paired[1]:.2g}." in str(result)
    few = api.compare([1.0, 2.0, 3.0], [2.0, 1.5, 3.1])
    assert math.isnan(few.std_ratio_low)
    assert "The two spreads are not compared: that takes 4 seeds or more" in str(few)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([1.0, 2.0], [1.0], "a has 2 values and b has 1"),
        ({0: 1.0, 1: 2.0}, [1.0, 2.0], "give both in the same way"),
        ({0: 1.0, 1: 2.0}, {0: 1.0, 2: 2.0}, "1, 2"),
        ([1.0], [2.0], "at least 2 seeds"),
        ([1.0, float("nan")], [2.0, 3.0], "finite"),
        ([1.0, 2.0], [2.0, 3.0], "for every seed"),
        ({"ae": 1.0, "vae": 2.0}, {0: 1.0, 1: 3.0}, "'ae' is given as a seed: give whole numbers"),
        ({("ae", 0): 1.0, ("ae", 1): 2.0}, {0: 1.0, 1: 3.0}, "is given as a seed: give whole numbers"),
        ({0.5: 1.0, 1.5: 2.0}, {0: 1.0, 1: 3.0}, "0.5 is given as a seed: give whole numbers"),
    ],
)
def test_what_cannot_be_compared_is_refused(a, b, said):
    with pytest.raises(ValueError, match=said):
        api.compare(a, b)


# -- all of it -----------------------------------------------------------------------------------------------------

SCRIPT = """
import lightning, torch, lit_ae
x = lit_ae.Digits().split("train").x.numpy()
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(x)), batch_size=64, shuffle=True)
model = lit_ae.VAE(input_shape=(1, 28, 28), latent_dim=16)
trainer = lightning.Trainer(max_epochs=5, accelerator="cpu", logger=False)
trainer.fit(model, loader)
trainer.save_checkpoint("vae.ckpt")
model = lit_ae.load("vae.ckpt")
codes = model.embed(x)
print("codes", codes.shape, type(codes).__name__)
for sampler in (None, lit_ae.Mixture(components=10).fit(codes)):
    samples = model.sample(500, sampler=sampler)
    print("fid", lit_ae.scores.fid(x, samples, extractor="lenet:digits"))
print(lit_ae.compare([17.1, 16.4, 18.0], [15.2, 14.1, 16.5]))
"""


@pytest.mark.slow
def test_fifteen_lines_train_save_load_embed_sample_score_and_compare(tmp_path):
    assert len(SCRIPT.strip().splitlines()) <= 15
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "codes (1257, 16) ndarray" in lines
    prior, mixture = (float(line.split()[1]) for line in lines if line.startswith("fid"))
    assert 0 < mixture < prior, "a density that was fitted to the codes is nearer to them than N(0, I)"
    assert any(line.startswith("a is higher than b by 1.9 on average") for line in lines)
    assert math.isfinite(prior)
    assert {path.name for path in tmp_path.iterdir()} <= {"vae.ckpt", "checkpoints"}
