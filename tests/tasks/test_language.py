"""Masked, causal and span-corrupted language modelling: targets, counts and random draws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from language_data import END, LENGTH, MASK, PAD, SIZE, text_batch, text_data
from torch import Tensor, nn

from optbench.contracts import Seeds
from optbench.errors import ConfigError
from optbench.tasks.causal_lm import CausalLM
from optbench.tasks.language import IGNORED, LanguageTask, nats, unigram_nats
from optbench.tasks.masked_lm import MaskedLM
from optbench.tasks.span_corruption import SpanCorruption
from optbench.training.curvature import micro_batches
from optbench.training.evaluation import gather

MASKING = {"masking": "fixed", "mask_share": 0.15, "replaced_by_mask": 0.8, "replaced_by_random": 0.1}
SENTINELS = 5


class Scores(nn.Module):
    """A model with the same scores at every position; `sentinels` as in T5."""

    def __init__(self, pieces: int = SIZE, sentinels: int = 0) -> None:
        super().__init__()
        self.sentinels = sentinels
        self.bias = nn.Parameter(torch.linspace(-1, 1, pieces + sentinels))

    def forward(self, tokens: Tensor, positions: Tensor | None = None) -> Tensor:
        return self.bias.expand(*(tokens if positions is None else positions).shape, -1)


def masked(seed: int = 2, length: int = LENGTH, **settings: Any) -> MaskedLM:
    return MaskedLM(Scores(), text_data(length), Seeds(0, 1, seed), **{**MASKING, **settings})


def causal() -> CausalLM:
    return CausalLM(Scores(), text_data(), Seeds(0, 1, 2))


def spans(sentinels: int = SENTINELS, **settings: Any) -> SpanCorruption:
    settings = {"noise_density": 0.3, "mean_span": 3.0, **settings}
    return SpanCorruption(Scores(sentinels=sentinels), text_data(), Seeds(0, 1, 2), **settings)


def bias_of(task: LanguageTask) -> Tensor:
    assert isinstance(task.model, Scores)
    return task.model.bias


TASKS: dict[str, Any] = {
    "masked": masked,
    "bernoulli": lambda: masked(masking="bernoulli"),
    "causal": causal,
    "spans": spans,
}


# -- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
class TestEveryTask:
    def test_micro_batches_sum_to_the_batch(self, name: str) -> None:
        task = TASKS[name]()
        (turn,) = task.turns(text_batch(7), 0)
        total, count = turn.loss(turn.batch)
        (gradient,) = torch.autograd.grad(total / count, [task.model.bias])
        parts = [turn.loss(micro) for micro in micro_batches(turn.batch, 3)]
        summed = torch.autograd.grad(torch.stack([part for part, _ in parts]).sum(), [task.model.bias])[0]
        assert sum(int(n) for _, n in parts) == int(count)
        torch.testing.assert_close(summed / count, gradient)

    def test_a_sample_is_prepared_the_same_in_any_batch(self, name: str) -> None:
        task = TASKS[name]()
        whole = task.prepared(text_batch(6), 4)
        alone = task.prepared(text_batch(1, first=3), 4)
        assert all(torch.equal(whole[key][3:4], alone[key]) for key in whole)

    @torch.no_grad()
    def test_evaluation_is_the_same_for_every_seed_and_division(self, name: str) -> None:
        first, second = TASKS[name](), TASKS[name]()
        second.seed = 99
        whole = first.score(gather([first.evaluate(text_batch(8))]))
        parts = second.score(gather([second.evaluate(text_batch(3)), second.evaluate(text_batch(5, first=3))]))
        assert whole == pytest.approx(parts)
        assert {"loss", "metric", "trivial", "accuracy"} <= whole.keys()

    def test_labels_are_sampled_from_the_model_at_targets(self, name: str) -> None:
        task = TASKS[name]()
        with torch.no_grad():
            task.model.bias.fill_(0.0)
            task.model.bias[7] = 50.0  # the model is sure of piece 7
        (turn,) = task.turns(text_batch(4), 0)
        assert turn.sampled_loss is not None
        total, count = turn.sampled_loss(turn.batch)
        assert total.item() == pytest.approx(0, abs=1e-4)
        assert int(count) == int(turn.loss(turn.batch)[1])

    def test_a_loss_far_beyond_a_uniform_guess_has_diverged(self, name: str) -> None:
        task = TASKS[name]()
        assert task.diverged(math.log(SIZE)) == ""
        assert "exceeds" in task.diverged(20 * math.log(SIZE))


def test_unigram_nats_by_hand() -> None:
    assert unigram_nats(torch.tensor([0, 2, 4])).tolist() == pytest.approx(
        [math.log(9), math.log(9 / 3), math.log(9 / 5)]
    )


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0]]])
    labels = torch.tensor([[1, IGNORED]])
    assert nats(logits, labels, "sum").item() == pytest.approx(math.log(4 / 3))
    assert nats(logits, labels, "none").tolist() == [[pytest.approx(math.log(4 / 3)), 0.0]]


def test_a_sample_of_one_token_is_refused() -> None:
    with pytest.raises(ConfigError, match="sequence_length=1"):
        CausalLM(Scores(), text_data(length=1), Seeds(0, 1, 2))


# -- masked ----------------------------------------------------------------------------------------------------------


def test_targets_have_their_positions_and_other_tokens_are_unchanged() -> None:
    batch = text_batch(50)
    prepared = masked().prepared(batch, 1)
    labels, positions = prepared["labels"], prepared["positions"]
    assert labels.shape == positions.shape == (50, 4)  # round(0.15 x 24)
    assert torch.equal(batch["tokens"].gather(1, positions), labels)
    rest = torch.ones_like(batch["tokens"], dtype=torch.bool).scatter(1, positions, False)
    assert torch.equal(batch["tokens"][rest], prepared["inputs"][rest])
    assert not (labels == END).any(), "special pieces are no targets"


def test_shares_of_replacements() -> None:
    batch = text_batch(2000)
    prepared = masked().prepared(batch, 1)
    shown, labels = prepared["inputs"].gather(1, prepared["positions"]), prepared["labels"]
    # 8000 targets, standard deviations of at most 0.005; a random piece is the old one in 1 of 37 cases
    assert (shown == MASK).double().mean().item() == pytest.approx(0.8, abs=0.02)
    assert (shown == labels).double().mean().item() == pytest.approx(0.1 + 0.1 / 37, abs=0.02)
    replaced = shown[(shown != MASK) & (shown != labels)]
    assert set(replaced.tolist()) == set(range(3, SIZE)), "every ordinary piece, and no special one"


def test_bernoulli_masks_vary_in_number_and_have_the_right_share() -> None:
    prepared = masked(masking="bernoulli", length=200).prepared(text_batch(400, length=200), 1)
    counts = (prepared["labels"] != IGNORED).sum(1).double()
    assert counts.min() < counts.max()
    assert counts.mean().item() == pytest.approx(0.15 * 199, abs=1)  # one end in each; standard deviation 0.25
    assert counts.var().item() == pytest.approx(0.15 * 0.85 * 199, rel=0.35)
    inputs, untouched = prepared["inputs"], text_batch(400, length=200)["tokens"]
    assert ((inputs != untouched).sum(1) <= counts).all(), "what is no target is shown as it is"


def test_another_epoch_and_another_seed_have_other_masks() -> None:
    batch = text_batch(4)
    later = {**batch, "index": batch["index"] + 4}
    first = masked().prepared(batch, 1)["positions"]
    assert not torch.equal(first, masked().prepared(later, 1)["positions"])
    assert not torch.equal(first, masked().prepared(batch, 2)["positions"])


def test_every_batch_has_a_target() -> None:
    tokens = torch.full((1, LENGTH), END)
    tokens[0, 5] = 9
    task = masked(masking="bernoulli", mask_share=1e-6)
    for index in range(50):
        prepared = task.prepared({"tokens": tokens, "index": torch.tensor([index])}, 1)
        assert prepared["labels"][prepared["labels"] != IGNORED].tolist() == [9], "the one ordinary piece"
    only_ends = {"tokens": torch.full((1, LENGTH), END), "index": torch.tensor([0])}
    assert int(task.loss(task.prepared(only_ends, 1))[1]) == 1


def test_replacement_shares_above_one_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"replaced_by_mask=0.8 .* sum to more than 1"):
        masked(replaced_by_random=0.3)


# -- causal ----------------------------------------------------------------------------------------------------------


def test_every_piece_but_the_first_is_predicted() -> None:
    batch = text_batch(2)
    prepared = causal().prepared(batch, 0)
    assert torch.equal(prepared["inputs"], batch["tokens"][:, :-1])
    assert torch.equal(prepared["labels"], batch["tokens"][:, 1:])


@torch.no_grad()
def test_bits_per_byte_of_a_uniform_model() -> None:
    task = causal()
    bias_of(task).zero_()
    batch = text_batch(3)
    scores = task.score(gather([task.evaluate(batch)]))
    predicted, of_text = 3 * (LENGTH - 1), int((batch["tokens"][:, 1:] != END).sum())
    assert scores["metric"] == pytest.approx(math.log(SIZE))
    assert scores["bits_per_byte"] == pytest.approx(predicted * math.log2(SIZE) / (2 * of_text))


# -- spans -----------------------------------------------------------------------------------------------------------


def test_the_decoder_reads_shifted_targets() -> None:
    prepared = spans().prepared(text_batch(3), 0)
    assert (prepared["decoder_inputs"][:, 0] == PAD).all()
    assert torch.equal(prepared["decoder_inputs"][:, 1:], prepared["labels"][:, :-1])


@torch.no_grad()
def test_the_metric_excludes_sentinels_and_the_end() -> None:
    task = spans()  # 24 x 0.3: 7 pieces in 2 spans; targets: 2 sentinels, 7 pieces, the end
    scores = task.evaluate(text_batch(3))
    assert [int(scores[name][1]) for name in ("loss", "metric", "trivial", "accuracy")] == [30, 21, 21, 21]
    labels = task.prepared(text_batch(3), task.evaluation_seed)["labels"]
    pieces = labels[:, :-1][labels[:, :-1] < SIZE]
    each = -bias_of(task).log_softmax(0).double()
    assert float(scores["metric"][0]) == pytest.approx(float(each[pieces].sum()), rel=1e-5)
    assert float(scores["trivial"][0]) == pytest.approx(float(task.unigram_nats[pieces].sum()))


def test_too_few_sentinels_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"model.sentinels=1 .* 2 spans"):
        spans(sentinels=1)
