"""Completion of key=value, by the callback and in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from optbench.cli.completion import candidates, choices, complete_override, keys_of, leaves
from optbench.config import packaged_folder

FILES = sorted(packaged_folder().glob("[a-z]*/*.yaml"))


def block_leaves(node: yaml.MappingNode, prefix: str = "") -> list[str]:
    """Dotted keys of a block mapping, without `about`; an inline `{...}` is one value: nobody overrides inside it."""
    found = []
    for key, value in node.value:
        if not prefix and key.value in ("about", "defaults"):
            continue
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            found += block_leaves(value, f"{prefix}{key.value}.")
        else:
            found.append(prefix + key.value)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_the_line_scanner_finds_the_keys_that_yaml_has(file: Path) -> None:
    expected = set(block_leaves(yaml.compose(file.read_text(encoding="utf-8"))))
    assert set(leaves(file)) == expected
    assert not any(key.startswith("about") for key, _ in keys_of(file))


@pytest.mark.parametrize(
    ("word", "words", "expected", "absent"),
    [
        ("opt", [], {"optimizer="}, set()),
        ("optimizer=l", [], {"optimizer=lion"}, set()),
        ("optimizer.", [], {"optimizer.lr=", "optimizer.eps="}, {"optimizer.momentum="}),
        ("optimizer.", ["optimizer=signum"], {"optimizer.momentum="}, {"optimizer.eps="}),
        ("optimizer.impl=", ["optimizer=lion"], {"optimizer.impl=optbench", "optimizer.impl=timm"}, set()),
        ("optimizer.impl=", ["optimizer=sgd"], {"optimizer.impl=torch"}, {"optimizer.impl=timm"}),
        ("look", [], {"lookahead="}, set()),
        ("lookahead=", [], {"lookahead=true", "lookahead=false"}, set()),
        ("lookahead.", [], {"lookahead.k=", "lookahead.alpha="}, set()),
        ("lookahead.impl=", [], {"lookahead.impl=timm"}, set()),
        ("data.augment.", [], {"data.augment.flip="}, {"data.path="}),
        ("precision=", [], {"precision=bf16"}, set()),
        ("ste", [], {"steps="}, set()),
    ],
)
def test_candidates(word: str, words: list[str], expected: set[str], absent: set[str]) -> None:
    found = set(candidates(word, words))
    assert expected <= found
    assert not absent & found


def test_the_users_folder_is_offered_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text("wings: 2\nabout: {target: x.Y}\n")
    monkeypatch.setenv("OPTBENCH_CONFIG_DIR", str(tmp_path))
    assert "optimizer=mine" in candidates("optimizer=", [])
    assert candidates("optimizer.", ["optimizer=mine"]) == ["optimizer.wings="]


@pytest.mark.parametrize(
    ("words", "index", "expected"),
    [
        ("optbench run optimizer = l", 4, [name for name in choices("optimizer") if name[0] == "l"]),
        ("optbench run optimizer =", 3, choices("optimizer")),
        ("optbench run opt", 2, ["optimizer=", *(f"optimizer={name}" for name in choices("optimizer"))]),
        ("optbench run max_s", 2, ["max_seconds=", "max_seconds=null"]),
        ("optbench run optimizer = lion optimizer.eng", 5, ["optimizer.engine=", "optimizer.engine=auto"]),
    ],
)
def test_bash_gets_values_alone_behind_an_equals_sign(
    monkeypatch: pytest.MonkeyPatch, words: str, index: int, expected: list[str]
) -> None:
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(index))
    assert complete_override(None, [], words.split()[-1]) == expected


def completed(shell: str, line: str) -> str:
    """What a real shell offers for a line, by the script that Typer generates for it."""
    program = Path(sys.executable).parent / "optbench"
    if not program.exists():
        pytest.skip("the optbench command is not installed beside this interpreter")
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    env = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "TERM": "dumb"}
    script = subprocess.run(
        ["optbench", "--show-completion", shell], capture_output=True, text=True, env=env, check=True
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
        ("zsh", "optbench run optimizer=l", "optimizer=lion"),
        ("fish", "optbench run optimizer=l", "optimizer=lion"),
        ("fish", "optbench run mod", "model="),
    ],
)
def test_real_shells(shell: str, line: str, expected: str) -> None:
    assert expected in completed(shell, line)


def test_a_second_players_optimizer_is_completed_like_the_first() -> None:
    assert "optimizer_d=lion" in candidates("optimizer_d=", ["model=gan"])
    assert "optimizer_d.betas=" in candidates("optimizer_d.", ["model=gan", "optimizer=lion"])
    assert "optimizer_d.alpha=" not in candidates("optimizer_d.", ["model=gan", "optimizer=lion"])
    assert "optimizer_d=" in candidates("optim", ["model=gan"])
    assert "optimizer_d=" not in candidates("optim", ["model=vit"])
