r"""K-FAC (Martens and Grosse, 2015, Optimizing Neural Networks with Kronecker-factored Approximate Curvature,
arXiv:1503.05671; convolutions: Grosse and Martens, 2016, arXiv:1602.01407), block-diagonal, with factored damping.

For a layer y = W a + b with theta = [W b], abar = [a; 1], G its gradient, and g the gradient of one sample's loss in y:

    A_t  = ema A_{t-1} + (1 - ema) mean(abar abar^T);   S_t likewise with mean(g g^T)      (first: the means whole)
    pi   = sqrt((trace(A) / dim(A)) / (trace(S) / dim(S)))
    A^-1 = (A_t + pi sqrt(damping) I)^-1;   S^-1 = (S_t + sqrt(damping) / pi I)^-1         every `interval` steps
    b_t  = momentum b_{t-1} + S^-1 (G + weight_decay theta_{t-1}) A^-1;   theta_t = theta_{t-1} - lr b_t

Every other parameter follows b_t = momentum b_{t-1} + g + weight_decay theta. Without bias abar = a.

Fisher: as in the paper, at targets sampled from the model, not at the batch's own ("empirical"). The factors come from
`curvature.sampled_gradients`, a second forward and backward pass in every step, counted as one. Hooks are on the layers
for that pass alone, so that neither training nor evaluation nor copies of the model know of them.

Scale of g: that pass differentiates the loss summed over samples, whatever the micro-batches, so what arrives at a
layer is each sample's own g, and S divides by the number of terms in the mean loss. Clips and loss scales act on G
alone.

Positions: where a layer is applied at many positions (tokens, pixels), each is a row of its own: A is the mean over all
rows, S sums over positions and takes the mean over terms. Grosse and Martens sum in A and average in S; pi makes both
the same step. Where positions are the terms (language models), each is simply a sample.

Taken: Linear and Conv2d (ungrouped, zero padding in numbers) whose weights no other module shares and whose factors
have at most 8192 rows. A layer with no trace of curvature so far (output gradients all zero, behind a head that starts
at zero) goes by the last formula. Factors that are not positive definite, NaN say, make the weights NaN. State: the
buffer, and 2 (m^2 + n^2) floats for an m x n layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench.contracts import Problem
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.linear_algebra import as_matrix, at_least_float32

LARGEST_SIDE = 8192  # rows of a factor: 256 MiB in fp32, and seconds to invert
LEAST_TRACE = 1e-30  # of a factor whose evidence has long been zero


def follow(factors: dict[str, Any], a: Tensor, s: Tensor, damping: float, ema: float, interval: int) -> None:
    """One step of a layer's factors in place, from the means of abar abar^T (n, n) and g g^T (m, m)."""
    new = 1 - ema if factors["heard"] else 1.0
    factors["a"].lerp_(a.to(factors["a"].dtype), new)
    factors["s"].lerp_(s.to(factors["s"].dtype), new)
    if factors["heard"] % interval == 0:
        inverses = damped_inverses(factors["a"], factors["s"], damping)
        for name, inverse in zip(("a_inverse", "s_inverse"), inverses, strict=True):
            factors[name].copy_(inverse)
    factors["heard"] += 1


def damped_inverses(a: Tensor, s: Tensor, damping: float) -> Iterator[Tensor]:
    """(A + pi sqrt(damping) I)^-1 and (S + sqrt(damping) / pi I)^-1."""
    a, s = at_least_float32(a), at_least_float32(s)
    mean_a, mean_s = (factor.trace().clamp(min=LEAST_TRACE) / len(factor) for factor in (a, s))
    pi = (mean_a / mean_s).sqrt()
    for factor, shift in ((a, pi * damping**0.5), (s, damping**0.5 / pi)):
        eye = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
        root, failed = torch.linalg.cholesky_ex(factor + shift * eye)  # one that raises would wait for the device
        yield torch.cholesky_inverse(root).masked_fill(failed > 0, torch.nan)


def descend(theta: Tensor, direction: Tensor, b: Tensor, lr: float, momentum: float) -> None:
    """Heavy-ball momentum in place."""
    theta.sub_(b.mul_(momentum).add_(direction), alpha=lr)


@dataclass(frozen=True)
class Layer:
    """A Linear or Conv2d with its trained weight and, where it is trained, its bias."""

    module: nn.Module
    weight: Tensor
    bias: Tensor | None

    @property
    def sides(self) -> tuple[int, int]:
        """(n, m): rows of A and of S."""
        return self.weight[0].numel() + (self.bias is not None), len(self.weight)

    def input_rows(self, inputs: Tensor) -> Tensor:
        """abar for every sample and position, (R, n): for a convolution the patches under its kernel."""
        module = self.module
        if isinstance(module, nn.Conv2d):
            how = (module.kernel_size, module.dilation, module.padding, module.stride)
            inputs = functional.unfold(at_least_float32(inputs), *how).mT
        rows = inputs.reshape(-1, self.weight[0].numel())
        return rows if self.bias is None else functional.pad(rows, (0, 1), value=1.0)

    def output_rows(self, gradient: Tensor) -> Tensor:
        """g for every sample and position, (R, m)."""
        if isinstance(self.module, nn.Conv2d):
            gradient = gradient.movedim(-3, -1)
        return gradient.reshape(-1, len(self.weight))

    def precondition(self, directions: dict[Tensor, Tensor], factors: Mapping[str, Any]) -> None:
        """S^-1 G A^-1 in the place of G; the bias is G's last column, zeros where it has no gradient."""
        weight, bias = directions[self.weight], self.bias
        matrix = as_matrix(weight)
        if bias is not None:
            column = directions.get(bias, torch.zeros_like(bias))
            matrix = torch.cat([matrix, column[:, None]], 1)
        matrix = factors["s_inverse"] @ matrix @ factors["a_inverse"]
        directions[self.weight] = matrix[:, : weight[0].numel()].view_as(weight)
        if bias in directions:
            directions[bias] = matrix[:, -1]


def layers_of(problem: Problem) -> Iterator[Layer]:
    """The layers that are preconditioned."""
    trained = {id(p.tensor) for p in problem.parameters}
    owners = Counter(id(p) for module in problem.modules.values() for p in module.parameters(recurse=False))
    for module in problem.modules.values():
        if not fits(module):
            continue
        weight, bias = module._parameters.get("weight"), module._parameters.get("bias")
        if id(weight) in trained and max(owners[id(weight)], owners[id(bias)]) == 1:
            layer = Layer(module, weight, bias if id(bias) in trained else None)
            if max(layer.sides) <= LARGEST_SIDE:
                yield layer


def fits(module: nn.Module) -> bool:
    """Whether a module computes what K-FAC has a formula for; a subclass with a forward of its own may not."""
    if type(module).forward is nn.Conv2d.forward:
        return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return type(module).forward is nn.Linear.forward


class Evidence:
    """What one pass tells of a layer: sums of abar abar^T and of g g^T over rows."""

    def __init__(self, layer: Layer) -> None:
        self.layer, self.rows = layer, 0
        self.a, self.s = (layer.weight.new_zeros(()) for _ in layer.sides)

    def forward_hook(
        self, module: nn.Module, args: Sequence[Tensor], kwargs: Mapping[str, Any], output: Tensor
    ) -> None:
        """Hear the inputs, and ask for the gradient of the outputs."""
        if output.requires_grad:
            rows = self.layer.input_rows((args[0] if args else kwargs["input"]).detach())
            self.a, self.rows = self.a + gram(rows), self.rows + len(rows)
            output.register_hook(self.backward_hook)

    def backward_hook(self, gradient: Tensor) -> None:
        """Hear the gradient of the summed loss."""
        self.s = self.s + gram(self.layer.output_rows(gradient.detach()))


def gram(rows: Tensor) -> Tensor:
    """X^T X of rows (R, n), in at least float32 even where the pass runs in less."""
    with torch.autocast(rows.device.type, enabled=False):
        rows = at_least_float32(rows)
        return rows.mT @ rows


@contextmanager
def listening(layers: Iterable[Layer]) -> Iterator[list[Evidence]]:
    """Evidence of the passes inside a block; compiled models run uncompiled in it, for else they pass hooks over."""
    evidence = [Evidence(layer) for layer in layers]
    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        for heard in evidence:
            handle = heard.layer.module.register_forward_hook(heard.forward_hook, with_kwargs=True)
            stack.callback(handle.remove)
        yield evidence


class KFAC(RuleOptimizer):
    """Gradients of layers preconditioned by Kronecker factors of the Fisher matrix."""

    def __init__(
        self,
        params: Iterable[Any],
        *,
        problem: Problem,
        lr: float,
        damping: float,
        ema: float,
        momentum: float,
        weight_decay: float,
        interval: int,
    ) -> None:
        defaults = {"lr": lr, "damping": damping, "ema": ema, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "interval": interval})
        self.problem = problem
        self.layers = {layer.weight: layer for layer in layers_of(problem)}

    def new_state(self, theta: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The buffer; for a layer's weight its factors, how often they were heard, and inverses that change nothing."""
        state: dict[str, Any] = {"b": torch.zeros_like(theta)}
        if theta not in self.layers:
            return state
        for name, side in zip(("a", "s"), self.layers[theta].sides, strict=True):
            state[name] = theta.new_zeros(side, side)
            state[f"{name}_inverse"] = torch.eye(side, dtype=theta.dtype, device=theta.device)
        return {**state, "heard": 0}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every parameter that has a gradient; returns the closure's loss, if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        active = {theta: (group, state) for theta, group, state in self._active()}
        layers = [layer for weight, layer in self.layers.items() if weight in active]
        for layer, a, s in self.evidence(layers):
            group, factors = active[layer.weight]
            follow(factors, a, s, group["damping"], group["ema"], group["interval"])
        directions = {theta: theta.grad.add(theta, alpha=g["weight_decay"]) for theta, (g, _) in active.items()}
        for layer in layers:
            layer.precondition(directions, active[layer.weight][1])
        for theta, (group, state) in active.items():
            descend(theta, directions[theta], state["b"], group["lr"], group["momentum"])
        return loss

    def evidence(self, layers: list[Layer]) -> Iterator[tuple[Layer, Tensor, Tensor]]:
        """Each layer that says anything, with its means of abar abar^T and g g^T at sampled targets."""
        if not layers:
            return
        # the gradient of a bias is the cheapest that makes the backward pass reach a layer's output
        reached = [layer.weight if layer.bias is None else layer.bias for layer in layers]
        with listening(layers) as evidence:
            _, count = self.problem.curvature.sampled_gradients(reached)
        for heard in evidence:
            if heard.s.ndim and (self.state[heard.layer.weight]["heard"] or heard.s.trace() * heard.a.trace() > 0):
                yield heard.layer, heard.a / heard.rows, heard.s / count
