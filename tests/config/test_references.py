"""References between keys are followed, and nothing else: no environment variable reaches results or messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench import config
from optbench.config.references import resolved
from optbench.errors import ConfigError
from optbench.sweeps.study.expand import planned
from optbench.sweeps.study.study import make_study

SECRET = "swordfish"
RESOLVERS = [
    "${oc.env:TOKEN}",
    "x${oc.env:TOKEN,1}",
    "${oc.decode:${oc.env:TOKEN}}",
    "${oc.create:{a:1}}",
    "${oc.select:TOKEN}",
    "${hydra:runtime.cwd}",
    "${now:%Y}",
    "${${seed}}",
    "${seed",
    "\\${oc.env:TOKEN}",
]


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)


def refused(caught: pytest.ExceptionInfo[ConfigError], *named: str) -> None:
    """Check an error that names the key (and file), and holds no secret anywhere."""
    link: BaseException | None = caught.value
    while link is not None:
        assert SECRET not in str(link)
        link = link.__cause__ or link.__context__
    for name in named:
        assert name in str(caught.value)


@pytest.mark.parametrize("text", RESOLVERS)
@pytest.mark.parametrize("key", ["data_dir", "wandb_project", "optimizer.impl"])
def test_an_override_follows_no_resolver(key: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load([f'{key}="{text}"'])
    refused(caught, key, "only references to other keys")


@pytest.mark.parametrize(
    "words", ["optimizer=${oc.env:TOKEN}", "data.augment={flip: ${oc.env:TOKEN}}", "${oc.env:TOKEN}=1"]
)
def test_nor_does_a_choice_a_mapping_or_a_key(words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load([words])
    refused(caught)
    with pytest.raises(ConfigError) as caught:
        planned(make_study([words, "model=mlp"], {}))
    refused(caught)


FILES = {
    "optimizer/mine.yaml": "defaults: [adamw, _self_]\nlr: ${oc.env:TOKEN}\n",
    "optimizer/mine.yaml ": "defaults: [adamw, '${oc.env:TOKEN}', _self_]\n",
    "optimizer/mine.yaml  ": "defaults: [other]\n",
    "workload/vit-digits.yaml": "# @package _global_\nwandb_project: ${oc.env:TOKEN}\n",
    "modifier/mine.yaml": "a: ${oc.env:TOKEN}\nabout: {target: a.b, switch: a, rank: 1}\n",
    "target/vit-digits.yaml": "value: 1.0\nmetric: ${oc.env:TOKEN}\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_users_file_follows_no_resolver(tmp_path: Path, name: str) -> None:
    file = tmp_path / name.strip()
    file.parent.mkdir()
    file.write_text(FILES[name])
    other = file.with_name("other.yaml")
    if "[other]" in FILES[name]:
        other.write_text("defaults: [adamw, _self_]\nlr: ${oc.env:TOKEN}\n")
    with pytest.raises(ConfigError) as caught:
        config.load(["optimizer=mine"] if name.startswith("optimizer") else [], tmp_path)
    refused(caught, str(other if other.exists() else file))


@pytest.mark.parametrize(
    "text", ["study: ${oc.env:TOKEN}", "title: ${oc.env:TOKEN}", "overrides: ['data_dir=${oc.env:TOKEN}']"]
)
def test_a_strangers_study_follows_no_resolver(tmp_path: Path, text: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(f"{text}\nclaim: null\n")
    with pytest.raises(ConfigError) as caught:
        planned(make_study(["model=mlp"], {}, file=file))
    refused(caught, text.split(":")[0])


def test_references_to_keys_are_followed(tmp_path: Path) -> None:
    loaded = config.load(
        ["seed=${batch_size}", "batch_size=32", "data_dir=here", 'wandb_project="p-${seed}-${data_dir}"']
    )
    assert (loaded.seed, loaded.wandb_project) == (32, "p-32-here")
    assert config.load(["model=gan", "data_dir=here"]).model.settings["task"]["features_path"] == "here"
    assert config.load(["optimizer.eps=${.lr}", "optimizer.lr=0.5"]).optimizer.settings["eps"] == 0.5


def test_a_sweep_varies_what_refers_to_a_searched_key() -> None:
    composition = config.Composition(["optimizer.eps=${optimizer.lr}"])
    settings = config.Variation(composition).at({"optimizer.lr": 0.25}).optimizer.settings
    assert (settings["lr"], settings["eps"]) == (0.25, 0.25)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"a": "${a}"}, "a: ${a} refers to itself"),
        ({"a": "${b}", "b": "${a}"}, "refers to itself"),
        ({"a": {"b": "${a}"}}, "refers to itself"),
        ({"a": "${nope.x}"}, "a: there is no key 'nope.x'"),
        ({"a": {"b": "???"}}, "a.b: a value is missing"),
        ({"k0": "xx", **{f"k{n}": f"${{k{n - 1}}}" * 10 for n in range(1, 9)}}, "more than 10,000 characters"),
        ({"k0": {"x": 1}, **{f"k{n}": [f"${{k{n - 1}}}"] * 10 for n in range(1, 9)}}, "more than 20,000 values"),
    ],
)
def test_a_reference_that_cannot_be_followed(tree: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(tree)
    assert expected in str(caught.value)
