"""What a sweep was asked for. Every setting has its default in conf/protocol/default.yaml; a protocol, a study file,
a scale of it and the command line may change it, in this order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from optbench.config import config_folders, find_option, options, parse_sweep, read_yaml
from optbench.config.claims import criteria_of, normalised
from optbench.config.overrides import near
from optbench.config.runconfig import short_hash
from optbench.config.schema import conform
from optbench.errors import ConfigError

GROUP = "protocol"
OF_A_FILE = ("overrides", "boxes", "claim", "scales", "protocol", "study", "title")
WILCOXON_SEEDS = 5  # four paired seeds are the fewest that can be significant at 10 %, the fifth is what is saved


@dataclass(frozen=True, kw_only=True)
class Study:
    """A sweep's settings; their meanings stand in conf/protocol/default.yaml."""

    name: str
    protocol: str
    overrides: tuple[str, ...]
    trials: int
    tune_seeds: int
    seeds: int
    sampler: str
    search_seed: int
    pruner: str
    budgets: tuple[float, ...]
    extend_edges: bool
    allow_unequal: bool
    searched: bool
    finalists: str
    groups: int
    fresh_seeds: bool
    needs_target: bool
    boxes: Mapping[str, Mapping[str, str]]
    """Search boxes by optimizer that take the place of the published ones: {lion: {lr: "log [1e-5, 1e-3]"}}."""
    claim: Mapping[str, Any] | list[Mapping[str, Any]] | None
    """What the study is to decide: a criterion or several, see optbench.config.claims."""
    scale: str | None
    title: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as study.json keeps it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def make_study(
    overrides: Sequence[str],
    given: Mapping[str, Any],
    *,
    file: Path | None = None,
    scale: str | None = None,
    protocol: str | None = None,
    name: str | None = None,
    config_dir: Path | None = None,
) -> Study:
    """The study that a command line asks for: overrides and `given` settings over those of a study file."""
    tree = read_study_file(file, scale) if file else {}
    if scale and not file:
        raise ConfigError(
            "--scale names one of a study file's scales", "Say: optbench sweep PATH/study.yaml --scale NAME"
        )
    protocol = protocol or tree.get("protocol") or "default"
    settings, fixed = protocol_settings(protocol, config_dir)
    asked = {
        **{k: v for k, v in tree.items() if k not in (*OF_A_FILE, "scale")},
        **{k: v for k, v in given.items() if v is not None},
    }
    for key in sorted(asked.keys() & fixed):
        if asked[key] != settings[key]:
            raise ConfigError(
                f"--protocol {protocol} fixes {key}={settings[key]}", f"Leave {key} out, or --protocol out"
            )
    values = checked_settings({**settings, **asked}, config_dir)
    words = [*settings["overrides"], *tree.get("overrides", ()), *overrides]
    check_pruner(values)
    last = {text.partition("=")[0].lstrip("+"): text for text in words}  # the last one of a key wins
    values |= {"overrides": tuple(last.values()), "budgets": tuple(sorted(values["budgets"]))}
    return Study(
        name=name or (name_of_file(file, tree) if file else default_name(values["overrides"], config_dir)),
        protocol=protocol,
        boxes=tree.get("boxes", {}),
        claim=tree.get("claim"),
        scale=tree.get("scale"),
        title=tree.get("title"),
        **values,
    )


def protocol_settings(name: str, config_dir: Path | None) -> tuple[dict[str, Any], set[str]]:
    """The settings of a protocol and those of them that are fixed."""
    folders = config_folders(config_dir)
    file = find_option(folders, GROUP, name)
    if file is None:
        known = options(folders, GROUP)
        match = near(name, known)
        hint = f"Did you mean --protocol {match}?" if match else f"Known: {', '.join(known)}"
        raise ConfigError(f"--protocol {name}: there is no such protocol", hint)
    base, own = default_protocol(config_dir), read_yaml(file)
    fixed = own.pop("about", {}).get("fixed", [])
    return {**{k: v for k, v in base.items() if k != "about"}, **own}, set(fixed)


def default_protocol(config_dir: Path | None) -> dict[str, Any]:
    """conf/protocol/default.yaml."""
    return read_yaml(find_option(config_folders(config_dir), GROUP, "default"))  # type: ignore[arg-type]


def checked_settings(values: Mapping[str, Any], config_dir: Path | None) -> dict[str, Any]:
    """Settings in their types; ConfigError for an unknown key or a value that is not valid."""
    base = default_protocol(config_dir)
    valid = base.pop("about")["valid"]
    checked = {}
    for key, value in values.items():
        if key not in base:
            match = near(key, [*base, *OF_A_FILE])
            raise ConfigError(f"{key}: a study has no such setting", f"Did you mean {match}?" if match else "")
        try:
            checked[key] = conform(value, valid.get(key), None if key in ("budgets", "overrides") else base[key])
        except ValueError as error:
            raise ConfigError(f"{key}={value}: {error}") from None
    if len(set(checked["budgets"])) < len(checked["budgets"]) or not checked["budgets"]:
        raise ConfigError(f"budgets={values['budgets']}: expected different shares, e.g. 0.25,0.5,1")
    if checked["trials"] % checked["groups"]:
        raise ConfigError(f"{checked['trials']} trials cannot be dealt evenly into {checked['groups']} groups")
    return checked


def check_pruner(values: Mapping[str, Any]) -> None:
    """ConfigError for a pruner that has nothing to go by."""
    if values["pruner"] == "wilcoxon" and values["tune_seeds"] < WILCOXON_SEEDS:
        raise ConfigError(
            "--pruner wilcoxon compares trials over seeds",
            f"Say --tune-seeds {WILCOXON_SEEDS} or more: fewer pairs than 4 cannot decide",
        )


def name_of_file(file: Path, tree: Mapping[str, Any]) -> str:
    """The name of a study that comes from a file: as the file says, else its folder's; scales are studies of their
    own."""
    folder = (file if file.is_dir() else file.parent).resolve()
    return "-".join(word for word in (tree.get("study") or folder.name, tree.get("scale")) if word)


def default_name(overrides: Sequence[str], config_dir: Path | None) -> str:
    """A name for a study that was given none: what it compares and a hash of its overrides, so that the same command
    finds its study again, and more trials or seeds extend it."""
    asked = parse_sweep(overrides, config_dir)
    words = ["_".join(axis.values) for axis in asked.axes]
    words += [text.partition("=")[2] for text in asked.fixed if text.partition("=")[0] in ("model", "optimizer")]
    plain = "".join(c if c.isalnum() or c in "_.-" else "_" for c in "-".join(words) or "sweep")
    return f"{plain[:48].strip('._-') or 'sweep'}-{short_hash(sorted(overrides))[:6]}"


def read_study_file(file: Path, scale: str | None) -> dict[str, Any]:
    """The tree of a study.yaml at one of its scales (the first one where none is named)."""
    if file.is_dir():
        file = file / "study.yaml"
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such study file")
    tree = read_yaml(file)
    if "scale" in tree:
        raise ConfigError(f"{file}: scale: a study has no such setting", "It has scales, and --scale chooses one")
    scales = tree.pop("scales", None) or {}
    if not isinstance(scales, Mapping) or not all(isinstance(s, Mapping) for s in scales.values()):
        raise ConfigError(f"{file}: scales must map each name to settings")
    if scale is not None and scale not in scales:
        raise ConfigError(f"--scale {scale}: {file} has no such scale", f"Known: {', '.join(scales) or 'none'}")
    name = scale or next(iter(scales), None)
    own = dict(scales[name]) if name is not None else {}
    own_overrides = listed(own.pop("overrides", []), file)
    tree = {**tree, **own, "overrides": [*listed(tree.get("overrides", []), file), *own_overrides], "scale": name}
    if tree.get("claim") is not None:
        tree["claim"] = normalised(tree["claim"])
        criteria_of(tree["claim"], f"{file}: claim")
    check_boxes(tree.get("boxes", {}), file)
    return tree


def listed(overrides: Any, file: Path) -> list[str]:
    """The overrides of a study file."""
    if not isinstance(overrides, list) or not all(isinstance(text, str) for text in overrides):
        raise ConfigError(f"{file}: overrides must be a list", 'e.g. overrides: ["optimizer=lion,adamw", model=vit]')
    return overrides


def check_boxes(boxes: Any, file: Path) -> None:
    """ConfigError for boxes that are not {optimizer: {key: interval}}."""
    if not isinstance(boxes, Mapping) or not all(isinstance(box, Mapping) for box in boxes.values()):
        raise ConfigError(
            f"{file}: boxes must map an optimizer to its intervals", 'e.g. boxes: {lion: {lr: "log [1e-5, 1e-3]"}}'
        )


SETTINGS = tuple(field.name for field in fields(Study))
