"""The contenders' colours."""

from __future__ import annotations

import itertools

from optbench.reports.render.figures.style import look
from optbench.reports.render.palette import CONTRAST, PAPERS, PHASES, contrast, distance, palette

FAR = 14  # CIELAB; 2.3 is just noticeable


def test_no_two_contenders_share_a_colour() -> None:
    for count in (1, 8, 24):
        found = palette(count)
        assert len(found) == count
        assert all(distance(a, b) > FAR for a, b in itertools.combinations(found, 2))
    assert len(set(palette(60))) == 60
    assert len(palette(500)) == 500


def test_a_contender_keeps_its_colour_when_more_join() -> None:
    assert palette(30)[:9] == palette(9)
    places = {name: n for n, name in enumerate("abcdefghijklmnopqrst")}
    colours = [look(name, places)["color"] for name in places]
    assert len(set(colours)) == len(places)
    assert look("unknown", places)["color"] not in colours


def test_colours_stand_out_from_the_paper() -> None:
    for pair in palette(40):
        for colour, paper in zip(pair, PAPERS, strict=True):
            assert contrast(colour, paper) >= CONTRAST, colour
    assert contrast("#000000", "#ffffff") == 21.0


def test_phases_have_colours_that_no_contender_has() -> None:
    assert not set(PHASES) & {colour for pair in palette(60) for colour in pair}
