r"""K-FAC (Martens and Grosse, 2015, Optimizing Neural Networks with Kronecker-factored Approximate Curvature,
arXiv:1503.05671; convolutions: Grosse and Martens, 2016, arXiv:1602.01407), block-diagonal, with factored damping.

For a layer y = W a + b with theta = [W b], abar = [a; 1], G the gradient of theta, and g the gradient of one sample's
loss with respect to y:

    A_t  = e A_{t-1} + (1 - e) mean(abar abar^T);   S_t likewise with mean(g g^T);   e = min(ema, 1 - 1/t)
    pi   = sqrt((trace(A) / dim(A)) / (trace(S) / dim(S)))
    A^-1 = (A_t + pi sqrt(damping) I)^-1;   S^-1 = (S_t + sqrt(damping) / pi I)^-1         every `interval` steps
    D    = G + weight_decay theta_{t-1};   N = S^-1 D A^-1
    nu   = min(1, sqrt(kl_clip / |sum over all layers of lr^2 <N, D>|))                    (1 without kl_clip)
    b_t  = momentum b_{t-1} + nu N;   theta_t = theta_{t-1} - lr b_t

nu bounds the step's length in the metric of the Fisher matrix, and so the change of the model's outputs (Ba, Grosse and
Martens, 2017, Distributed Second-Order Optimization using Kronecker-Factored Approximations), in the form of
gpauloski/kfac-pytorch and alecwangcq/KFAC-Pytorch. In the first 1 / (1 - ema) steps the factors are plain means of all
steps (Martens and Grosse, section 5). The damping is constant, and in the box: their rule that adapts it (section 6.5)
evaluates the loss once more, and is made for steps rescaled by the exact Fisher matrix (6.4), which is not done here.

Every other parameter follows b_t = momentum b_{t-1} + g + weight_decay theta. Without bias abar = a.

Fisher: as in the paper, at targets sampled from the model, not at the batch's own targets ("empirical"). The factors
come from `curvature.sampled_gradients`: a second forward and backward pass in every step, counted as one evaluation.
The layers have hooks during that pass only, so training, evaluation and copies of the model are not affected.

Scale of g: that pass differentiates the loss summed over samples, whatever the micro-batches. So each row of a layer's
output gradient is one sample's g, and S divides by the number of terms in the mean loss. Clips and loss scales act on G
only.

Positions: where a layer is applied at many positions (tokens, pixels), each position is a row: A is the mean over all
rows, S sums over positions and takes the mean over terms. Grosse and Martens sum in A and average in S; with pi, both
give the same step. Where positions are the terms (language models), each position is a sample.

Preconditioned layers: Linear and Conv2d (ungrouped, numeric zero padding) whose weights no other module shares and
whose factors have at most 8192 rows. A layer without curvature so far (output gradients all zero, behind a head that
starts at zero) follows the last formula. Factors that are not positive definite, for example NaN, make the weights NaN.
Defaults: damping 0.1, kl_clip 0.001, ema 0.95, momentum 0.9, interval 10. State: the buffer b, and 2 (m^2 + n^2)
floats for an m x n layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.optimizer import ParamsT

from optbench.contracts import Problem
from optbench.optimizers.core.curvature import curvature_of
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.linear_algebra import as_matrix, at_least_float32
from optbench.optimizers.core.rule import Closure, Loss, ParamGroup, State

LARGEST_SIDE = 8192  # rows of a factor: 256 MiB in fp32, and seconds to invert
LEAST_TRACE = 1e-30  # of a factor whose statistics have long been zero


def update_factors(factors: State, a: Tensor, s: Tensor, damping: float, ema: float, interval: int) -> None:
    """Take one step of a layer's factors in place, from the means of abar abar^T (n, n) and g g^T (m, m)."""
    new = max(1 - ema, 1 / (factors["heard"] + 1))
    factors["a"].lerp_(a.to(factors["a"].dtype), new)
    factors["s"].lerp_(s.to(factors["s"].dtype), new)
    if factors["heard"] % interval == 0:
        inverses = damped_inverses(factors["a"], factors["s"], damping)
        for name, inverse in zip(("a_inverse", "s_inverse"), inverses, strict=True):
            factors[name].copy_(inverse)
    factors["heard"] += 1


def damped_inverses(a: Tensor, s: Tensor, damping: float) -> Iterator[Tensor]:
    """Yield (A + pi sqrt(damping) I)^-1 and (S + sqrt(damping) / pi I)^-1."""
    a, s = at_least_float32(a), at_least_float32(s)
    mean_a, mean_s = (factor.trace().clamp(min=LEAST_TRACE) / len(factor) for factor in (a, s))
    pi = (mean_a / mean_s).sqrt()
    for factor, shift in ((a, pi * damping**0.5), (s, damping**0.5 / pi)):
        eye = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
        root, failed = torch.linalg.cholesky_ex(factor + shift * eye)  # `cholesky` would wait for the device
        yield torch.cholesky_inverse(root).masked_fill(failed > 0, torch.nan)


def momentum_step(theta: Tensor, direction: Tensor, b: Tensor, lr: float, momentum: float) -> None:
    """Take one step of heavy-ball momentum in place."""
    theta.sub_(b.mul_(momentum).add_(direction), alpha=lr)


@dataclass(frozen=True)
class Layer:
    """A Linear or Conv2d with its trained weight and, if trained, its bias."""

    module: nn.Module
    weight: Tensor
    bias: Tensor | None

    @property
    def sides(self) -> tuple[int, int]:
        """The number of rows of A and of S: (n, m)."""
        return self.weight[0].numel() + (self.bias is not None), len(self.weight)

    def input_rows(self, inputs: Tensor) -> Tensor:
        """Return abar for every sample and position, (R, n); for a convolution, the patches under its kernel."""
        module = self.module
        if isinstance(module, nn.Conv2d):
            padding = module.padding
            assert not isinstance(padding, str)  # see `is_supported`
            wide = at_least_float32(inputs)
            inputs = functional.unfold(wide, module.kernel_size, module.dilation, padding, module.stride).mT
        rows = inputs.reshape(-1, self.weight[0].numel())
        return rows if self.bias is None else functional.pad(rows, (0, 1), value=1.0)

    def output_rows(self, gradient: Tensor) -> Tensor:
        """Return g for every sample and position, (R, m)."""
        if isinstance(self.module, nn.Conv2d):
            gradient = gradient.movedim(-3, -1)
        return gradient.reshape(-1, len(self.weight))

    def precondition(self, directions: dict[Tensor, Tensor], factors: State) -> None:
        """Replace G by S^-1 G A^-1; the bias is G's last column (zeros if it has no gradient)."""
        weight, bias = directions[self.weight], self.bias
        matrix = as_matrix(weight)
        if bias is not None:
            column = directions.get(bias, torch.zeros_like(bias))
            matrix = torch.cat([matrix, column[:, None]], 1)
        matrix = factors["s_inverse"] @ matrix @ factors["a_inverse"]
        directions[self.weight] = matrix[:, : weight[0].numel()].view_as(weight)
        if bias is not None and bias in directions:
            directions[bias] = matrix[:, -1]


def layers_of(problem: Problem) -> Iterator[Layer]:
    """Yield the layers to precondition."""
    trained = {id(p.tensor) for p in problem.parameters}
    owners = Counter(id(p) for module in problem.modules.values() for p in module.parameters(recurse=False))
    for module in problem.modules.values():
        if not is_supported(module):
            continue
        weight, bias = module._parameters.get("weight"), module._parameters.get("bias")
        if weight is not None and id(weight) in trained and max(owners[id(weight)], owners[id(bias)]) == 1:
            layer = Layer(module, weight, bias if id(bias) in trained else None)
            if max(layer.sides) <= LARGEST_SIDE:
                yield layer


def is_supported(module: nn.Module) -> bool:
    """Return True if K-FAC has a formula for the module; a subclass with its own `forward` is refused."""
    if isinstance(module, nn.Conv2d) and type(module).forward is nn.Conv2d.forward:
        return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return type(module).forward is nn.Linear.forward


class LayerStatistics:
    """Sums of abar abar^T and of g g^T over the rows of one pass through a layer."""

    def __init__(self, layer: Layer) -> None:
        self.layer, self.rows = layer, 0
        self.a, self.s = (layer.weight.new_zeros(()) for _ in layer.sides)

    def forward_hook(
        self, module: nn.Module, args: Sequence[Tensor], kwargs: Mapping[str, Tensor], output: Tensor
    ) -> None:
        """Add the inputs; register a hook for the outputs' gradient."""
        if output.requires_grad:
            rows = self.layer.input_rows((args[0] if args else kwargs["input"]).detach())
            self.a, self.rows = self.a + gram(rows), self.rows + len(rows)
            output.register_hook(self.backward_hook)

    def backward_hook(self, gradient: Tensor) -> None:
        """Add the gradient of the summed loss."""
        self.s = self.s + gram(self.layer.output_rows(gradient.detach()))


def gram(rows: Tensor) -> Tensor:
    """Return X^T X of rows (R, n), in at least float32 even if the pass has less precision."""
    with torch.autocast(rows.device.type, enabled=False):
        rows = at_least_float32(rows)
        return rows.mT @ rows


@contextmanager
def record_statistics(layers: Iterable[Layer]) -> Iterator[list[LayerStatistics]]:
    """Record statistics of the passes inside a block, where compiled models run eagerly so that hooks are called."""
    recorded = [LayerStatistics(layer) for layer in layers]
    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        for one in recorded:
            handle = one.layer.module.register_forward_hook(one.forward_hook, with_kwargs=True)
            stack.callback(handle.remove)
        yield recorded


class KFAC(RuleOptimizer):
    """Gradients of layers preconditioned by Kronecker factors of the Fisher matrix."""

    def __init__(
        self,
        params: ParamsT,
        *,
        problem: Problem,
        lr: float,
        damping: float,
        ema: float,
        momentum: float,
        weight_decay: float,
        interval: int,
        kl_clip: float | None = None,
    ) -> None:
        defaults = {"lr": lr, "damping": damping, "ema": ema, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "interval": interval, "kl_clip": kl_clip})
        self.problem = problem
        self.layers = {layer.weight: layer for layer in layers_of(problem)}

    def new_state(self, theta: Tensor, group: ParamGroup) -> State:
        """Return the buffer; for a layer's weight also factors, identity inverses, and the number of updates."""
        state: State = {"b": torch.zeros_like(theta)}
        if theta not in self.layers:
            return state
        for name, side in zip(("a", "s"), self.layers[theta].sides, strict=True):
            state[name] = theta.new_zeros(side, side)
            state[f"{name}_inverse"] = torch.eye(side, dtype=theta.dtype, device=theta.device)
        return {**state, "heard": 0}

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Loss:
        """Update every parameter that has a gradient; return the closure's loss, if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        active = {theta: (group, state) for theta, group, state in self._active()}
        layers = [layer for weight, layer in self.layers.items() if weight in active]
        for layer, a, s in self.statistics(layers):
            group, factors = active[layer.weight]
            update_factors(factors, a, s, group["damping"], group["ema"], group["interval"])
        directions = {
            theta: theta.grad.add(theta, alpha=group["weight_decay"])
            for theta, (group, _) in active.items()
            if theta.grad is not None
        }
        self.precondition(layers, directions, active)
        for theta, (group, state) in active.items():
            momentum_step(theta, directions[theta], state["b"], group["lr"], group["momentum"])
        return loss

    def precondition(
        self, layers: list[Layer], directions: dict[Tensor, Tensor], active: Mapping[Tensor, tuple[ParamGroup, State]]
    ) -> None:
        """Replace the layers' directions D by nu N."""
        given = dict(directions)
        for layer in layers:
            layer.precondition(directions, active[layer.weight][1])
        trained = [t for layer in layers for t in (layer.weight, layer.bias) if t is not None and t in directions]
        kl_clip = self.param_groups[0]["kl_clip"]
        if kl_clip is None or not trained:
            return
        rates = [active[theta][0]["lr"] ** 2 for theta in trained]
        products = [rate * (directions[t] * given[t]).sum() for t, rate in zip(trained, rates, strict=True)]
        nu = (kl_clip / torch.stack(products).sum().abs()).sqrt().clamp(max=1.0)
        directions.update({theta: nu * directions[theta] for theta in trained})

    def statistics(self, layers: list[Layer]) -> Iterator[tuple[Layer, Tensor, Tensor]]:
        """Yield each layer that has curvature, with its means of abar abar^T and g g^T at sampled targets."""
        if not layers:
            return
        # the cheapest gradient that makes the backward pass reach a layer's output is that of its bias
        reached = [layer.weight if layer.bias is None else layer.bias for layer in layers]
        with record_statistics(layers) as recorded:
            _, count = curvature_of(self.problem).sampled_gradients(reached)
        for one in recorded:
            if one.s.ndim and (self.state[one.layer.weight]["heard"] or one.s.trace() * one.a.trace() > 0):
                yield one.layer, one.a / one.rows, one.s / count
