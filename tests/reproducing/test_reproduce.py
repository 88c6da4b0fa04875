"""`optbench reproduce`: a tiny claim from its study to its verdict and its publication."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars
import pytest
import yaml
from conftest import Call

from optbench.cli.app import main
from optbench.cli.completion import complete_slug
from optbench.reports.read.columns import COLUMNS
from optbench.reproducing import find
from optbench.reproducing.publish import truncated, write_runs
from optbench.sweeps.study.study import make_study

STATE = {"measure": "state_bytes", "of": "lion", "against": "adamw", "relation": "better_by", "margin": 0.9}
MORE = STATE | {"of": "adamw", "against": "lion", "text": "AdamW has less state"}
METRIC = {"measure": "test_metric", "of": "lion", "against": "adamw", "relation": "tie", "margin": 0.09}
"""About the distance between the two, so that it stays undecided."""
STUDY = {
    "title": "Lion has half the state",
    "protocol": "classic",
    "overrides": ["optimizer=lion,adamw", "model=mlp", "data=digits", "tracker=none", "threads=1"],
    "scales": {"cpu": {"trials": 2, "seeds": 2, "overrides": ["steps=80"]}, "other": {"trials": 2}},
}


def write(folder: Path, claim: Any, slug: str = "tiny", **changes: Any) -> Path:
    """Write an experiment into a folder of experiments."""
    (folder / slug).mkdir(parents=True, exist_ok=True)
    (folder / slug / "study.yaml").write_text(yaml.safe_dump({**STUDY, "claim": claim, **changes}, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder with results of the tiny study in results/."""
    folder = tmp_path_factory.mktemp("reproduced")
    write(folder / "experiments", STATE)
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", "tiny", *options(folder), "--quiet"])
    assert ended.value.code in (0, None)
    yield folder


def options(folder: Path) -> list[str]:
    return ["--experiments-dir", str(folder / "experiments"), "--results-dir", str(folder / "results")]


def stamps(folder: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in folder.glob("results/*/*/result.json")}


@pytest.mark.parametrize(
    ("claim", "verdict", "code"),
    [
        (STATE, "supported", 0),
        ([STATE, MORE], "mixed (1 of 2)", 3),
        ([STATE, METRIC], "undecided", 3),
        ([STATE, MORE, METRIC], "mixed (1 of 3)", 3),
    ],
)
def test_verdicts_without_running_anything_again(done: Path, call: Call, claim: Any, verdict: str, code: int) -> None:
    before = stamps(done)
    write(done / "experiments", claim)
    ended, out, err = call("reproduce", "tiny", *options(done))
    assert ended == code and f"verdict  {verdict} (n = 2 seeds: few)" in out
    assert out.startswith("tiny-cpu: Lion has half the state\n")
    assert out.count("\n  ") - ("published" in out) == (len(claim) if isinstance(claim, list) else 1)
    assert f"report   {done / 'results' / 'tiny-cpu' / 'report' / 'report.html'}" in out
    assert stamps(done) == before and len(before) == 8
    assert (f"optbench: tiny: the claim is {verdict}" in err) is (code == 3)


def test_only_a_lost_run_is_run_again(done: Path, call: Call) -> None:
    write(done / "experiments", STATE)
    lost = next(file for file in sorted(done.glob("results/tiny-cpu/*/result.json")) if "lion" in str(file))
    before = stamps(done)
    shutil.rmtree(lost.parent)
    code, out, _ = call("reproduce", "tiny", *options(done), "--json")
    after = stamps(done)
    assert code == 0 and json.loads(out)["ran"] == 1 and json.loads(out)["runs"]["all"] == 8
    assert {name for name in after if after[name] != before.get(name)} == {str(lost)}


def test_json_output(done: Path, call: Call) -> None:
    write(done / "experiments", [STATE, METRIC])
    code, out, _ = call("reproduce", "tiny", "--scale", "cpu", *options(done), "--json")
    tree = json.loads(out)
    assert code == 3 and (tree["verdict"], tree["holds"], tree["slug"], tree["scale"]) == (
        "undecided",
        None,
        "tiny",
        "cpu",
    )
    assert [one["verdict"] for one in tree["criteria"]] == ["supported", "undecided"]
    assert tree["criteria"][0]["evidence"][0]["n"] == tree["seeds"] == 2 and tree["few_seeds"]
    assert Path(tree["report"]).is_file() and tree["published"] is None and tree["written"] == []


def test_a_dry_run_writes_nothing(tmp_path: Path, call: Call) -> None:
    write(tmp_path / "experiments", STATE)
    code, out, _ = call("reproduce", "tiny", *options(tmp_path), "--dry-run")
    assert code == 0 and "lion" in out and "adamw" in out
    assert not (tmp_path / "results").exists()


# -- publishing --------------------------------------------------------------------------------------------------------


def test_what_is_published(done: Path, call: Call, tmp_path: Path) -> None:
    write(done / "experiments", STATE)
    words = ["reproduce", "tiny", *options(done), "--publish", "-o", tmp_path / "claims"]
    code, out, _ = call(*words)
    folder = tmp_path / "claims" / "tiny-cpu"
    names = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert code == 0 and names.keys() == {"verdict.json", "report.md", "figure.png", "runs.png", "runs.csv"}
    assert max(names.values()) < 1_000_000 and f"written  {folder / 'figure.png'}" in out
    tree = json.loads((folder / "verdict.json").read_text())
    assert (
        tree["claim"] == STATE and tree["verdict"] == "supported" and tree["runs"] == {"all": 8, "failed": 0, "open": 0}
    )
    assert tree["device"] and tree["versions"]["torch"] and tree["date"] and tree["run_seconds"] > 0
    assert tree["command"] == "optbench reproduce tiny --scale cpu"
    assert str(done) not in (folder / "verdict.json").read_text() + (folder / "runs.csv").read_text()
    with open(folder / "runs.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 and {row["stage"] for row in rows} == {"tune", "final"}
    assert all("optimizer=" in row["overrides"] and float(row["val"]) > 0 for row in rows)
    report = (folder / "report.md").read_text()
    assert "experiments/tiny/README.md" in report and ": **supported**." in report
    assert "](figure.png)" in report and "](runs.png)" in report and "## Claim" in report and str(done) not in report
    first = {name: (folder / name).read_bytes() for name in names}
    call(*words)
    assert {name: (folder / name).read_bytes() for name in names} == first


def test_a_verdict_is_compared_with_the_published_one(done: Path, call: Call, tmp_path: Path) -> None:
    write(done / "experiments", STATE)
    where = [*options(done), "-o", str(tmp_path)]
    call("reproduce", "tiny", *where, "--publish")
    assert "agrees with the verdict published" in call("reproduce", "tiny", *where)[1]
    write(done / "experiments", MORE)
    out = call("reproduce", "tiny", *where)[1]
    assert "differs from the verdict published" in out and "it was supported; changed since: claim" in out


def test_long_reports_are_truncated() -> None:
    text = "one\n\n" + "two words\n\n" * 100
    assert truncated(text, "again", 10_000) == text
    short = truncated(text, "again", 500)
    assert len(short) <= 500 and short.endswith(
        "two words\n\nThe rest is left out here; `again` makes the whole report.\n"
    )


def test_a_large_table_of_runs_becomes_parquet(tmp_path: Path) -> None:
    run = dict.fromkeys(COLUMNS) | {"overrides": ["optimizer=lion"], "val": 0.5, "hardware": "a cpu"}
    assert write_runs([run], tmp_path).name == "runs.csv"
    assert write_runs([run | {"seed": seed} for seed in range(20_000)], tmp_path).name == "runs.parquet"
    assert [file.name for file in tmp_path.iterdir()] == ["runs.parquet"]
    assert (tmp_path / "runs.parquet").stat().st_size < 1_000_000
    assert polars.read_parquet(tmp_path / "runs.parquet")["seed"].to_list() == list(range(20_000))


# -- all ---------------------------------------------------------------------------------------------------------------


def test_all(done: Path, call: Call, tmp_path: Path) -> None:
    folder = write(tmp_path / "experiments", STATE)
    write(folder, STATE, "broken", overrides="optimizer=lion")
    write(folder, STATE, "elsewhere", scales={"gpu": {}})
    (tmp_path / "results").symlink_to(done / "results")
    code, out, err = call("reproduce", "--all", "--scale", "cpu", *options(tmp_path), "--json")
    trees = {tree["slug"]: tree for tree in json.loads(out)}
    assert code == 3 and trees.keys() == {"broken", "tiny"}
    assert trees["tiny"]["verdict"] == "supported" and trees["tiny"]["ran"] == 0
    assert trees["broken"]["verdict"].startswith("error: ") and trees["broken"]["exit_code"] == 2
    assert "elsewhere: skipped, since it has no scale cpu" in err and "1 of 2 claims are not supported: broken" in err
    shutil.rmtree(folder / "broken")
    code, out, _ = call("reproduce", "--all", "--scale", "cpu", *options(tmp_path))
    assert code == 0 and "tiny" in out and "supported" in out


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Nothing to reproduce: name a claim"),
        (["tiny", "--all"], "tiny and --all are mutually exclusive"),
        (["tiny", "--check"], "--check works with --summary only"),
        (["tinny"], "tinny: no such experiment in"),
        (["tiny", "--scale", "paper"], "--scale paper: "),
        (["tiny", "--jobs", "0"], "--jobs 0: expected at least one"),
        (["tiny", "--retry", "sometimes"], "--retry: unknown status 'sometimes'"),
        (["tiny", "--mix", "apples"], "--mix: unknown kind 'apples'"),
        (["tiny", "--executor", "cloud"], "--executor cloud"),
    ],
)
def test_bad_words(tmp_path: Path, call: Call, words: list[str], message: str) -> None:
    write(tmp_path / "experiments", STATE)
    code, _, err = call("reproduce", *words, *options(tmp_path))
    assert code == 2 and err.startswith(f"optbench: {message}")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"claim": None}, "`claim` is missing"),
        ({"claim": STATE | {"of": "lino"}}, "claim.of=lino: the study has no such contender\nDid you mean lion?"),
        ({"claim": [STATE, STATE | {"against": "sgd"}]}, "claim 2.against=sgd: the study has no such contender"),
        ({"claim": STATE | {"of": {"optimiser": "lion"}}}, "claim.of: the study has no key optimiser"),
        (
            {"claim": STATE | {"of": {"optimizer": "sgd"}}},
            "no cell has optimizer=sgd\nChoose from lion, adamw",
        ),
        ({"claim": STATE | {"on": {"model": "vit"}}}, "claim.on: no cell has model=vit\nChoose from mlp"),
        ({"claim": STATE | {"of": {"optimizer": "lion", "budget": 0.5}}}, "claim.of: no cell has budget=0.5"),
        ({"claim": STATE | {"measure": "state"}}, "claim.measure=state"),
        ({"scales": {"cpu": 4}}, "scales.cpu=4: expected a mapping"),
        ({"trails": 3}, "trails: unknown key"),
        ({"overrides": ["optimizer=lino,adamw", "model=mlp"]}, "lino"),
    ],
)
def test_broken_studies(tmp_path: Path, call: Call, changes: dict[str, Any], message: str) -> None:
    write(tmp_path / "experiments", **{"claim": STATE, **changes})
    code, _, err = call("reproduce", "tiny", *options(tmp_path))
    assert code == 2 and message in err and err.count("optbench: ") == 1
    assert not (tmp_path / "results").exists()


def test_yaml_that_does_not_parse_and_folders_that_are_not_there(tmp_path: Path, call: Call) -> None:
    write(tmp_path / "experiments", STATE)
    (tmp_path / "experiments" / "tiny" / "study.yaml").write_text("claim: [\n")
    code, _, err = call("reproduce", "tiny", *options(tmp_path))
    assert code == 2 and "study.yaml" in err
    code, _, err = call("reproduce", "tiny", "--experiments-dir", tmp_path / "nowhere")
    assert code == 2 and "nowhere: no such folder" in err
    (tmp_path / "empty").mkdir()
    code, _, err = call("reproduce", "--all", "--experiments-dir", tmp_path / "empty")
    assert code == 2 and "no claim to run" in err


def test_the_key_on_is_not_read_as_true(tmp_path: Path, call: Call) -> None:
    claim = "{measure: state_bytes, of: lion, against: adamw, relation: better, on: {model: mlp}}"
    folder = write(tmp_path / "experiments", None)
    file = folder / "tiny" / "study.yaml"
    file.write_text(file.read_text().replace("claim: null", f"claim: {claim}"))
    assert yaml.safe_load(file.read_text())["claim"][True] == {"model": "mlp"}  # as YAML 1.1 has it
    asked = make_study([], {}, file=file)
    assert asked.claim is not None and asked.claim["on"] == {"model": "mlp"}
    assert call("reproduce", "tiny", *options(tmp_path), "--dry-run", "--json")[0] == 0


# -- what there is -----------------------------------------------------------------------------------------------------


def test_listing(tmp_path: Path, call: Call) -> None:
    write(tmp_path / "experiments", STATE)
    (tmp_path / "experiments" / "odd").mkdir()
    (tmp_path / "experiments" / "odd" / "study.yaml").write_text("claim: [\n")
    odd, tiny = find.list_experiments(tmp_path / "experiments")
    assert tiny == {"name": "tiny", "scales": "cpu, other", "about": "Lion has half the state"}
    assert odd["about"].startswith("broken: ")
    code, out, _ = call("list", "experiments", "--json")
    assert code == 0 and [row["name"] for row in json.loads(out)["experiments"]] == find.slugs(
        find.experiments_folder()
    )


def test_completion_knows_the_same_slugs() -> None:
    assert complete_slug([], "") == find.slugs(find.experiments_folder())
    assert complete_slug([], "no-such-claim") == []
