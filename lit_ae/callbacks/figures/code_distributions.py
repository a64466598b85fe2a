"""Distribution of the codes in each class."""

import torch
from lightning.pytorch import Trainer

from lit_ae.callbacks.figures.traversals import most_active
from lit_ae.errors import NotComputable, SettingError, require_at_least
from lit_ae.evaluation.access import datamodule, is_drawn, save_figure, scored_split, split_name
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.labelled import labelled_indices
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.plots import codes as plots_codes


class CodeDistributions(ScoreCallback):
    """Figure `code-distributions`: each dimension of the mean codes, grouped by a known factor or by label.

    Args:
        factor: name of a factor (`data.factor_names`); if null, the first one, or the label if the data set has none.
        n: number of dimensions; those with the largest variance are shown.
        every_n_epochs: as for `ScoreCallback`.

    Raises:
        SettingError: the data set has no factor of that name.
    """

    def __init__(self, factor: str | None = None, n: int = 10, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(1, "CodeDistributions.{}", n=n)
        self.factor, self.n = factor, n

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Draw the figure; no values."""
        codes, labels = evaluation.codes(trainer)
        data = datamodule(trainer)
        factors, names = scored_split(trainer).factors, data.factor_names
        if self.factor is not None and self.factor not in names:
            remedy = f"choose one of {', '.join(names)}" if names else "leave this setting out"
            raise SettingError(
                f"CodeDistributions.factor is {self.factor}, which is not a factor of {data.name}: {remedy}"
            )
        if factors is not None and names:
            name = self.factor or names[0]
            groups = factors[:, names.index(name)]
        else:
            known = labelled_indices(trainer, evaluation, split_name(trainer))
            codes, labels = codes[known], labels[known]
            name, groups = "label", labels
        named = data.class_names if torch.equal(groups.long(), labels) else ()
        if len(groups.unique()) < 2:
            raise NotComputable(f"all samples have the same {name}")
        if not is_drawn(trainer, "code-distributions"):
            return {}
        chosen = sorted(most_active(codes, self.n))
        title = f"Codes by {name}" + (
            f", the {len(chosen)} dimensions with the largest variance" if len(chosen) < codes.shape[1] else ""
        )
        figure = plots_codes.distributions(
            codes[:, torch.tensor(chosen)], groups, [f"z {dimension}" for dimension in chosen], name, title, named
        )
        save_figure(trainer, figure, "code-distributions")
        return {}
