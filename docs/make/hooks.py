"""What `mkdocs build` does beside rendering docs/: it adds pages of the project that lie elsewhere, their links, and
the pages as Markdown with llms.txt.

Pages link to files of the project by relative paths, as they work in a checkout: `../../experiments/LOG.md`. Files of
PAGES are part of the site, under `project/`, and links to them lead there. A link to any other file is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("experiments/**/*.*", "examples/**/*.*", "results/*.md", "results/claims/**/*.*", "conf/**/*.yaml")
PAGES += ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")
LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the project's pages to those of docs/."""
    for pattern in PAGES:
        for source in sorted(path for path in ROOT.glob(pattern) if path.is_file() and "__pycache__" not in path.parts):
            place = source.relative_to(ROOT).as_posix()
            file = File.generated(config, f"project/{place}", abs_src_path=str(source))
            files.append(file)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links to files of the project into links within the site. Raises PluginError for one that leads nowhere."""
    here = PurePosixPath(page.file.src_uri)
    own = here.relative_to("project") if here.parts[0] == "project" else PurePosixPath("docs", here)

    def moved(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(ROOT / own.parent / match[2]))
        if not target.is_relative_to(ROOT) or not target.exists():
            raise PluginError(f"{own}: the link {match[2]} leads nowhere")
        place = PurePosixPath(target.relative_to(ROOT).as_posix())
        there = PurePosixPath(*place.parts[1:]) if place.parts[0] == "docs" else PurePosixPath("project", place)
        if target.is_dir():
            there = there / "README.md"
        if files.get_file_from_path(str(there)) is None:
            raise PluginError(f"{own}: the link {match[2]} leads to a file that is not part of the site")
        return f"{match[1]}{os.path.relpath(there, here.parent)}{match[3] or ''})"

    return LINK.sub(moved, markdown)


def on_nav(nav: Any, config: Any, files: Files) -> Any:
    """Keep the pages in their order, for llms.txt."""
    config.extra["pages"] = nav.pages
    return nav


def on_post_build(config: Any) -> None:
    """Write every page of the navigation as Markdown too, and llms.txt, their list for programs that read docs."""
    site, lines = Path(config.site_dir), [f"# {config.site_name}", "", f"> {config.site_description}.", ""]
    for page in config.extra["pages"]:
        copy = site / page.file.src_uri
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(page.markdown or "", encoding="utf-8")
        lines.append(f"- [{page.title}]({page.file.src_uri})")
    (site / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
