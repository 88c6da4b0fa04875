"""Train a small GPT on the bytes of Python's documentation, with the Trainer of Hugging Face transformers."""

from pydoc_data.topics import topics

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer

import optbench
from optbench.integrations.transformers import last_checkpoint, trainer_options

LENGTH = 32  # of a piece of text, in bytes
run = optbench.attach(metric="eval_loss", direction="min")
torch.manual_seed(run.seed)

text = torch.tensor(list("".join(topics[name] for name in sorted(topics)).encode()))
pieces = [{"input_ids": piece, "labels": piece} for piece in text[: len(text) // LENGTH * LENGTH].split(LENGTH)]
train, validation, test = pieces[:-512], pieces[-512:-256], pieces[-256:]

model = GPT2LMHeadModel(
    GPT2Config(vocab_size=256, n_positions=LENGTH, n_embd=32, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
)
trainer = Trainer(
    model,
    **trainer_options(run, model, eval_strategy="steps", eval_steps=50, save_steps=50),
    train_dataset=train,
    eval_dataset=validation,
)
trainer.train(resume_from_checkpoint=last_checkpoint(run))
run.finish(val_metric=trainer.evaluate()["eval_loss"], test_metric=trainer.predict(test).metrics["test_loss"])
