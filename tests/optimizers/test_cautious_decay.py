"""Cautious weight decay around optimizers with decoupled decay, against its paper's rule."""

from __future__ import annotations

from itertools import repeat

import numpy as np
import pytest
import torch
from conftest import QUICK, Twice

from optbench import config
from optbench.checks.gradient_feeds import GradientFeed
from optbench.checks.paper_rules import hyperparameters, paper_rule
from optbench.checks.papers import Trajectory, cautious, cautious_decay
from optbench.checks.subject import make_subject
from optbench.errors import ConfigError
from optbench.optimizers.cautious_decay import CautiousDecay

INNER = ["adamw", "lion", "ademamix", "came"]


def rule_of(name: str, feed: GradientFeed, theta: np.ndarray, settings: dict[str, object]) -> Trajectory:
    """Return the generator of a paper's rule over theta, without decay."""
    rule = paper_rule(name)
    assert rule is not None
    return rule(theta, iter(feed.paper_steps), **hyperparameters(rule, {**settings, "weight_decay": 0.0}, name))


@pytest.mark.parametrize("more", [[], ["cautious=true"]], ids=["alone", "masked"])
@pytest.mark.parametrize("name", INNER)
def test_it_is_the_papers_rule(name: str, more: list[str]) -> None:
    words = [f"optimizer={name}", "optimizer.lr=0.02", "optimizer.weight_decay=0.5", "cautious_decay=true", *more]
    subject = make_subject(config.load(words))
    feed, found = GradientFeed(subject, (3, 5)), []
    for _ in range(60):
        feed.advance()
        found.append(feed.values())
    theta = feed.start.copy()
    steps = rule_of(name, feed, theta, dict(subject.all_settings))
    if more:
        steps = cautious.paper(theta, steps, iter(feed.paper_steps), floor=1e-3)
    expected = [values.copy() for values in cautious_decay.paper(theta, steps, lr=repeat(0.02), weight_decay=0.5)]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


def test_an_entry_decays_only_on_its_way_to_zero() -> None:
    theta = torch.tensor([1.0, 1.0, -1.0, -1.0, 2.0], requires_grad=True)
    inner = torch.optim.AdamW([theta], lr=0.1, weight_decay=0.5, eps=1e-12)
    theta.grad = torch.tensor([3.0, -3.0, 3.0, -3.0, 0.0])
    CautiousDecay(inner, where="same_sign", decay="decoupled").step()
    torch.testing.assert_close(theta.detach(), torch.tensor([0.85, 1.1, -1.1, -0.85, 1.9]))
    assert inner.param_groups[0]["weight_decay"] == 0.5


def test_an_optimizer_without_decoupled_decay_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs an optimizer with decoupled weight decay"):
        make_subject(config.load(["optimizer=sgd", "cautious_decay=true"])).build([torch.ones(3, requires_grad=True)])


def test_a_run_resumes_bit_for_bit(twice: Twice) -> None:
    twice(config.load([*QUICK, "optimizer=lion", "cautious_decay=true", "steps=30"]), 13)
