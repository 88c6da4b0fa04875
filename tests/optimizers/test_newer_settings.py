"""Settings of newer rules that a conformance check leaves at their defaults, against the papers' rules."""

from __future__ import annotations

import pytest

from optbench import config
from optbench.checks.faithful import faithful
from optbench.checks.result import PASS
from optbench.checks.subject import make_subject

SETTINGS = (
    "optimizer=dadapt_adam optimizer.growth_rate=1.02",
    "optimizer=ademamix optimizer.alpha_warmup=150 optimizer.beta3_warmup=100",
    "optimizer=ademamix optimizer.betas=[0,0.99,0.999] optimizer.beta3_warmup=1000",
)


@pytest.mark.parametrize("words", SETTINGS)
def test_a_setting_is_the_papers(words: str) -> None:
    found = faithful(make_subject(config.load(words.split())))
    assert found.state == PASS, found.detail
