"""A task that cannot be trained ends before training, with one message and exit code 2."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import QUICK, Call

FILE = Path(__file__).with_name("bad_tasks.py")
MESSAGES = {
    "none": r"the loss \S+:none returns None\nReturn \(sum, count\)",
    "number": r"the loss \S+:number has no gradient\nCompute it from model",
    "detached": r"the loss \S+:detached has no gradient",
    "elsewhere": r"\S+:elsewhere: the loss has no gradient by the model's parameters",
    "vector": r"the loss \S+:vector returns a Tensor of shape \(64,\)",
    "no_terms": r"the loss \S+:no_terms returns the count 0\n",
    "no_terms_on_device": r"\S+:no_terms_on_device: the loss has 0 terms",
    "in_place": r"\S+:in_place: the loss changes batch\['inputs'\] in place",
    "wrong_key": r"task=\S+:wrong_key, .*inputs \(64, 1, 8, 8\).*bad_tasks.py, line \d+: KeyError: 'images'",
    "wrong_shape": r"bad_tasks.py, line \d+: RuntimeError: mat1 and mat2 shapes",
    "raises": r"bad_tasks.py, line \d+: RuntimeError: no such thing\n",
    "one": r"\S+:one is no task: positional parameters without a default: 1\nGive loss\(model, batch\)",
    "four": r"\S+:four is no task: positional parameters without a default: 4",
    "reserved": r"\S+:reserved: its parameter 'target' can't be a setting",
    "unclear": r"the metric 'quality': which way is better\?\nSay metrics = {\"quality\": \(function, \"max\"\)}",
    "odd_name": r"metric name 'val acc/%'\nUse letters",
    "loss_name": r"the metric 'loss' has the name of a column",
    "column_name": r"the metric 'grad_norm' has the name of a column",
    "no_direction": r"the metric 'accuracy': direction 'up'",
    "no_function": r"the metric 'accuracy' is of type int, not a function",
    "no_mapping": r"metrics is of type list",
    "metric_raises": r"bad_tasks.py, line \d+: ZeroDivisionError",
    "metric_vector": r"the metric 'accuracy' of \S+ returns a Tensor of shape \(8,\)",
    "metric_none": r"the metric 'accuracy' of \S+ returns None",
    "no_scale": r"metric_scale='percent'\nChoose from share, positive, decades, real",
    "trivial_raises": r"bad_tasks.py, line \d+: ZeroDivisionError",
    "constant": r"\S+:constant, a value of type int, cannot be called",
    "Bare": r"Bare has no 'metric'\n.*inherit from optbench.tasks.base.BaseTask",
    "Two": r"\S+:Two is no task: positional parameters without a default: 2",
    "NoLoss": r"TypeError: NoLoss does not define loss\(\)",
    "NoTurn": r"turns\(\) gives no step",
    "WrongPlayer": r"a turn of 'generator'\nThe players are model",
    "ScalarTurn": r"the loss of a turn is tensor\(",
    "NoMetric": r"score\(\) gives no 'metric'",
    "TensorMetric": r"score\(\) gives 'metric': tensor",
    "WrongDirection": r"direction is 'up'\nChoose from max, min",
    "WrongMetric": r"metric is 'my metric'",
    "WrongPlayers": r"players is \[",
    "missing": r"bad_tasks.py has no 'missing'",
}
PACKAGED = {
    "task=masked_lm model=mlp": r"task=masked_lm reads text, and data=digits is images\nChoose data=",
    "task=masked_lm model=gpt data=pydocs": r"task=masked_lm does not fit model=gpt .*\nIt is made .* model=bert",
    "task=image_generation model=mlp": r"task=image_generation does not fit model=mlp .*\n.* model=dcgan",
    "task=masked": r"there is no task 'masked'\nDid you mean task=masked_lm",
    "task.lable_smoothing=0.1": r"there is no key 'model.task.lable_smoothing'\nDid you mean",
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(
    ("words", "message"),
    [(f"task={FILE}:{name}", message) for name, message in MESSAGES.items()] + list(PACKAGED.items()),
)
def test_a_task_that_cannot_be_trained_is_one_message(words: str, message: str, call: Call, tmp_path: Path) -> None:
    code, _, error = call("run", *QUICK, *words.split(), "steps=3", "--results-dir", tmp_path)
    assert code == 2, error
    assert re.search(message, error), error
    assert "Traceback (most recent" not in error
    assert len(error.strip().splitlines()) <= 3
    assert not list(tmp_path.rglob("result.json"))
