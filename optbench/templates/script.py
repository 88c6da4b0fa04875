"""A training script of your own, connected to optbench by the lines with `run`.

    optbench run script=./my_name.py optimizer=lion steps=200
    optbench sweep script=./my_name.py optimizer=adamw,lion steps=200 --trials 4 --seeds 3

`python my_name.py` runs it without optbench.
"""

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

import optbench

run = optbench.attach(metric="accuracy", direction="max")
torch.manual_seed(run.seed)

pixels, labels = load_digits(return_X_y=True)
x, y = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels)
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))  # the split is the same for every seed
train, validation, test = order[:1200], order[1200:1500], order[1500:]

model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
optimizer = run.optimizer(model)
scheduler = run.schedule(optimizer, run.steps)


def accuracy(rows: torch.Tensor) -> float:
    """Return the share of samples that are classified correctly."""
    with torch.no_grad(), run.eval_weights(optimizer, model):
        return (model(x[rows]).argmax(1) == y[rows]).float().mean().item()


for step in range(1, run.steps + 1):
    batch = train[torch.randint(len(train), (run.batch_size,))]
    loss = cross_entropy(model(x[batch]), y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    run.log(step=step, train_loss=loss)
    if run.should_stop:  # out of time, interrupted, or hopeless
        break

run.finish(val_metric=accuracy(validation), test_metric=accuracy(test))
