"""Optimizers as users write them, good and bad; the tests give each by its path."""

from __future__ import annotations

import collections
import functools
import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map


class Base(Optimizer):
    """Gradient descent; the others change one thing about it."""

    def __init__(self, params: Any, lr: float = 0.05, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = closure() if closure else None
        for group in self.param_groups:
            for p in group["params"]:
                self.update(p, group)
        return loss

    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        p.add_(p.grad, alpha=-group["lr"])


# -- good --------------------------------------------------------------------------------------------------------------


class Infinite(Base):
    def __init__(self, params: Any, lr: float = 0.05, growth_rate: float = float("inf")) -> None:
        assert growth_rate in (math.inf, 3.0), growth_rate
        super().__init__(params, lr)


class Named(Base):
    def __init__(self, named_parameters: Any, lr: float = 0.05, weight_decay: float = 0.0) -> None:
        pairs = list(named_parameters)
        assert all(isinstance(name, str) for name, _ in pairs)
        super().__init__([tensor for _, tensor in pairs], lr, weight_decay)


class WantsModel(Base):
    def __init__(self, model: Any, lr: float = 0.1) -> None:
        super().__init__(model.parameters(), lr)


class ParamsLast(Base):
    def __init__(self, lr: float = 0.05, params: Any = ()) -> None:
        super().__init__(params, lr)


class KeywordsAlone(Base):
    def __init__(self, *, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr)


class OddDefaults(Base):
    def __init__(
        self,
        params: Any,
        lr: float = 0.05,
        split: tuple[float, ...] = (1, 0.5),
        nothing: None = None,
        dtype: Any = torch.float32,
        function: Any = len,
        nan: float = math.nan,
    ) -> None:
        assert split == (1, 0.5)
        assert dtype is torch.float32
        super().__init__(params, lr)


class TensorLr(Base):
    def __init__(self, params: Any, lr: Any = None) -> None:
        super().__init__(params, torch.tensor(0.05) if lr is None else lr)


class NoneFromStep(Base):
    def step(self, closure: Any = None) -> None:
        super().step()


class OnlyClosure(Base):
    def step(self, closure: Any) -> float:
        with torch.enable_grad():
            return float(super().step(closure))


class NewData(Base):
    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        p.data = p.data - group["lr"] * p.grad


class Swaps(Base):
    """Refuses `train` and `eval` before its first step, as some schedule-free optimizers do."""

    begun = False

    def train(self) -> None:
        assert self.begun

    def eval(self) -> None:
        assert self.begun

    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        self.begun = True
        super().update(p, group)


class Sam(Optimizer):
    """Two gradient evaluations a step, the second by an inner optimizer."""

    about: ClassVar[Any] = {"evaluations": 2}

    def __init__(self, params: Any, base_optimizer: Any, lr: float = 0.1, rho: float = 0.05) -> None:
        super().__init__(params, {"lr": lr, "rho": rho})
        self.inner = base_optimizer(self.param_groups, lr=lr)
        self.param_groups = self.inner.param_groups

    def step(self, closure: Any) -> Any:
        loss = closure()
        closure()
        self.inner.step()
        return loss


class MomentumSam(Sam):
    """Its state dict forgets the momentum of the inner optimizer."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, functools.partial(torch.optim.SGD, momentum=0.9), lr)


class UndeclaredSam(Sam):
    about: ClassVar[Any] = {}

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, torch.optim.SGD, lr)


class Matrices(Base):
    about: ClassVar[Any] = {"takes": "matrices"}

    def __init__(self, params: Any, lr: float = 0.05, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr, weight_decay)
        assert all(p.ndim == 2 for group in self.param_groups for p in group["params"])


class Ranks(Base):
    """GaLore's kind: what its groups lack, it does without."""

    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        if "rank" in group:
            assert p.ndim == 2 and group["rank"] > 0
        super().update(p, group)


class RanksGiven(Ranks):
    about: ClassVar[Any] = {"groups": {"matrices": {"rank": 8}, "rest": {}}}


class Searched(Base):
    search: ClassVar[Any] = {"lr": "log [1e-3, 1e-1]"}
    about: ClassVar[Any] = {"needs": [], "evaluations": 1, "valid": {"lr": "[0, 1]"}, "paper": "none"}


def factory(params: Any, lr: float = 0.05, nesterov: bool = True) -> Optimizer:
    return torch.optim.SGD(params, lr=lr, momentum=0.9, nesterov=nesterov)


partial = functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9)


class Packed(Tensor):
    """A tensor in eight bits, with its scale, as libraries of low-precision optimizers have them."""

    @staticmethod
    def __new__(cls, codes: Tensor, scale: Tensor) -> Packed:
        return Tensor._make_wrapper_subclass(cls, codes.shape, dtype=torch.float32)  # type: ignore[attr-defined]

    def __init__(self, codes: Tensor, scale: Tensor) -> None:
        self.codes, self.scale = codes, scale

    def __tensor_flatten__(self) -> tuple[list[str], list[Any]]:
        return ["codes", "scale"], []

    @classmethod
    def __tensor_unflatten__(cls, inner: Any, meta: Any, size: Any = None, stride: Any = None) -> Packed:
        return cls(inner["codes"], inner["scale"])

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Packed, (self.codes, self.scale)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        plain = tree_map(lambda x: x.codes * x.scale if isinstance(x, Packed) else x, (args, kwargs or {}))
        return func(*plain[0], **plain[1])


class Hidden(Packed):
    """One that doesn't say what it is made of."""

    def __init__(self, codes: Tensor, scale: Tensor) -> None:
        self.inside = lambda: (codes, scale)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Hidden, self.inside()


torch.serialization.add_safe_globals([Packed, Hidden])


class EightBits(Base):
    kind: type[Packed] = Packed

    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        self.state[p]["m"] = self.kind(torch.zeros(p.shape, dtype=torch.int8), torch.ones(()))
        super().update(p, group)


class HiddenBits(EightBits):
    kind = Hidden


class Projector:
    def __init__(self, size: int) -> None:
        self.basis = torch.zeros(size)


class Projects(Base):
    """Tensors inside objects count."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr)
        self.projector = Projector(100)


# -- bad ---------------------------------------------------------------------------------------------------------------


class RaisesAtFirst(Base):
    def __init__(self, params: Any, lr: float = 0.1) -> None:
        raise RuntimeError("no way")


class RaisesInStep(Base):
    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        raise ValueError("the step is broken")


class RaisesInStateDict(Base):
    def state_dict(self) -> Any:
        raise KeyError("nowhere")


class StepWantsMore(Base):
    def step(self, loss: Any) -> None:  # type: ignore[override]
        pass


class OtherLr(Optimizer):
    def __init__(self, params: Any, learning_rate: float = 0.05) -> None:
        super().__init__(params, {"learning_rate": learning_rate})

    def step(self, closure: Any = None) -> None: ...


class TakenWord(Base):
    def __init__(self, params: Any, lr: float = 0.1, impl: str = "fast") -> None:
        super().__init__(params, lr)


class TwoDimensions(Base):
    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
        raise ValueError("supports 2D parameters alone")


class WrongFact(Base):
    about: ClassVar[Any] = {"evaluation": 2}


class WrongForm(Base):
    about: ClassVar[Any] = {"needs": "closure"}


class WrongTakes(Base):
    about: ClassVar[Any] = {"takes": "matrixes"}


class SearchesNothing(Base):
    search: ClassVar[Any] = {"lrr": "log [1e-3, 1e-1]"}


class WrongInterval(Base):
    search: ClassVar[Any] = {"lr": "lg [1e-3, 1e-1]"}


class SearchIsAList(Base):
    search: ClassVar[Any] = ["lr"]


class Forgets(Base):
    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(next(iter(params))["params"][:1], lr)


class KeepsDeques(Base):
    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        self.state[p].setdefault("losses", collections.deque()).append(1.0)
        super().update(p, group)


class KeepsArrays(Base):
    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        self.state[p]["m"] = p.grad.numpy().copy()
        super().update(p, group)


class KeepsFunctions(Base):
    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        group["decay"] = lambda step: 0.5


NUMBER = 3


class NotAnOptimizer:
    def __init__(self, params: Any, lr: float = 0.1) -> None: ...


# -- around a fused optimizer ------------------------------------------------------------------------------------------


class PassesOn:
    """A wrapper that has no attribute of its own."""

    def __init__(self, params: Any, lr: float = 1e-3) -> None:
        self.inner = torch.optim.AdamW(params, lr=lr, fused=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["inner"], name)

    def step(self) -> None:
        self.inner.step()


class HoldsAnother(Optimizer):
    """A wrapper that copies the marks of the inner optimizer, as some do with its defaults."""

    def __init__(self, params: Any, lr: float = 1e-3) -> None:
        self.inner = torch.optim.AdamW(params, lr=lr, fused=True)
        super().__init__(self.inner.param_groups, self.inner.defaults)
        self.param_groups = self.inner.param_groups
        self._step_supports_amp_scaling = True

    def step(self) -> None:  # type: ignore[override]
        self.inner.step()


class FusedMatrices(torch.optim.AdamW):
    """An optimizer of matrices alone, by a fused kernel."""

    about: ClassVar[dict[str, Any]] = {"takes": "matrices"}

    def __init__(self, params: Any, lr: float = 1e-3) -> None:
        super().__init__(params, lr=lr, fused=True)
