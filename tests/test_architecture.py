"""The design as tests: imports point downward, heavy packages load late, files and functions stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "optbench"
LAYERS = [  # from the bottom; units on one line never import each other
    {"errors", "__init__"},
    {"records", "validity", "locate"},
    {"config"},
    {"contracts", "criteria", "draws"},
    {
        "models",
        "tasks",
        "data",
        "optimizers",
        "peers",
        "clipping",
        "schedules",
        "scaling",
        "clock",
        "env",
        "memory",
        "attention",
    },
    {"curvature"},
    {"players"},
    {"evaluation"},
    {"train", "trackers", "store", "distributed"},
    {"fitting"},
    {"assemble"},
    {"facts", "following"},
    {"session"},
    {"sweep", "report", "checks", "tables", "doctor", "completion"},
    {"benches", "merging", "reproducing"},
    {"commands"},
    {
        "data_commands",
        "check_commands",
        "sweep_commands",
        "report_commands",
        "merge_commands",
        "score_commands",
        "notebook",
        "options",
        "telling",
    },
    {"target_commands", "reproduce_commands", "report_cli"},
    {"reproduce_cli"},
    {"cli"},
    {"__main__"},
]
RANK = {unit: rank for rank, layer in enumerate(LAYERS) for unit in layer}
TORCH_ALLOWED = set().union(*LAYERS[4:13]) | {"draws", "checks", "benches"}
FILE_LINES, FUNCTION_LINES = 350, 50
MODULES = sorted(PACKAGE.rglob("*.py"))


def unit_of(module: str) -> str:
    """The part of the layer table that `optbench.X.y` belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(file: Path) -> list[str]:
    """Absolute names of the modules that a file imports, anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += inner if node.module == "optbench" else [node.module]
    return found


def own_unit(file: Path) -> str:
    relative = file.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_point_downward(file: Path) -> None:
    unit = own_unit(file)
    assert unit in RANK, f"{unit} has no place in the layer table"
    for module in imports(file):
        if module.split(".")[0] != "optbench":
            continue
        other = unit_of(module)
        other = other if other in RANK else "__init__"  # e.g. optbench.__version__
        assert other == unit or RANK[other] < RANK[unit], f"{unit} imports {other}"


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_only_the_middle_layers_import_torch_at_the_top(file: Path) -> None:
    tree = ast.parse(file.read_text())
    top = [name for node in tree.body for name in names_of(node)]
    if any(name.split(".")[0] == "torch" for name in top):
        assert own_unit(file) in TORCH_ALLOWED


def names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_files_and_functions_are_small(file: Path) -> None:
    source = file.read_text()
    assert source.count("\n") <= FILE_LINES
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= FUNCTION_LINES, f"{node.name} has {lines} lines"


def test_only_config_knows_hydra() -> None:
    knowing = {
        own_unit(file) for file in MODULES if any(m.split(".")[0] in ("hydra", "omegaconf") for m in imports(file))
    }
    assert knowing == {"config"}


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_help_is_light() -> None:
    statement = "from optbench.cli.app import main\ntry:\n main(['--help'])\nexcept SystemExit: pass"
    assert not loaded_by(statement) & {"torch", "hydra", "omegaconf", "wandb", "numpy", "polars", "optuna", "rich"}


@pytest.mark.parametrize(
    "module",
    [
        *("cli", "config", "records", "store", "commands", "data_commands", "check_commands", "trackers.wandb"),
        *("sweep_commands", "sweep.study", "sweep.cells", "sweep.course", "sweep.conduct", "sweep.local", "sweep.live"),
        *("sweep.sampling", "sweep.pruning", "sweep.dashboard", "sweep.targets", "sweep.plan", "sweep.tracking"),
        *("merge_commands", "merging.joining", "reproduce_commands", "reproducing.finding", "reproducing.published"),
        *("reproducing.publishing", "reproducing.summary"),
    ],
)
def test_torch_is_not_loaded_with(module: str) -> None:
    heavy = {"torch", "hydra", "wandb", "numpy", "polars", "optuna", "scipy", "rich"}
    assert not loaded_by(f"import optbench.{module}") & heavy


def test_no_branch_on_names_of_optimizers_models_or_data() -> None:
    conf = PACKAGE.parent / "conf"
    names = {file.stem for group in ("optimizer", "model", "data") for file in (conf / group).glob("*.yaml")}
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Compare):
                compared = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and isinstance(c.value, str)}
                assert not compared & names, f"{file.name}:{node.lineno} compares with {compared & names}"


def test_files_of_tests_have_names_of_their_own() -> None:
    names = [file.name for file in Path(__file__).parent.rglob("*.py")]
    assert sorted(set(names)) == sorted(names)  # pytest imports them by these names alone
