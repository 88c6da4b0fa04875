"""AlgoPerf's log folders: first passing by time, unrelated files, and scores."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from conftest import Call

from optbench.cli.score import to_table
from optbench.errors import ConfigError, NoResultsError
from optbench.reports.algoperf.logs import FILE, import_logs, read_targets
from optbench.reports.algoperf.timetable import read_table, variants

HEAD = "accumulated_submission_time,global_step,validation/wer,validation/loss,test/wer"


def trial(root: Path, path: str, rows: list[tuple[object, object]], head: str = HEAD) -> Path:
    folder = root / path
    folder.mkdir(parents=True)
    lines = [head, *(f"{time},1,{value},0.5,0.01" for time, value in rows)]
    (folder / FILE).write_text("\n".join(lines) + "\n")
    return folder / FILE


# AdEMAMix's OGBG in three studies, the last evaluations' times and metrics, other columns made up; from
# logs/self_tuning/ademamix/study_{0,1,2}/ogbg_pytorch/trial_1 of mlcommons/submissions_algorithms; published time:
# algoperf_after_v06.csv.
OGBG_HEAD = (
    "accumulated_eval_time,accumulated_logging_time,accumulated_submission_time,global_step,preemption_count,score,"
    "total_duration,validation/accuracy,validation/loss,validation/mean_average_precision,validation/num_examples"
)
OGBG: list[dict[float, float]] = [
    {4989.435345888138: 0.2766448072141416, 5440.641564130783: 0.2769550624213751, 5891.7984273433685: 0.283304967315},
    {5881.399189710617: 0.2800058065978935, 6332.58651471138: 0.2811426060255989, 6783.647083282471: 0.28529641076603},
    {5878.887457370758: 0.273342431258085, 6329.966245889664: 0.2819035340256925, 6781.219027519226: 0.28247871000765},
]


def deep(name: str, study: int, number: int) -> str:
    return f"{name}/study_{study}/librispeech_deepspeech_jax/trial_{number}"


def logs(root: Path) -> Path:
    trial(root, deep("a", 0, 1), [(10.0, 0.5), (20.0, 0.11), (30.0, 0.1)])
    trial(root, deep("a", 0, 10), [(10.0, 0.5), (40.0, 0.119936)])
    trial(root, deep("a", 1, 1), [(10.0, 0.5), (20.0, 0.2)])
    trial(root, deep("b", 0, 1), [(50.0, 0.1), (15.0, 0.11), ("", 0.1)])
    trial(root, deep("b", 1, 1), [(10.0, "nan"), (12.0, ""), (13.0, "0.1x"), (25.0, 0.1)])
    return root


def test_times_are_of_the_first_evaluation_at_the_target_by_time(tmp_path: Path) -> None:
    found = import_logs(logs(tmp_path), read_targets(None))
    assert found.skipped == ()
    w = "librispeech_deepspeech"
    assert found.rows == (
        ("a", w, "0", "1", 20.0),
        ("a", w, "0", "10", 40.0),
        ("a", w, "1", "1", math.inf),
        ("b", w, "0", "1", 15.0),
        ("b", w, "1", "1", 25.0),
    )


def test_larger_is_better_where_the_target_says_so(tmp_path: Path) -> None:
    head = HEAD.replace("validation/wer", "validation/bleu")
    trial(tmp_path, "a/study_0/wmt_pytorch/trial_1", [(1.0, 20), (2.0, 30.8491), (3.0, 40)], head)
    assert import_logs(tmp_path, read_targets(None)).rows == (("a", "wmt", "0", "1", 2.0),)


def test_a_submission_s_own_folder_and_one_in_a_folder(tmp_path: Path) -> None:
    logs(tmp_path / "external")
    assert {row[0] for row in import_logs(tmp_path, read_targets(None)).rows} == {"external/a", "external/b"}
    assert {row[0] for row in import_logs(tmp_path / "external" / "a", read_targets(None)).rows} == {"a"}


def test_a_submission_s_folder_has_a_name_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs(tmp_path)
    monkeypatch.chdir(tmp_path / "b")
    assert {row[0] for row in import_logs(Path(), read_targets(None)).rows} == {"b"}


def test_published_logs_give_the_published_time(tmp_path: Path) -> None:
    for study, rows in enumerate(OGBG):
        folder = tmp_path / f"ademamix/study_{study}/ogbg_pytorch/trial_1"
        folder.mkdir(parents=True)
        lines = [f"460.5,0.6,{time},25690,0,{time},6360.7,0.98,0.04,{value},43793" for time, value in rows.items()]
        (folder / FILE).write_text("\n".join([OGBG_HEAD, *lines]) + "\n")
    (tmp_path / "table.csv").write_text(to_table(import_logs(tmp_path, read_targets(None))))
    published = read_table(Path(__file__).with_name("algoperf_after_v06.csv")).times["AdEMAMix (PyTorch)"]["ogbg"]
    assert read_table(tmp_path / "table.csv").times == {"ademamix": {"ogbg": published}}


def test_a_trial_without_an_evaluation_has_not_reached_its_target(tmp_path: Path, call: Call) -> None:
    logs(tmp_path)
    crashed = tmp_path / deep("a", 2, 1)
    crashed.mkdir(parents=True)
    (tmp_path / "a" / "notes" / "trial_1").mkdir(parents=True)
    found = import_logs(tmp_path, read_targets(None))
    assert ("a", "librispeech_deepspeech", "2", "1", math.inf) in found.rows and len(found.rows) == 6
    assert found.notes == ((f"{deep('a', 2, 1)}/{FILE}", "missing file: counted as not reached"),)
    code, _, err = call("import", "algoperf", tmp_path)
    assert code == 0 and "missing file: counted as not reached" in err and "left out" not in err
    (tmp_path / "only" / deep("a", 0, 1)).mkdir(parents=True)
    with pytest.raises(NoResultsError, match="no trials found"):
        import_logs(tmp_path / "only", read_targets(None))


def test_evaluations_without_time_are_ignored(tmp_path: Path) -> None:
    trial(tmp_path, deep("a", 0, 1), [(0.0, 0.1), (-1.0, 0.1), (7.0, 0.1)])
    assert import_logs(tmp_path, read_targets(None)).rows[0][4] == 7.0


def test_malformed_logs_are_listed_and_the_rest_is_read(tmp_path: Path) -> None:
    logs(tmp_path)
    trial(tmp_path, deep("c", 0, 1), [(1.0, 0.1)], HEAD.replace("validation/wer", "validation/cer"))
    trial(tmp_path, deep("c", 0, 2), [(1.0, 0.1)], HEAD.replace("accumulated_submission_time", "time"))
    trial(tmp_path, "c/study_0/mnist_jax/trial_1", [(1.0, 0.1)])
    trial(tmp_path, "c/old/librispeech_deepspeech_jax/trial_1", [(1.0, 0.1)])
    trial(tmp_path, "c/study_0/librispeech_deepspeech_pytorch/trial_9", [(1.0, 0.1)])
    trial(tmp_path, deep("c", 0, 9), [(2.0, 0.1)])
    (tmp_path / "c" / FILE).write_text("")
    torn = trial(tmp_path, deep("c", 0, 3), [(1.0, 0.5), (2.0, 0.1199), (3.0, 0.12999)])
    torn.write_text(torn.read_text().removesuffix("999,0.5,0.01\n"))  # 0.12999 is cut to 0.12
    (trial(tmp_path, deep("c", 0, 4), [(1.0, 0.5)])).write_bytes(b"\xff\xfe")
    found = import_logs(tmp_path, read_targets(None))
    skipped = dict(found.skipped)
    assert len(skipped) == 7
    for part, why in {
        "trial_1/": "no column validation/wer",
        "trial_2/": "no column accumulated_submission_time",
        "mnist_jax": "no target for mnist",
        "c/old": "not in SUBMISSION",
        "pytorch/trial_9": "duplicate trial",
        "trial_4/": "cannot be read",
    }.items():
        assert any(part in path and why in reason for path, reason in skipped.items()), part
    assert ("c", "librispeech_deepspeech", "0", "3", 2.0) in found.rows
    assert found.notes == ((f"{deep('c', 0, 3)}/{FILE}", "the last line is incomplete and was ignored"),)


def test_a_truncated_number_reaches_nothing(tmp_path: Path) -> None:
    file = trial(tmp_path, deep("c", 0, 1), [(1.0, 0.5), (2.0, 0.1888)])
    file.write_text(file.read_text().removesuffix("888,0.5,0.01\n"))
    assert file.read_text().endswith("2.0,1,0.1")
    assert import_logs(tmp_path, read_targets(None)).rows[0][4] == math.inf


def test_the_table_can_be_scored(tmp_path: Path, call: Call) -> None:
    logs(tmp_path / "logs")
    code, out, err = call("import", "algoperf", tmp_path / "logs", "-o", tmp_path / "table.csv")
    assert (code, err) == (0, "")
    assert out.startswith("5 trials, 4 reached their target")
    assert read_table(tmp_path / "table.csv").studies["a"] == {"librispeech_deepspeech": (20.0, math.inf)}
    code, out, _ = call("score", tmp_path / "table.csv", "--json")
    assert [row["submission"] for row in json.loads(out)["rows"]] == ["b", "a"]


def test_the_table_goes_to_stdout_without_a_file(tmp_path: Path, call: Call) -> None:
    found = import_logs(logs(tmp_path), read_targets(None))
    code, out, _ = call("import", "algoperf", tmp_path)
    assert (code, out) == (0, to_table(found))
    _, out, _ = call("import", "algoperf", tmp_path, "--json")
    tree = json.loads(out)
    assert (tree["trials"], tree["reached"], tree["rows"][2]["seconds"]) == (5, 4, None)


def test_own_targets_come_first(tmp_path: Path, call: Call) -> None:
    logs(tmp_path / "logs")
    trial(tmp_path / "logs", "a/study_0/mnist_jax/trial_1", [(7.0, 0.3)])
    targets = tmp_path / "targets.yaml"
    targets.write_text(
        "mnist: {metric: wer, value: 0.4, direction: min}\n"
        "librispeech_deepspeech: {metric: wer, value: 0.105, direction: min}\n"
    )
    found = import_logs(tmp_path / "logs", read_targets(targets))
    assert found.rows[0][4] == 30.0 and ("a", "mnist", "0", "1", 7.0) in found.rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "expected WORKLOAD"),
        ("a: [", r"targets\.yaml, line 2: did not find expected"),
        ("a: {metric: wer}\n", "a: expected the keys direction, metric, value"),
        ("a: {metric: wer, value: low, direction: min}\n", "a.value: low is not a number"),
        ("a: {metric: wer, value: .nan, direction: min}\n", "a.value: nan is not a number"),
        ("a: {metric: wer, value: 1, direction: down}\n", "a.direction: unknown direction 'down'"),
    ],
)
def test_bad_targets_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "targets.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_targets(file)


def test_nothing_to_import_is_exit_5(tmp_path: Path, call: Call) -> None:
    with pytest.raises(NoResultsError, match="no trials found"):
        import_logs(tmp_path, read_targets(None))
    trial(tmp_path, "a/study_0/mnist_jax/trial_1", [(1.0, 0.1)])
    with pytest.raises(NoResultsError, match="no target for mnist"):
        import_logs(tmp_path, read_targets(None))
    assert call("import", "algoperf", tmp_path / "nowhere")[0] == 5


def test_the_packaged_targets_are_complete() -> None:
    known = read_targets(None)
    held_out = variants(list(known))
    of = {variant: base for base, own in held_out.items() for variant in own}
    assert len(known) - len(of) == 9 and {len(own) for own in held_out.values()} == {3}
    for variant, base in of.items():
        assert (known[variant].metric, known[variant].direction) == (known[base].metric, known[base].direction)
    assert {known[name].direction for name in ("wmt", "ogbg", "fastmri", "imagenet_vit")} == {"max"}
    for table in ("algoperf_v05.csv", "algoperf_after_v06.csv"):
        assert set(read_table(Path(__file__).with_name(table)).workloads) <= set(known)
