"""QK-Clip beside Megatron-LM's, which scales a layer of grouped queries, keys and values. The paper's authors have
published no training code."""

from __future__ import annotations

import ast
import subprocess
from types import MethodType, SimpleNamespace
from typing import Any

import pytest
import torch
from authors_code import clone
from torch import Tensor, nn

from optbench.contracts import AttentionHeads
from optbench.optimizers.qk_clip import QKClip

pytestmark = pytest.mark.authors

MEGATRON, COMMIT = "NVIDIA/Megatron-LM", "d98e8a64ddf34856e74b24714e3bedb2f5a39553"
UNITS, WIDTH = 3, 5


def megatrons() -> dict[str, Any]:
    """Return the methods of Megatron's SelfAttention that clip, as functions."""
    command = ["git", f"--git-dir={clone(MEGATRON)}", "show", f"{COMMIT}:megatron/core/transformer/attention.py"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (layer,) = [n for n in ast.parse(text).body if isinstance(n, ast.ClassDef) and n.name == "SelfAttention"]
    wanted = ("clip_qk", "_clip_linear_qkv")
    methods: list[ast.stmt] = [node for node in layer.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    found: dict[str, Any] = {"torch": torch}
    exec(compile(ast.Module(body=methods, type_ignores=[]), "attention.py", "exec"), found)
    return {name: found[name] for name in wanted}


def theirs(weight: Tensor, maxima: Tensor, heads: int, groups: int, tau: float) -> Tensor:
    """Return a clipped weight; its rows are, group by group, queries, key and value."""
    layer = SimpleNamespace(
        config=SimpleNamespace(qk_clip=True, qk_clip_threshold=tau, qk_clip_alpha=0.5),
        core_attention=SimpleNamespace(current_max_attn_logits=maxima.clone()),
        num_attention_heads_per_partition=heads,
        num_query_groups_per_partition=groups,
        query_projection_size=heads * UNITS,
        kv_projection_size=groups * UNITS,
        linear_qkv=SimpleNamespace(weight=nn.Parameter(weight.clone(), requires_grad=False)),
    )
    methods = megatrons()
    layer._clip_linear_qkv = MethodType(methods["_clip_linear_qkv"], layer)
    methods["clip_qk"](layer)
    return layer.linear_qkv.weight.data


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (6, 2), (4, 1)])
def test_it_is_megatrons(heads: int, groups: int) -> None:
    torch.manual_seed(heads)
    each = heads // groups
    weight = torch.randn((heads + 2 * groups) * UNITS, WIDTH, dtype=torch.float64)
    maxima = torch.rand(heads, dtype=torch.float64) * 200
    expected = theirs(weight, maxima, heads, groups, 100.0)
    ours = nn.Parameter(weight.clone())
    rows = torch.cat([torch.tensor([g] * (each + 1) * UNITS + [groups] * UNITS) for g in range(groups)])
    attention = [AttentionHeads(maxima.view(groups, each).amax(1), [(ours, rows)])]
    QKClip(torch.optim.SGD([ours], lr=1.0), tau=100.0, attention=attention).step()
    assert not torch.equal(expected, weight)
    torch.testing.assert_close(ours.detach(), expected, rtol=1e-15, atol=0)
