"""Probes of this machine for `optbench doctor`: each looks at one thing and says how to repair it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parent.parent.parent / "pyproject.toml"  # of a checkout
OK, WARN, FAIL = "ok", "warn", "fail"
PAIR_REMEDY = "pip install --force-reinstall torch torchvision   (both from one index; never mix CPU and CUDA builds)"


@dataclass(frozen=True)
class Finding:
    """The result of a probe; its state is ok, warn or fail."""

    name: str
    state: str
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Return the findings of every probe; a probe that raises is itself a failed finding."""
    found: list[Finding] = []
    for probe in PROBES:
        name = probe.__name__.replace("_", " ")
        try:
            found += probe(name)
        except Exception as error:
            found.append(Finding(name, FAIL, f"the probe failed: {type(error).__name__}: {error}"))
    return found


def python(name: str) -> list[Finding]:
    """Return the version of the interpreter."""
    good = sys.version_info >= (3, 11)
    return [Finding(name, OK if good else FAIL, platform.python_version(), "" if good else "use Python 3.11 or later")]


def packages(name: str) -> list[Finding]:
    """Return the versions of the packages that optbench requires, and those of extras with an unsuitable version."""
    from packaging.requirements import Requirement

    try:
        metadata = importlib.metadata.metadata("optbench")
        lines, extras = metadata.get_all("Requires-Dist") or [], metadata.get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        lines, extras = checkout_requirements(PROJECT)
        if not lines:
            return [Finding(name, WARN, "optbench is not installed: its requirements are unknown", "pip install -e .")]
    found = []
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        wanted_by = [extra for extra in ("", *extras) if marker is None or marker.evaluate({"extra": extra})]
        if wanted_by:  # else for another platform
            found += package(requirement, required="" in wanted_by)
    return list(dict.fromkeys(found))


def checkout_requirements(file: Path) -> tuple[list[str], list[str]]:
    """Return the requirements in the pyproject.toml of a checkout that is not installed, and the names of extras."""
    if not file.is_file():
        return [], []
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project.get("optional-dependencies", {})
    optional = [f"{line}; extra == '{extra}'" for extra, lines in extras.items() for line in lines]
    return [*project["dependencies"], *(line for line in optional if not line.startswith("optbench["))], list(extras)


def package(requirement: Requirement, *, required: bool) -> list[Finding]:
    """Return what is to be said of one requirement, without importing the package."""
    bad, remedy = FAIL if required else WARN, f"pip install '{requirement.name}{requirement.specifier}'"
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return [Finding(requirement.name, bad, "not installed", remedy)] if required else []
    if not requirement.specifier.contains(version, prereleases=True):
        return [Finding(requirement.name, bad, f"{version}: optbench needs {requirement.specifier}", remedy)]
    return [Finding(requirement.name, OK, version)] if required else []


def torch_and_torchvision(name: str) -> list[Finding]:
    """Import both: a CPU-only torch beside a CUDA torchvision fails (pytorch/vision issues 8985, 9077, 9085)."""
    done = apart("import torch, torchvision; print(torch.__version__, torchvision.__version__)")
    if done.returncode == 0:
        return [Finding(name, OK, f"import together ({done.stdout.strip()})")]
    last = last_line(done)
    mixed = "torchvision::" in done.stderr or "undefined symbol" in done.stderr or "torchvision" in last
    return [Finding(name, FAIL, f"incompatible builds: {last}" if mixed else last, PAIR_REMEDY)]


def polars(name: str) -> list[Finding]:
    """Import polars, whose usual build ends at once on CPUs without AVX2."""
    done = apart("import polars; polars.DataFrame({'a': [1]}).sum(); print(polars.__version__)")
    if done.returncode == 0:
        return [Finding(name, OK, f"{done.stdout.strip()}, imports")]
    if done.returncode > 0:
        return [Finding(name, FAIL, last_line(done), "pip install --force-reinstall polars")]
    ended = f"ended by {signal.Signals(-done.returncode).name} when imported"
    return [Finding(name, FAIL, ended, "pip install 'polars[rtcompat]'   (for older CPUs)")]


def apart(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, which may crash."""
    return subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line that a process printed to stderr."""
    return (done.stderr.strip().splitlines() or ["no message"])[-1]


def hydra_and_omegaconf(name: str) -> list[Finding]:
    """Check the pair: hydra-core 1.3 needs omegaconf below 2.4, hydra-core 1.4 needs 2.4 or later."""
    from packaging.version import Version

    hydra, omegaconf = (Version(importlib.metadata.version(package)) for package in ("hydra-core", "omegaconf"))
    fits = (omegaconf.release < (2, 4)) == (hydra.release < (1, 4))
    remedy = "" if fits else "pip install 'hydra-core>=1.3.2,<1.4' 'omegaconf>=2.3,<2.4'"
    return [Finding(name, OK if fits else FAIL, f"hydra-core {hydra} with omegaconf {omegaconf}", remedy)]


def devices(name: str) -> list[Finding]:
    """Return the CUDA devices with their memory, and the number of CPU cores."""
    import torch

    cores = f"{os.cpu_count()} CPU cores"
    if not torch.cuda.is_available():
        return [Finding(name, OK, f"CPU only ({cores})")]
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    details = [f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}" for gpu in gpus]
    return [*(Finding(f"cuda:{index}", OK, detail) for index, detail in enumerate(details)), Finding(name, OK, cores)]


def compiler(name: str) -> list[Finding]:
    """Look for what torch.compile needs: a C++ compiler on the CPU, Python's headers everywhere."""
    path, header = first_program("CXX", "g++", "clang++"), Path(sysconfig.get_path("include"), "Python.h")
    detail = "no C++ compiler: optimizers run eagerly, compile=true fails on the CPU"
    found = [Finding(name, OK, path) if path else Finding(name, WARN, detail, "install g++ or clang++")]
    if not header.exists():
        detail = f"{header} is missing: optimizers run eagerly, compile=true fails"
        found.append(Finding("Python.h", WARN, detail, "install Python's headers (python3-dev, python3-devel)"))
    return found


def triton(name: str) -> list[Finding]:
    """Look for what torch.compile needs on CUDA: triton and a C compiler; nothing without a CUDA device."""
    import torch

    if not torch.cuda.is_available():
        return []
    path, without = first_program("CC", "gcc", "clang"), "optimizers run eagerly on CUDA, compile=true fails"
    if importlib.util.find_spec("triton") is None:
        return [Finding(name, WARN, f"not installed: {without}", "pip install triton")]
    if not path:
        return [Finding(name, WARN, f"no C compiler: {without}", "install gcc or clang")]
    return [Finding(name, OK, f"{importlib.metadata.version('triton')}, with {path}")]


def first_program(variable: str, *commands: str) -> str:
    """Return the path of the program that an environment variable names, else of the first command found; else ""."""
    found = (shutil.which(command) for command in (os.environ.get(variable), *commands) if command)
    return next(filter(None, found), "")


def results_folder(name: str) -> list[Finding]:
    """Check that results can be written, and report the free space."""
    from optbench.store import results_root

    return writable(name, results_root(None))


def data_folder(name: str) -> list[Finding]:
    """Check that data can be written, and report the free space."""
    from optbench.files import expanded

    return writable(name, expanded(os.environ.get("OPTBENCH_DATA_DIR") or "~/.cache/optbench/data"))


def writable(name: str, folder: Path) -> list[Finding]:
    """Check a folder, or the nearest parent that exists."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free / 2**30
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        remedy = "choose another folder or fix its permissions"
        return [Finding(name, FAIL, f"{folder}: cannot write ({error.strerror})", remedy)]
    state = OK if free >= 1 else WARN
    return [Finding(name, state, f"{folder}: {free:.0f} GiB free", "" if state == OK else "free up at least 1 GiB")]


def configuration(name: str) -> list[Finding]:
    """Compose the packaged configuration."""
    from optbench import config

    return [Finding(name, OK, f"{config.packaged_folder()} ({config.load([]).run_id})")]


def weights_and_biases(name: str) -> list[Finding]:
    """Report the mode that W&B would log in."""
    from optbench.sessions.sinks import UNTRACKED
    from optbench.trackers.wandb import has_key

    mode = os.environ.get("WANDB_MODE")
    if mode:
        return [Finding(name, OK, f"WANDB_MODE={mode}")]
    return [Finding(name, OK, "logged in: online" if has_key() else UNTRACKED)]


PROBES: tuple[Callable[[str], list[Finding]], ...] = (
    python,
    packages,
    torch_and_torchvision,
    polars,
    hydra_and_omegaconf,
    devices,
    compiler,
    triton,
    results_folder,
    data_folder,
    configuration,
    weights_and_biases,
)
