"""The user's own code behind a choice as one hash: of a file, and of every module of the user's that it imports.

Imports are read from the text (those inside functions too, and `import_module("name")` with a plain name), so that the
hash depends on the files alone, not on what this process has imported before. Not seen are modules whose names are
computed, compiled extensions, and files that the code reads. Installed packages count by their version.
"""

from __future__ import annotations

import ast
import glob
import hashlib
import os
import shlex
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

from optbench.config.content import fingerprint
from optbench.config.runconfig import Choice, sha256_of
from optbench.config.trees import flatten

PACKAGE = Path(__file__).resolve().parent.parent
INSTALLED = {"site-packages", "dist-packages"}
KNOWN = {*sys.stdlib_module_names, "optbench", "torch"}  # never the user's own


def with_source(choice: Choice) -> Choice:
    """Return the choice with the hash of the user's code that builds it (`about.source_sha256`), if there is any.

    What builds it is its own target and those among its settings, such as a model's task or an inner optimizer, and the
    files that the words of its command lines name (`about.command_lines` lists these settings)."""
    leaves = flatten(choice.settings)
    classes = choice.about.get("classes", ())
    targets = [str(value) for key, value in leaves.items() if key.rpartition(".")[2] == "target" or key in classes]
    own = choice.about.get("source_sha256") or source_sha256(choice.target)
    hashes = [sha256 for sha256 in (own, *map(source_sha256, targets)) if sha256]
    hashes += [sha256 for key in choice.about.get("command_lines", ()) for sha256 in files_sha256(str(leaves[key]))]
    if not hashes:
        return choice
    found = hashes[0] if len(hashes) == 1 else sha256_of(hashes)
    return replace(choice, about={**choice.about, "source_sha256": found})


def files_sha256(command_line: str) -> Iterator[str]:
    """Yield the hashes of the files that a command line names: as a word, or as the value of an option (--data=FILE).

    The first word may be a module."""
    words = words_of(command_line)
    module = module_file(words[0]) if words else None
    if module is not None:
        yield from filter(None, [source_sha256(f"{module}:")])
    for word in words:
        for name in dict.fromkeys((word, word.partition("=")[2])):
            if name and os.path.isfile(name):
                found = source_sha256(f"{name}:") if name.endswith(".py") else fingerprint(Path(name))
                yield from filter(None, [found])


def words_of(command_line: str) -> list[str]:
    """Return the words of a command line; one that names a file is a single word. Empty where a quote isn't closed."""
    if os.path.isfile(command_line):
        return [command_line]
    try:
        return shlex.split(command_line)
    except ValueError:
        return []


def module_file(name: str) -> Path | None:
    """Return the file that `python -m NAME` runs, without importing anything; None for what is no module."""
    if not all(map(str.isidentifier, name.split("."))):
        return None
    found = dict(located(name, [os.getcwd(), *sys.path]))
    file = found.get(name)
    if file is not None and file.name == "__init__.py":
        file = file.with_name("__main__.py")
    return file if file is not None and file.is_file() else None


def source_sha256(path: str) -> str | None:
    """Return the hash of the user's code that an import path names; None for installed and packaged code.

    That of a file which imports nothing of the user's is the hash of its bytes."""
    file = file_of(path)
    if file is None or not is_own(file):
        return None
    hashes = sorted((name, parsed(module)[0]) for name, module in own_modules(file).items())
    own = parsed(file)[0]
    return sha256_of([own, hashes]) if hashes else own


def file_of(path: str) -> Path | None:
    """Return the file of the module that an import path names, without importing it; None if it isn't found."""
    if ".py:" in path:
        file = Path(path.rsplit(":", 1)[0])
        return file.resolve() if os.path.isfile(file) else None
    module = path.rpartition(".")[0]
    found = list(located(module, module_folders())) if module.partition(".")[0] not in KNOWN else []
    return found[-1][1] if found and found[-1][0] == module else None


def module_folders() -> list[str]:
    """Return the folders that modules are looked for in: Python's own, and the working folder after them."""
    return [*sys.path, os.getcwd()] if os.path.isdir(".") else list(sys.path)  # a deleted folder has no name


def own_modules(file: Path) -> dict[str, Path]:
    """Return the user's modules that a file imports, directly or through others, by the name in the import.

    A file beside it that has the name of an installed package is none of them: numpy.py does not replace NumPy."""
    found: dict[str, Path] = {}
    waiting = [file.resolve()]
    seen = set(waiting)
    beside = str(file.resolve().parent)
    while waiting:
        here = waiting.pop()
        for level, name in parsed(here)[1]:
            if not level and is_installed(name.partition(".")[0]):
                continue
            places = [str(here.parents[level - 1])] if level else [beside, *module_folders()]
            for module, path in located(name, places):
                if path not in seen and is_own(path):
                    found["." * level + module] = path
                    seen.add(path)
                    waiting.append(path)
    return found


def located(dotted: str, places: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Yield (name, file) of a module and of the packages above it, as far as they lie in some folders."""
    found = ""
    for part in filter(None, dotted.split(".")):
        found = f"{found}.{part}".lstrip(".")
        folders = [Path(place, part) for place in places]
        candidates = (file for folder in folders for file in (folder / "__init__.py", folder.with_suffix(".py")))
        file = next((file for file in candidates if os.path.isfile(file)), None)
        if file is not None:
            yield found, file.resolve()
        if file is not None and file.name != "__init__.py":
            return
        places = (
            [str(file.parent)] if file is not None else [str(folder) for folder in folders if os.path.isdir(folder)]
        )


@cache
def is_installed(name: str) -> bool:
    """Return True for a module or package among those that are installed."""
    places = [Path(place) for place in sys.path if INSTALLED & set(Path(place).parts)]
    return any(os.path.isdir(place / name) or any(place.glob(f"{glob.escape(name)}.*")) for place in places)


def parsed(file: Path) -> tuple[str, tuple[tuple[int, str], ...]]:
    """Return the hash of a file's bytes, and (level, name) of all that it may import."""
    content = file.read_bytes()
    return hashlib.sha256(content).hexdigest(), names_in(content)


@lru_cache(maxsize=1024)
def names_in(content: bytes) -> tuple[tuple[int, str], ...]:
    """Return (level, name) of all that a file's text may import."""
    try:
        return tuple(dict.fromkeys(imported(ast.parse(content))))
    except (SyntaxError, ValueError):  # importing it says what is wrong
        return ()


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (level, name) of everything that may be a module: `from a import b` names a.b, level 0."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = f"{node.module}." if node.module else ""
            found = [(node.level, base + alias.name) for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0].value if called in ("import_module", "__import__") else None
            found = [(0, name)] if isinstance(name, str) else []
        else:
            continue
        yield from ((level, name) for level, name in found if level or name.partition(".")[0] not in KNOWN)


def is_own(file: Path) -> bool:
    """Return True for a file of the user's: not of Python, of an installed package or of optbench."""
    parts = file.parts
    return not (INSTALLED & set(parts) or file.is_relative_to(PACKAGE) or file.is_relative_to(standard_library()))


@cache
def standard_library() -> Path:
    """Return the folder of Python's own modules."""
    return Path(sysconfig.get_path("stdlib")).resolve()
