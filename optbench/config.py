"""From overrides to a RunConfig: the only file that knows Hydra.

Hydra reads the override grammar and composes the groups (`conf/GROUP/NAME.yaml`, the user's folder before the packaged
one). Everything a user can get wrong is checked here, against the YAML files themselves, and answered with one
ConfigError of at most three lines. A model names its default data set (`about.data`); `conf/workload/MODEL-DATA.yaml`,
where there is one, sets the budget that suits the pair.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import inspect
import json
import math
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench import locate
from optbench.errors import ConfigError
from optbench.validity import conform, flatten

GROUPS = ("optimizer", "model", "data", "schedule", "clip")
PLURALS = {"optimizers": "optimizer", "models": "model", "data": "data", "schedules": "schedule", "clips": "clip"}
_HYDRA_LOCK = threading.Lock()  # Hydra keeps its state in a process-wide singleton


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One group's choice: its name, its settings and the facts its YAML file states about it."""

    name: str
    settings: Mapping[str, Any]
    about: Mapping[str, Any]

    @property
    def target(self) -> str:
        """Import path of what builds it."""
        return self.implementation["target"]

    @property
    def implementation(self) -> Mapping[str, Any]:
        """The facts of the chosen implementation; `about` itself where there is but one."""
        return self.about["implementations"][self.settings["impl"]] if "implementations" in self.about else self.about


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that fixes one run. The units and meanings of the fields stand in conf/root/run.yaml."""

    optimizer: Choice
    model: Choice
    data: Choice
    schedule: Choice
    clip: Choice
    seed: int
    steps: int
    batch_size: int
    micro_batch: int | None
    precision: str
    compile: bool
    device: str
    threads: int
    deterministic: bool
    eval_every: int
    eval_batch_size: int
    eval_train_samples: int
    record_every: int
    target: float | None
    stop_at_target: bool
    max_seconds: float | None
    checkpoint_seconds: float
    keep_checkpoint: bool
    data_dir: str | None
    tracker: str
    wandb_project: str
    overrides: tuple[str, ...]
    not_identity: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The resolved configuration as plain data: each group with its `name`, without the facts."""
        root = {key: value for key, value in vars(self).items() if key not in (*GROUPS, "overrides", "not_identity")}
        groups = {group: {"name": self.group(group).name, **self.group(group).settings} for group in GROUPS}
        return {**groups, **root}

    def group(self, name: str) -> Choice:
        """The choice of a group."""
        return getattr(self, name)

    @property
    def identity(self) -> dict[str, Any]:
        """The keys that fix the numbers. A key that is null is absent, so that a later key keeps old ids."""
        kept = {key: value for key, value in self.as_dict().items() if key not in self.not_identity}
        sources = {group: self.group(group).about.get("source_sha256") for group in GROUPS}
        return without_null({**kept, "sources": sources})

    @property
    def run_id(self) -> str:
        """Readable prefix and hash of the identity."""
        return f"{self._prefix}-s{self.seed}-{short_hash(self.identity)}"

    @property
    def trial_id(self) -> str:
        """The same without the seed: equal for the runs that differ by nothing else."""
        return f"{self._prefix}-{short_hash({k: v for k, v in self.identity.items() if k != 'seed'})}"

    @property
    def _prefix(self) -> str:
        names = (self.model.name, self.data.name, self.optimizer.name)
        return "-".join("".join(c if c.isalnum() or c in "_." else "_" for c in name) for name in names)


def without_null(tree: Any) -> Any:
    """The mapping without its null leaves and the mappings they leave empty."""
    if not isinstance(tree, Mapping):
        return tree
    kept = {key: without_null(value) for key, value in tree.items()}
    return {key: value for key, value in kept.items() if value is not None and value != {}}


def short_hash(tree: Any) -> str:
    """Ten hex digits of the SHA-256 of canonical JSON."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:10]


def load(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> RunConfig:
    """The run that these overrides describe. Raises ConfigError (exit 2), never anything else, on bad input."""
    return Composition(overrides, config_dir).run_config()


@dataclass(frozen=True)
class Assignment:
    """One parsed override."""

    key: str
    value: Any
    text: str


class Composition:
    """The overrides, the YAML files they choose, and the configuration that results."""

    def __init__(self, overrides: Sequence[str], config_dir: str | Path | None = None) -> None:
        self.overrides = tuple(overrides)
        self.folders = config_folders(config_dir)
        assignments = parse(self.overrides)
        self.values = [a for a in assignments if a.key not in GROUPS]
        chosen = {a.key: a for a in assignments if a.key in GROUPS}
        self.custom = self._custom_optimizer(chosen)
        self.choices = self._choices(chosen)
        self.tree = self._resolved_tree()

    # -- choices -----------------------------------------------------------------------------------------------------

    def _custom_optimizer(self, chosen: dict[str, Assignment]) -> dict[str, Any] | None:
        """The optimizer node for `optimizer=./file.py:Name` or `optimizer=package.Name`, else None."""
        assignment = chosen.get("optimizer")
        if assignment is None or not locate.is_path(str(assignment.value)):
            return None
        if find_option(self.folders, "optimizer", str(assignment.value)):
            return None
        del chosen["optimizer"]
        return custom_optimizer(str(assignment.value))

    def _choices(self, chosen: Mapping[str, Assignment]) -> dict[str, str]:
        names = {group: self._checked(group, chosen[group]) for group in GROUPS if group in chosen}
        if "data" not in names:
            model = find_option(self.folders, "model", names.get("model", root_defaults(self.folders)["model"]))
            default = read_yaml(model).get("about", {}).get("data") if model else None
            names |= {"data": str(default)} if default else {}
        return names

    def _checked(self, group: str, assignment: Assignment) -> str:
        name = assignment.value
        if isinstance(name, str) and find_option(self.folders, group, name):
            return name
        known = options(self.folders, group)
        hint = f"Did you mean {group}={near(str(name), known)}?" if near(str(name), known) else ""
        raise ConfigError(f"{shown(assignment.text)}: there is no {group} '{shown(str(name))}'",
                          hint or f"Known: {', '.join(known)}")

    # -- values ------------------------------------------------------------------------------------------------------

    def _resolved_tree(self) -> dict[str, Any]:
        from omegaconf import OmegaConf

        config = compose(self.folders, tuple(sorted(self.choices.items())))
        if self.custom is not None:
            config["optimizer"] = self.custom
        self.defaults = OmegaConf.to_container(config, resolve=False)
        self._check_about()
        for assignment in self.values:
            self._assign(config, assignment)
        try:
            return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        except Exception as error:  # an interpolation of the user's that leads nowhere
            raise ConfigError(root_cause(error)) from error

    def _assign(self, config: Any, assignment: Assignment) -> None:
        from omegaconf import OmegaConf

        for key, value in flatten({assignment.key: assignment.value}).items():
            self._check_key(key, assignment)
            try:
                OmegaConf.update(config, key, value, merge=False)
            except Exception as error:
                raise ConfigError(f"{shown(assignment.text)}: {root_cause(error)}") from error

    def _check_key(self, key: str, assignment: Assignment) -> None:
        known = self.known_keys
        if key in known:
            return
        if any(name.startswith(key + ".") for name in known):
            inner = [name for name in known if name.startswith(key + ".")]
            raise ConfigError(f"{shown(assignment.text)}: '{key}' is a group of keys", f"Set one of: {', '.join(inner[:8])}")
        group = key.split(".")[0]
        match = near(key, [*GROUPS, *known])
        hint = f"Did you mean {match}?" if match else ""
        siblings = [name for name in known if name.startswith(group + ".")] or [n for n in known if "." not in n]
        raise ConfigError(f"{shown(assignment.text)}: there is no key '{shown(key)}'",
                          hint or f"Known: {', '.join(siblings[:12])}")

    @functools.cached_property
    def known_keys(self) -> dict[str, Any]:
        """Every key that may be set, with its default."""
        flat = flatten({k: v for k, v in self.defaults.items() if k != "about"})
        return {key: value for key, value in flat.items() if key.split(".")[1:2] != ["about"]}

    def _check_about(self) -> None:
        for group in GROUPS:
            about = (self.defaults.get(group) or {}).get("about") or {}
            file = find_option(self.folders, group, self.names[group])
            if "target" not in about and not about.get("implementations"):
                raise ConfigError(f"{file}: about.target is missing", "It names what builds it, e.g. my_package.MyOptimizer")
            impl = {"target": about} if "target" in about else about["implementations"]
            if not isinstance(impl, Mapping) or not all(isinstance(i, Mapping) and "target" in i for i in impl.values()):
                raise ConfigError(f"{file}: about.implementations must map each name to its target")

    @property
    def names(self) -> dict[str, str]:
        """The chosen name of every group."""
        names = {**root_defaults(self.folders), **self.choices}
        return names | ({"optimizer": self.custom["about"]["algorithm"]} if self.custom else {})

    # -- result ------------------------------------------------------------------------------------------------------

    def run_config(self) -> RunConfig:
        """The checked, typed configuration."""
        tree = self.tree
        root = self._conformed("", {k: v for k, v in tree.items() if k not in (*GROUPS, "about")}, tree["about"])
        groups = {group: self._choice(group, dict(tree[group])) for group in GROUPS}
        root = derive(root, self.values)
        return RunConfig(**groups, **root, overrides=self.overrides, not_identity=tuple(tree["about"]["not_identity"]))

    def _choice(self, group: str, node: dict[str, Any]) -> Choice:
        about = node.pop("about")
        if "implementations" in about:
            valid = {"impl": " | ".join(about["implementations"]), **about.get("valid", {})}
            about = {**about, "valid": valid}
        elif group == "optimizer":
            node.setdefault("impl", "user")
            about = {**about, "implementations": {"user": {**about, "target": about["target"]}}}
        return Choice(name=self.names[group], settings=self._conformed(f"{group}.", node, about), about=about)

    def _conformed(self, prefix: str, node: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
        valid = about.get("valid", {})
        leaves = {key: self._conform(prefix + key, value, valid.get(key)) for key, value in flatten(node).items()}
        return unflatten(leaves)

    def _conform(self, key: str, value: Any, spec: str | None) -> Any:
        try:
            return conform(value, spec, self.known_keys.get(key))
        except ValueError as error:
            text = next((a.text for a in reversed(self.values) if key.startswith(a.key)), None)
            where = shown(text) if text else f"{self.origin(key)}: {key}={shown(str(value))}"
            raise ConfigError(f"{where}: {error}") from None

    # -- origins -----------------------------------------------------------------------------------------------------

    def origin(self, key: str) -> str:
        """Where the value of a dotted key comes from: an override or a file."""
        for assignment in reversed(self.values):
            if key == assignment.key or key.startswith(assignment.key + "."):
                return f"override {assignment.text}"
        for file, prefix in reversed(self.layers):
            if key.startswith(prefix) and key.removeprefix(prefix) in flatten(read_yaml(file)):
                return short_path(file, self.folders)
        return "derived"

    @functools.cached_property
    def layers(self) -> list[tuple[Path, str]]:
        """The YAML files behind this configuration with the prefix of their keys, the strongest last."""
        names = self.names
        found = [(group, find_option(self.folders, group, names[group])) for group in GROUPS]
        workload = find_option(self.folders, "workload", f"{names['model']}-{names['data']}")
        files = [(self.folders[-1] / "root" / "run.yaml", "")] + [(file, f"{g}.") for g, file in found if file]
        return files + ([(workload, "")] if workload else [])

    @property
    def shadowed(self) -> list[str]:
        """Files of the user's that stand before packaged ones of the same name."""
        packaged = self.folders[-1]
        chosen = [file for file, _ in self.layers if not file.is_relative_to(packaged)]
        return [str(file) for file in chosen if (packaged / file.parent.name / file.name).is_file()]


# -- derived keys ----------------------------------------------------------------------------------------------------


def derive(root: dict[str, Any], values: Sequence[Assignment]) -> dict[str, Any]:
    """Root keys with the budget in steps and the evaluation interval filled in."""
    root = dict(root)
    samples = root.pop("samples")
    given = {a.key for a in values}
    if samples is not None and "steps" in given:
        raise ConfigError("steps and samples are both given", "Give the budget once: steps=N or samples=N")
    if samples is not None:
        root["steps"] = math.ceil(samples / root["batch_size"])
    root["eval_every"] = root["eval_every"] or max(1, math.ceil(root["steps"] / 10))
    micro = root["micro_batch"]
    if micro is not None and micro > root["batch_size"]:
        raise ConfigError(f"micro_batch={micro} is larger than batch_size={root['batch_size']}")
    root["micro_batch"] = None if micro == root["batch_size"] else micro
    return root


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The nested mapping of dotted keys."""
    tree: dict[str, Any] = {}
    for key, value in leaves.items():
        *path, last = key.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return tree


def custom_optimizer(path: str) -> dict[str, Any]:
    """The configuration node of a user's own optimizer: its keyword arguments with their defaults."""
    target = locate.load(path)
    keywords = locate.keyword_defaults(target)
    plain = {k: v for k, v in keywords.items() if k != "**" and is_plain(v)}
    required = {k: "???" for k, v in keywords.items() if v is inspect.Parameter.empty and k != "**"}
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}
    name = path.replace(":", ".").rsplit(".", 1)[1]
    decays = {"no_decay": ["bias", "norm"]} if "weight_decay" in settings or "weight_decay" in required else {}
    about = {"algorithm": name, "target": path, "source_sha256": locate.source_sha256(target), "needs": ["closure"],
             "valid": {"no_decay": "list str"}}
    return {"lr": None, **required, **settings, **decays, "about": about}


def is_plain(value: Any) -> bool:
    """Whether a default can be written in YAML."""
    if isinstance(value, (list, tuple)):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))


# -- overrides -------------------------------------------------------------------------------------------------------


def parse(overrides: Sequence[str]) -> list[Assignment]:
    """The overrides as assignments; ConfigError for what is no `key=value`."""
    return [parse_one(text) for text in overrides]


def parse_one(text: str) -> Assignment:
    """One override in Hydra's grammar. A leading + or ++ is accepted and means nothing: no key needs it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if isinstance(text, str) and text.startswith("~"):
        raise ConfigError(f"{shown(text)}: a key cannot be removed", "Set it to null, or a group to 'none', instead")
    if not isinstance(text, str) or "=" not in text:
        raise ConfigError(f"'{shown(text)}' is no override", "Overrides look like key=value, e.g. optimizer=lion")
    key, _, value_text = text.partition("=")
    if locate.is_path(value_text) and key.lstrip("+") == "optimizer":
        return Assignment("optimizer", value_text, text)
    try:
        override = OverridesParser.create().parse_override(text.lstrip("+"))
        value = None if override.is_sweep_override() else override.value()
    except Exception as error:  # the parser raises its own and ANTLR's errors, and its functions any
        raise ConfigError(f"{shown(text)}: cannot be read ({shown(root_cause(error))})", quoting_hint(text)) from error
    if override.is_sweep_override():
        raise ConfigError(f"{shown(text)}: gives several values, and a run takes one", f"Use: optbench sweep {shown(text)}")
    if not override.key_or_group or override.package is not None:
        raise ConfigError(f"{shown(text)}: '{shown(key)}' is no key")
    return Assignment(override.key_or_group.replace("/", "."), unquoted(value), text)


def unquoted(value: Any) -> Any:
    """Hydra's quoted strings as plain text, inside lists and mappings too."""
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [unquoted(item) for item in value]
    if isinstance(value, dict):
        return {str(unquoted(key)): unquoted(item) for key, item in value.items()}
    return value


def quoting_hint(text: str) -> str:
    """What to do about an override that the grammar refuses."""
    for left, right in ("{}", "[]", "()"):
        if text.count(left) != text.count(right):
            return f"A '{right if text.count(left) > text.count(right) else left}' is missing"
    key, _, value = text.partition("=")
    return f"Quote the value: '{shown(key)}=\"{shown(value)}\"'"


def shown(text: Any, limit: int = 80) -> str:
    """Text fit for a one-line message: printable, shortened."""
    line = "".join(c if c.isprintable() else "?" for c in str(text))
    return line if len(line) <= limit else line[: limit - 3] + "..."


def near(name: str, known: Sequence[str]) -> str | None:
    """The known name closest to `name`, if any is close; a key may also match by its last part."""
    match = difflib.get_close_matches(name, known, 1, 0.6)
    if not match:
        last = name.rsplit(".", 1)[-1]
        match = [k for k in known if k.rsplit(".", 1)[-1] == last][:1]
    return match[0] if match else None


def root_cause(error: BaseException) -> str:
    """First line of the innermost exception's message."""
    message = type(error).__name__
    link: BaseException | None = error
    while link is not None:
        text = str(link).strip()
        message = text.splitlines()[0].strip() if text not in ("", "None") else message
        link = link.__cause__
    return message


# -- files -----------------------------------------------------------------------------------------------------------


def packaged_folder() -> Path:
    """The configuration shipped with optbench: inside the package when installed, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    beside = here.parent / "conf"
    return here / "conf" if (here / "conf").is_dir() else beside


def config_folders(config_dir: str | Path | None) -> tuple[Path, ...]:
    """Where configuration is looked for, the strongest first: the user's folder, then the packaged one."""
    given = config_dir or os.environ.get("OPTBENCH_CONFIG_DIR")
    if not given:
        return (packaged_folder(),)
    folder = Path(given).expanduser().resolve()
    if not folder.is_dir():
        raise ConfigError(f"--config-dir {shown(str(given))}: there is no such folder")
    return (folder, packaged_folder())


def options(folders: Sequence[Path], group: str) -> list[str]:
    """Names that a group offers, sorted."""
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def find_option(folders: Sequence[Path], group: str, name: str) -> Path | None:
    """The file of a group's choice, the user's before the packaged one."""
    if "\0" in name or len(name) > 200:  # no file has such a name
        return None
    files = (folder / group / f"{name}.yaml" for folder in folders)
    return next((file for file in files if file.is_file()), None) if name in options(folders, group) else None


def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML file's mapping, without Hydra's own keys. ConfigError names the file and the line that does not parse."""
    from omegaconf import OmegaConf

    try:
        config = OmegaConf.load(file)
        tree = OmegaConf.to_container(config, resolve=False)
    except Exception as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or root_cause(error)
        raise ConfigError(f"{file}{where}: {shown(problem)}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: must hold keys and values")
    return {str(key): value for key, value in tree.items() if key != "defaults"}


@functools.lru_cache
def _root_defaults(folder: Path) -> tuple[tuple[str, str], ...]:
    from omegaconf import OmegaConf

    entries = OmegaConf.to_container(OmegaConf.load(folder / "root" / "run.yaml"))["defaults"]
    return tuple((k, v) for entry in entries if isinstance(entry, dict) for k, v in entry.items() if k in GROUPS)


def root_defaults(folders: Sequence[Path]) -> dict[str, str]:
    """The choice of each group where nothing is said."""
    return dict(_root_defaults(folders[-1]))


def short_path(file: Path, folders: Sequence[Path]) -> str:
    """A packaged file as conf/GROUP/NAME.yaml, a user's file in full."""
    packaged = folders[-1]
    return f"conf/{file.relative_to(packaged)}" if file.is_relative_to(packaged) else str(file)


def compose(folders: tuple[Path, ...], choices: tuple[tuple[str, str], ...]) -> Any:
    """A fresh OmegaConf tree of these choices. Composed once for each set of files (Hydra takes 60 to 100 ms)."""
    import copy

    files = [file for folder in folders[:-1] for file in folder.glob("*/*.yaml")]
    stamp = tuple(sorted((str(file), file.stat().st_mtime_ns) for file in files))
    return copy.deepcopy(_composed(folders, choices, stamp))


@functools.lru_cache(maxsize=256)
def _composed(folders: tuple[Path, ...], choices: tuple[tuple[str, str], ...], stamp: tuple) -> Any:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    path = ",".join(f"'file://{folder}'" for folder in folders)
    overrides = [f"hydra.searchpath=[{path}]", *(f"{group}={name}" for group, name in choices)]
    with _HYDRA_LOCK:
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(folders[-1] / "root"), version_base="1.3"):
                config = hydra_compose("run", overrides=overrides)
        except Exception as error:
            for folder, (group, name) in ((f, c) for f in folders for c in choices):
                file = folder / group / f"{name}.yaml"
                if file.is_file():
                    read_yaml(file)  # names file and line where the YAML itself is wrong
            raise ConfigError(f"cannot compose the configuration: {shown(root_cause(error), 200)}") from error
    OmegaConf.set_struct(config, False)
    return config
