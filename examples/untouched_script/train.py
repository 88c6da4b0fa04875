"""Train a small network on scikit-learn's digits. Nothing here knows of optbench."""

import argparse
import json

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

OPTIMIZERS = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad}

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adamw")
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--weight-decay", type=float, default=0.0)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=300)
args = parser.parse_args()

torch.set_num_threads(1)
torch.manual_seed(args.seed)
pixels, labels = load_digits(return_X_y=True)
x, y = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels)
train, validation, test = slice(0, 1200), slice(1200, 1500), slice(1500, None)
model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
optimizer = OPTIMIZERS[args.optimizer](model.parameters(), lr=args.lr, weight_decay=args.weight_decay)


def accuracy(rows: slice) -> float:
    """Return the share of samples that are classified correctly."""
    with torch.no_grad():
        return (model(x[rows]).argmax(1) == y[rows]).float().mean().item()


for step in range(1, args.steps + 1):
    batch = torch.randint(1200, (64,))
    loss = cross_entropy(model(x[train][batch]), y[train][batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(json.dumps({"step": step, "train_loss": loss.item(), "val_accuracy": accuracy(validation)}))

print(json.dumps({"val_accuracy": accuracy(validation), "test_accuracy": accuracy(test)}))
