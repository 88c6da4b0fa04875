"""Command lines as nobody should type them: valid ones of every command, mangled at random."""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Iterator
from functools import cache

from optbench.cli.commands import COMMANDS, GROUPS, build

LINES = {  # what stands behind | is never changed, so that nothing trains for long, waits or uses the network
    "run": [
        "optimizer=lion model=mlp --study s --results-dir results | --dry-run",
        "optimizer=sgd model=quadratic optimizer.lr=0.1 --json | steps=2 max_seconds=5 tracker=none threads=1",
    ],
    "sweep": ["optimizer=lion,adamw model=mlp --trials 2 --seeds 2 --jobs 1 | --dry-run", "study.yaml | --dry-run"],
    "new": ["optimizer mine2 --json", "study plan --folder out --force", "model net --folder conf"],
    "list": ["optimizers", "experiments --json", "columns", "data --config-dir conf"],
    "show": ["optimizer=lion model=vit optimizer.lr=0.1 --json", "model=gpt data=pydocs --config-dir conf"],
    "doctor": ["--json | nothing"],
    "check": ["optimizer=lion optimizer.lr=0.1 --against lion --json | optimizer.no_such_key=1"],
    "bench": ["step model=mlp steps=3 --json | optimizer=no_such_one", "loop | model=no_such_one"],
    "report": [
        "results/large --text --margin 1% --level 0.9 | --only md,csv,json,html",
        "results -o out --reference lion --mix hardware,data | --only md,csv,json,html",
    ],
    "compare": ["lion adamw results/large --margin 0.01 --assert 'lion >= adamw' --json", "lion sgd large"],
    "merge": ["results other -o merged --mix versions --json", "results/large other -o other --dry-run"],
    "score": ["table.csv --r-max 4 --reference a --json", "table.csv --trapezoid"],
    "reproduce": ["tiny --decide-only --publish --output claims", "tiny --scale cpu | --dry-run"],
    "data": ["verify digits --json", "get digits", "list --config-dir conf"],
    "targets": ["set quadratic steps=2 --trials 2 --seeds 1 -o conf | --dry-run", "list --config-dir conf --json"],
    "import": ["algoperf logs -o table.csv --targets conf/targets.yaml --json"],
}
RARE = {"sweep": 0.3, "doctor": 0.1, "reproduce": 0.5, "targets": 0.5}  # these take seconds where little is wrong
LEFT_OUT = {"--debug", "--watch", "--wandb", "--help", "--install-completion", "--show-completion"}
WORDS = [
    *(
        "",
        " ",
        "-",
        "--",
        "---",
        "=",
        "=x",
        "a=",
        "==",
        ",",
        ":",
        "'",
        '"',
        "[",
        "{a:1",
        "}",
        "\\",
        "#",
        "$",
        "%s",
        "{}",
    ),
    *(
        "optimizer=",
        "optimizer=lion,",
        "optimizer=lion,,adamw",
        "optimizer=[lion]",
        "optimizer='lion",
        "+optimizer=lion",
    ),
    *("~optimizer", "++steps=1", "optimizer@x=lion", "optimizer.lr=nan", "optimizer.lr=1e400", "optimizer.lr=[1,2]"),
    *("optimizer.lr=range(0,1e9)", "optimizer.lr=interval(1,0)", "optimizer.betas=x", "model.task.target=os.system"),
    *("optimizer=./mine.py:Mine", "optimizer=./results", "optimizer=os.system", "model=./nope.py:Net", "data=./fifo"),
    *("data=text data.path=fifo", "data.path=/dev/zero", "model=mlp", "model=vit", "data=digits", "data=text"),
    *("steps=0", "steps=-1", "seed=x", "seed=-1", "batch_size=0", "threads=0", "device=tpu", "devices=3"),
    *("precision=fp3", "${oc.env:HOME}", "seed=${oc.env:HOME}", "${x}", "optimizer=${model}", "key=null", "null"),
    *("0", "1", "-1", "00", "1e400", "nan", "-inf", "9" * 30, "9" * 5000, "1%", "-5%", "nan%", "0x10", "1_000", "٣"),
    *(
        "results",
        "results/large",
        "large",
        "nothing",
        "table.csv",
        "conf",
        "study.yaml",
        "out",
        ".",
        "..",
        "../..",
        "/",
    ),
    *(
        "fifo",
        "loop",
        "empty",
        "deep.json",
        "binary",
        "/dev/zero",
        "/dev/null",
        "/dev/full",
        "/proc/self/mem",
        "/proc/x",
    ),
    *("~", "~nosuchuser", "~nosuchuser/x", "table.csv/x", "x" * 300, "x/" * 200, "y" * 5000, "file:///etc/passwd"),
    *(
        "\x1b[31mred",
        "a\nb",
        "a\rb",
        "\x07",
        "\u202eabc",
        "\u2066x",
        "\x9b31m",
        "\udcff\udcfe",
        "é",
        "日本",
        "🙂",
        "\u2028",
    ),
    *("lion >= adamw", "lion > lion", ">=", "slurm", "slurm,partition=", "ray,x", "local,", "sqlite:///x.db", "://"),
    *("lion", "adamw", "sgd", "tiny", "mlp", "default", "classic", "failed,diverged", "0.25,0.5", "0,0", "html,md"),
]


@cache
def options(command: str) -> tuple[str, ...]:
    """Return the options of a command, or of all commands of a group."""
    built = build(command)
    inner = built.commands.values() if command in GROUPS else [built]
    found = {option for one in inner for parameter in one.params for option in parameter.opts if option[:1] == "-"}
    return tuple(sorted(found - LEFT_OUT))


def swap(words: list[str], draw: random.Random) -> None:
    a, b = (draw.randrange(len(words)) for _ in range(2))
    words[a], words[b] = words[b], words[a]


def drop(words: list[str], draw: random.Random) -> None:
    del words[draw.randrange(len(words))]


def double(words: list[str], draw: random.Random) -> None:
    words.insert(draw.randrange(len(words) + 1), draw.choice(words))


def insert(words: list[str], draw: random.Random) -> None:
    words.insert(draw.randrange(len(words) + 1), draw.choice(WORDS))


def replace(words: list[str], draw: random.Random) -> None:
    words[draw.randrange(len(words))] = draw.choice(WORDS)


def revalue(words: list[str], draw: random.Random) -> None:
    """Give a word another value: behind its `=`, or behind an option."""
    place = draw.randrange(len(words))
    key, equals, _ = words[place].partition("=")
    words[place] = f"{key}{equals or '='}{draw.choice(WORDS)}"


def scratch(words: list[str], draw: random.Random) -> None:
    """Change one character of a word."""
    place = draw.randrange(len(words))
    word, at = words[place], draw.randrange(len(words[place]) + 1)
    words[place] = (
        word[:at] + draw.choice(["", "=", ",", "\x1b", "'", ".", "-", "\u202e", "\udc80", "0"]) + word[at + 1 :]
    )


def join(words: list[str], draw: random.Random) -> None:
    """Join two words."""
    place = draw.randrange(len(words))
    words[place : place + 2] = [draw.choice(["", "=", ",", " ", "."]).join(words[place : place + 2])]


MANGLERS: tuple[Callable[[list[str], random.Random], None], ...] = (
    swap, drop, double, insert, insert, replace, replace, revalue, revalue, scratch, join,
)  # fmt: skip


def option(words: list[str], command: str, draw: random.Random) -> None:
    """Insert an option of the command, mostly with a value."""
    place = draw.randrange(len(words) + 1)
    value = [draw.choice(WORDS)] if draw.random() < 0.8 else []
    words[place:place] = [draw.choice(options(command)), *value]


def mangled(seed: int, count: int) -> Iterator[list[str]]:
    """Yield argument lists; the seed determines them."""
    draw = random.Random(seed)
    names = list(COMMANDS)
    for _ in range(count):
        (command,) = draw.choices(names, [RARE.get(name, 1.0) for name in names])
        changing, _, kept = draw.choice(LINES[command]).partition("|")
        words = shlex.split(changing)
        for _ in range(draw.randint(1, 3)):
            if draw.random() < 0.3:
                option(words, command, draw)
            elif words:
                draw.choice(MANGLERS)(words, draw)
        if draw.random() < 0.02:
            command = draw.choice(WORDS)
        words = [word for word in words if word not in LEFT_OUT]
        first = 1 if command in GROUPS else 0  # behind the name of a group's command, where no option swallows them
        yield [command, *words[:first], *shlex.split(kept), *words[first:]]
