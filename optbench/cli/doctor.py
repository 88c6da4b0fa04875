"""What can be wrong with a machine: each probe looks at one thing and says what mends it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

OK, WARN, FAIL = "ok", "warn", "fail"
REQUIRED = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "datasets",
    "hydra-core",
    "omegaconf",
    "wandb",
    "typer",
    "rich",
    "scikit-learn",
    "filelock",
)
PAIR_REMEDY = "pip install --force-reinstall torch torchvision   (the pair from one index; never mix their builds)"


@dataclass(frozen=True)
class Finding:
    """What a probe found: state is ok, warn or fail."""

    name: str
    state: str
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Every probe's findings; a probe that breaks is a finding itself."""
    found: list[Finding] = []
    for probe in PROBES:
        name = probe.__name__.replace("_", " ")
        try:
            found += probe(name)
        except Exception as error:
            found.append(Finding(name, FAIL, f"the probe broke: {type(error).__name__}: {error}"))
    return found


def python(name: str) -> list[Finding]:
    """Version of the interpreter."""
    good = sys.version_info >= (3, 11)
    return [Finding(name, OK if good else FAIL, platform.python_version(), "" if good else "use Python 3.11 or later")]


def packages(name: str) -> list[Finding]:
    """Versions of what optbench needs, without importing it."""
    found = []
    for package in REQUIRED:
        try:
            found.append(Finding(package, OK, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            found.append(Finding(package, FAIL, "not installed", f"pip install {package}"))
    return found


def torch_and_torchvision(name: str) -> list[Finding]:
    """Whether the two are builds of one kind: a CPU-only torch beside a CUDA torchvision does not import
    (pytorch/vision issues 8985, 9077, 9085)."""
    done = subprocess.run(
        [sys.executable, "-c", "import torch, torchvision; print(torch.__version__, torchvision.__version__)"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode == 0:
        return [Finding(name, OK, f"import together ({done.stdout.strip()})")]
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    mixed = "torchvision::" in done.stderr or "undefined symbol" in done.stderr or "torchvision" in last
    detail = f"builds that do not belong together: {last}" if mixed else last
    return [Finding(name, FAIL, detail, PAIR_REMEDY)]


def hydra_and_omegaconf(name: str) -> list[Finding]:
    """hydra-core 1.3 needs omegaconf below 2.4; hydra-core 1.4 needs 2.4 or later."""

    def parts(package: str) -> tuple[int, ...]:
        return tuple(int(p) for p in importlib.metadata.version(package).split(".")[:2])

    hydra, omegaconf = parts("hydra-core"), parts("omegaconf")
    fits = (omegaconf < (2, 4)) == (hydra < (1, 4))
    detail = f"hydra-core {hydra[0]}.{hydra[1]} with omegaconf {omegaconf[0]}.{omegaconf[1]}"
    remedy = "" if fits else "pip install 'hydra-core>=1.3.2,<1.4' 'omegaconf>=2.3,<2.4'"
    return [Finding(name, OK if fits else FAIL, detail, remedy)]


def devices(name: str) -> list[Finding]:
    """CUDA devices with their memory, or the CPU."""
    import torch

    cores = f"{os.cpu_count()} CPU cores"
    if not torch.cuda.is_available():
        return [Finding(name, OK, f"CPU only ({cores})")]
    found = []
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        found.append(
            Finding(f"cuda:{index}", OK, f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}")
        )
    return [*found, Finding(name, OK, cores)]


def compiler(name: str) -> list[Finding]:
    """A C++ compiler, for torch.compile on the CPU."""
    named = [os.environ.get("CXX", ""), "g++", "clang++"]
    path = next((shutil.which(command) for command in named if command and shutil.which(command)), None)
    if path:
        return [Finding(name, OK, path)]
    return [
        Finding(
            name,
            WARN,
            "no C++ compiler: optimizers run eagerly, compile=true fails on the CPU",
            "install g++ or clang++",
        )
    ]


def results_folder(name: str) -> list[Finding]:
    """Whether results can be written here, and how much."""
    from optbench.store import results_root

    return writable(name, results_root(None))


def data_folder(name: str) -> list[Finding]:
    """Whether data can be written, and how much."""
    return writable(name, Path(os.environ.get("OPTBENCH_DATA_DIR") or "~/.cache/optbench/data").expanduser())


def writable(name: str, folder: Path) -> list[Finding]:
    """Free space of a folder, or of the nearest one above it that exists."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free / 2**30
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return [
            Finding(
                name,
                FAIL,
                f"{folder}: cannot be written ({error.strerror})",
                "choose another folder or mend its rights",
            )
        ]
    state = OK if free >= 1 else WARN
    return [Finding(name, state, f"{folder}: {free:.0f} GiB free", "" if state == OK else "less than 1 GiB is free")]


def configuration(name: str) -> list[Finding]:
    """Whether the packaged configuration composes."""
    from optbench import config

    return [Finding(name, OK, f"{config.packaged_folder()} ({config.load([]).run_id})")]


def weights_and_biases(name: str) -> list[Finding]:
    """Where W&B would log to."""
    from optbench.trackers.wandb import has_key

    mode = os.environ.get("WANDB_MODE")
    if mode:
        return [Finding(name, OK, f"WANDB_MODE={mode}")]
    return [Finding(name, OK, "logged in: online" if has_key() else "no key: runs are logged offline (wandb login)")]


PROBES: tuple[Callable[[str], list[Finding]], ...] = (
    python,
    packages,
    torch_and_torchvision,
    hydra_and_omegaconf,
    devices,
    compiler,
    results_folder,
    data_folder,
    configuration,
    weights_and_biases,
)
