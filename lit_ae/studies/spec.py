"""What experiments/NAME.yaml says, as dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from lit_ae.errors import SettingError
from lit_ae.settings.suggestions import near_match


@dataclass(frozen=True)
class Profile:
    """One way to run a study: its data set, seeds and budget.

    With a list of data sets every row runs on each of them. `rows` are those that the profile has, if not all.
    """

    name: str
    data: str | list[str]
    seeds: list[int]
    note: str = ""
    args: list[str] = field(default_factory=list)
    published_seeds: int | None = None  # also report the tests over as many seeds as the published report had
    splits: Literal["fixed", "by_seed"] = "fixed"  # by_seed: each seed also draws its own split of the data
    all_figures: bool = True  # false: its runs draw only the figures that the report shows, and no PDF
    scores: list[str] = field(default_factory=list)  # files of configs/ that its tests stack on the study's scores
    rows: list[str] = field(default_factory=list)

    @property
    def data_sets(self) -> list[str]:
        """The names of its data sets."""
        return [Path(name).stem for name in ([self.data] if isinstance(self.data, str) else self.data)]


@dataclass(frozen=True)
class Range:
    """The values that a search tries for one setting: numbers from low to high, or one of some choices.

    Whole numbers stay whole. `log`: as likely between 1 and 10 as between 10 and 100. `step`: only low, low + step, ….
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = None
    choices: list[bool | int | float | str | list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class Tune:
    """A search for the settings of a row, by a value of the validation split and on seeds that no profile has.

    The settings that it finds become the row `label`; if that is the row itself, they replace its own. A trial is a
    training for each seed, and its value their mean; `pruning` ends a training early whose first epochs are worse than
    the median of other trials. `args` are options of the trials alone, such as fewer epochs, and `scores` files of
    configs/ whose callbacks log the metric.
    """

    row: str
    metric: str
    space: dict[str, Range]  # name of a setting, such as model.beta -> its values
    seeds: list[int]
    trials: int = 50
    better: Literal["lower", "higher"] = "lower"
    label: str = ""  # empty: ROW (tuned)
    pruning: bool = True
    args: list[str] = field(default_factory=list)
    scores: list[str] = field(default_factory=list)

    @property
    def found_row(self) -> str:
        """The name of the row that the best settings become."""
        return self.label or f"{self.row} (tuned)"


@dataclass(frozen=True)
class TunedOn:
    """How the settings of a row were chosen: written by a search, and printed in reports."""

    metric: str
    value: float
    trial: int
    trials: int
    seeds: list[int]
    data: str
    row: str  # whose settings were changed
    better: Literal["lower", "higher"] = "lower"
    args: list[str] = field(default_factory=list)  # options of the trials alone

    def described(self) -> str:
        """One sentence about it."""
        best = "lowest" if self.better == "lower" else "highest"
        seeds = ", ".join(map(str, self.seeds))
        options = f", in trainings with {' '.join(self.args)}" if self.args else ""
        return (
            f"settings of {self.row} chosen by the {best} {self.metric} on {self.data}: {self.value:.6g} in "
            f"trial number {self.trial}, the best of {self.trials} that ended, on seeds {seeds}{options}"
        )


@dataclass(frozen=True)
class ModelSpec:
    """A row of the tables: a file of configs/model and what it changes in it, for all profiles or for one.

    `start` names the row that it is initialised from: `model.pretrained` is that row's checkpoint of the same seed.
    `label` is what reports show in place of the row's name, which runs carry and which must therefore not change.
    `cost` says how long its runs take compared with other rows, before any has ended: the longest begin first.
    """

    config: str
    args: list[str] = field(default_factory=list)
    profile_args: dict[str, list[str]] = field(default_factory=dict)
    profile_data: dict[str, str] = field(default_factory=dict)  # data of this row in place of the profile's
    profile_seeds: dict[str, int] = field(default_factory=dict)  # number of the profile's seeds, if not all
    configs: list[str] = field(default_factory=list)  # files of configs/ that it stacks on the study's
    start: str | None = None
    cost: float = 1.0
    note: str = ""
    label: str = ""
    tuned_on: TunedOn | None = None  # how a search chose its settings


@dataclass(frozen=True)
class Column:
    """A column of Table 1: a metric's last value, or for KEY@5 the one of epoch 5, beside the published figure."""

    metric: str
    label: str
    format: str = ".3f"
    better: Literal["lower", "higher", "none"] = "none"
    published: str | None = None
    optional: bool = False  # on some data no run logs the metric: the column then holds dashes, which is no error
    mark_best: bool = True  # false for columns whose rows differ in more than the model, so that no row is the best


@dataclass(frozen=True)
class Comparison:
    """One declared test, a - b: of means paired by seed, or of variances.

    `b_metric` is the metric of row b if it is not the same: with b = a, a row is compared with a baseline that its
    own runs logged. `margin`, in the metric's unit, is the largest difference of means that counts as none: it is
    chosen before the runs, and needed wherever the claim is that there is no difference.
    """

    metric: str
    a: str
    b: str
    test: Literal["paired", "variance"] = "paired"
    claim: str = ""
    b_metric: str | None = None
    margin: float | None = None

    @property
    def metrics(self) -> tuple[str, str]:
        """The metric of a and that of b."""
        return self.metric, self.b_metric or self.metric

    def renamed(self, names: Mapping[str, str]) -> "Comparison":
        """The same with its rows under other names, also where the claim begins with one."""
        a = names[self.a]
        claim = a + self.claim[len(self.a) :] if self.claim.startswith(f"{self.a} ") else self.claim
        return replace(self, a=a, b=names[self.b], claim=claim)


@dataclass(frozen=True)
class FigureSpec:
    """A figure of each named model's first seed."""

    name: str
    models: list[str]
    caption: str = ""


@dataclass(frozen=True)
class Sweep:
    """Rows that differ in one setting: a figure of each metric by that setting, with a line for each group of rows.

    `against` holds pairs of metrics, y -> x, plotted against each other along the same lines, such as reconstruction
    against KL. `references` are rows without that setting: horizontal lines.
    """

    label: str  # of the x axis, with its unit
    lines: dict[str, dict[str, float]]  # line -> row -> x
    metrics: list[str] = field(default_factory=list)
    against: dict[str, str] = field(default_factory=dict)
    references: list[str] = field(default_factory=list)
    log_x: bool = False


@dataclass(frozen=True)
class Note:
    """A remark under a report; the title says in a few words what the text explains."""

    text: str
    title: str = ""


@dataclass(frozen=True)
class Study:
    """The whole file."""

    name: str
    title: str
    question: str
    profiles: dict[str, Profile]
    models: dict[str, ModelSpec]
    columns: list[Column]
    configs: list[str] = field(default_factory=list)  # files of configs/ that every run stacks on its own
    scores: list[str] = field(default_factory=list)  # the same for the test only: a change never trains again
    reduced_precision: bool = False  # all rows in bfloat16 with float32 weights where the machine is faster in it
    comparisons: list[Comparison] = field(default_factory=list)
    published: dict[str, dict[str, float]] = field(default_factory=dict)
    unknown_definitions: dict[str, str] = field(default_factory=dict)  # published key -> why; it gets no verdict
    figures: list[FigureSpec] = field(default_factory=list)
    sweep: Sweep | None = None
    tune: list[Tune] = field(default_factory=list)
    order: int = 99  # place among the reports of a page, lowest first
    notes: list[Note] = field(default_factory=list)
    given: str = ""  # the path or name by which the user named the file, in which it is no key

    def seeds(self, label: str, profile: Profile) -> list[int]:
        """The seeds that a row is run with."""
        return profile.seeds[: self.models[label].profile_seeds.get(profile.name)]

    def shown_figures(self, label: str, seed: int, profile: Profile) -> list[str]:
        """The figures of a run that the report shows: those of the row's first seed."""
        is_first = seed == self.seeds(label, profile)[0]
        return [figure.name for figure in self.figures if is_first and label in figure.models]

    def declared_seeds(self, comparison: Comparison, profile: Profile) -> tuple[list[int], list[int]]:
        """The seeds of a and of b that a comparison is declared over: the common ones if it is paired."""
        if comparison.test == "paired":
            common = self.common_seeds(comparison, profile)
            return common, common
        return self.seeds(comparison.a, profile), self.seeds(comparison.b, profile)

    def common_seeds(self, comparison: Comparison, profile: Profile) -> list[int]:
        """The seeds that both rows of a comparison are run with."""
        return [seed for seed in self.seeds(comparison.a, profile) if seed in self.seeds(comparison.b, profile)]

    def profile(self, name: str) -> Profile:
        """A profile by name.

        Raises:
            SettingError: the study has none of that name.
        """
        if name not in self.profiles:
            raise SettingError(f"study {self.name} has no profile {name!r}{near_match(name, list(self.profiles))}")
        return self.profiles[name]
