"""Overrides to RunConfig: valid and invalid ones, and the identity of runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optbench import config
from optbench.config.trees import without_null
from optbench.errors import ConfigError, MissingError, OptbenchError

MISTAKES = [
    ("optimizer=lionn", "Did you mean optimizer=lion?"),
    ("optimizer.lrr=3", "Did you mean optimizer.lr?"),
    ("modle=vit", "Did you mean model?"),
    ("optimizer.lr=abc", "expected a number in [0, inf)"),
    ("optimizer.lr=nan", "expected a number in [0, inf)"),
    ("optimizer.lr=-1", "expected a number in [0, inf)"),
    ("optimizer.betas=[0.9,1.0]", "expected a number in [0, 1)"),
    ("optimizer.betas=0.9", "expected a list of 2 values"),
    ("steps=-5", "expected a whole number in [1, inf)"),
    ("steps=1.5", "expected a whole number in [1, inf)"),
    ("steps=null", "expected a whole number in [1, inf)"),
    ("batch_size=0", "expected a whole number in [1, inf)"),
    ("seed=1,2", "Use: optbench sweep seed=1,2"),
    ("optimizer.lr=interval(0,1)", "optbench sweep"),
    ("note=a=b", "Quote the value"),
    ("data.augment={flip: true", "A '}' is missing"),
    ("data.augment=3", "data.augment.crop_pad"),
    ("~clip", "cannot be removed"),
    ("steps", "key=value"),
    ("=3", "is not a key"),
    ("optimizer.impl=timmm", "expected 'torch'"),
    ("precision=fp8", "'fp32', 'tf32', 'bf16' or 'fp16'"),
    ("hydra.run.dir=x", "there is no key"),
    ("optimizer.about.algorithm=x", "there is no key"),
    ("seed=${nowhere}", "nowhere"),
    ("compile=1", "true or false"),
    ("data=cifar", "there is no data 'cifar'"),
    ("model={a:1}", "there is no model"),
]


@pytest.mark.parametrize(("override", "expected"), MISTAKES)
def test_mistakes_give_one_clear_error(override: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load([override])
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2
    assert caught.value.exit_code == 2


def test_integral_floats_are_whole_numbers() -> None:
    assert config.load(["steps=1e3"]).steps == 1000
    assert config.load(["steps=1e3"]).run_id == config.load(["steps=1000"]).run_id
    assert config.load(["optimizer.lr=1"]).run_id == config.load(["optimizer.lr=1.0"]).run_id


def test_a_leading_plus_is_optional() -> None:
    plain = config.load(["optimizer=lion", "optimizer.betas=[0.8,0.9]"])
    assert plain.optimizer.settings["betas"] == [0.8, 0.9]
    assert config.load(["optimizer=lion", "++optimizer.betas=[0.8,0.9]"]).run_id == plain.run_id


def test_a_budget_in_samples_is_rounded_up_to_steps() -> None:
    loaded = config.load(["samples=1000", "batch_size=64"])
    assert loaded.steps == 16
    assert loaded.run_id == config.load(["steps=16", "batch_size=64"]).run_id
    with pytest.raises(ConfigError, match="both given"):
        config.load(["samples=1000", "steps=3"])


def test_run_id_depends_only_on_keys_that_fix_the_numbers() -> None:
    base = config.load([])
    assert config.load(["checkpoint_seconds=5", "tracker=none", "data_dir=elsewhere"]).run_id == base.run_id
    assert config.load([f"micro_batch={base.batch_size}"]).run_id == base.run_id  # the same as none
    for other in ("seed=1", "threads=1", "steps=3", "optimizer.lr=0.5", "clip=value", "precision=bf16"):
        assert config.load([other]).run_id != base.run_id
    seeds = {config.load([f"seed={seed}"]).trial_id for seed in range(3)}
    assert seeds == {base.trial_id}


def test_null_keys_are_absent_from_the_identity() -> None:
    assert without_null({"a": None, "b": {"c": None}, "d": 0}) == {"d": 0}


def test_a_model_has_default_data_and_the_pair_a_workload(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "workload").mkdir()
    packaged = (config.packaged_folder() / "model" / "mlp.yaml").read_text()
    (tmp_path / "model" / "mine.yaml").write_text(packaged.replace("data: digits", "data: cifar10"))
    (tmp_path / "workload" / "mine-cifar10.yaml").write_text("# @package _global_\nsteps: 777\n")
    loaded = config.load(["model=mine"], tmp_path)
    assert (loaded.data.name, loaded.steps) == ("cifar10", 777)
    assert config.load(["model=mine", "steps=5"], tmp_path).steps == 5
    assert config.load(["model=mine", "data=digits"], tmp_path).steps != 777


def test_the_users_files_take_precedence_and_are_named(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    packaged = (config.packaged_folder() / "optimizer" / "lion.yaml").read_text()
    (tmp_path / "optimizer" / "lion.yaml").write_text(packaged.replace("lr: 3.0e-4", "lr: 0.125"))
    composition = config.Composition(["optimizer=lion"], tmp_path)
    assert composition.run_config().optimizer.settings["lr"] == 0.125
    assert composition.shadowed == [str(tmp_path / "optimizer" / "lion.yaml")]
    assert composition.origin("optimizer.lr") == str(tmp_path / "optimizer" / "lion.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr: [1, 2\n", "broken.yaml, line"),
        ("- 1\n- 2\n", "broken.yaml"),
        ("lr: 1\n", "the facts under 'about'"),
        ("lr: abc\nabout: {algorithm: x, target: torch.optim.SGD, valid: {lr: '[0, inf)'}}\n", "expected a number"),
        ("lr: 1\nabout: {algorithm: x, implementations: {a: 3}}\n", "about.implementations"),
    ],
)
def test_a_users_broken_file_is_named(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "broken.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(["optimizer=broken"], tmp_path)
    assert expected in str(caught.value)
    assert "broken.yaml" in str(caught.value)


def test_a_missing_config_dir_is_named() -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        config.load([], "/nowhere/at/all")


OWN_OPTIMIZER = """
import torch

class MyOpt(torch.optim.SGD):
    def __init__(self, params, lr=0.5, weight_decay=0.25, flavour="plain"):
        super().__init__(params, lr=lr, weight_decay=weight_decay)
"""


def test_a_users_optimizer_needs_no_edit_of_the_package(tmp_path: Path) -> None:
    file = tmp_path / "my_opt.py"
    file.write_text(OWN_OPTIMIZER)
    loaded = config.load([f"optimizer={file}:MyOpt", "optimizer.lr=1e-3"])
    assert loaded.optimizer.name == "MyOpt"
    assert loaded.optimizer.settings["lr"] == 1e-3
    assert loaded.optimizer.settings["weight_decay"] == 0.25  # its own default, made explicit
    with pytest.raises(ConfigError, match=r"Did you mean optimizer.flavour\?"):
        config.load([f"optimizer={file}:MyOpt", "optimizer.flavor=x"])
    with pytest.raises(ConfigError, match="Did you mean MyOpt"):
        config.load([f"optimizer={file}:MyOptt"])
    dotted = config.load(["optimizer=torch.optim.Adagrad", "optimizer.lr=0.1"])
    assert (dotted.optimizer.name, dotted.optimizer.settings["eps"]) == ("Adagrad", 1e-10)


def test_a_changed_source_file_changes_the_run_id(tmp_path: Path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text(OWN_OPTIMIZER)
    second.write_text(OWN_OPTIMIZER + "# changed\n")
    ids = {config.load([f"optimizer={file}:MyOpt"]).run_id for file in (first, second)}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("./nowhere.py:Opt", ConfigError),
        ("no_such_package.Opt", ConfigError),
        ("torch.optim.Adagradd", ConfigError),
        ("torch.optim.sgd", ConfigError),
        ("math.pi", ConfigError),
    ],
)
def test_a_missing_optimizer(value: str, error: type) -> None:
    with pytest.raises(error):
        config.load([f"optimizer={value}"])


def test_a_module_that_raises_or_lacks_a_package(tmp_path: Path) -> None:
    (tmp_path / "raises.py").write_text("raise RuntimeError('first line\\nsecond')")
    (tmp_path / "lacks.py").write_text("import a_package_that_is_not_installed")
    with pytest.raises(ConfigError, match="RuntimeError: first line"):
        config.load([f"optimizer={tmp_path / 'raises.py'}:Opt"])
    with pytest.raises(MissingError, match="a_package_that_is_not_installed"):
        config.load([f"optimizer={tmp_path / 'lacks.py'}:Opt"])


def test_every_value_has_an_origin() -> None:
    composition = config.Composition(["optimizer=lion", "optimizer.lr=0.5", "data.augment={flip: true}"])
    loaded = composition.run_config()
    origins = {key: composition.origin(key) for key in config.flatten(loaded.as_dict())}
    assert origins["optimizer.lr"] == "override optimizer.lr=0.5"
    assert origins["data.augment.flip"] == "override data.augment={flip: true}"
    assert origins["optimizer.betas"] == "conf/optimizer/lion.yaml"
    assert origins["seed"] == "conf/root/run.yaml"
    assert origins["optimizer.name"] == "override optimizer=lion"
    assert origins["data.name"] == "conf/model/vit.yaml"
    assert origins["model.name"] == origins["clip.name"] == "conf/root/run.yaml"
    assert origins["eval_every"] == "derived: steps / 10"
    assert "derived" not in origins.values()


def test_origins_of_derived_values_and_signatures(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def make(params, lr=0.1, beta=0.5): ...")
    composition = config.Composition([f"optimizer={file}:make", "samples=1000", "eval_every=5"])
    assert composition.origin("optimizer.beta") == f"signature of {file}:make"
    assert composition.origin("steps") == "derived: samples / batch_size"
    assert composition.origin("eval_every") == "override eval_every=5"


GOOD = [
    "optimizer=lion",
    "model=mlp",
    "steps=10",
    "optimizer.lr=1e-3",
    "data.augment={flip: true}",
    "clip=value",
    "optimizer.betas=[0.9,0.99]",
    "schedule.warmup=0.1",
    "target=0.9",
    "data_dir='a b'",
    "model.task.label_smoothing=0.1",
]
SYMBOLS = "=,.{}[]()'\"\\~+@:$!#%&*/ \t\n\0ä∞"
WORDS = "${ }} null nan inf 1e400 ??? ${seed} glob(*) range(1, sort( int( json_str( hydra about _target_ 0x10 .. =="
ODD = st.sampled_from([*SYMBOLS, *WORDS.split()])


@st.composite
def mangled(draw: st.DrawFn) -> str:
    """Draw a valid override with a few insertions, deletions and swaps."""
    text = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = draw(
            st.sampled_from([text[:at] + draw(ODD) + text[at:], text[:at] + text[at + 1 :], text[:at], text[at:]])
        )
    return text


RANDOM = st.one_of(
    mangled(), mangled(), st.text(max_size=40), st.builds("{}={}".format, st.text(max_size=10), st.text(max_size=20))
)


@settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(RANDOM, min_size=1, max_size=3))
def test_no_input_gives_a_traceback(overrides: list[str]) -> None:
    check_input(overrides)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(RANDOM, min_size=1, max_size=3))
def test_no_input_of_many_gives_a_traceback(overrides: list[str]) -> None:
    check_input(overrides)


def check_input(overrides: list[str]) -> None:
    """Check that any input gives a run, or an error of at most three lines with exit code 2 (usage) or 4 (missing)."""
    try:
        loaded = config.load(overrides)
    except OptbenchError as error:
        assert error.exit_code in (2, 4)
        assert 1 <= len(str(error).splitlines()) <= 3
        assert len(str(error)) < 1000
    else:
        assert loaded.steps >= 1
        assert loaded.run_id
