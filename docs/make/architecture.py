"""Draw docs/architecture.svg, the rows of packages: python docs/make/architecture.py"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

FILE = Path(__file__).resolve().parents[1] / "architecture.svg"
ROWS = (
    ("commands", ("cli",)),
    ("on top of sweeps and reports", ("benches", "merging", "reproducing", "integrations", "templates")),
    ("Python functions", ("api",)),
    ("many runs, conformance, scripts", ("sweeps", "checks", "scripts")),
    ("one run, from words to result", ("sessions",)),
    ("ranks; reports", ("distributed", "reports")),
    ("the loop; W&B, terminal", ("training", "trackers")),
    ("what a run is made of", ("tasks", "models", "data", "optimizers", "peers", "clipping")),
    ("settings; results on disk", ("config", "store")),
    ("protocols", ("contracts",)),
    ("names, errors, files", ("records", "errors", "files", "counter_rng")),
)
WIDTH, ROW, LEFT, GAP = 900, 46, 250, 10
STYLE = """
text { font: 15px system-ui, sans-serif; fill: #1f2933 } .note { fill: #52606d; font-size: 14px }
rect { fill: #e6f4f1; stroke: #0f766e } line { stroke: #cbd2d9 }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e7eb } .note { fill: #9aa5b1 } rect { fill: #134e4a; stroke: #2dd4bf } line { stroke: #3e4c59 }
}"""


def drawn() -> str:
    """Return the picture."""
    height = ROW * len(ROWS) + 10
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">']
    parts += ["<title>The packages of optbench, top down: each row imports only rows below it</title>"]
    parts += [f"<style>{STYLE}</style>"]
    for number, (what, packages) in enumerate(ROWS):
        top = ROW * number + 8
        parts.append(f'<text class="note" x="8" y="{top + 21}">{escape(what)}</text>')
        width = (WIDTH - LEFT - GAP * len(packages)) / len(packages)
        for place, name in enumerate(packages):
            x = LEFT + place * (width + GAP)
            parts.append(f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="30" rx="5"/>')
            parts.append(f'<text x="{x + width / 2:.1f}" y="{top + 20}" text-anchor="middle">{name}</text>')
        if number:
            parts.append(f'<line x1="8" y1="{top - 8}" x2="{WIDTH - 8}" y2="{top - 8}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    FILE.write_text(drawn(), encoding="utf-8")
