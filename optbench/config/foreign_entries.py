"""Files and folders that operating systems, file managers and archives leave among a user's data."""

from __future__ import annotations

FOREIGN = {
    "__macosx",
    "@eadir",
    "#recycle",
    "@recycle",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "lost+found",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "__pycache__",
}


def is_foreign(name: str) -> bool:
    """Return True for a hidden entry, or one that a system has put there: it is nobody's data."""
    return name.startswith((".", "~$")) or name.lower() in FOREIGN
