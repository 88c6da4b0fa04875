"""Mangled words of `run` and `sweep`: a plan, or one short error that a terminal can show; no traceback, not slow."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from optbench import config
from optbench.errors import OptbenchError
from optbench.sweeps.study.expand import planned
from optbench.sweeps.study.study import make_study

TYPED = """
optimizer=lion model=mlp model=gan optimizer_d=adam optimizer_d.lr=0.1 steps=10 samples=100 optimizer.lr=1e-3
clip=value optimizer.betas=[0.9,0.99] schedule.warmup=0.1 target=0.9 data_dir=here
model.task.label_smoothing=0.1 model.task.target=optbench.tasks.image_classification.ImageClassification
lookahead=true cautious=true lookahead.k=5 data=imagefolder data.path=here data=text optimizer=./mine.py:Mine
optimizer=torch.optim.Adagrad micro_batch=auto device=cpu devices=2 threads=1 max_seconds=10 seed=3
tracker=none wandb_project=x scale_lr=sqrt scale_from=64 optimizer=lion,adamw
optimizer.lr=tag(log,interval(1e-4,1e-2)) batch_size=range(1,4) optimizer=glob(a*) optimizer.lr=1,2,3
batch_size=choice(8,16) stop_at_target=true data.augment={flip:true} optimizer="./mine.py:Mine"
optimizer.eps=${optimizer.lr}
"""
WORDS = "${ }} null nan inf 1e400 -1 ??? ${seed} ${oc.env:HOME} glob(*) range(0,1e9) sort( int( hydra about 0x10 .."
WORDS += " ~nosuchuser os.system [] {} interval(1,0) shuffle(1,2) tag("
GOOD = TYPED.split()
ODD = [*"=,.{}[]()'\"\\~+@:$!#%&*/ \t\n\0ä∞\x07\u2028\udcff-0", *WORDS.split(), "9" * 400, "x" * 300]
SECONDS = 10.0


def mangled(text: str, chance: random.Random) -> str:
    """Return a word with some characters inserted or deleted, or with another value."""
    for _ in range(chance.randint(1, 3)):
        at, kind = chance.randint(0, len(text)), chance.random()
        if kind < 0.45:
            text = text[:at] + chance.choice(ODD) + text[at:]
        elif kind < 0.75:
            text = text[:at] + text[at + 1 if kind < 0.65 else len(text) :]
        else:
            text = f"{text.partition('=')[0]}={chance.choice(ODD)}"
    return text


def check(seed: int) -> None:
    """Check one list of words."""
    chance = random.Random(seed)
    words = chance.sample(GOOD, chance.randint(1, 4))
    for _ in range(chance.randint(1, 2)):
        at = chance.randrange(len(words))
        words[at] = mangled(words[at], chance)
    began = time.process_time()
    try:
        if chance.random() < 0.4:
            planned(make_study(words, {"allow_unequal": chance.random() < 0.5}))
        else:
            composition = config.Composition(words)
            loaded = composition.run_config()
            assert loaded.run_id
            assert all(composition.origin(key) for key in config.flatten(loaded.as_dict()))
    except OptbenchError as error:
        assert error.exit_code in (2, 4), (seed, words)
        assert len(str(error)) < 1200, (seed, words)
        assert len(str(error).splitlines()) <= 3, (seed, words)
        assert str(error).replace("\n", "").isprintable(), (seed, words)
    except Exception as error:
        raise AssertionError(f"seed {seed}, {words}: {type(error).__name__}: {error}") from error
    assert time.process_time() - began < SECONDS, (seed, words)


@pytest.fixture(autouse=True)
def own_optimizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "mine.py").write_text("import torch\n\nclass Mine(torch.optim.SGD):\n    pass\n")
    monkeypatch.chdir(tmp_path)


def test_no_words_give_a_traceback() -> None:
    for seed in range(250):
        check(seed)


@pytest.mark.slow
def test_no_words_of_many_give_a_traceback() -> None:
    for seed in range(1000, 11000):
        check(seed)
