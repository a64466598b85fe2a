"""How the codes are distributed in each class."""

import torch
from lightning.pytorch import Trainer

from lit_ae import plots_codes
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, datamodule, save_figure
from lit_ae.callbacks.traversals import most_active
from lit_ae.errors import SettingError


class CodeDistributions(ScoreCallback):
    """Figure `code-distributions`: each dimension of the mean codes, grouped by a known factor, else by label.

    Args:
        factor: name of a factor (`data.factor_names`); the first one where null, the label where there are none.
        n: at most this many dimensions, the most active (largest variance) of them.
        every_n_epochs: as for `ScoreCallback`.

    Raises:
        SettingError: the data have no factor of that name.
    """

    def __init__(self, factor: str | None = None, n: int = 10, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.factor, self.n = factor, n

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Draw the figure; no values."""
        codes, labels = evaluation.codes(trainer)
        data = datamodule(trainer)
        factors, names = data.split("test" if trainer.testing else "val").factors, data.factor_names
        if self.factor is not None and self.factor not in names:
            known = f"choose of {', '.join(names)}" if names else "leave it out"
            raise SettingError(f"CodeDistributions: factor {self.factor!r} is not known for {data.name}: {known}")
        if factors is not None and names:
            name = self.factor or names[0]
            groups = factors[: len(codes), names.index(name)]
        else:
            name, groups = "label", labels
        named = data.class_names if torch.equal(groups.long(), labels) else ()
        if len(groups.unique()) < 2:
            evaluation.protocol["code_distributions"] = f"none: all samples have the same {name}"
            return {}
        chosen = sorted(most_active(codes, self.n))
        title = f"Codes by {name}" + (
            f", the {len(chosen)} most active dimensions" if len(chosen) < codes.shape[1] else ""
        )
        figure = plots_codes.distributions(
            codes[:, torch.tensor(chosen)], groups, [f"z {dimension}" for dimension in chosen], name, title, named
        )
        save_figure(trainer, figure, "code-distributions")
        return {}
