"""The settings of a study. Defaults: conf/protocol/default.yaml; a protocol, a study file, one of its scales and the
command line may change them, in this order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, get_type_hints

from annotated_types import Gt, Interval, Le
from typing_extensions import TypedDict  # pydantic takes typing's from Python 3.12 on

from optbench.config import config_folders, find_option, options, parse_sweep, read_yaml
from optbench.config.about import about_of
from optbench.config.runconfig import short_hash
from optbench.config.validation import config_error
from optbench.errors import ConfigError, suggest
from optbench.store import read_study
from optbench.sweeps.study.study_yaml import check_form, read_study_file

GROUP = "protocol"
DEFAULT, CLASSIC = "default", "classic"
STUDY_FILE = "study.json"
BEFORE: Mapping[str, Any] = {
    "shortlist": 0,
    "shortlist_seeds": 2,
    "scrambles": 1,
    "recipes": True,
    "paired": False,
}
"""The settings of studies from before there were these settings."""
ADDED: Mapping[str, Any] = {"include_default": False, "more_budgets": {}}
"""Settings that studies got later, which they had by this value without saying so."""
WILCOXON_SEEDS = 5  # four pairs can be significant at 10 %; only with a fifth seed does that save a run


Share = Annotated[float, Gt(0), Le(1000)]
"""A budget as a share of the workload's."""


class Part(TypedDict):
    """A part of a study: workloads with overrides and boxes of their own, beside the study's."""

    overrides: list[str]
    boxes: NotRequired[dict[str, dict[str, str]]]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A sweep's settings, checked by pydantic; conf/protocol/default.yaml says what each means."""

    name: str
    protocol: str
    overrides: tuple[str, ...]
    trials: Annotated[int, Interval(ge=0, le=1_000_000)]
    """0 until `planned` (expand.py) has chosen a number by the search boxes."""
    tune_seeds: Annotated[int, Interval(ge=1, le=1000)]
    seeds: Annotated[int, Interval(ge=0, le=1000)]
    shortlist: Annotated[int, Interval(ge=0, le=1000)]
    shortlist_seeds: Annotated[int, Interval(ge=1, le=1000)]
    sampler: Literal["auto", "sobol", "halton", "random", "grid", "tpe", "gp", "cmaes"]
    scrambles: Annotated[int, Interval(ge=1, le=16)]
    search_seed: Annotated[int, Interval(ge=0, le=2**32 - 1)]
    pruner: Literal["none", "asha", "hyperband", "median", "wilcoxon"]
    budgets: tuple[Share, ...]
    more_budgets: Mapping[str, tuple[Share, ...]]
    """Further budgets of some optimizers, by name: {adamw: [0.5, 2]} is a ladder for the reference alone."""
    extend_edges: bool
    include_default: bool
    allow_unequal: bool
    searched: bool
    finalists: Literal["each", "best"]
    groups: Annotated[int, Interval(ge=1, le=1000)]
    fresh_seeds: bool
    recipes: bool
    paired: bool
    needs_target: bool
    box: str | None
    """The name of the box in each optimizer's file (`about.presets`); None: the published one."""
    boxes: Mapping[str, Mapping[str, str]]
    """Search boxes that replace the published ones, by optimizer: {lion: {lr: "log [1e-5, 1e-3]"}}."""
    parts: Mapping[str, Part]
    """Workloads with settings of their own, by a name: {text: {overrides: [model=gpt, batch_size=16]}}. Empty: none."""
    claim: Mapping[str, Any] | list[Mapping[str, Any]] | None
    """The claim to decide: one criterion or a list of them, see optbench.config.claims."""
    scale: str | None
    title: str | None

    @property
    def shortlisted(self) -> int:
        """The number of trials that get further seeds; none where there are no more trials than that."""
        return self.shortlist if self.trials > self.shortlist else 0

    @property
    def seeds_per_trial(self) -> int:
        """The seeds that a trial may take: its own, and those of the shortlist."""
        return self.tune_seeds + (self.shortlist_seeds if self.shortlisted else 0)

    @property
    def tried(self) -> int:
        """The trials of a searched cell: the points, and the optimizer's own values if they are included."""
        return self.trials + self.include_default

    def tuning_runs(self, trials: int) -> int:
        """Return the runs of this many trials of a cell, with their shortlist."""
        return trials * self.tune_seeds + self.shortlisted * self.shortlist_seeds

    @property
    def words(self) -> list[str]:
        """The overrides, those of the parts too."""
        return [*self.overrides, *(word for part in self.parts.values() for word in part["overrides"])]

    def part(self, name: str) -> Study:
        """Return the study of one part alone: its overrides and boxes over those of the study."""
        own = self.parts[name]
        boxes = {**self.boxes, **own.get("boxes", {})}
        return replace(self, overrides=last_of_each([*self.overrides, *own["overrides"]]), boxes=boxes, parts={})

    @property
    def extension_trials(self) -> int:
        """The further trials of each cell where the search is extended beyond an edge."""
        return max(1, self.trials // 2)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as study.json keeps it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


KEYS = (*(field.name for field in fields(Study) if field.name not in ("name", "scale")), "study", "scales")


def make_study(
    overrides: Sequence[str],
    given: Mapping[str, Any],
    *,
    file: Path | None = None,
    scale: str | None = None,
    protocol: str | None = None,
    name: str | None = None,
    config_dir: Path | None = None,
    root: Path | None = None,
) -> Study:
    """Return the study of a command line: its overrides and `given` settings over those of a study file.

    A study that exists in the results folder `root` keeps its protocol, unless one is named."""
    if scale and not file:
        raise ConfigError("--scale: only a study file has scales", "Say: optbench sweep PATH/study.yaml --scale NAME")
    if given.get("trials") == 0:
        raise ConfigError("trials=0: expected a number greater than or equal to 1", "Leave it out for 8 or 16")
    tree = read_study_file(file, scale) if file else {}
    given = {key: value for key, value in given.items() if value is not None}
    chosen = protocol or tree.get("protocol") or DEFAULT
    settings, fixed = protocol_settings(chosen, config_dir)
    for key, value in sorted({**tree, **given}.items()):
        if key in fixed and value != settings[key]:
            raise ConfigError(
                f"--protocol {chosen} fixes {key}={settings[key]}", f"Leave out {key}, or choose another protocol"
            )
    words = [*settings["overrides"], *tree.get("overrides", ()), *overrides]
    named = {"name": name or tree.get("name", ""), "protocol": chosen, "overrides": words}
    values = {
        "boxes": {},
        "parts": {},
        "claim": None,
        "scale": None,
        "title": None,
        **settings,
        **tree,
        **given,
        **named,
    }
    values["overrides"] = last_of_each(words)
    values["parts"] = with_words(values["parts"], overrides)
    values["name"] = values["name"] or default_name(values["overrides"], config_dir)
    begun = chosen if protocol or "protocol" in tree else begun_protocol(root, values["name"])
    if begun != chosen:
        return make_study(
            overrides, given, file=file, scale=scale, protocol=begun, name=values["name"], config_dir=config_dir
        )
    return checked(values, dict.fromkeys(tree.keys() - given.keys(), f"{file}: "))


def begun_protocol(root: Path | None, name: str) -> str:
    """Return the protocol of the study of this name in a results folder; the default one if there is none."""
    settings = ((read_study(root / name / STUDY_FILE) if root else None) or {}).get("settings") or {}
    earlier = settings.get("protocol", DEFAULT)
    return CLASSIC if earlier == DEFAULT and settings and "shortlist" not in settings else earlier


def checked(values: Mapping[str, Any], sources: Mapping[str, str]) -> Study:
    """Return the study of these values. Raises ConfigError for what is wrong with one, its source first."""
    from pydantic import ConfigDict, ValidationError, create_model

    types: dict[str, Any] = {key: (kind, ...) for key, kind in get_type_hints(Study, include_extras=True).items()}
    ladders = values["more_budgets"]
    if isinstance(ladders, Mapping):
        listed = {name: own if isinstance(own, (list, tuple)) else [own] for name, own in ladders.items()}
        values = {**values, "more_budgets": {name: tuple(map(share, own)) for name, own in listed.items()}}
    model = create_model("Settings", __config__=ConfigDict(extra="forbid", strict=True), **types)
    plain = {
        key: tuple(value) if isinstance(value, list) and key not in ("claim", "more_budgets") else value
        for key, value in values.items()
    }
    try:
        study = Study(**dict(model.model_validate(plain)))
    except ValidationError as error:
        raise config_error(error, sources.get(str(error.errors()[0]["loc"][0]), ""), KEYS) from None
    if len(set(study.budgets)) < len(study.budgets) or not study.budgets:
        raise ConfigError(f"budgets={values['budgets']}: give one or more different shares, e.g. 0.25,0.5,1")
    check_groups(study)
    if study.pruner == "wilcoxon" and study.tune_seeds < WILCOXON_SEEDS:
        raise ConfigError(
            f"--pruner wilcoxon: compares trials over seeds and needs {WILCOXON_SEEDS} of each",
            f"Say --tune-seeds {WILCOXON_SEEDS} or more",
        )
    return replace(study, budgets=tuple(sorted(study.budgets)))


def with_words(parts: object, words: Sequence[str]) -> object:
    """Return parts with overrides of the command line, which win over their own; unchanged if they are malformed."""
    if not isinstance(parts, Mapping) or not all(isinstance(part, Mapping) for part in parts.values()):
        return parts
    listed = {name: part for name, part in parts.items() if isinstance(part.get("overrides"), list)}
    return {**parts, **{name: {**part, "overrides": [*part["overrides"], *words]} for name, part in listed.items()}}


def last_of_each(words: Sequence[str]) -> tuple[str, ...]:
    """Return the last override of each key."""
    return tuple({text.partition("=")[0].lstrip("+"): text for text in words}.values())


def share(value: object) -> object:
    """Return a whole number as a real one."""
    return float(value) if type(value) is int else value


def check_groups(study: Study) -> None:
    """Raise ConfigError if the trials can't be split into groups of equal size."""
    if study.trials % study.groups:
        raise ConfigError(f"trials={study.trials}: must be a multiple of groups={study.groups}")


def protocol_settings(name: str, config_dir: Path | None) -> tuple[dict[str, Any], set[str]]:
    """Return the settings of a protocol, and the keys among them that are fixed."""
    folders = config_folders(config_dir)
    base, file = (find_option(folders, GROUP, choice) for choice in ("default", name))
    if base is None or file is None:
        hint = suggest(name, options(folders, GROUP), "--protocol {}")
        raise ConfigError(f"--protocol {name}: unknown protocol", hint)
    settings: dict[str, Any] = {"overrides": [], "about": {}}
    for one in (base, file):
        tree = read_yaml(one)
        check_form(tree, one)
        settings |= {"about": {}} | tree
    fixed = about_of(settings, file).get("fixed", ())
    del settings["about"]
    return settings, set(fixed)


def default_name(overrides: Sequence[str], config_dir: Path | None) -> str:
    """Return the name of a study that was given none: what it compares, and a hash of its overrides.

    The same command finds its study again; more trials or seeds extend it."""
    parsed = parse_sweep(overrides, config_dir)
    words = ["_".join(axis.values) for axis in parsed.axes]
    words += [text.partition("=")[2] for text in parsed.fixed if text.partition("=")[0] in ("model", "optimizer")]
    plain = "".join(c if c.isalnum() or c in "_.-" else "_" for c in "-".join(words) or "sweep")
    return f"{plain[:48].strip('._-') or 'sweep'}-{short_hash(sorted(overrides))[:6]}"
