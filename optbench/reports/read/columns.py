"""The columns of the table of runs: what each means and its type. None: not known.

Metrics are in their own units, times in seconds, sizes in bytes."""

from __future__ import annotations

import types
from typing import Annotated, Literal, TypedDict, get_args, get_origin, get_type_hints


class RunRow(TypedDict):
    """One run as a row of the table of runs."""

    study: Annotated[str, "the run's study, a folder"]
    run_id: Annotated[str, "the run's name"]
    trial_id: Annotated[str | None, "shared by runs that differ by seed alone"]
    stage: Annotated[str, "tune, final, or empty for a plain run"]
    seed: Annotated[int, "the run's seed"]
    cell: Annotated[str | None, "label of the cell of its study"]
    trial: Annotated[int | None, "number of the point in its search box"]
    group: Annotated[int | None, "number of the scramble that the point belongs to"]
    budget: Annotated[float | None, "share of the workload's budget"]
    workload: Annotated[str, "model-data, and whatever else sets the workload apart"]
    contender: Annotated[str, "what is compared on the workload"]
    optimizer: Annotated[str, "name of its file under conf/optimizer"]
    implementation: Annotated[str | None, "the library that the optimizer comes from"]
    model: Annotated[str, "name of its file under conf/model"]
    script: Annotated[str | None, "path of the training script"]
    data: Annotated[str, "name of its file under conf/data"]
    steps: Annotated[int, "of the whole schedule"]
    batch_size: Annotated[int, "samples a step"]
    threads: Annotated[int | None, "of torch on the CPU"]
    precision: Annotated[str | None, "fp32, tf32, bf16 or fp16"]
    hardware: Annotated[str | None, "device and cores"]
    shared: Annotated[bool, "true if several runs shared the device"]
    data_sha256: Annotated[str | None, "hash of the samples"]
    content_sha256: Annotated[str | None, "hash of the user's own files and code behind model and data"]
    source_sha256: Annotated[str | None, "hash of the user's own code that the run trained with"]
    optbench_version: Annotated[str | None, "version of optbench that trained"]
    torch_version: Annotated[str | None, "version of torch that trained"]
    git_commit: Annotated[str | None, "commit of optbench that trained"]
    started_at: Annotated[str | None, "when the run was started, or resumed"]
    status: Annotated[str, "how the run ended; open: not yet, pruned: stopped by tuning"]
    reason: Annotated[str | None, "why it ended this way"]
    metric: Annotated[str | None, "the task's metric"]
    direction: Annotated[str | None, "max or min"]
    metric_scale: Annotated[str | None, "values of the metric: share, positive, decades or real"]
    val_samples: Annotated[int | None, "samples of validation"]
    test_samples: Annotated[int | None, "samples of test"]
    val: Annotated[float | None, "metric on validation at the end"]
    test: Annotated[float | None, "metric on test at the end"]
    train: Annotated[float | None, "metric on training samples without augmentation at the end"]
    val_loss: Annotated[float | None, "loss on validation at the end"]
    test_loss: Annotated[float | None, "loss on test at the end"]
    train_loss: Annotated[float | None, "loss on training samples without augmentation at the end"]
    val_trivial: Annotated[float | None, "metric on validation of the trivial answer"]
    test_trivial: Annotated[float | None, "metric on test of the trivial answer"]
    best_val: Annotated[float | None, "best metric on validation of all evaluations"]
    best_step: Annotated[int | None, "step of the best metric"]
    target: Annotated[float | None, "metric on validation that counts as trained"]
    steps_done: Annotated[int | None, "optimizer steps taken"]
    samples: Annotated[int | None, "samples consumed"]
    gradient_evaluations: Annotated[int | None, "gradient evaluations done"]
    train_seconds: Annotated[float | None, "data, forward, backward and optimizer"]
    wall_seconds: Annotated[float | None, "everything"]
    seconds: Annotated[dict[str, float | None] | None, "by phase"]
    parameter_bytes: Annotated[int | None, "of parameters"]
    gradient_bytes: Annotated[int | None, "of gradients"]
    state_bytes: Annotated[int | None, "of optimizer state, all types together"]
    peak_bytes: Annotated[int | None, "peak allocated on a device, else peak resident memory of the process"]
    samples_per_second: Annotated[float | None, "samples over train_seconds"]
    step_ms_median: Annotated[float | None, "median training step"]
    step_ms_p95: Annotated[float | None, "95th percentile of the training step"]
    flops_per_step: Annotated[float | None, "floating-point operations of a step, forward and backward"]
    core_wait_share: Annotated[float | None, "share of the threads' time that they waited for a core"]
    resumed: Annotated[bool | None, "true if the run was resumed from a checkpoint"]
    notes: Annotated[list[str] | None, "what a training script leaves open, a sentence each"]
    unread: Annotated[list[str] | None, "keys of the budget that a training script never read: steps, batch_size"]
    pictures: Annotated[list[str] | None, "picture files, relative to the results folder"]
    searched: Annotated[list[str] | None, "keys that tuning searched"]
    given: Annotated[list[str] | None, "what this contender alone was given: key=value (source)"]
    overrides: Annotated[list[str] | None, "words that reproduce the run"]
    config_dir: Annotated[str | None, "the user's configuration folder"]
    typed_in: Annotated[str | None, "the folder that paths in the overrides are relative to"]
    config: Annotated[str | None, "resolved configuration, as JSON"]
    folder: Annotated[str, "the run's folder, relative to the results folder"]


Name = Literal["workload", "contender"]


def _type_of(hint: object) -> type:
    """Return the plain type of a column: float of `float | None`, list of `list[str]`."""
    if get_origin(hint) is types.UnionType:
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    kind = get_origin(hint) or hint
    assert isinstance(kind, type)
    return kind


COLUMNS: dict[str, tuple[type, str]] = {
    name: (_type_of(hint.__origin__), hint.__metadata__[0])
    for name, hint in get_type_hints(RunRow, include_extras=True).items()
}
"""{column: (type, meaning)}"""


def number_in(run: RunRow, column: str) -> float | None:
    """Return a numeric column of a run by its name."""
    value = run.get(column)
    assert value is None or isinstance(value, (int, float)), f"{column} is not a column of numbers"
    return value
