"""Does Muon harm a model that AdamW has pretrained? Pretrain with both, fine-tune from each with both."""

import shutil
from pathlib import Path

import optbench

FOLDER = Path(__file__).parent
OPTIMIZERS, SEEDS = ["adamw", "muon"], 5
SHARED = {"model": "mlp", "data": f"{FOLDER / 'data.py'}:load", "threads": 1, "tracker": "none"}


def pretrain(optimizer: str, best: dict[str, float], seed: int) -> None:
    """Train on the digits 0 to 4, and keep the weights as weights/OPTIMIZER-SEED.pt."""
    done = optbench.run({**SHARED, "optimizer": optimizer, "steps": 300, "seed": seed, **best}, study="pretrained")
    (checkpoint,) = Path(done["folder"], "checkpoints").iterdir()
    shutil.copy(checkpoint, Path("weights") / f"{optimizer}-{seed}.pt")


if __name__ == "__main__":
    Path("weights").mkdir(exist_ok=True)
    first = optbench.sweep(
        {**SHARED, "optimizer": OPTIMIZERS, "steps": 300}, trials=4, shortlist=0, seeds=0, study="pretrain"
    )
    for optimizer, best in first.winners.items():
        for seed in (0, 1, 2, *range(1000, 1000 + SEEDS)):  # those of tuning, and the fresh ones of the final runs
            pretrain(optimizer, best, seed)
    start = [f"weights/{optimizer}-${{seed}}.pt" for optimizer in OPTIMIZERS]
    second = {**SHARED, "data.first": 5, "data.train": 50, "steps": 60, "optimizer": OPTIMIZERS, "init": start}
    study = optbench.sweep(second, trials=8, seeds=SEEDS, study="finetune")
    study.report("report")
    print(study.compare("adamw", "muon"))
