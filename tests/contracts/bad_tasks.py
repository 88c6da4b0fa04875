"""Tasks that cannot be trained, one name each; tests/contracts/test_bad_tasks.py says what is told of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from optbench.contracts import Turn
from optbench.tasks.base import BaseTask

ELSEWHERE = torch.ones(1, requires_grad=True)


def good(model: Any, batch: Any) -> Tensor:
    return functional.cross_entropy(model(batch["inputs"]), batch["labels"])


def none(model: Any, batch: Any) -> None: ...


def number(model: Any, batch: Any) -> float:
    return good(model, batch).item()


def detached(model: Any, batch: Any) -> Tensor:
    return good(model, batch).detach()


def elsewhere(model: Any, batch: Any) -> Tensor:
    return (ELSEWHERE * 2).sum()


def vector(model: Any, batch: Any) -> Tensor:
    return functional.cross_entropy(model(batch["inputs"]), batch["labels"], reduction="none")


def no_terms(model: Any, batch: Any) -> tuple[Tensor, int]:
    return good(model, batch), 0


def no_terms_on_device(model: Any, batch: Any) -> tuple[Tensor, Tensor]:
    return good(model, batch), torch.zeros(())


def in_place(model: Any, batch: Any) -> Tensor:
    batch["inputs"].mul_(2)
    return good(model, batch)


def wrong_key(model: Any, batch: Any) -> Tensor:
    return good(model, {"inputs": batch["images"], "labels": batch["labels"]})


def wrong_shape(model: Any, batch: Any) -> Tensor:
    return model(batch["inputs"]) @ torch.ones(3, 7)


def raises(model: Any, batch: Any) -> Tensor:
    raise RuntimeError("no such thing\nsecond line")


def one(model: Any) -> None: ...


def four(model: Any, batch: Any, a: int, b: int) -> None: ...


def reserved(model: Any, batch: Any, *, target: int = 1) -> Tensor:
    return good(model, batch)


def with_facts(metrics: object = (), **facts: object) -> Any:
    def loss(model: Any, batch: Any) -> Tensor:
        return good(model, batch)

    loss.__dict__.update({"metrics": metrics, **facts} if metrics != () else facts)
    return loss


def fails(model: Any, batch: Any) -> float:
    return 1 / 0


unclear = with_facts({"quality": good})
odd_name = with_facts({"val acc/%": good})
loss_name = with_facts({"loss": good})
column_name = with_facts({"grad_norm": good})
no_direction = with_facts({"accuracy": (good, "up")})
no_function = with_facts({"accuracy": 3})
no_mapping = with_facts([good])
metric_raises = with_facts({"accuracy": fails})
metric_vector = with_facts({"accuracy": vector})
metric_none = with_facts({"accuracy": none})
no_scale = with_facts(metric_scale="percent")
trivial_raises = with_facts(trivial=fails)
constant = 5


class Bare:
    def __init__(self, model: Any, data: Any, seeds: Any) -> None: ...


class Two:
    def __init__(self, model: Any, data: Any) -> None: ...


class NoLoss(BaseTask): ...


class Good(BaseTask):
    def loss(self, batch: Any) -> Any:
        return good(self.model, batch) * 8, 8


class NoTurn(Good):
    def turns(self, batch: Any, step: int) -> Iterable[Turn]:
        return []


class WrongPlayer(Good):
    def turns(self, batch: Any, step: int) -> Iterable[Turn]:
        yield Turn("generator", batch, self.loss)


class ScalarTurn(BaseTask):
    def loss(self, batch: Any) -> Any:
        return good(self.model, batch)


class NoMetric(Good):
    def score(self, gathered: Any) -> dict[str, float]:
        return {"loss": 1.0}


class TensorMetric(Good):
    def score(self, gathered: Any) -> Any:
        return {"loss": 1.0, "metric": torch.ones(3)}


class WrongDirection(Good):
    direction = "up"


class WrongMetric(Good):
    metric = "my metric"


class WrongPlayers(Good):
    def __init__(self, model: Any, data: Any, seeds: Any) -> None:
        super().__init__(model, data, seeds)
        self.players = [model]  # type: ignore[assignment]
