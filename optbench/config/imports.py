"""Objects by import path: `package.module.Name`, or `./file.py:Name` for a user's own file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from optbench.config.sources import located, module_folders, own_modules, source_sha256
from optbench.config.user_code import described
from optbench.config.values import shown
from optbench.errors import DISTRIBUTIONS, ConfigError, MissingError, OptbenchError, UserCodeError, first_line, nearest

USER_MODULE = "optbench_user"
"""The beginning of the names that the modules of the user's files have here."""
_imported: dict[str, str] = {}
"""The source of the user's modules when they were imported, by import path."""


class Importing(threading.local):
    """The imports of a thread: those under way, and the guard before each."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        """The objects whose modules are being imported, the innermost last."""
        self.permit: Callable[[str], None] = lambda path: None
        """Called with every path before it is loaded; it raises an error for one that must not be."""


_importing = Importing()


def is_path(text: str) -> bool:
    """Return True for text that names an object rather than a file of a configuration group."""
    return ".py:" in text or ("." in text and "/" not in text and all(map(str.isidentifier, text.split("."))))


def load(path: str) -> Any:
    """Return the object that `path` names.

    Raises ConfigError where the file, module or name does not exist or cannot be imported, MissingError where it
    imports a package that is not installed, ConfigError for text that is no import path."""
    if not is_path(path):
        raise ConfigError(f"{shown(path, 300)}: expected an import path", "e.g. ./file.py:Name or package.Name")
    _importing.permit(path)
    module_text, name = path.rsplit(":", 1) if ".py:" in path else path.rsplit(".", 1)
    module = file_module(Path(module_text), path) if ".py:" in path else dotted_module(module_text, path)
    try:
        return getattr(module, name)
    except AttributeError:
        match = nearest(name, [n for n in dir(module) if not n.startswith("_")])
        hint = f"Did you mean {match}?" if match else ""
        raise ConfigError(shown(f"{path}: {module_text} has no '{name}'", 300), hint) from None


@contextmanager
def permitted(permit: Callable[[str], None]) -> Generator[None]:
    """Call `permit` with every path that this thread loads, before anything of it is imported."""
    before, _importing.permit = _importing.permit, permit
    try:
        yield
    finally:
        _importing.permit = before


def file_module(file: Path, path: str) -> ModuleType:
    """Import a Python file once per version of it and of the modules beside it, which it imports as a script does."""
    if not os.path.isfile(file):  # False for an over-long name, too
        raise ConfigError(f"{shown(path, 300)}: no such file")
    location = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]
    name = f"{USER_MODULE}_{location}_{(source_sha256(path) or '')[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # always so for a .py file
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with modules_beside(file), marked(path):
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        raise import_error(error, path) from error
    return module


class Beside:
    """Finds the modules of the user's that lie beside a file, whatever else has their names."""

    def __init__(self, folder: Path, names: set[str]) -> None:
        self.folder, self.names = str(folder), names

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Return where a module lies, None for one that is none of these."""
        return PathFinder.find_spec(name, [self.folder]) if path is None and name in self.names else None


@contextmanager
def modules_beside(file: Path) -> Generator[None]:
    """Let a file import the modules beside it as they are now, whatever other files have imported by these names.

    What its functions import later is found after everything else. No compiled copies are written: they lag behind
    edits within a second."""
    folder, own = file.resolve().parent, own_modules(file)
    for name in own:
        sys.modules.pop(name, None)
    finder = Beside(folder, {name.partition(".")[0] for name, path in own.items() if path.is_relative_to(folder)})
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, finder)
    sys.path.append(str(folder))  # for names that are computed: no file there hides an installed package
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
        sys.path.remove(str(folder))
        sys.meta_path.remove(finder)
        sys.meta_path.append(finder)


def search_working_folder(module: str) -> None:
    """Let a module be imported from the working folder if it is found nowhere else."""
    top = module.partition(".")[0]
    here = module_folders()[-1]
    if here not in sys.path and not spec_exists(top) and is_found(top):
        sys.path.append(here)
        importlib.invalidate_caches()


def is_found(top: str) -> bool:
    """Return True for a module that can be imported, from the working folder too. Nothing is imported."""
    return spec_exists(top) or any(located(top, module_folders()[-1:]))


def spec_exists(name: str) -> bool:
    """Return True for a module that is imported or can be found."""
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def dotted_module(module: str, path: str) -> ModuleType:
    """Import a module, from the working folder too. Raises ConfigError where it is the user's and was edited after it
    was imported."""
    search_working_folder(module)
    try:
        with marked(path):
            found = importlib.import_module(module)
    except BaseException as error:
        raise import_error(error, path) from error
    now = source_sha256(path)
    if now is not None and _imported.setdefault(path, now) != now:
        raise ConfigError(
            f"{shown(path)} was edited after it was imported", "Start Python again: it keeps what it imported"
        )
    return found


@contextmanager
def marked(path: str) -> Generator[None]:
    """Keep the path of an object while its module is imported."""
    _importing.paths.append(path)
    try:
        yield
    finally:
        _importing.paths.pop()


def importing() -> Sequence[str]:
    """Return the paths of the objects whose modules are being imported now, the innermost last.

    A script that trains while it is imported would train again in every process that imports it."""
    return _importing.paths


def import_error(error: BaseException, path: str) -> BaseException:
    """Return the error to raise when importing `path` raised `error`."""
    if isinstance(error, (KeyboardInterrupt, OptbenchError)):
        return error
    if "attempted relative import with no known parent package" in str(error):
        return relative_import_error(path)
    if isinstance(error, ModuleNotFoundError) and error.name:
        if path.startswith(error.name + ".") or f".{error.name}." in path:
            return ConfigError(shown(f"{path}: no such module: {error.name}", 300))
        package = error.name.partition(".")[0]
        name = DISTRIBUTIONS.get(package, package)
        return MissingError(f"{path} needs the package {package}", f"Install it: pip install {name}")
    return UserCodeError(shown(f"{path}: importing it raised {described(error)}", 500))


def relative_import_error(path: str) -> ConfigError:
    """Return the error for a file that imports by a leading dot: it belongs to a package, and must be named so."""
    file, name = path.rsplit(":", 1)
    module = Path(file).resolve()
    folder, parts = module.parent.parent, [module.parent.name, module.stem]
    while (folder / "__init__.py").is_file():
        folder, parts = folder.parent, [folder.name, *parts]
    where = "" if folder == Path.cwd() else f" in the folder {folder}, or with that folder in PYTHONPATH"
    return ConfigError(
        shown(f"{path}: {module.name} imports a module of its package by a leading dot, so it is no file alone", 300),
        f"Name it within its package: {'.'.join([*parts, name])}{where}",
    )


def shipped_sha256(target: Any) -> str | None:
    """Return a hash of the source file that defines `target`; None for an object without source (C extensions)."""
    try:
        file = inspect.getsourcefile(target)
    except TypeError:
        return None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None


def to_optimize(target: Any) -> inspect.Parameter | None:
    """Return the parameter of a callable that takes what to optimize: "params", else the first; None without any."""
    parameters = inspect.signature(target).parameters
    return parameters.get("params") or next(iter(parameters.values()), None)


def keyword_defaults(target: object) -> dict[str, object]:
    """Return the keyword parameters of a callable with their defaults, `inspect.Parameter.empty` for required ones.

    The one to optimize and `*args` are left out; "**" stands for `**kwargs`."""
    if not callable(target):
        raise ConfigError(f"{shown(repr(target))} cannot be called, so it builds no optimizer")
    try:
        first = to_optimize(target)
        parameters = [p for p in inspect.signature(target).parameters.values() if p != first]
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{shown(repr(target))} has no readable signature: {first_line(error)}") from None
    found = {p.name: p.default for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        found["**"] = inspect.Parameter.empty
    return found
