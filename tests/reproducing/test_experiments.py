"""Every study under experiments/ can be read, composed and decided, at each of its scales."""

from __future__ import annotations

import re

import pytest

from optbench.cli.reproduce import ReproduceFlags, prepare
from optbench.reproducing import find
from optbench.sweeps.options import SweepOptions
from optbench.sweeps.search.search import make_search

FOLDER = find.experiments_folder()
ALL = [(slug, scale) for slug in find.slugs(FOLDER) for scale in find.find(slug, FOLDER).scales]
MANY_CELLS = {("who-wins", "cpu"), ("who-wins", "half"), ("who-wins", "gpu")}


@pytest.mark.parametrize(
    ("slug", "scale"),
    [pytest.param(*one, marks=[pytest.mark.slow] if one in MANY_CELLS else [], id="-".join(one)) for one in ALL],
)
def test_a_study_can_be_decided(slug: str, scale: str) -> None:
    prepared = prepare(slug, SweepOptions(scale=scale), ReproduceFlags(None, False, None, (), False))
    assert prepared.criteria and prepared.experiment.title
    assert "cpu" in prepared.experiment.scales
    for cell in prepared.cells:
        assert make_search(prepared.study.sampler, cell.box, prepared.study.trials, 0).ask()
    assert (FOLDER / slug / "README.md").is_file()


@pytest.mark.parametrize("slug", find.slugs(FOLDER))
def test_the_readme_names_scales_that_exist(slug: str) -> None:
    text = (FOLDER / slug / "README.md").read_text()
    commands = re.findall(rf"optbench reproduce {slug}\b(.*)", text)
    assert commands
    named = {scale for command in commands for scale in re.findall(r"--scale (\S+)", command)}
    assert named <= set(find.find(slug, FOLDER).scales)


def test_links_of_the_claims_lead_somewhere() -> None:
    files = [*FOLDER.glob("*/README.md"), FOLDER / "LOG.md", *FOLDER.parent.joinpath("docs").rglob("*.md")]
    links = [(file, link) for file in files for link in re.findall(r"\]\(([^)#:]+)\)", file.read_text())]
    assert len(links) > 20
    assert [f"{file}: {link}" for file, link in links if not (file.parent / link).exists()] == []
