"""What the commands do: configuration in, tables or JSON out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench import config as configuration
from optbench.cli.tables import table
from optbench.config import Composition, RunConfig
from optbench.errors import ConfigError, MissingError, NotHeld
from optbench.records import COLUMNS, Status
from optbench.store import RunFolder, check_study, results_root

Emit = Callable[..., None]
Notice = Callable[[str], None]
EXPERIMENTS = "experiments"


def loaded(overrides: Sequence[str], config_dir: Path | None, notice: Notice) -> tuple[Composition, RunConfig]:
    """The composition and its configuration, with a notice for every file of the user's that shadows a packaged one."""
    composition = Composition(overrides, config_dir)
    for file in composition.shadowed:
        notice(f"using {file} instead of the packaged file of the same name")
    return composition, composition.run_config()


def run(
    overrides: Sequence[str],
    *,
    study: str,
    results_dir: Path | None,
    config_dir: Path | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    notice: Notice,
    emit: Emit,
) -> None:
    """`optbench run`."""
    _, config = loaded(overrides, config_dir, notice)
    root = results_root(results_dir)
    check_study(study)
    folder = RunFolder(root, study, config.run_id)
    if dry_run:
        ended = folder.result() is not None
        plan = {"run_id": config.run_id, "folder": str(folder.path), "ended": ended, "config": config.as_dict()}
        emit(as_json, plan, lambda: print("\n".join(dry_lines(config, folder, ended))))
        return
    from optbench.sessions.session import execute

    sinks = sinks_for(config, quiet=quiet or as_json, notice=notice)
    ended = execute(config, root, study=study, force=force, sinks=sinks, notice=notice)
    if ended.rank:
        return
    from optbench.trackers.console import summary_lines

    if ended.was_there:
        notice(f"{config.run_id} has ended before and is not run again (--force runs it again)")
    emit(
        as_json,
        {**ended.result, "folder": str(ended.folder)},
        lambda: print("\n".join(summary_lines(ended.run, ended.result, ended.folder))),
    )
    if not Status(ended.result["status"]).succeeded:
        raise NotHeld(f"the run ended as {ended.result['status']}: {ended.result['reason']}")


def dry_lines(config: RunConfig, folder: RunFolder, ended: bool) -> list[str]:
    """What would be run, for people."""
    samples = config.steps * config.batch_size
    optimizer = f"{config.optimizer.name} ({config.optimizer.settings['impl']})"
    chosen = [optimizer, *(modifier.name for modifier in config.modifiers), config.model.name, config.data.name]
    return [
        f"{config.run_id}",
        f"  {', '.join(chosen)}",
        f"  {config.steps:,} steps of {config.batch_size} samples = {samples:,} samples, seed {config.seed}",
        f"  results: {folder.path}" + (" (has ended: would not be run again)" if ended else ""),
    ]


def sinks_for(config: RunConfig, *, quiet: bool, notice: Notice) -> Callable[[RunFolder], list[Any]]:
    """The terminal and the tracker, made when the run's folder is known."""

    def make(folder: RunFolder) -> list[Any]:
        from optbench.trackers.console import Console

        sinks: list[Any] = [Console(config.steps, config.batch_size, enabled=not quiet)]
        if config.tracker != "none":
            from optbench.trackers.background import Background
            from optbench.trackers.wandb import WandbTracker

            tracker = WandbTracker(folder.path, config.wandb_project, notice)
            sinks.append(Background(tracker, notice))
        return sinks

    return make


def list_(what: str, config_dir: Path | None, as_json: bool, emit: Emit) -> None:
    """`optbench list`."""
    if what == "columns":
        rows = [{"column": name, "unit": c.unit, "meaning": c.meaning} for name, c in COLUMNS.items()]
        emit(as_json, rows, lambda: table("", rows))
        return
    kinds = configuration.PLURALS
    if what and what not in (*kinds, EXPERIMENTS):
        raise ConfigError(f"list {what}: there is no such list", f"Known: {', '.join(kinds)}, {EXPERIMENTS}, columns")
    folders = configuration.config_folders(config_dir)
    found = {
        kind: [described(folders, group, name) for name in configuration.options(folders, group)]
        for kind, group in kinds.items()
        if what in ("", kind)
    }
    if what in ("", EXPERIMENTS):
        found[EXPERIMENTS] = experiments(what)
    emit(
        as_json, found, lambda: [table(kind, rows) if rows else print(f"{kind}: none") for kind, rows in found.items()]
    )


def experiments(what: str) -> list[dict[str, str]]:
    """The claims that can be put to the test; without the folder an error only where they were asked for."""
    from optbench.reproducing.find import experiments_folder, listed

    try:
        return listed(experiments_folder())
    except ConfigError:
        if what:
            raise
        return []


def described(folders: Sequence[Path], group: str, name: str) -> dict[str, str]:
    """A choice's name and the comment at the head of its file."""
    file = configuration.find_option(folders, group, name)
    lines = file.read_text(encoding="utf-8").splitlines() if file else []
    first = next((line.lstrip("# ") for line in lines if line.startswith("#") and "@package" not in line), "")
    return {"name": name, "about": first}


def show(
    overrides: Sequence[str], config_dir: Path | None, parameters: bool, as_json: bool, notice: Notice, emit: Emit
) -> None:
    """`optbench show`."""
    composition, config = loaded(overrides, config_dir, notice)
    values = configuration.flatten(config.as_dict())
    rows = [{"key": key, "value": value, "origin": composition.origin(key)} for key, value in values.items()]
    decayed = weight_decay_rule(config)
    shown: dict[str, Any] = {"run_id": config.run_id, "values": rows, "weight_decay": decayed}
    if parameters:
        shown["parameters"] = parameter_rows(config)
    emit(as_json, shown, lambda: print_shown(config, shown))


def weight_decay_rule(config: RunConfig) -> dict[str, Any]:
    """Which roles the optimizer decays and which it spares."""
    from optbench.contracts import ROLES

    spared = config.optimizer.settings.get("no_decay")
    decay = config.optimizer.settings.get("weight_decay")
    if spared is None or not decay:
        return {"decayed": [], "spared": list(ROLES), "weight_decay": decay}
    return {"decayed": [r for r in ROLES if r not in spared], "spared": list(spared), "weight_decay": decay}


def parameter_rows(config: RunConfig) -> list[dict[str, Any]]:
    """Each parameter of the model with its shape, role and weight decay."""
    from optbench.sessions.assemble import assemble

    spared = config.optimizer.settings.get("no_decay") or ()
    decay = config.optimizer.settings.get("weight_decay") or 0.0
    from optbench.models.roles import trainable

    return [
        {
            "parameter": p.name,
            "shape": "x".join(map(str, p.tensor.shape)),
            "role": p.role,
            "weight_decay": 0.0 if p.role in spared else decay,
        }
        for module in assemble(config).task.players.values()
        for p in trainable(module)
    ]


def print_shown(config: RunConfig, shown: dict[str, Any]) -> None:
    """The resolved configuration for people."""
    print(config.run_id)
    table("", [{**row, "value": configuration.as_typed(row["value"])} for row in shown["values"]])
    rule = shown["weight_decay"]
    spared = f"; spared: {', '.join(rule['spared'])}" if rule["spared"] else ""
    print(
        f"weight decay {rule['weight_decay']}: {', '.join(rule['decayed'])}{spared}"
        if rule["decayed"]
        else "no weight decay"
    )
    if "parameters" in shown:
        table("parameters", [{k: str(v) for k, v in row.items()} for row in shown["parameters"]])


def doctor(as_json: bool, emit: Emit) -> None:
    """`optbench doctor`."""
    from optbench.cli.doctor import examine

    findings = examine()
    rows = [{"check": f.name, "state": f.state, "detail": f.detail, "remedy": f.remedy} for f in findings]
    emit(as_json, rows, lambda: table("", rows))
    bad = [f.name for f in findings if f.state == "fail"]
    if bad:
        raise MissingError(f"not in order: {', '.join(bad)}")


def bench(
    what: str, overrides: Sequence[str], config_dir: Path | None, as_json: bool, notice: Notice, emit: Emit
) -> None:
    """`optbench bench`: a bench is a module of optbench.benches with `measure(config, notice)` and `lines(report)`.
    Its `SETTINGS`, if it has any, are defaults of further arguments of `measure`, set like any other key."""
    import importlib
    import pkgutil

    import optbench.benches

    known = [module.name for module in pkgutil.iter_modules(optbench.benches.__path__) if not module.ispkg]
    if what not in known:
        raise ConfigError(f"bench {what}: there is no such bench", f"Known: {', '.join(known)}")
    module = importlib.import_module(f"optbench.benches.{what}")
    settings, rest = bench_settings(overrides, getattr(module, "SETTINGS", {}))
    _, config = loaded(rest, config_dir, notice)
    report = module.measure(config, notice, **settings)
    emit(as_json, report, lambda: print("\n".join(module.lines(report))))


def bench_settings(overrides: Sequence[str], defaults: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A bench's own settings among the overrides, of the type of their defaults, and the other overrides."""
    own = {key: text for key, _, text in (override.partition("=") for override in overrides) if key in defaults}
    rest = [override for override in overrides if override.partition("=")[0] not in defaults]
    try:
        return {key: type(default)(own.get(key, default)) for key, default in defaults.items()}, rest
    except ValueError as error:
        raise ConfigError(f"a setting of the bench cannot be read: {error}") from error
