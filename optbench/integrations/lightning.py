"""Lightning: a `Trainer` with optbench's optimizer, schedule and records; of `lightning` or of `pytorch_lightning`.

run = optbench.attach(metric="val_accuracy", direction="max")

class Net(LightningModule):
    def configure_optimizers(self):
        return optimizers(run, self)

trainer = Trainer(max_steps=run.steps, callbacks=[OptbenchCallback(run, metric="val_accuracy")], ...)
trainer.fit(net, ...)
run.finish(val_metric=trainer.validate(net, ...)[0]["val_accuracy"])
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from torch import Tensor

from optbench.errors import ConfigError, MissingError
from optbench.integrations.phases import OpenPhase
from optbench.scripts.closures import ClosureOptimizer

if TYPE_CHECKING:
    from optbench.scripts.attach import AttachedRun

PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def package() -> Any:
    """Return the Lightning package that is in use, else the first one that is installed. Raises MissingError."""
    for name in sorted(PACKAGES, key=lambda name: name not in sys.modules):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise MissingError("optbench.integrations.lightning needs the package lightning", "pip install lightning")


Callback: Any = package().Callback


class OptbenchCallback(Callback):
    """Clip, record, time, evaluate and stop as the run asks. `metric`: the name under which the module logs it."""

    def __init__(self, run: AttachedRun, metric: str = "val_loss") -> None:
        self.run, self.metric, self.phase = run, metric, OpenPhase(run)
        self.lent = ExitStack()
        """The loan of the weights to evaluate."""
        self.step = 0

    # -- training ----------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Time the first batch; go on from the step of a checkpoint."""
        self.step = trainer.global_step
        self.phase.begin("data")

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Time the forward pass."""
        self.phase.begin("forward")

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        """Time the backward pass."""
        self.phase.begin("backward")

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Clip the gradients as the run asks."""
        self.phase.begin("optimizer")
        self.run.clip(pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Record the training loss after each step of an optimizer; stop where the run is to stop."""
        self.phase.begin("data")
        if trainer.global_step > self.step:
            self.step = trainer.global_step
            self.run.log(step=self.step, train_loss=loss_of(outputs, trainer.accumulate_grad_batches))
        if self.run.should_stop:
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Time the training only."""
        self.phase.end()

    # -- evaluation --------------------------------------------------------------------------------------------------

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Lend the weights to evaluate, where the optimizer has any of its own."""
        self.phase.begin("evaluation")
        for optimizer in trainer.optimizers:
            self.lent.enter_context(self.run.eval_weights(optimizer, pl_module))

    on_test_start = on_validation_start

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Give the training weights back, and record the metrics of the validation."""
        self.on_test_end(trainer, pl_module)
        found = {"val_loss": trainer.callback_metrics.get("val_loss")}
        found["val_metric"] = trainer.callback_metrics.get(self.metric)
        if not trainer.sanity_checking and any(value is not None for value in found.values()):
            self.run.log(step=trainer.global_step, **found)

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Give the training weights back."""
        self.lent.close()
        if trainer.training:
            self.phase.begin("data")
        else:
            self.phase.end()


def loss_of(outputs: Any, accumulated: int) -> Tensor | None:
    """Return the loss of a training step from what `on_train_batch_end` gets; None if the step returned none.

    Lightning has divided a loss in a mapping by the number of accumulated batches."""
    if isinstance(outputs, Mapping):
        loss = outputs.get("loss")
        return loss * accumulated if isinstance(loss, Tensor) else None
    return outputs if isinstance(outputs, Tensor) else None


def optimizers(run: AttachedRun, module: Any, steps: int | None = None) -> dict[str, Any]:
    """Return what `configure_optimizers` returns: the run's optimizer, and its schedule by step.

    `module`: the LightningModule; `steps`: of the schedule, by default those that the Trainer is going to take. With
    manual optimization, step the schedule yourself: `self.lr_schedulers().step()`. Raises ConfigError for an optimizer
    that calls the loss itself, such as SAM, with manual optimization: Lightning would give it a loss that is none."""
    optimizer = run.optimizer(module)
    if isinstance(optimizer, ClosureOptimizer) and not module.automatic_optimization:
        raise ConfigError(
            f"optimizer={optimizer.name} evaluates the loss in its step, and manual optimization passes no closure",
            "Use automatic optimization, or another optimizer",
        )
    scheduler = run.schedule(optimizer, steps or int(module.trainer.estimated_stepping_batches))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
