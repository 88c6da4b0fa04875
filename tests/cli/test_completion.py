"""Completion of key=value, by the callback and in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from optbench.cli.completion import Completion, complete_override, complete_slug
from optbench.config import Composition, config_folders, options


def candidates(word: str, *words: str) -> list[str]:
    return Completion(words).candidates(word)


@pytest.mark.parametrize(
    ("word", "words", "expected", "absent"),
    [
        ("opt", [], ["optimizer="], ["optimizer_d="]),
        ("ste", [], ["steps="], ["about="]),
        ("look", [], ["lookahead="], []),
        ("optimizer=l", [], ["optimizer=lion"], []),
        ("optimizer=lion,l", [], ["optimizer=lion,lamb"], ["optimizer=lion,lion"]),
        ("optimizer.", [], ["optimizer.lr=", "optimizer.eps="], ["optimizer.momentum="]),
        ("optimizer.", ["optimizer=signum"], ["optimizer.momentum="], ["optimizer.eps="]),
        ("optimizer.impl=", ["optimizer=lion"], ["optimizer.impl=optbench", "optimizer.impl=timm"], []),
        ("optimizer.impl=", ["optimizer=sgd"], ["optimizer.impl=torch"], ["optimizer.impl=timm"]),
        ("lookahead=", [], ["lookahead=true", "lookahead=false"], []),
        ("lookahead.", [], ["lookahead.k=", "lookahead.alpha="], []),
        ("lookahead.impl=", [], ["lookahead.impl=timm"], []),
        ("data.augment.", [], ["data.augment.flip="], ["data.path="]),
        ("data.", ["model=bert"], ["data.sequence_length="], ["data.augment.flip="]),  # the model's default data
        ("clip.", ["model=gpt"], ["clip.max_norm="], []),  # the clip that its task chooses
        ("clip.", ["model=vit"], [], ["clip.max_norm="]),
        ("model.task.", ["model=gan"], ["model.task.n_critic="], []),
        ("task=", [], ["task=masked_lm"], []),
        ("task.", ["model=gan"], ["task.n_critic="], ["task.label_smoothing="]),
        ("task.", ["task=masked_lm", "model=gan"], ["task.masking="], ["task.n_critic="]),
        ("task.loss=", ["model=gan"], ["task.loss=hinge"], []),
        ("optim", ["model=gan"], ["optimizer_d="], []),
        ("optimizer_d=", ["model=gan"], ["optimizer_d=lion"], []),
        ("optimizer_d.", ["model=gan", "optimizer=adam"], ["optimizer_d.eps="], ["optimizer_d.alpha="]),
    ],
)
def test_names_and_keys(word: str, words: list[str], expected: list[str], absent: list[str]) -> None:
    found = candidates(word, *words)
    assert set(expected) <= set(found)
    assert not set(absent) & set(found)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("precision", "fp32 tf32 bf16 fp16"),
        ("strategy", "null ddp fsdp"),
        ("batch_statistics", "null local synchronised"),
        ("device", "auto cpu cuda"),
        ("micro_batch", "null auto"),
        ("deterministic", "true false"),  # by its default
        ("channels_last", "null true false"),
        ("optimizer.engine", "auto eager compiled"),
        ("steps", ""),
    ],
)
def test_values_come_from_the_grammar_of_valid_values(key: str, expected: str) -> None:
    assert candidates(f"{key}=") == [f"{key}={value}" for value in expected.split()]


@pytest.mark.parametrize("model", ["vit", "gan"])
def test_every_key_of_a_run_is_offered(model: str) -> None:
    composition = Composition([f"model={model}", "optimizer_d.lr=1"] if model == "gan" else [f"model={model}"])
    heads = {key.partition(".")[0] for key in composition.known_keys if "." in key}
    found = {word for head in heads for word in candidates(f"{head}.", f"model={model}")} | set(candidates(""))
    assert {f"{key}=" for key in composition.known_keys} <= found


def test_the_users_folder_is_offered_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text("wings: 2\nabout: {target: x.Y}\n")
    (tmp_path / "optimizer" / "broken.yaml").write_text("wings: [\n")
    monkeypatch.setenv("OPTBENCH_CONFIG_DIR", str(tmp_path))
    assert "optimizer=mine" in candidates("optimizer=")
    assert candidates("optimizer.", "optimizer=mine") == ["optimizer.wings="]
    assert candidates("optimizer.", "optimizer=broken") == []
    monkeypatch.setenv("OPTBENCH_CONFIG_DIR", str(tmp_path / "absent"))
    monkeypatch.delenv("COMP_CWORD", raising=False)
    assert complete_override([], "opt") == []


OPTIMIZERS = options(config_folders(None), "optimizer")


@pytest.mark.parametrize(
    ("words", "index", "expected"),
    [
        ("optbench run optimizer = l", 4, [name for name in OPTIMIZERS if name[0] == "l"]),
        ("optbench run optimizer =", 3, OPTIMIZERS),
        ("optbench run opt", 2, ["optimizer=", *(f"optimizer={name}" for name in OPTIMIZERS)]),
        ("optbench run max_s", 2, ["max_seconds=", "max_seconds=null"]),
        ("optbench run optimizer = lion optimizer.bet", 5, ["optimizer.betas=", "optimizer.betas=[0.9,0.99]"]),
    ],
)
def test_bash_gets_values_alone_behind_an_equals_sign(
    monkeypatch: pytest.MonkeyPatch, words: str, index: int, expected: list[str]
) -> None:
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(index))
    assert complete_override([], words.split()[-1]) == expected


def test_claims_are_completed() -> None:
    assert complete_slug([], "lion") == ["lion-vit"]


def test_nothing_heavy_is_loaded() -> None:
    code = (
        "import sys; from optbench.cli.completion import Completion\n"
        "Completion(['model=vit']).candidates('optimizer.'); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "hydra", "omegaconf", "pydantic", "numpy"} & set(done.stdout.split())


def completed(shell: str, line: str) -> str:
    """Return the candidates of a real shell for a line, by the script that Typer generates for it."""
    program = Path(sys.executable).parent / "optbench"
    if not program.exists():
        pytest.skip("the optbench command is not installed beside this interpreter")
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    env = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "TERM": "dumb"}
    named = {**env, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # the parent process may be no shell
    script = subprocess.run(
        ["optbench", "--show-completion", shell], capture_output=True, text=True, env=named, check=True
    ).stdout
    done = subprocess.run(
        [shell, "-c", SHELLS[shell].format(script=script, line=line)], capture_output=True, text=True, env=env
    )
    return done.stdout


SHELLS = {
    "bash": """{script}
IFS=$' \\t\\n'
COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}
read -ra COMP_WORDS <<< "$(sed 's/=/ = /g' <<< "$COMP_LINE")"
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_optbench_completion optbench "" ""
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "zsh": """_TYPER_COMPLETE_ARGS='{line}' _OPTBENCH_COMPLETE=complete_zsh optbench""",
    # what the generated fish script runs; `complete --do-complete` needs a terminal
    "fish": """env _TYPER_COMPLETE_ARGS='{line}' _OPTBENCH_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args \
optbench""",
}


@pytest.mark.parametrize(
    ("shell", "line", "expected"),
    [
        ("bash", "optbench run optimizer=l", "lion"),
        ("bash", "optbench run mod", "model="),
        ("bash", "optbench new opt", "optimizer"),
        ("zsh", "optbench run optimizer=l", "optimizer=lion"),
        ("fish", "optbench run optimizer=l", "optimizer=lion"),
        ("fish", "optbench run mod", "model="),
    ],
)
def test_real_shells(shell: str, line: str, expected: str) -> None:
    assert expected in completed(shell, line)
