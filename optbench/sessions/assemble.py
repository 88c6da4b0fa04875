"""Building the objects of a run from its RunConfig."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from optbench.config import RunConfig, imports
from optbench.config.content import data_folder
from optbench.contracts import AttentionHeads, DataSet, DataSource, Seeds, Task
from optbench.data.own import OwnData, is_source
from optbench.distributed import TorchCommunicator, shard_parameters, sync_batch_norms
from optbench.errors import ConfigError
from optbench.models.freezing import freeze
from optbench.models.roles import problem_of
from optbench.optimizers.core.build import build
from optbench.optimizers.core.interface import engine_of
from optbench.sessions.compatible import (
    attention_reader,
    check_compatible,
    check_ranks,
    check_scaled,
    with_modifiers,
)
from optbench.sessions.initial_weights import InitialWeights
from optbench.sessions.make import make
from optbench.sessions.micro_batch import largest_micro_batch
from optbench.sessions.new_model import check_model, finish_model, new_model
from optbench.sessions.pack import loaded_once
from optbench.sessions.rehearsal import check_facts, rehearse, unfit
from optbench.sessions.single_samples import require_batch_statistics
from optbench.training.attention import select_kernel
from optbench.training.attention_logits import AttentionPlayer
from optbench.training.clock import Clock, clock_for
from optbench.training.curvature import BatchCurvature
from optbench.training.device import configure_torch, resolve_device
from optbench.training.graphed_step import GraphedPlayer, check_capturable
from optbench.training.loop import Trainer
from optbench.training.lr_scaling import lr_factor, scaled_schedule
from optbench.training.own_schedule import factor_of
from optbench.training.plan import Plan
from optbench.training.player import ActivePlayer, autocast
from optbench.training.seeding import seed_all, seeds_of

AUTO = "auto"  # micro_batch=auto: the largest that fits into memory


@dataclass(frozen=True)
class Objects:
    """The objects of a run."""

    device: torch.device
    data: DataSet
    task: Task
    trainer: Trainer
    implementation: Mapping[str, object]
    """The facts about the first player's optimizer in its YAML file."""
    micro_batch: int | None
    """Samples of a forward-backward pass; None for the whole batch."""
    weights: InitialWeights | None = None
    """The weights that `init` names, as they were loaded."""

    @property
    def engine(self) -> str:
        """The engine of the first player's optimizer: as chosen, and after the trainer's `warm_up` as it works."""
        return engine_of(next(iter(self.trainer.players.values())).optimizer, self.implementation)


def data_root(config: RunConfig) -> Path:
    """Return the folder of downloaded data: data_dir, else $OPTBENCH_DATA_DIR, else ~/.cache/optbench/data."""
    return data_folder(config.data_dir)


def assemble(
    config: RunConfig,
    on_step: Callable[[Trainer], None] = lambda trainer: None,
    known_micro_batch: int | None = None,
    comm: TorchCommunicator | None = None,
    weights: InitialWeights | None = None,
) -> Objects:
    """Build data, model, task, optimizer and trainer of a run.

    `known_micro_batch` is the choice of `micro_batch=auto` when the run began; `weights` are those of `init`."""
    device = comm.device if comm else resolve_device(config.device)
    seeds = seeds_of(config.seed)
    prepare(config, device, seeds)
    load = functools.partial(load_data, config, device, seeds)
    data = comm.rank_zero_first(load) if comm else load()
    if comm:
        data.local_slice = comm.local_slice  # a data set that is slow to read can skip the samples of other ranks
    micro_batch = choose_micro_batch(config, data, device, seeds, known_micro_batch, comm)
    prepare(config, device, seeds)  # loading and fitting may have drawn random numbers
    trainer = build_trainer(config, data, device, seeds, micro_batch, on_step, comm, weights)
    require_batch_statistics(config, trainer, micro_batch, comm.world_size if comm else 1)
    rehearse(config, trainer)
    return Objects(device, data, trainer.task, trainer, config.optimizer.implementation, micro_batch, weights)


def prepare(config: RunConfig, device: torch.device, seeds: Seeds) -> None:
    """Set torch's threads, determinism, TF32, current device, seeds and attention kernel for this process."""
    configure_torch(config, device)
    seed_all(seeds.init)
    select_kernel(config.attention)


def load_data(config: RunConfig, device: torch.device, seeds: Seeds) -> DataSet:
    """Load the data set of a run."""
    data = loaded_once(config, device, seeds, lambda: data_source(config).load(data_root(config), device, seeds))
    reads, kind = config.model.about.get("reads"), getattr(data, "kind", None)
    kinds = [reads] if isinstance(reads, str) else list(reads or ())
    if kinds and kind and kind not in kinds:
        shape = getattr(data, "sample_shape", None)
        found = f"data={config.data.name} is {kind}" + (f" of shape {shape}" if shape else "")
        raise ConfigError(
            f"model={config.model.name} reads {' or '.join(kinds)}, and {found}",
            "Choose another model: model=mlp reads samples of any shape, model=gpt reads text",
        )
    return data


def data_source(config: RunConfig) -> DataSource:
    """Return the source of a run's samples: an object with `load`, or the user's function that returns the splits."""
    path, settings = config.data.target, config.data.settings
    target = imports.load(path)
    if is_source(target):
        return make("data set", path, **settings)
    return OwnData(path, target, settings)


def choose_micro_batch(
    config: RunConfig,
    data: DataSet,
    device: torch.device,
    seeds: Seeds,
    known: int | None,
    comm: TorchCommunicator | None = None,
) -> int | None:
    """Return the micro-batch: as configured, as chosen when the run began, or the largest that fits; None for all."""
    if config.micro_batch != AUTO:
        return int(config.micro_batch) if config.micro_batch is not None else None
    share = -(-config.batch_size // (comm.world_size if comm else 1))
    found = known or largest_micro_batch(
        lambda: build_trainer(config, data, device, seeds, None), share, config.memory_limit, device
    )
    found = comm.min_over_ranks(found)[0] if comm else found
    return None if found >= share else found


def build_trainer(
    config: RunConfig,
    data: DataSet,
    device: torch.device,
    seeds: Seeds,
    micro_batch: int | None,
    on_step: Callable[[Trainer], None] = lambda trainer: None,
    comm: TorchCommunicator | None = None,
    weights: InitialWeights | None = None,
) -> Trainer:
    """Build the task with its players, and their trainer."""
    task = build_task(config, data, seeds, device, comm)
    if weights is not None:
        weights.load_into(task.players)
    freeze(task.players, config.freeze or ())
    clock = clock_for(device)
    players = {name: build_player(config, task, name, device, clock, micro_batch, comm) for name in task.players}
    numbers = [field.name for field in dataclasses.fields(Plan) if field.default is dataclasses.MISSING]
    plan = Plan(**{name: getattr(config, name) for name in numbers})
    if micro_batch is not None:  # larger batches might not fit in evaluation either
        plan = dataclasses.replace(plan, eval_batch_size=min(plan.eval_batch_size, micro_batch))
    schedule = scaled_schedule(config.schedule.settings, config.scale_warmup, config.batch_size, config.scale_from)
    factor = factor_of(config.schedule.target, config.steps, **schedule)
    return Trainer(plan, task, data, players, factor, device=device, clock=clock, on_step=on_step, comm=comm)


def build_task(
    config: RunConfig, data: DataSet, seeds: Seeds, device: torch.device, comm: TorchCommunicator | None = None
) -> Task:
    """Build the model on its device, inside its task."""
    model = new_model(config, data, device)
    if comm and config.batch_statistics == "synchronised":
        model = sync_batch_norms(model, device)
    settings = dict(config.model.settings["task"])
    try:
        task = make("task", settings.pop("target"), model, data, seeds, **settings)
    except Exception as error:
        if not config.model.about.get("chosen_task"):
            raise
        raise unfit(config, error) from error
    check_facts(task, str(config.model.settings["task"]["target"]))
    finish_model(config, model, task, data)
    check_model(config, model, device)
    return task


def build_player(
    config: RunConfig,
    task: Task,
    name: str,
    device: torch.device,
    clock: Clock,
    micro_batch: int | None,
    comm: TorchCommunicator | None = None,
) -> ActivePlayer:
    """Build a player: a network with its optimizer and clip."""
    module, choice = task.players[name], config.optimizer_of(name)
    needs = list(choice.about.get("needs", []))
    check_compatible(config, choice, needs)
    if comm:
        check_ranks(choice, needs, comm.world_size)
    curvature = None
    if "curvature" in needs:
        curvature = BatchCurvature(module, clock, autocast(config.precision, device), micro_batch, comm)
    shards = shard_parameters(module, comm, config, choice)
    problem = shards.problem if shards else problem_of(module, curvature)
    optimizer = build(imports.load(choice.target), choice.settings, choice.implementation, problem, needs)
    check_scaled(config, choice, optimizer)
    reader, heads = attention_reader(config), list[AttentionHeads]()
    optimizer = with_modifiers(optimizer, config, choice, problem.parameters, heads)
    clip = make("clip", config.clip.target, problem, **config.clip.settings)
    if shards:
        clip.reductions = shards
    kind = functools.partial(AttentionPlayer, heads, f"{reader}: model={config.model.name}") if reader else ActivePlayer
    if config.cuda_graph:
        check_capturable(config, choice, optimizer, task, device, alone=comm is None)
        kind = GraphedPlayer
    return kind(
        module,
        optimizer,
        clip,
        needs=needs,
        precision=config.precision,
        micro_batch=micro_batch,
        device=device,
        clock=clock,
        curvature=curvature,
        lr_factor=lr_factor(config.scale_lr, config.batch_size, config.scale_from),
        task_modules=list(task.players.values()),
        comm=comm,
        shards=shards,
    )
