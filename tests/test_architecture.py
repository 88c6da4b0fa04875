"""The design as tests: imports point downward, heavy packages load late, files and functions stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "optbench"
ROWS = """
cli
benches merging reproducing integrations templates
api
sweeps checks scripts
sessions
distributed reports
training trackers
tasks models data optimizers peers clipping
config store
contracts
records errors files counter_rng
"""  # from the top; what stands on one row never imports each other; __init__ and __main__ stand apart
RANK = {name: rank for rank, row in enumerate(reversed(ROWS.split("\n"))) for name in row.split()}
USES_TORCH = {"training", "sessions", "distributed", "tasks", "models", "data", "optimizers", "peers", "clipping"}
USES_TORCH |= {"checks", "benches", "counter_rng", "integrations", "templates"}
FILE_LINES, FUNCTION_LINES, ROOT_FILES = 350, 50, 8


@dataclass(frozen=True)
class Module:
    """A parsed file of the package."""

    path: Path
    tree: ast.Module
    lines: int

    @property
    def name(self) -> str:
        """The path below the package."""
        return str(self.path.relative_to(PACKAGE))

    @property
    def unit(self) -> str:
        """The package or root module that the file belongs to."""
        return self.name.split("/")[0].removesuffix(".py")

    @property
    def dotted(self) -> str:
        """The name that the module is imported by."""
        return "optbench." + self.name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    def imports(self, nodes: Iterator[ast.AST] | None = None) -> list[str]:
        """Return the absolute names of what the file imports: anywhere in it, or in `nodes`."""
        found: list[str] = []
        for node in nodes or ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found += [f"{node.module}.{alias.name}" for alias in node.names]
        return found

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Yield every function of the file."""
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node


@cache
def modules() -> list[Module]:
    """Return every file of the package, parsed once."""
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    return [Module(path, ast.parse(source), source.count("\n")) for path, source in sources.items()]


def test_imports_point_downward() -> None:
    wrong = []
    for module in modules():
        if module.unit in ("__init__", "__main__"):
            continue
        assert module.unit in RANK, f"{module.unit} has no row"
        for name in module.imports():
            package, _, rest = name.partition(".")
            unit = rest.split(".")[0]
            if package == "optbench" and unit in RANK and unit != module.unit and RANK[unit] >= RANK[module.unit]:
                wrong.append(f"{module.name} imports {name}")
    assert wrong == []


def test_torch_is_imported_at_the_top_only_where_it_may() -> None:
    wrong = [
        module.name
        for module in modules()
        if module.unit not in USES_TORCH
        and any(name.split(".")[0] == "torch" for name in module.imports(iter(module.tree.body)))
    ]
    assert wrong == []


def test_files_and_functions_are_small() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= ROOT_FILES
    long = [f"{module.name} has {module.lines} lines" for module in modules() if module.lines > FILE_LINES]
    for module in modules():
        for node in module.functions():
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > FUNCTION_LINES:
                long.append(f"{module.name}: {node.name} has {lines} lines")
    assert long == []


def test_sub_packages_have_no_import_circles() -> None:
    edges = {(above, below) for above, below in sub_package_imports() if above != below}
    while edges:
        importing, imported = ({edge[side] for edge in edges} for side in (0, 1))
        inner = {(above, below) for above, below in edges if above in imported and below in importing}
        assert inner != edges, f"circle among {sorted(edges)}"
        edges = inner


def sub_package_imports() -> Iterator[tuple[str, str]]:
    """Yield (importing, imported) sub-packages, such as reports.build and reports.model; a file at the root of a
    package counts as one."""
    known = {module.dotted for module in modules()}
    for module in modules():
        for name in module.imports():
            target = name if name in known else name.rpartition(".")[0]
            if target in known and module.path.name != "__init__.py":
                yield sub_package(module.dotted), sub_package(target)


def sub_package(dotted: str) -> str:
    parts = dotted.split(".")
    return ".".join(parts[1:3]) if parts[1] in ("reports", "sweeps") else parts[1]


def test_only_config_knows_hydra() -> None:
    knows = {m.unit for m in modules() if any(name.split(".")[0] in ("hydra", "omegaconf") for name in m.imports())}
    assert knows == {"config"}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_help_is_light() -> None:
    statement = "from optbench.cli.app import main\ntry:\n main(['--help'])\nexcept SystemExit: pass"
    heavy = {"torch", "hydra", "omegaconf", "wandb", "numpy", "polars", "optuna", "rich", "pydantic", "yaml"}
    assert not loaded_by(statement) & heavy


@pytest.mark.parametrize("units", ["cli config records store", "sweeps merging reproducing", "reports", "api trackers"])
def test_heavy_packages_are_not_loaded_with(units: str) -> None:
    exempt = ("remote_worker", "probe_worker", ".render.figures.", ".render.html.", "trackers.console")
    names = [m.dotted for m in modules() if m.unit in units.split() and not any(part in m.dotted for part in exempt)]
    heavy = {"torch", "hydra", "wandb", "polars", "optuna", "scipy", "matplotlib"}
    assert not loaded_by(f"import {', '.join(names)}") & heavy


def test_no_branch_on_names_of_optimizers_models_or_data() -> None:
    conf = PACKAGE.parent / "conf"
    names = {file.stem for group in ("optimizer", "model", "data") for file in (conf / group).glob("*.yaml")}
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Compare):
                compared = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and isinstance(c.value, str)}
                assert not compared & names, f"{module.name}:{node.lineno} compares with {compared & names}"


UNSAFE_MODULES = {"pickle", "_pickle", "marshal", "shelve", "joblib", "dill", "cloudpickle"}
UNSAFE_MODULES |= {"multiprocessing.managers", "torch.distributed.rpc"}
UNSAFE_CALLS = {"eval", "exec", "compile", "os.system", "os.popen", "yaml.load", "yaml.full_load", "yaml.unsafe_load"}
UNSAFE_CALLS |= {
    "pl.read_ipc_stream",
    "dist.broadcast_object_list",
    "dist.all_gather_object",
    "dist.scatter_object_list",
}
UNSAFE_CALLS |= {"dist.gather_object", "dist.recv_object_list"}
RESTRICTED = {  # each with a reader that refuses every class that it doesn't know
    ("data/cifar.py", "pickle"),
    ("distributed/checkpoint_reader.py", "pickle"),
    ("config/yaml_reader.py", "yaml.load"),
}


def test_no_file_is_read_as_code() -> None:
    """Whatever a results folder, a data set or the network brings is data. See SECURITY.md."""
    found = set()
    for module in modules():
        found |= {(module.name, name) for name in module.imports() if unsafe_module(name)}
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            called, words = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called in UNSAFE_CALLS or "allow_pickle" in words or words.get("shell", "False") != "False":
                found.add((module.name, called))
            if called.endswith("torch.load") and words.get("weights_only") != "True":
                found.add((module.name, called))
    assert {(name, what.split(".")[0] if "pickle" in what else what) for name, what in found} <= RESTRICTED


def unsafe_module(name: str) -> bool:
    """Return True for a module that runs what it reads, and for what is imported from it."""
    return any(name == unsafe or name.startswith(f"{unsafe}.") for unsafe in UNSAFE_MODULES)


def test_files_of_tests_have_names_of_their_own() -> None:
    names = [file.name for file in Path(__file__).parent.rglob("*.py")]
    assert sorted(set(names)) == sorted(names)  # pytest imports them by these names alone


def test_no_file_of_the_package_is_left_out_of_the_wheel() -> None:
    files = [str(path) for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    command = ["git", "check-ignore", "--no-index", "--stdin"]  # hatchling leaves out the files that .gitignore names
    done = subprocess.run(command, input="\n".join(files), capture_output=True, text=True, cwd=PACKAGE.parent)
    if done.returncode == 128:
        pytest.skip("not a git checkout")
    assert done.stdout == ""
