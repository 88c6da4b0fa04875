"""The kinds of runs that `optbench bench chaos` strikes: a name and overrides. A new kind is one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from optbench.benches import comma_separated
from optbench.errors import ConfigError

COMMON = "tracker=none threads=1 device=cpu seed=0 record_every=5 eval_train_samples=200 checkpoint_seconds=0.1"
KINDS = {
    "CNN with batch norm": "model=resnet model.size=20 model.width=8 optimizer=lion steps=300",
    "ViT with mixup": "model=vit model.drop_path=0.2 data.augment.mixup=0.4 optimizer=adamw steps=150",
    "masked LM": "model=bert optimizer=lamb batch_size=4 steps=60 eval_every=30",
    "causal LM by Sophia": "model=gpt optimizer=sophia_g batch_size=4 steps=60 eval_every=30",
    "span corruption": "model=t5 optimizer=adafactor batch_size=4 steps=60 eval_every=30",
    "GAN of two players": "model=dcgan optimizer=adam steps=100 ema=true",
    "function with noise": "model=noisy_sparse optimizer=signsgd steps=3000",
    "SAM with averaged weights": "model=resnet model.size=20 model.width=8 optimizer=sam ema=true steps=150",
    "L-BFGS": "model=mlp optimizer=lbfgs steps=150",
    "schedule-free in bf16": "model=mlp optimizer=schedulefree schedule=constant precision=bf16 steps=1500",
    "K-FAC with clipping": "model=mlp optimizer=kfac clip=global_norm steps=400",
    "gradient accumulation": "model=mlp optimizer=muon batch_size=60 micro_batch=16 steps=500",
    "two ranks by DDP": "model=resnet model.size=20 model.width=8 optimizer=momentum devices=2 steps=200",
    "two ranks by FSDP": "model=vit optimizer=soap devices=2 strategy=fsdp steps=50 checkpoint_seconds=0.3",
    "data workers": "model=resnet model.size=20 model.width=8 optimizer=nesterov data=imagefolder data.path={images} "
    "data.image_size=16 data.in_memory_bytes=0 data.workers=2 batch_size=16 eval_batch_size=64 steps=150",
}


def chosen_kinds(text: str) -> dict[str, str]:
    """Return the kinds whose names contain one of the words in `text`, all for an empty text."""
    words = comma_separated(text) or [""]
    for word in words:
        if not any(word in name for name in KINDS):
            raise ConfigError(f"kinds={text}: no kind contains '{word}'", f"Choose from {'; '.join(KINDS)}")
    return {name: line for name, line in KINDS.items() if any(word in name for word in words)}


def overrides_of(line: str, images: Path, given: Sequence[str]) -> list[str]:
    """Return a kind's overrides; those `given` for the whole bench have priority."""
    own = {word.partition("=")[0]: word.format(images=images) for word in f"{COMMON} {line}".split()}
    return [*{**own, **{word.partition("=")[0]: word for word in given}}.values()]


def write_images(folder: Path, classes: int = 4, images: int = 24) -> None:
    """Write images of random pixels, in one folder a class."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in range(classes):
            place = folder / split / f"class-{name}"
            place.mkdir(parents=True)
            for number in range(images):
                Image.fromarray(random.integers(0, 256, (20, 20, 3), np.uint8)).save(place / f"{number}.png")
