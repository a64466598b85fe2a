"""Which weights a run is scored with: those of the checkpoint that it keeps, at once and later."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, StochasticWeightAveraging, WeightAveraging

from lit_ae.errors import SettingError
from lit_ae.models.checkpoints import read_checkpoint

CURRENT = "current_model_state"  # as Lightning's WeightAveraging names the weights that are trained on
AVERAGED = "averaged_by"


def kept(trainer: Trainer) -> tuple[Path, str] | None:
    """The checkpoint whose weights are scored, and what it is; None if the trainer has written none.

    It is the best one of the first ModelCheckpoint that watches a value, else `last.ckpt`, else the newest.
    """
    callbacks = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    for callback in callbacks:
        if callback.monitor and Path(callback.best_model_path).is_file():
            return Path(callback.best_model_path), f"best checkpoint by {callback.monitor}"
    names = {name for callback in callbacks for name in (callback.last_model_path, callback.best_model_path) if name}
    paths = [path for path in map(Path, names) if path.is_file()]
    if not paths:
        return None
    return max(paths, key=lambda path: (path.name == "last.ckpt", path.stat().st_mtime)), "last checkpoint"


def load_kept(trainer: Trainer, module: LightningModule) -> tuple[Path, str] | None:
    """Load the weights that are scored into the model at the end of training; gives their file and description.

    Raises:
        SettingError: the weights are averages over no step at all.
    """
    found = kept(trainer)
    if found is None:
        return None
    path, what = found
    content = read_checkpoint(path)
    averaged = content.get("averaging_state", {}).get("n_averaged")
    if averaged is not None and not averaged:
        raise SettingError(
            f"{content.get(AVERAGED, 'the callback')} has not averaged any weights in {content['global_step']} steps, "
            "so that the kept ones are untrained: let it start earlier, or leave it out of trainer.callbacks"
        )
    module.load_state_dict(content["state_dict"])
    return path, described(content, what)


def described(content: Mapping[str, Any], what: str) -> str:
    """What the weights of a checkpoint's content are, with the number of epochs and of steps behind them."""
    averaged = f"averaged weights ({content[AVERAGED]}) of the " if AVERAGED in content else ""
    return f"{averaged}{what} (epoch {content['epoch'] + 1}, step {content['global_step']})"


def store_average(trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
    """Say in a checkpoint what has averaged its weights, and let it hold the average of StochasticWeightAveraging.

    Lightning's other averages are in its checkpoints already; this one is only put into the model when training ends.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, WeightAveraging):
            checkpoint[AVERAGED] = type(callback).__name__
        elif isinstance(callback, StochasticWeightAveraging):
            state = callback.state_dict()
            if not state["n_averaged"]:
                continue
            checkpoint[AVERAGED] = type(callback).__name__
            checkpoint[CURRENT] = checkpoint["state_dict"]
            names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
            averages = {name: state["average_model_state"][name].clone() for name in names}
            checkpoint["state_dict"] = {**checkpoint["state_dict"], **averages}


def move_best(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Let a ModelCheckpoint know its best files again if their folder has moved: Lightning would forget them."""
    for callback in trainer.checkpoint_callbacks:
        state = checkpoint.get("callbacks", {}).get(callback.state_key)
        if not isinstance(callback, ModelCheckpoint) or state is None or state.get("dirpath") == callback.dirpath:
            continue

        def moved(path: str, folder: Path = Path(str(callback.dirpath))) -> str:
            here = folder / Path(path).name
            return str(here) if path and here.is_file() else ""

        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[name] = moved(state.get(name, ""))
        best = {moved(path): value for path, value in state.get("best_k_models", {}).items()}
        state["best_k_models"] = {path: value for path, value in best.items() if path}
        if state["best_model_path"]:
            state["dirpath"] = callback.dirpath


def load_current(trainer: Trainer, module: LightningModule, checkpoint: Mapping[str, Any]) -> None:
    """Continue a training with StochasticWeightAveraging from the weights that it had, not from their average."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    if CURRENT in checkpoint and any(isinstance(callback, StochasticWeightAveraging) for callback in callbacks):
        module.load_state_dict(checkpoint[CURRENT])
