"""`optbench list` and `optbench show`: what can be chosen, and what a choice comes to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optbench.cli.options import AsJson, ConfigDir, Debug, Overrides
from optbench.cli.output import Output, print_lines
from optbench.cli.run import load
from optbench.cli.tables import table
from optbench.errors import ConfigError

if TYPE_CHECKING:
    from optbench.config import RunConfig

BOXES, EXPERIMENTS = "boxes", "experiments"
TRAINED, FROZEN = {"trained": "yes"}, {"trained": "frozen", "weight_decay": "-"}
"""Words of the table of parameters."""


def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="optimizers, boxes, modifiers, models, data, tasks, schedules, clips, protocols, experiments, columns"
        ),
    ] = "",
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List what can be chosen, and the columns of results."""
    from optbench import config as configuration
    from optbench.records import COLUMNS

    output = Output(as_json)
    if what == "columns":
        output.table([{"column": name, "unit": c.unit, "meaning": c.meaning} for name, c in COLUMNS.items()])
        return
    folders = configuration.config_folders(config_dir)
    if what == BOXES:
        output.table([row for name in configuration.options(folders, "optimizer") for row in boxes(name, config_dir)])
        return
    if what and what not in (*configuration.PLURALS, EXPERIMENTS):
        known = ", ".join([*configuration.PLURALS, BOXES, EXPERIMENTS, "columns"])
        raise ConfigError(f"list {what}: there is no such list", f"Known: {known}")
    found = {
        kind: [describe(folders, group, name) for name in configuration.options(folders, group)]
        for kind, group in configuration.PLURALS.items()
        if what in ("", kind)
    }
    if what in ("", EXPERIMENTS):
        found[EXPERIMENTS] = experiments(required=bool(what))
    output.answer(
        found, lambda: [table(kind, rows) if rows else print(f"{kind}: none") for kind, rows in found.items()]
    )


def boxes(name: str, config_dir: Path | None) -> Iterator[dict[str, Any]]:
    """Yield a row for each dimension of an optimizer's published box, and then of its others.

    `decades`: the width on its scale, null for a list of values; `rule`: the decades that docs/boxes.md asks for."""
    from optbench.config import load as load_config
    from optbench.config.boxes import PUBLISHED, box_named, spans_of

    optimizer = load_config([f"optimizer={name}"], config_dir).optimizer
    for span in spans_of(optimizer.about, optimizer.settings):
        low, *high = span.recommended
        row = {"optimizer": name, "box": PUBLISHED, "key": span.key, "search": span.spec, "default": span.default}
        row |= {"recommended": [low, *high] if high else low, "decades": round(span.decades, 2)}
        yield row | {"rule": span.wanted}
    for preset in optimizer.about.get("presets", {}):
        for key, spec in box_named(optimizer, preset)[1].items():
            row = {"optimizer": name, "box": preset, "key": key, "search": spec}
            yield row | dict.fromkeys(("default", "recommended", "decades", "rule"))


def experiments(required: bool) -> list[dict[str, str]]:
    """Return the claims under experiments/. Raise ConfigError if the folder is missing and `required`."""
    from optbench.reproducing.find import experiments_folder, list_experiments

    try:
        return list_experiments(experiments_folder())
    except ConfigError:
        if required:
            raise
        return []


def describe(folders: Sequence[Path], group: str, name: str) -> dict[str, str]:
    """Return the name of a choice and the comment at the head of its file."""
    from optbench import config as configuration

    file = configuration.find_option(folders, group, name)
    lines = file.read_text(encoding="utf-8").splitlines() if file else []
    first = next((line.lstrip("# ") for line in lines if line.startswith("#") and "@package" not in line), "")
    return {"name": name, "about": first}


def show(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    parameters: Annotated[
        bool, typer.Option("--parameters", help="Also list each parameter with its role and weight decay.")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show the resolved configuration and the origin of each value: a file or an override."""
    from optbench.config import flatten

    output = Output(as_json)
    composition, config = load(overrides, config_dir)
    values = flatten(config.as_dict())
    rows = [{"key": key, "value": value, "origin": composition.origin(key)} for key, value in values.items()]
    shown: dict[str, Any] = {"run_id": config.run_id, "values": rows, "weight_decay": decay_rule(config)}
    if config.has_own_session:
        shown["note"] = "the script is asked for steps, batch_size and seed: they hold only where it reads them"
    if parameters:
        shown |= parameter_facts(config)
    output.answer(shown, lambda: print_shown(shown))


def decay_rule(config: RunConfig) -> dict[str, Any]:
    """Return the weight decay, the roles that it applies to and the roles that are spared."""
    from optbench.contracts import ROLES

    spared = config.optimizer.settings.get("no_decay")
    decay = config.optimizer.settings.get("weight_decay")
    if spared is None or not decay:
        return {"decayed": [], "spared": list(ROLES), "weight_decay": decay}
    return {"decayed": [r for r in ROLES if r not in spared], "spared": list(spared), "weight_decay": decay}


def parameter_facts(config: RunConfig) -> dict[str, Any]:
    """Return the parameters of the model, the frozen ones last, and how many numbers are trained and frozen.

    A parameter has its shape, its role, True if it is trained, and its weight decay: null if it is frozen. Where there
    are several players, its name begins with that of its player, as in `freeze`. Raises ConfigError for a script."""
    from optbench.models.freezing import frozen
    from optbench.models.roles import trainable
    from optbench.sessions.assemble import assemble
    from optbench.sessions.sizes import parameters_of

    if "session" in config.model.about:
        raise ConfigError(f"--parameters: {config.model.name} builds its model itself, when it runs", "Leave it out")
    spared = config.optimizer.settings.get("no_decay") or ()
    decay = config.optimizer.settings.get("weight_decay") or 0.0
    players = assemble(config).task.players
    rows = [
        {
            "parameter": f"{player}.{p.name}" if len(players) > 1 else p.name,
            "shape": "x".join(map(str, p.tensor.shape)),
            "role": p.role,
            "trained": p.tensor.requires_grad,
            "weight_decay": None if not p.tensor.requires_grad else 0.0 if p.has_role(spared) else decay,
        }
        for player, module in players.items()
        for p in (*trainable(module), *frozen(module))
    ]
    return {"parameters": rows, "counts": {name: parameters_of(module) for name, module in players.items()}}


def print_shown(shown: dict[str, Any]) -> None:
    """Print the resolved configuration."""
    from optbench.config import as_typed

    print_lines([shown["run_id"]])
    table("", [{**row, "value": as_typed(row["value"])} for row in shown["values"]])
    rule = shown["weight_decay"]
    spared = f"; spared: {', '.join(rule['spared'])}" if rule["spared"] else ""
    decayed = f"weight decay {rule['weight_decay']}: {', '.join(rule['decayed'])}{spared}"
    print_lines([decayed if rule["decayed"] else "no weight decay"])
    if "note" in shown:
        print_lines([shown["note"]])
    if "parameters" in shown:
        from optbench.sessions.sizes import count_lines

        table("parameters", [{**row, **(TRAINED if row["trained"] else FROZEN)} for row in shown["parameters"]])
        print_lines(count_lines(shown["counts"]))
