"""Hugging Face transformers: a `Trainer` with optbench's optimizer, schedule and records.

run = optbench.attach(metric="eval_accuracy", direction="max")
trainer = Trainer(model, **trainer_options(run, model, metric="eval_accuracy"), ...)
trainer.train(resume_from_checkpoint=last_checkpoint(run))
run.finish(val_metric=trainer.evaluate()["eval_accuracy"])
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from optbench.errors import ConfigError, MissingError
from optbench.files import read_json_file
from optbench.integrations.phases import OpenPhase
from optbench.scripts.closures import ClosureOptimizer

try:
    import accelerate  # noqa: F401  # transformers itself asks for it when the Trainer is made
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ModuleNotFoundError as error:
    raise MissingError(
        f"optbench.integrations.transformers needs the package {error.name}", f"pip install {error.name}"
    ) from error

if TYPE_CHECKING:
    from optbench.scripts.attach import AttachedRun

LAST_FILE = "trainer_state.json"
"""The file of a checkpoint that a Trainer writes last."""
BATCH = "per_device_train_batch_size"
LENGTHS = ("max_steps", "num_train_epochs")


class OptbenchCallback(TrainerCallback):
    """Clip, record, time and stop as the run asks. `metric`: its name in what `trainer.evaluate()` returns.

    The time of a step up to its optimizer counts as forward: a Trainer does not say where backward begins."""

    def __init__(self, run: AttachedRun, metric: str = "eval_loss") -> None:
        self.run, self.metric, self.phase = run, metric, OpenPhase(run)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Show a loss that is nan: transformers would log the mean of the others in its place."""
        args.logging_nan_inf_filter = False
        self.phase.begin("data")

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Time the step."""
        self.phase.begin("forward")

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *, model: nn.Module, **_: Any
    ) -> None:
        """Clip the gradients as the run asks."""
        self.phase.begin("optimizer")
        self.run.clip(model)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Stop where the run is to stop, with a checkpoint if any are saved."""
        if self.run.should_stop:
            control.should_training_stop = True
            control.should_save = control.should_save or args.save_strategy != "no"
        self._after_step(control.should_evaluate, control.should_save)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Time what comes after a checkpoint."""
        self._after_step(False, False)

    def _after_step(self, evaluates: bool, saves: bool) -> None:
        self.phase.begin("evaluation" if evaluates else "checkpoint" if saves else "data")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Time the training only."""
        self.phase.end()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        logs: Mapping[str, Any],
        **_: Any,
    ) -> None:
        """Record the training loss."""
        if "loss" in logs:
            found = {"train_loss": logs["loss"], "lr": logs.get("learning_rate"), "grad_norm": logs.get("grad_norm")}
            self.run.log(step=state.global_step, samples=samples(args, state), **found)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        metrics: Mapping[str, Any],
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        """Record an evaluation on validation data. Weights that the optimizer lent for it go back first: a checkpoint
        of this step is to hold those that are trained."""
        getattr(optimizer, "train", lambda: None)()
        if "eval_loss" in metrics or self.metric in metrics:
            found = {"val_loss": metrics.get("eval_loss"), "val_metric": metrics.get(self.metric)}
            self.run.log(step=state.global_step, samples=samples(args, state), **found)
        if control.should_evaluate:
            self._after_step(False, control.should_save)


def optimizers(run: AttachedRun, model: nn.Module, steps: int | None = None) -> tuple[torch.optim.Optimizer, Any]:
    """Return the run's optimizer, and its schedule over `steps` (the budget): a Trainer's argument `optimizers`.

    Raises ConfigError for an optimizer that evaluates the loss itself, such as SAM."""
    optimizer = run.optimizer(model)
    if isinstance(optimizer, ClosureOptimizer):
        raise ConfigError(
            f"optimizer={optimizer.name} evaluates the loss in its step, and a Trainer passes no closure",
            "Use another optimizer, or a loop of your own with optimizer.step(closure)",
        )
    return optimizer, run.schedule(optimizer, steps)


def samples(args: TrainingArguments, state: TrainerState) -> int:
    """Return the training samples consumed, accumulated batches and other ranks counted."""
    return state.global_step * args.train_batch_size * args.gradient_accumulation_steps * args.world_size


def trainer_options(run: AttachedRun, model: nn.Module, metric: str = "eval_loss", **arguments: Any) -> dict[str, Any]:
    """Return a Trainer's `args`, `optimizers` and `callbacks`: the three functions of this file in one.

    `metric`: of OptbenchCallback; `arguments`: of TrainingArguments, on top of those of the run."""
    return {
        "args": training_arguments(run, **arguments),
        "optimizers": optimizers(run, model),
        "callbacks": [OptbenchCallback(run, metric)],
    }


def training_arguments(run: AttachedRun, **arguments: Any) -> TrainingArguments:
    """Return TrainingArguments with the run's seed, budget, batch size and folder of checkpoints (the newest is kept).
    Transformers reports nothing by itself. `arguments` come on top.

    Gradients are clipped by the callback as the run asks, not by the Trainer."""
    folder = run.checkpoint_folder
    ours: dict[str, Any] = {
        "output_dir": str(folder or tempfile.gettempdir()),
        "save_strategy": "steps" if folder else "no",
        "save_total_limit": 1,
        "seed": run.seed,
        "per_device_eval_batch_size": run.config.eval_batch_size,
        "logging_steps": run.config.record_every,
        "max_grad_norm": 0.0,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),  # transformers warns about it on a CPU
    }
    if BATCH not in arguments:
        ours[BATCH] = run.batch_size
    if not set(LENGTHS) & arguments.keys():
        ours["max_steps"] = run.steps
    return TrainingArguments(**{**ours, **arguments})


def last_checkpoint(run: AttachedRun) -> str | None:
    """Return the newest whole checkpoint in the run's folder, for `resume_from_checkpoint`; None if there is none."""
    found = Path(run.checkpoint_folder).glob("checkpoint-*") if run.checkpoint_folder else ()
    steps = {folder: folder.name.rpartition("-")[2] for folder in found}
    newest_first = sorted((folder for folder in steps if steps[folder].isdecimal()), key=lambda f: -int(steps[f]))
    return next((str(folder) for folder in newest_first if is_whole(folder)), None)


def is_whole(checkpoint: Path) -> bool:
    """Return True for a checkpoint that was written to its end."""
    try:
        return isinstance(read_json_file(checkpoint / LAST_FILE), dict)
    except (OSError, ValueError):
        return False
