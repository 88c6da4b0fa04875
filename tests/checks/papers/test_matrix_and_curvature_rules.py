"""Steps worked by hand of the rules for matrices and curvature, of Prodigy, schedule-free AdamW and MARS."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import numpy as np
import pytest
from small_problems import ADAHESSIAN, KFAC, KRON, MUON, SHAMPOO, SOAP, SOPHIA, arrays, history

from optbench.checks.papers import (
    adahessian,
    adamw,
    kfac,
    mars,
    muon,
    prodigy,
    psgd_kron,
    schedulefree,
    shampoo,
    soap,
    sophia,
)

PRODIGY = {"lr": repeat(1.0), "betas": (0.5, 0.25), "eps": 0.0, "d0": 0.5, "d_coef": 4.0}
PRODIGY |= {"safeguard_warmup": False, "use_bias_correction": False}
SCHEDULEFREE = {"lr": repeat(0.1), "betas": (0.5, 0.75), "eps": 0.0}
MARS = {"lr": repeat(0.1), "betas": (0.5, 0.75), "gamma": 0.1, "optimize_1d": True}
MARS |= {"lr_1d": repeat(0.2), "betas_1d": (0.5, 0.75)}


# Rules for matrices


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_without_iterations_normalises(nesterov: bool) -> None:
    steps = muon.paper(np.ones((1, 2)), arrays([[[3, 4]]]), **MUON, nesterov=nesterov, ns_steps=0, scale="original")
    # 1 - 0.1 * 0.5 = 0.95, less 0.1 times (3, 4) / 5
    np.testing.assert_allclose(next(steps), [[0.89, 0.87]], rtol=1e-7)


def test_muon_iterates_and_scales() -> None:
    steps = muon.paper(np.ones((1, 2)), arrays([[[3, 4]]]), **MUON, nesterov=False, ns_steps=1, scale="rms")
    # X X^T = 1, so one iteration multiplies by 3.4445 - 4.775 + 2.0315 = 0.701; factor 0.2 sqrt(2)
    step = 0.1 * 0.2 * 2**0.5 * 0.701 * np.array([[0.6, 0.8]])
    np.testing.assert_allclose(next(steps), 0.95 - step, rtol=1e-6)


def test_muon_with_nesterov() -> None:
    gradients = arrays([[[1, 0]], [[0, 1]]])
    plain, ahead = (
        history(muon.paper(np.zeros((1, 2)), gradients, **MUON, nesterov=n, ns_steps=0, scale="original"))
        for n in (False, True)
    )
    # second buffer: (0.25, 0.5); Nesterov: 0.5 (0, 1) + 0.5 (0.25, 0.5) = (0.125, 0.75)
    start = 0.95 * np.array([[-0.1, 0]])
    np.testing.assert_allclose(plain[1], start - 0.1 * np.array([[1, 2]]) / 5**0.5, rtol=1e-6)
    np.testing.assert_allclose(ahead[1], start - 0.1 * np.array([[1, 6]]) / 37**0.5, rtol=1e-6)


def test_muon_uses_adamw_for_vectors() -> None:
    steps = muon.paper(np.ones(2), arrays([[2, -4]]), **MUON, nesterov=True, ns_steps=5, scale="original")
    np.testing.assert_allclose(next(steps), [1 - 0.2 * (1 + 0.5), 1 - 0.2 * (-1 + 0.5)], rtol=1e-14)


def test_kfac_of_one_weight_and_its_bias() -> None:
    batch = (np.array([[1.0]]), np.array([[2.0]]))
    rule = KFAC | {"momentum": 0.5, "interval": 2}
    first, second = history(kfac.paper(np.zeros((1, 2)), [batch, batch], **rule))
    # A = [[1, 1], [1, 1]], S = 4, pi = sqrt(1 / 4): A + 0.05 I has the eigenvalue 2.05 along (1, 1), S + 0.2 is 4.2
    natural = 2 / (4.2 * 2.05)
    np.testing.assert_allclose(first, [[-0.1 * natural] * 2], rtol=1e-12)
    np.testing.assert_allclose(second, [[-0.1 * 2.5 * natural] * 2], rtol=1e-12)


def test_kfac_averages_its_factors_and_decays() -> None:
    batches = [(np.array([[1.0]]), np.array([[g]])) for g in (2.0, 4.0)]
    rule = KFAC | {"weight_decay": 0.5}
    first, second = history(kfac.paper(np.ones((1, 2)), batches, **rule))
    # S = 4, then (4 + 16) / 2 = 10: the mean of both, since 1 - 1/2 < ema; pi = sqrt(1 / S); all moves are along (1, 1)
    x = 1 - 0.1 * (2 + 0.5) / (4.2 * 2.05)
    np.testing.assert_allclose(first, [[x, x]], rtol=1e-12)
    pi = 10**-0.5
    x -= 0.1 * (4 + 0.5 * x) / ((10 + 0.1 / pi) * (2 + 0.1 * pi))
    np.testing.assert_allclose(second, [[x, x]], rtol=1e-12)


def test_kfac_clips_the_length_of_a_step() -> None:
    batch = (np.array([[1.0]]), np.array([[2.0]]))
    step = next(kfac.paper(np.zeros((1, 2)), [batch], **KFAC | {"kl_clip": 1e-6}))
    # N = 2 / (4.2 * 2.05) (1, 1) and G = (2, 2): lr^2 nu^2 <N, G> = 1e-6
    natural = 2 / (4.2 * 2.05)
    np.testing.assert_allclose(step, [[-natural * (1e-6 / (4 * natural)) ** 0.5] * 2], rtol=1e-12)


@pytest.mark.parametrize(("shape", "power"), [((), 2), ((1,), 2), ((1, 1), 4)])
def test_psgd_kron_of_one_entry(shape: tuple[int, ...], power: int) -> None:
    theta, (g, probe) = np.ones(shape), (np.full(shape, 2.0), {"probe": np.ones(shape)})
    rule = KRON | {"momentum": 0.5, "weight_decay": 0.5, "precond_lr": 0.5}
    # bias-corrected M = 2, A^2 = 4, B^2 = 1: each factor becomes 1 - 0.5 * 3 / 5 = 0.7
    expected = np.full(shape, 1 - 0.1 * (0.7**power * 2 + 0.5))
    np.testing.assert_allclose(next(psgd_kron.paper(theta, [(g, probe)], **rule)), expected, rtol=1e-12)


def test_psgd_kron_limits_the_rms_of_its_update() -> None:
    pair = (np.array([10.0]), {"probe": np.array([1.0])})
    steps = psgd_kron.paper(np.zeros(1), [pair], **KRON | {"lr": repeat(1.0), "momentum": 0.0, "precond_lr": 0.5})
    assert 10 * (1 - 0.5 * 99 / 101) ** 2 > 1.1  # longer without the limit
    np.testing.assert_allclose(next(steps), [-1.1], rtol=1e-10)


def test_psgd_kron_divides_by_a_bound_of_the_spectral_norm() -> None:
    """S = [[2, 2], [2, 2]] has the norm 4 and the largest entry 2; its bound is exact."""
    g, probe = np.array([[1.0, 1.0], [1.0, 1.0]]), {"probe": np.zeros((2, 2))}
    rule = KRON | {"lr": repeat(1.0), "momentum": 0.0, "precond_lr": 0.5}
    # both factors become I - 0.5 / 4 triu([[2, 2], [2, 2]]) = [[0.75, -0.25], [0, 0.75]]
    q = np.array([[0.75, -0.25], [0.0, 0.75]])
    expected = -q.T @ q @ g @ q.T @ q
    np.testing.assert_allclose(next(psgd_kron.paper(np.zeros((2, 2)), [(g, probe)], **rule)), expected, rtol=1e-12)


def test_psgd_kron_updates_by_its_schedule() -> None:
    """A probability of 0.4 updates in every third step, after ceil(1 / 0.4); a step without an update has no probe."""
    pair = np.ones(2), {"probe": np.zeros(2)}
    steps = [(np.ones(2), None), (np.ones(2), None), pair, (np.ones(2), None)]
    rule = KRON | {"lr": repeat(1.0), "momentum": 0.0, "update_probability": 0.4}
    moves = np.diff([0.0, *(theta[0] for theta in history(psgd_kron.paper(np.zeros(2), steps, **rule)))])
    np.testing.assert_allclose(moves, [-1, -1, -0.81, -0.81], rtol=1e-12)


@pytest.mark.parametrize(
    ("interval", "start", "lengths"),
    [(1, None, [1, 3 / 5]), (2, 1, [1, 3 / 5]), (2, None, [4, 3 / 5]), (3, 1, [1, 3 / 4])],
)
def test_shampoo_of_one_entry_adds_and_keeps_its_roots(interval: int, start: int | None, lengths: list[float]) -> None:
    rule = SHAMPOO | {"start_preconditioning_step": start}
    steps = shampoo.paper(np.zeros((1, 1)), arrays([[[4]], [[3]]]), **rule, interval=interval)
    # L = R = 16, then 25: a step is G / sqrt(L) with the last computed roots, and G before there are any
    np.testing.assert_allclose(np.ravel(history(steps)), -0.1 * np.cumsum(lengths), rtol=1e-10)


def test_shampoo_corrects_the_bias_of_its_factors() -> None:
    steps = shampoo.paper(np.zeros((1, 1)), arrays([[[4]]]), **SHAMPOO | {"betas": (0.9, 0.999)}, interval=1)
    np.testing.assert_allclose(next(steps), [[-0.1]], rtol=1e-10)  # not 0.1 / sqrt(0.001)


def test_shampoo_treats_blocks_as_matrices_of_their_own() -> None:
    rule = SHAMPOO | {"grafting": "adam", "interval": 1, "betas": (0.9, 0.99)}
    gradients = list(np.random.default_rng(0).standard_normal((3, 2, 5)))
    whole = history(shampoo.paper(np.zeros((2, 5)), gradients, **rule | {"max_preconditioner_dim": 3}))
    for part in (slice(0, 3), slice(3, 5)):
        columns = [g[:, part] for g in gradients]
        alone = history(shampoo.paper(np.zeros((2, part.stop - part.start)), columns, **rule))
        np.testing.assert_allclose(np.array(whole)[:, :, part], alone, rtol=1e-12)


def test_shampoo_grafts_adams_length_and_decays() -> None:
    rule = SHAMPOO | {"grafting": "adam", "weight_decay": 0.5}
    theta = next(shampoo.paper(np.eye(2), arrays([[[4, 0], [0, 1]]]), **rule, interval=1))
    # P = diag(4 / 4, 1 / 1) already has Adam's length, sqrt(2)
    np.testing.assert_allclose(theta, 0.85 * np.eye(2), atol=1e-6)


def test_shampoo_of_sums_grafts_a_moving_average() -> None:
    steps = shampoo.paper(np.zeros((1, 1)), arrays([[[4]], [[3]]]), **SHAMPOO | {"grafting": "adam"}, interval=1)
    vhat = (0.999 * 0.001 * 16 + 0.001 * 9) / (1 - 0.999**2)
    np.testing.assert_allclose(history(steps)[1], [[-0.1 - 0.1 * 3 / vhat**0.5]], rtol=1e-7)


def test_shampoo_whitens_a_symmetric_gradient() -> None:
    theta = next(shampoo.paper(np.zeros((2, 2)), arrays([[[2, 1], [1, 2]]]), **SHAMPOO, interval=1))
    np.testing.assert_allclose(theta, -0.1 * np.eye(2), atol=1e-10)  # L = R = G^2: G^(-1/2) G G^(-1/2) = I


def test_shampoo_refuses_an_unknown_grafting() -> None:
    with pytest.raises(ValueError, match="adam, none"):
        next(shampoo.paper(np.ones(1), arrays([[1]]), **SHAMPOO | {"grafting": "sgd"}, interval=1))


@pytest.mark.parametrize("shape", [(), (1, 1)])
def test_soap_skips_the_first_gradient_and_decays_after_the_step(shape: tuple[int, ...]) -> None:
    rule = SOAP | {
        "lr": repeat(0.1),
        "betas": (0.5, 0.75),
        "eps": 0.0,
        "weight_decay": 0.5,
        "interval": 1,
        "shampoo_beta": 0.5,
    }
    first, second = history(soap.paper(np.ones(shape), [np.full(shape, 7.0), np.full(shape, 3.0)], **rule))
    np.testing.assert_array_equal(first, np.ones(shape))
    # m / sqrt(v) = 0.5 * 3 / (0.5 * 3) = 1, times 0.1 sqrt(0.25) / 0.5
    np.testing.assert_allclose(second, np.full(shape, 0.9 * 0.95), rtol=1e-12)


def test_soap_is_adam_in_the_eigenbasis() -> None:
    rule = SOAP | {
        "lr": repeat(0.1),
        "betas": (0.5, 0.75),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "interval": 1,
        "shampoo_beta": 0.5,
    }
    steps = soap.paper(np.zeros((2, 2)), arrays([[[2, 1], [1, 2]]] * 4), **rule)
    # for a constant gradient Adam's step is its sign: here of the eigenvalues 3 and 1, so each step is I
    np.testing.assert_allclose(history(steps)[-1], -0.3 * np.eye(2), atol=1e-7)


def test_soap_reorders_its_moment_with_its_basis() -> None:
    rule = {"lr": repeat(0.1), "betas": (0.5, 0.75), "eps": 1e-14, "weight_decay": 0.0}
    diagonals = arrays([[4, 1], [1, 9], [2, 5], [3, 1]])  # the order of L's eigenvalues changes
    steps = soap.paper(
        np.zeros((2, 2)), [np.diag(x) for x in diagonals], **rule | SOAP | {"shampoo_beta": 0.5, "interval": 1}
    )
    expected = history(adamw.paper(np.zeros(2), diagonals[1:], **rule))
    np.testing.assert_allclose(history(steps)[1:], [np.diag(x) for x in expected], atol=1e-12)


# Curvature


G_EVIDENCE = {"sampled": np.array(0.5), "count": 16}
H_EVIDENCE = {"probe": np.array(-2.0), "product": np.array(-2.0)}


@pytest.mark.parametrize("evidence", [G_EVIDENCE, H_EVIDENCE])
def test_sophia_clips_its_ratio(evidence: dict[str, Any]) -> None:
    steps = sophia.paper(np.array(1.0), [(0.5, evidence), (2.0, None)], **SOPHIA)
    # estimate 16 * 0.25 = -2 * -2 = 4, h = 1, rho h = 0.5, m = 0.25: ratio 0.5; then m = 1.125: ratio 2.25, clipped
    np.testing.assert_allclose(history(steps), [0.95 - 0.05, 0.9 * 0.95 - 0.1], rtol=1e-14)


def test_sophia_takes_a_full_step_at_negative_curvature() -> None:
    evidence = {"probe": np.array(1.0), "product": np.array(-2.0)}
    theta = next(sophia.paper(np.array(0.0), [(1e-3, evidence)], **SOPHIA))
    np.testing.assert_allclose(theta, -0.1, rtol=1e-14)


@pytest.mark.parametrize(("rule", "extra"), [(sophia, SOPHIA), (adahessian, ADAHESSIAN | {"weight_decay": 0.0})])
def test_evidence_is_required_when_due_and_refused_otherwise(rule: Any, extra: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"step 1: .* missing"):
        history(rule.paper(np.array(1.0), [(0.5, None)], **extra))
    with pytest.raises(ValueError, match=r"step 2: .* not wanted"):
        history(rule.paper(np.array(1.0), [(0.5, H_EVIDENCE), (0.5, H_EVIDENCE)], **extra))


def test_adahessian_averages_rows_and_keeps_its_diagonal() -> None:
    evidence = {"probe": np.array([[1.0, -1.0]]), "product": np.array([[3.0, 1.0]])}
    gradients = arrays([[[2, 4]], [[0, 0]]])
    steps = adahessian.paper(
        np.ones((1, 2)), zip(gradients, [evidence, None], strict=True), **ADAHESSIAN, weight_decay=0.5
    )
    first, second = history(steps)
    # D = (3 + 1) / 2 = 2 in both steps, so sqrt(vhat) = 2; mhat = g, then g 0.25 / 0.75
    np.testing.assert_allclose(first, [[1 - 0.1 * 1.5, 1 - 0.1 * 2.5]], rtol=1e-14)
    np.testing.assert_allclose(second, first * 0.95 - 0.1 * np.array([[1, 2]]) / 3, rtol=1e-14)


@pytest.mark.parametrize(
    ("shape", "diagonal"),
    [((4,), [1, 2, 3, 4]), ((1, 2, 2), [1.5, 1.5, 3.5, 3.5]), ((1, 1, 2, 2), [2.5] * 4), ((2, 2, 1, 1), [1, 2, 3, 4])],
)
def test_adahessian_averages_over_its_blocks(shape: tuple[int, ...], diagonal: list[float]) -> None:
    evidence = {"probe": np.ones(shape), "product": -np.arange(1.0, 5.0).reshape(shape)}
    rule = ADAHESSIAN | {"hessian_power": 0.5, "lr": repeat(1.0)}
    theta = next(adahessian.paper(np.zeros(shape), [(np.ones(shape), evidence)], **rule, weight_decay=0.0))
    np.testing.assert_allclose(theta.reshape(-1), -(np.array(diagonal) ** -0.5), rtol=1e-14)


# Step sizes, averages, variance reduction


def test_prodigy_moves_by_the_estimate_of_the_previous_step() -> None:
    one, two, three = history(
        prodigy.paper(np.array(1.0), [1.0, 1.0, 1.0], **PRODIGY, weight_decay=0.2, growth_rate=None)
    )
    # b3 = 0.5. Step 1: m = 0.25, v = 0.75 * 0.25, no estimate yet
    np.testing.assert_allclose(one, 0.9 - 0.5 * 0.25 / 0.1875**0.5, rtol=1e-14)
    # step 2: r = 0.5 (1 - one), s = 0.25 + 0.5; still moves by d = 0.5
    d = 4 * 0.5 * (1 - one) / 0.75
    assert d > 0.5
    np.testing.assert_allclose(two, 0.9 * one - 0.5 * 0.375 / 0.234375**0.5, rtol=1e-14)
    # step 3: moves by d
    m, v = 0.1875 + 0.5 * d, 0.25 * 0.234375 + 0.75 * d**2
    np.testing.assert_allclose(three, two * (1 - 0.2 * d) - d * m / v**0.5, rtol=1e-14)


def test_prodigy_limits_growth_after_the_first() -> None:
    free, limited = (
        history(prodigy.paper(np.array(1.0), [1.0] * 4, **PRODIGY, weight_decay=0.0, growth_rate=rate))
        for rate in (None, 1.01)
    )
    np.testing.assert_array_equal(free[:3], limited[:3])  # d0 in two steps, then the first growth, which has no limit
    one, two, three = limited[:3]
    d = 4 * 0.5 * (1 - one) / 0.75
    assert 4 * (0.5 * 0.5 * (1 - one) + 2 * d**2 * (1 - two)) / (0.375 + 2 * d**2) > 1.01 * d  # without the limit
    m, v = 0.09375 + 0.25 * d + 0.5 * 1.01 * d, 0.0146484375 + 0.1875 * d**2 + 0.75 * (1.01 * d) ** 2
    np.testing.assert_allclose(limited[3], three - 1.01 * d * m / v**0.5, rtol=1e-14)
    assert limited[3] != free[3]


def test_prodigy_scales_eps_by_the_new_estimate() -> None:
    rule = PRODIGY | {"eps": 0.1, "weight_decay": 0.0, "growth_rate": None}
    one, two = history(prodigy.paper(np.array(1.0), [1.0, 1.0], **rule))
    np.testing.assert_allclose(one, 1 - 0.125 / (0.1875**0.5 + 0.05), rtol=1e-14)
    d = 4 * 0.5 * (1 - one) / 0.75
    np.testing.assert_allclose(two, one - 0.1875 / (0.234375**0.5 + 0.1 * d), rtol=1e-14)


def test_prodigy_does_nothing_before_a_nonzero_gradient() -> None:
    steps = prodigy.paper(np.array(1.0), [0.0, 1.0], **PRODIGY, weight_decay=0.2, growth_rate=None)
    np.testing.assert_allclose(history(steps), [1.0, 0.9 - 0.5 * 0.25 / 0.1875**0.5], rtol=1e-14)


def test_prodigy_with_safeguard_and_bias_correction_in_a_warm_up() -> None:
    safe = PRODIGY | {"safeguard_warmup": True, "use_bias_correction": True, "lr": [0.5, 1.0, 1.0]}
    steps = prodigy.paper(np.array(1.0), [1.0, 1.0, 1.0], **safe, weight_decay=0.0, growth_rate=None)
    # at a constant gradient and d, the corrected step is 1; r has the rate of its step, s has none: 0.25 + 0.5
    c2, c3 = (1 - 0.25**2) ** 0.5 / (1 - 0.5**2), (1 - 0.25**3) ** 0.5 / (1 - 0.5**3)
    d = 4 * 0.5 * c2 * 0.25 / 0.75
    m, v = 0.1875 + 0.5 * d, 0.25 * 0.234375 + 0.75 * d**2
    np.testing.assert_allclose(history(steps), [0.75, 0.25, 0.25 - d * c3 * m / v**0.5], rtol=1e-14)


def test_schedulefree_averages_its_iterates() -> None:
    steps = schedulefree.paper(np.array(1.0), [2.0, 1.0], **SCHEDULEFREE, weight_decay=0.0, warmup_steps=0)
    # rates 0.1 sqrt(0.25) and 0.1 sqrt(0.4375), v = 1 twice; weight of the second z: 0.004375 / 0.006875 = 7 / 11
    z = 0.9 - 0.1 * 0.4375**0.5
    np.testing.assert_allclose(history(steps), [0.9, (z + 0.9 * 4 / 11 + z * 7 / 11) / 2], rtol=1e-14)


def test_schedulefree_warms_up_and_decays_at_the_training_point() -> None:
    steps = schedulefree.paper(np.array(1.0), [2.0, 1.0], **SCHEDULEFREE, weight_decay=0.5, warmup_steps=2)
    # first rate halved: z = x = y = 1 - 0.025 * (2 + 0.5)
    y, rate = 0.9375, 0.1 * 0.4375**0.5
    z, c = y - rate * (1 + 0.5 * y), rate**2 / (rate**2 + 0.025**2)
    np.testing.assert_allclose(history(steps), [y, (z + (1 - c) * y + c * z) / 2], rtol=1e-14)


def test_mars_adds_the_change_of_the_gradient() -> None:
    steps = mars.paper(np.array(1.0), [0.5, 0.25], **MARS, eps=0.0, weight_decay=0.5)
    # c = 0.5, then 0.25 - 0.1 * 0.25 = 0.225
    m, v = 0.5 * 0.25 + 0.5 * 0.225, 0.75 * 0.0625 + 0.25 * 0.225**2
    second = 0.85 * 0.95 - 0.1 * (m / 0.75) / (v / 0.4375) ** 0.5
    np.testing.assert_allclose(history(steps), [0.85, second], rtol=1e-14)


def test_mars_leaves_vectors_to_adamw() -> None:
    theta = next(
        mars.paper(np.ones(2), arrays([[3.0, -4.0]]), **MARS | {"optimize_1d": False}, eps=0.0, weight_decay=0.5)
    )
    np.testing.assert_allclose(theta, [1 - 0.2 - 0.1, 1 + 0.2 - 0.1])


def test_mars_clips_the_tensor_to_length_one() -> None:
    theta = next(mars.paper(np.zeros(2), arrays([[0.9, 1.2]]), **MARS, eps=1.0, weight_decay=0.0))
    np.testing.assert_allclose(theta, [-0.1 * 0.6 / 1.6, -0.1 * 0.8 / 1.8], rtol=1e-14)
