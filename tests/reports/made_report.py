"""A report with every field filled in, for the tests of all outputs."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from optbench.reports.model.axes import Axis, AxisEquivalent, AxisPoint, AxisSpan, RateCurve, RateTransfer
from optbench.reports.model.content import (
    Across,
    BudgetCurve,
    Claim,
    CriterionVerdict,
    Curve,
    EquivalentBudget,
    Estimate,
    Evidence,
    Failure,
    LadderStep,
    LeaveOneOut,
    Pair,
    ParetoPoint,
    Picture,
    Profile,
    Regret,
    Report,
    Resources,
    Row,
    RunDetail,
    Score,
    Sensitivity,
    Stability,
    ToTarget,
    Workload,
)

NAMES = ("lion", "adamw", "sgd", "muon")
NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</script><b>bold & co</b>",
    "a|b `c` _d_ *e* [f](javascript:alert(3)) %{x}<br>",
)
SEEDS = (1000, 1001, 1002, 1003, 1004)
PHASES = ("data", "forward", "backward", "optimizer", "evaluation", "logging", "other")


def made_report(
    names: tuple[str, ...] = NAMES, *, root: Path | None = None, records: int = 60, trials: int = 8
) -> Report:
    """Return two workloads, the best contender first; the last contender fails once on the first workload.

    `root`: a folder that pictures are written to; without one there are none."""
    first = made_workload("mlp on digits", names, records=records, direction="max", scale=0.96, root=root)
    second = made_workload("gpt on docs", names, records=records, direction="min", scale=3.2)
    runs = tuple(run for workload in (first, second) for run in made_runs(workload, names, trials))
    return Report(
        title="lion-vit",
        studies=("lion-vit", "more"),
        made_with="optbench 0.1.0",
        command="optbench report results/lion-vit -o report/",
        answer=(
            f"mlp on digits: use {names[0]}. Its test accuracy of 0.960 is better than all others' (95 %).",
            "gpt on docs: undecided between the first two; 7 more seeds for each would decide.",
        ),
        assumptions=("Seeds are independent.", "Intervals are Student's t at 95 %.", "Failed runs count as worst."),
        mixed=("Code versions 0.1.0 and 0.2.0 were mixed, as asked for.",),
        level=0.95,
        workloads=(first, second),
        across=made_across(names),
        runs=runs,
        failures=(
            Failure(
                runs[-1].run_id,
                names[-1],
                "mlp on digits",
                "final",
                "diverged",
                "train_loss is nan at step 40 <b>of</b> 300",
                "lion-vit/x",
            ),
        ),
        skipped=(("lion-vit/broken", "run.json is no whole JSON object"), ("lion-vit/<i>odd</i>", "no metrics.jsonl")),
        claim=made_claim(names),
        open_runs=3,
        axes=(made_axis(names),),
    )


def made_axis(names: tuple[str, ...]) -> Axis:
    """Return contenders at three widths, the last one on an edge at the largest; rates of the first two."""
    widths = (32.0, 64.0, 128.0)
    points = [
        AxisPoint(who, width, around(0.9 - 0.01 * k - 0.1 / width), edges=edges, parameters=int(width * width * 4))
        for k, who in enumerate(names)
        for width in widths
        for edges in [(("optimizer.lr", "high"),) if who == names[-1] and width == 128 else ()]
    ]
    rates = (1e-3, 1e-2, 1e-1)
    transfers = tuple(
        RateTransfer(
            who,
            "optimizer.lr",
            tuple(
                RateCurve(who, width, rates, (0.6, 0.9, None), 1e-2, 1e-3, 1e-1, transferred=0.9, cost=around(0.01))
                for width in widths
            ),
            -0.5,
        )
        for who in names[:2]
    )
    spans = tuple(AxisSpan(who, around(0.02), 128.0) for who in names)
    words = ("model.width", "model width", "gpt on docs", "accuracy", "max", "test accuracy")
    reference = names[min(1, len(names) - 1)]
    equivalents = tuple(AxisEquivalent(width, made_equivalent(0, names[0], reference, 1.0)) for width in widths)
    return Axis(*words, widths, tuple(points), spans, transfers, equivalents, {names[0]: around(0.8)}, 9600)


def made_claim(names: tuple[str, ...]) -> Claim:
    """Return a claim of two criteria: in the metric's unit on two workloads, and a ratio without an upper end."""
    known = Evidence("mlp on digits", True, "difference 0.02 [0.01, 0.03]", 0.01, 0.03, 5, value=0.02)
    unbounded = Evidence("gpt on docs", None, "times that of it", -0.2, None, 5)
    unknown = Evidence("gpt on docs", None, "fewer than two results on a side")
    criteria = (
        made_criterion(f"{names[0]} is as good", "test_metric", "not_worse", 0.005, True, (known, unknown)),
        made_criterion("", "train_seconds", "better", 0.1, None, (unbounded,)),
    )
    sentence = f"{names[0]} is better than {names[1]} on mlp on digits."
    return Claim(f"{names[0]} >= {names[1]}", True, sentence, criteria, seeds=5)


def made_criterion(
    words: str, measure: str, relation: str, margin: float, holds: bool | None, evidence: tuple[Evidence, ...]
) -> CriterionVerdict:
    """Return one criterion."""
    verdict = {True: "supported", False: "not supported", None: "undecided"}[holds]
    said = "; ".join(f"{one.where}: {one.words}" for one in evidence)
    return CriterionVerdict(
        words,
        f"a is {relation} b in {measure}",
        measure,
        relation,
        margin,
        f"margin {margin}",
        holds,
        verdict,
        said,
        evidence,
    )


def made_workload(
    name: str,
    names: tuple[str, ...],
    *,
    records: int = 60,
    direction: str = "max",
    scale: float = 1.0,
    root: Path | None = None,
) -> Workload:
    """Return one workload; contender k is k percent of `scale` worse than the best."""
    sign = -1 if direction == "max" else 1
    level = {who: scale * (1 + sign * 0.02 * k) for k, who in enumerate(names)}
    metric = "accuracy" if direction == "max" else "loss"
    return Workload(
        name=name,
        metric=metric,
        direction=direction,
        headline="test_metric",
        target=scale * (1 + sign * 0.03),
        steps=300,
        batch_size=64,
        budgets=(0.25, 0.5, 1.0),
        answer=(f"Use {names[0]}: better than {len(names) - 1} others on test {metric}.",),
        warnings=("Only 5 seeds.", f"{names[-1]}: optimizer.lr lies on the edge of its box: undertuned."),
        rows=tuple(made_row(k, who, level[who], len(names)) for k, who in enumerate(names)),
        pairs=made_pairs(names, level, sign),
        curves=tuple(curve for who in names for curve in made_curves(who, level[who], records, direction)),
        bands=tuple(curve for who in names for curve in made_bands(who, level[who], records, direction)),
        budget_curves=tuple(made_budget_curve(who, level[who], sign) for who in names),
        regret=tuple(
            Regret(
                who,
                level[who],
                Estimate(0.1 * (k + 1), n=1),
                *(Estimate(0.2 / n, 0.01 / n, 0.5 / n, n) for n in (1, 4, 8)),
                default_share=0.1 * (k + 1),
                shares=tuple(Estimate(0.2 / n, 0.01 / n, 0.5 / n, n) for n in range(1, 9)),
                default_failed=k == 3,
            )
            for k, who in enumerate(names)
        ),
        sensitivity=tuple(made_sensitivity(k, who, level[who], sign) for k, who in enumerate(names)),
        to_target=tuple(
            made_to_target(k, who, kind) for kind in ("complete", "passing") for k, who in enumerate(names)
        ),
        ladder=tuple(
            LadderStep(
                who, share, int(300 * share), around(level[who] * (1 + sign * 0.05 * (1 - share))), around(level[who])
            )
            for who in names
            for share in (0.25, 0.5, 1.0)
        ),
        equivalent=tuple(
            made_equivalent(k, who, names[min(1, len(names) - 1)], share)
            for k, who in enumerate(names)
            if k != 1
            for share in (0.25, 0.5, 1.0)
        ),
        stability=tuple(
            Stability(
                who, 8, k, Estimate(k / 8, max(0, k / 8 - 0.1), min(1, k / 8 + 0.3), 8), Estimate(0.4 * k, 0, k, 5)
            )
            for k, who in enumerate(names)
        ),
        resources=tuple(made_resources(k, who) for k, who in enumerate(names)),
        reference=names[min(1, len(names) - 1)],
        pareto=tuple(
            ParetoPoint(who, level[who], 10.0 + 3 * k, 104488.0 * (1 + k % 3), front=k < 2)
            for k, who in enumerate(names)
        ),
        pictures=made_pictures(names, root) if root else (),
    )


def around(value: float, half: float = 0.004, n: int = 5) -> Estimate:
    """Return an estimate with an interval of a relative half-width."""
    return Estimate(value, value * (1 - half), value * (1 + half), n)


def made_row(k: int, who: str, level: float, count: int) -> Row:
    """Return the row of the k-th contender."""
    failed = 1 if k and k == count - 1 else 0
    return Row(
        contender=who,
        implementation="torch" if k % 2 else "optbench",
        rank_low=1 if k == 0 else max(1, k),
        rank_high=1 if k == 0 else min(count, k + 2),
        test=around(level),
        val=around(level * 1.01),
        best_val=around(level * 1.012),
        train=around(level * 1.03),
        gap=around(level * 0.03, 0.2),
        sd=0.003,
        values=tuple(level * (1 + 0.001 * s) for s in range(len(SEEDS) - failed)),
        seeds=SEEDS,
        failed=failed,
        trials=8,
        tune_val=level * 1.02,
        tuned={"optimizer.lr": 0.00123 * (k + 1), "optimizer.weight_decay": 0.1},
        edges=(("optimizer.lr", "high"),) if failed else (),
    )


def made_pairs(names: tuple[str, ...], level: dict[str, float], sign: int) -> tuple[Pair, ...]:
    """Return verdicts: the first is better than all others; later neighbours are undecided or ties, by turns."""
    pairs = []
    for i, a in enumerate(names):
        for j in range(i + 1, len(names)):
            b = names[j]
            verdict = "better" if i == 0 or j > i + 1 else ("undecided", "tie")[i % 2]
            decided = verdict != "undecided"
            sentence = f"{a} is better than {b}." if verdict == "better" else f"{a} against {b}: {verdict}."
            difference = level[a] - level[b]
            pairs.append(
                Pair(
                    a,
                    b,
                    verdict,
                    Estimate(difference, difference - 0.01, difference + 0.01, 5),
                    p=0.0004 if decided else 0.21,
                    adjusted_p=0.0012 if decided else 0.42,
                    tie_p=0.01 if verdict == "tie" else 0.6,
                    margin=0.005,
                    effect=-sign * 2.3,
                    improvement=Estimate(0.92, 0.7, 1.0, 5),
                    more_seeds=None if decided else 7,
                    sentence=sentence,
                    evidence=(f"5 seeds of {a}, 5 of {b}.", "Welch's t with Holm's correction over all pairs."),
                )
            )
    return tuple(pairs)


def noisy_curve(start: float, end: float, records: int, rng: random.Random) -> tuple[float | None, ...]:
    """Return a noisy curve with a spike and a gap."""
    values: list[float | None] = []
    for n in range(records):
        share = 1 - 0.02 ** (n / max(1, records - 1))
        values.append(start + (end - start) * share + rng.gauss(0, abs(end - start) * 0.01))
    if records > 20:
        values[records // 2] = start
        values[records // 3] = None
    return tuple(values)


def axes(records: int, speed: float) -> dict[str, tuple[Any, ...]]:
    """Return steps, samples and seconds of records evenly over 300 steps."""
    steps = tuple(max(1, round(300 * (n + 1) / records)) for n in range(records))
    return {"step": steps, "samples": tuple(64 * s for s in steps), "train_seconds": tuple(s * speed for s in steps)}


def made_curves(who: str, level: float, records: int, direction: str) -> list[Curve]:
    """Return the validation metric and the training loss of each seed; the last seed diverged."""
    found = []
    for seed in SEEDS:
        rng = random.Random(f"{who} {seed}")
        speed = 0.002 * (1 + 0.1 * rng.random())
        start = 0.1 if direction == "max" else level * 2.5
        for column, begin, end, count in (
            ("val_metric", start, level, max(1, records // 4)),
            ("train_loss", 2.3, 0.05, records),
        ):
            status = "diverged" if seed == SEEDS[-1] else "completed"
            found.append(
                Curve(
                    who,
                    column,
                    **axes(count, speed),
                    value=noisy_curve(begin, end, count, rng),
                    run_id=f"run-{who}-s{seed}",
                    seed=seed,
                    status=status,
                )
            )
    return found


def made_bands(who: str, level: float, records: int, direction: str) -> list[Curve]:
    """Return the means over seeds, with the least and the greatest."""
    found = []
    start = 0.1 if direction == "max" else level * 2.5
    for column, begin, end, count in (
        ("val_metric", start, level, max(1, records // 4)),
        ("train_loss", 2.3, 0.05, records),
    ):
        middle = noisy_curve(begin, end, count, random.Random(who))
        width = abs(end - begin) * 0.04
        low = tuple(None if value is None else value - width for value in middle)
        high = tuple(None if value is None else value + width for value in middle)
        found.append(Curve(who, column, **axes(count, 0.002), value=middle, low=low, high=high))
    return found


def made_budget_curve(who: str, level: float, sign: int) -> BudgetCurve:
    """Return the budget curve of eight trials."""
    trials = tuple(range(1, 9))
    expected = tuple(level * (1 + sign * 0.08 / n) for n in trials)
    spread = [level * 0.05 / n for n in trials]
    low, high = zip(*((e - s, e + s) for e, s in zip(expected, spread, strict=True)), strict=True)
    chosen = tuple(value * 0.99 for value in expected)
    return BudgetCurve(who, trials, expected, low, high, 19200.0, chosen, 19200.0, 12.0, 11.0)


def made_sensitivity(k: int, who: str, level: float, sign: int) -> Sensitivity:
    """Return an optimum over the learning rate; the greatest rate failed."""
    x = tuple(1e-4 * 3**n for n in range(8))
    value = tuple(None if n == 7 else level * (1 + sign * 0.02 * (n - 3 - 0.5 * k) ** 2) for n in range(8))
    y = tuple(1e-2 * 2 ** (5 * n % 8) for n in range(8))
    number = Estimate(0.06 + 0.01 * k, 0.05, 0.09, 8)
    return Sensitivity(who, "optimizer.lr", x, value, number, chosen=x[3], second="optimizer.weight_decay", y=y)


def made_to_target(k: int, who: str, kind: str) -> ToTarget:
    """Return times to target: the first two always reach it, the third in some seeds, others never."""
    reached = (5, 5, 2, 0)[min(k, 3)]
    if reached < 3:
        none = Estimate(None, n=5)
        return ToTarget(who, kind, reached, 5, none, none, none, none, none, None)
    steps = 150.0 * (k + 1)
    return ToTarget(
        who,
        kind,
        reached,
        5,
        around(steps, 0.1),
        around(steps * 64, 0.1),
        around(steps * 0.002, 0.1),
        around(steps * 0.003, 0.1),
        around(steps * 8.9e6, 0.1),
        budget=0.5 * (k + 1) if kind == "complete" else None,
    )


def made_equivalent(k: int, who: str, reference: str, share: float) -> EquivalentBudget:
    """Return the first contender ahead of the reference, at the whole budget only by a bound, and the others behind."""
    bound = "at least" if k == 0 and share == 1.0 else ""
    value = min(2.0 if k == 0 else 0.9, 1 / share)
    low, high = value * 0.8, value * 1.3
    return EquivalentBudget(
        who,
        reference,
        share,
        Estimate(value, low if low > 0.25 / share else None, high if high < 1 / share else None, 5),
        bound,
        stands=share == (0.5 if k == 0 else 1.0),
    )


def made_resources(k: int, who: str) -> Resources:
    """Return resources that grow with k."""
    return Resources(
        contender=who,
        state_bytes=104488 * (1 + k % 3),
        parameter_bytes=104488,
        state_per_parameter=1.0 + k % 3,
        peak_bytes=430_919_680 + k * 2**20,
        step_ms=around(0.78 + 0.1 * k, 0.1),
        samples_per_second=around(40001.5 / (1 + 0.1 * k), 0.05),
        relative_speed=around(1.1 / (1 + 0.1 * k), 0.05),
        seconds={phase: 0.1 + 0.02 * n + (0.05 * k if phase == "optimizer" else 0) for n, phase in enumerate(PHASES)},
        shared_device=k == 2,
    )


def made_pictures(names: tuple[str, ...], root: Path) -> tuple[Picture, ...]:
    """Write two pictures for each contender, 32 x 32, below `root`."""
    from PIL import Image

    found = []
    for k, who in enumerate(names):
        for step in (20, 40):
            path = Path("lion-vit") / f"run-{k}" / "pictures" / f"generated-step-{step:09d}.png"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (60 * k % 256, 5 * step, 120)).save(root / path)
            found.append(Picture(who, f"run-{k}", "generated", step, str(path), 1000 + k))
    return tuple(found)


def made_across(names: tuple[str, ...]) -> Across:
    """Return the scores over both workloads."""
    taus = tuple(1 + 0.1 * n for n in range(31))
    workloads = ("mlp on digits", "gpt on docs")
    count = len(names)
    return Across(
        answer=(f"Across 2 workloads {names[0]} has the best mean rank.",),
        scores=tuple(
            Score(
                who,
                Estimate(0.9 - 0.2 * k, 0.8 - 0.2 * k, 0.95 - 0.2 * k, 2),
                Estimate(1.0 + k, max(1, 0.5 + k), 1.5 + k, 2),
                Estimate(1 - 0.3 * k, 0.9 - 0.3 * k, min(1.0, 1.05 - 0.3 * k), 2),
                Estimate(1.2 / (1 + k), 1.0 / (1 + k), 1.4 / (1 + k), 2),
                rank_first=0.97 if k == 0 else 0.01,
                minimum=0.8 - 0.2 * k,
                weakest=workloads[k % 2],
                by_workload={workloads[k % 2]: 0.8 - 0.2 * k, workloads[1 - k % 2]: 1.0 - 0.2 * k},
                equivalent=Estimate(1.5 - 0.2 * k, 1.2 - 0.2 * k, None if k == 0 else 1.8 - 0.2 * k, 2),
                equivalent_bound="at least" if k == 0 else "",
            )
            for k, who in enumerate(names)
        ),
        profiles=tuple(
            Profile(who, taus, tuple(float(tau >= 1 + 0.5 * k) * (0.5 if k == 2 else 1.0) for tau in taus))
            for k, who in enumerate(names)
        ),
        leave_one_out=tuple(LeaveOneOut(w, names, tuple(0.9 - 0.2 * k for k in range(count))) for w in workloads),
        ranks={w: {who: (1 if k == 0 else k, min(count, k + 1)) for k, who in enumerate(names)} for w in workloads},
        note="Scores are made of training seconds to target on 2 workloads.",
    )


def made_config(who: str, lr: float, seed: int) -> dict[str, Any]:
    """Return a resolved configuration."""
    return {
        "optimizer": {"name": who, "lr": lr, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.1, "engine": "auto"},
        "model": {"name": "mlp", "hidden": [128, 128], "task": {"label_smoothing": 0.0}},
        "data": {"name": "digits", "validation": 270, "augment": {"crop_pad": 1, "flip": False}},
        "schedule": {"name": "cosine", "warmup": 0.05, "floor": 0.0},
        "clip": {"name": "none"},
        "seed": seed,
        "steps": 300,
        "batch_size": 64,
        "precision": "fp32",
        "device": "auto",
        "threads": 1,
        "target": 0.974074,
        "data_dir": None,
    }


def made_runs(workload: Workload, names: tuple[str, ...], trials: int) -> list[RunDetail]:
    """Return `trials` runs of tuning and five of each winner."""
    found = []
    for who in names:
        cells = [("tune", n, 0) for n in range(trials)] + [("final", 3, seed) for seed in SEEDS]
        for number, (stage, trial, seed) in enumerate(cells):
            failed = who == names[-1] and number == len(cells) - 1
            lr = 0.001 * (1 + trial)
            found.append(
                RunDetail(
                    run_id=f"{workload.name.split()[0]}-{who}-s{seed}-{number:06x}",
                    study="lion-vit",
                    workload=workload.name,
                    contender=who,
                    stage=stage,
                    trial=trial,
                    seed=seed,
                    budget=1.0,
                    status="diverged" if failed else "completed",
                    reason="train_loss is nan at step 40" if failed else "",
                    val=None if failed else 0.95 - 0.001 * number,
                    test=None if failed or stage == "tune" else 0.94 - 0.001 * number,
                    train_seconds=None if failed else 0.48 + 0.001 * number,
                    hardware="cpu AMD EPYC, 2 cores",
                    command=f"optbench run optimizer={who} model=mlp optimizer.lr={lr} seed={seed}",
                    config=made_config(who, lr, seed),
                    folder=f"lion-vit/{workload.name.split()[0]}-{who}-s{seed}-{number:06x}",
                )
            )
    return found


def bare_report() -> Report:
    """Return one contender, one seed, no intervals, no test split, no records, nothing else."""
    lone = Estimate(0.9, n=1)
    none = Estimate(None)
    row = Row("sgd", "torch", 1, 1, none, lone, lone, none, none, None, (0.9,), (0,), 0, 0, None)
    workload = Workload(
        "mlp on digits", "accuracy", "max", "val_metric", None, 300, 64, (1.0,), ("Only sgd was run.",), (), (row,)
    )
    return Report(
        "runs",
        ("runs",),
        "optbench 0.1.0",
        "optbench report",
        ("Only sgd was run.",),
        (),
        (),
        0.95,
        (workload,),
        None,
        (),
        (),
        (),
    )


def failed_report() -> Report:
    """Return two contenders of which every run failed."""
    report = made_report(("sgd", "lion"))
    none = Estimate(None)
    workload = report.workloads[0]
    rows = tuple(
        replace(
            row, test=none, val=none, best_val=none, train=none, gap=none, sd=None, values=(), failed=5, tune_val=None
        )
        for row in workload.rows
    )
    unknown = {"p": None, "adjusted_p": None, "tie_p": None, "margin": None, "effect": None, "more_seeds": None}
    undecided = {"verdict": "undecided", "difference": none, "improvement": none}
    pairs = tuple(replace(pair, **unknown, **undecided) for pair in workload.pairs)
    measured = ("curves", "bands", "budget_curves", "sensitivity", "to_target", "ladder", "stability", "resources")
    nothing = ("No run has a result.",)
    workload = replace(workload, answer=nothing, rows=rows, pairs=pairs, pareto=(), **dict.fromkeys(measured, ()))
    return replace(report, workloads=(workload,), across=None, answer=nothing, claim=None)
