"""Every study under experiments/ can be read, composed and decided, at each of its scales."""

from __future__ import annotations

import re

import pytest

from optbench.cli.reproduce import ReproduceFlags, prepare
from optbench.reproducing import find
from optbench.sweeps.options import SweepOptions

FOLDER = find.experiments_folder()
ALL = [(slug, scale) for slug in find.slugs(FOLDER) for scale in find.find(slug, FOLDER).scales]
MANY_CELLS = {("who-wins", "cpu"), ("who-wins", "gpu")}


@pytest.mark.parametrize(
    ("slug", "scale"),
    [pytest.param(*one, marks=[pytest.mark.slow] if one in MANY_CELLS else [], id="-".join(one)) for one in ALL],
)
def test_a_study_can_be_decided(slug: str, scale: str) -> None:
    prepared = prepare(slug, SweepOptions(scale=scale), ReproduceFlags(None, False, None, (), False))
    assert prepared.criteria and prepared.experiment.title
    assert "cpu" in prepared.experiment.scales
    assert (FOLDER / slug / "README.md").is_file()


def test_links_of_the_claims_lead_somewhere() -> None:
    files = [*FOLDER.glob("*/README.md"), FOLDER / "LOG.md", *FOLDER.parent.joinpath("docs").rglob("*.md")]
    links = [(file, link) for file in files for link in re.findall(r"\]\(([^)#:]+)\)", file.read_text())]
    assert len(links) > 20
    assert [f"{file}: {link}" for file, link in links if not (file.parent / link).exists()] == []
