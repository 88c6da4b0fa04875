"""Host waits: each kind of call that waits is found with its line, and calls that do not wait are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from optbench.checks.host_waits import HostWaits

X, MASK, ONE, SQUARE = torch.rand(4), torch.tensor([True, False, True, True]), torch.tensor(1), torch.eye(3)
INDEX = torch.tensor([2, 0])
WAITING: dict[str, Callable[[], object]] = {
    "item": lambda: X.sum().item(),
    "float": lambda: float(X[0]),
    "bool": lambda: bool(X[0] > 0),
    "tolist": lambda: X.tolist(),
    "cpu": lambda: X.cpu(),
    "number as argument": lambda: X.add(X, alpha=ONE),  # pyright: ignore[reportArgumentType]
    "one index": lambda: X[ONE],
    "slice": lambda: X[:ONE],
    "mask": lambda: X[MASK],
    "masked_select": lambda: X.masked_select(MASK),
    "assignment of several values to a mask": lambda: X.clone().__setitem__(MASK, torch.rand(3)),
    "nonzero": lambda: X.nonzero(),
    "where": lambda: torch.where(MASK),
    "unique": lambda: X.unique(),
    "equal": lambda: torch.equal(X, X),
    "allclose": lambda: torch.allclose(X, X),
    "repeat_interleave": lambda: X[:2].repeat_interleave(INDEX),
    "eigh": lambda: torch.linalg.eigh(SQUARE),
    "svd": lambda: torch.linalg.svd(SQUARE),
    "cholesky": lambda: torch.linalg.cholesky(SQUARE),
    "tensor": lambda: torch.tensor([1.0], device=X.device),
    "as_tensor": lambda: torch.as_tensor([1.0], device=X.device),
    "new_tensor": lambda: X.new_tensor([1.0]),
}
NOT_WAITING: dict[str, Callable[[], object]] = {
    "arithmetic": lambda: (X * 2 + X).sum().sqrt(),
    "lists": lambda: torch._foreach_add([X], [X]),  # pyright: ignore[reportPrivateImportUsage]
    "indices": lambda: X[INDEX],
    "assignment of a number to a mask": lambda: X.clone().__setitem__(MASK, 0.0),
    "where of three": lambda: torch.where(MASK, X, 0.0),
    "repeats of a known number": lambda: X[:2].repeat_interleave(INDEX, output_size=2),
    "cholesky_ex": lambda: torch.linalg.cholesky_ex(SQUARE),
    "qr": lambda: torch.linalg.qr(SQUARE),
    "filled on the device": lambda: torch.full((), 1.0, device=X.device),
    "a tensor again": lambda: torch.as_tensor(X, device=X.device),
}


@pytest.mark.parametrize("name", WAITING)
def test_a_wait_is_found_with_its_line(name: str) -> None:
    with HostWaits() as waits:
        WAITING[name]()
    (call,) = waits.calls
    assert "at test_host_waits.py:" in call


@pytest.mark.parametrize("name", NOT_WAITING)
def test_a_call_that_does_not_wait_is_not_counted(name: str) -> None:
    with HostWaits() as waits:
        NOT_WAITING[name]()
    assert waits.calls == []


def test_copies_between_host_and_device_wait_unless_non_blocking() -> None:
    with FakeTensorMode():
        there, here = torch.ones(3, device="cuda"), torch.ones(3)
        for copy in (
            lambda: here.to("cuda"),
            lambda: there.cpu(),
            lambda: there.to("cpu"),
            lambda: there.copy_(here),
            lambda: here.copy_(there),
        ):
            with HostWaits() as waits:
                copy()
            assert len(waits.calls) == 1
        with HostWaits() as waits:
            here.to("cuda", non_blocking=True)
            there.copy_(here, non_blocking=True)
            there.copy_(there)
            there.to(torch.float16)
        assert waits.calls == []


def test_on_cuda_tensors_of_the_host_are_read_at_once() -> None:
    for device, expected in ((torch.device("cuda"), 0), (torch.device("cpu"), 1), (None, 1)):
        for read in (lambda: X.sum().item(), lambda: X.tolist(), lambda: torch.tensor([1.0], device="cpu")):
            with HostWaits(device) as waits:
                read()
            assert len(waits.calls) == expected
    with FakeTensorMode(), HostWaits(torch.device("cuda")) as waits:
        torch.ones(3, device="cuda").nonzero_static(size=1)
        torch.ones(3, device="cuda").cpu()
    assert len(waits.calls) == 1


def test_operations_are_counted_without_views() -> None:
    with HostWaits() as waits:
        X.view(2, 2).t()[0].add(1).mul_(2)
    assert waits.operations == 2


def test_after_the_block_nothing_is_recorded() -> None:
    with pytest.raises(RuntimeError, match="stop"), HostWaits() as waits:
        raise RuntimeError("stop")
    X.sum().item()
    assert waits.calls == []
    assert waits.operations == 0
