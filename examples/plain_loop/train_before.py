"""Train a small network on scikit-learn's digits."""

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

STEPS, SEED = 300, 0
torch.manual_seed(SEED)

pixels, labels = load_digits(return_X_y=True)
x, y = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels)
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))  # the split is the same for every seed
train, validation, test = order[:1200], order[1200:1500], order[1500:]

model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)


def accuracy(rows: torch.Tensor) -> float:
    """Return the share of samples that are classified correctly."""
    with torch.no_grad():
        return (model(x[rows]).argmax(1) == y[rows]).float().mean().item()


for step in range(1, STEPS + 1):
    batch = train[torch.randint(len(train), (64,))]
    loss = cross_entropy(model(x[batch]), y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(f"step {step}, loss {loss.item():.4f}")

print(f"validation {accuracy(validation):.4f}, test {accuracy(test):.4f}")
