"""Functions that return data, in every form that a user may choose. Class 1 is where the first input is positive."""

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

X = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def pair():
    return X, Y


def three():
    return (X[:60], Y[:60]), (X[60:75], Y[60:75]), (X[75:], Y[75:])


def by_name():
    return {"train": (X[:60], Y[:60]), "val": (X[60:], Y[60:])}


def arrays():
    return X.numpy().astype("float64"), Y.numpy().astype(bool)


def column():
    return X, Y[:, None]


def signs():
    return X, 2 * Y - 1


def one_hot():
    return X, torch.nn.functional.one_hot(Y, 2).float()


def names():
    return X, ["yes" if y else "no" for y in Y]


def tensors():
    return TensorDataset(X, Y)


def loader():
    return DataLoader(TensorDataset(X, Y), 16, shuffle=True)


def samples():
    return list(zip(X, Y.tolist(), strict=True))


def batches():
    return iter([{"x": X[i : i + 16], "y": Y[i : i + 16]} for i in range(0, 90, 16)])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


def stream():
    return Stream()


def mapped(file="x.npy"):
    np.save(file, X.numpy())
    return np.load(file, mmap_mode="r"), Y


def gradients():
    return (X.clone().requires_grad_() * 1.0), Y


def hub():
    import datasets

    return datasets.Dataset.from_dict({"features": X.tolist(), "label": Y.tolist()})


def numbers():
    return X, 1000.0 + 50 * X[:, :2]


class Noisy(Dataset):
    """Samples with random augmentation."""

    def __init__(self, first, last):
        self.first, self.last = first, last

    def __len__(self):
        return self.last - self.first

    def __getitem__(self, index):
        row = self.first + index
        return X[row] + 0.1 * torch.randn(4) + 0.1 * float(np.random.rand()), int(Y[row])


def noisy():
    return Noisy(0, 60), Noisy(60, 90)


def pictures(side=6):
    pixels = torch.arange(40 * side * side * 3, dtype=torch.int64).remainder(251).to(torch.uint8)
    return pixels.reshape(40, side, side, 3).numpy(), np.arange(40) % 4 + 1


def texts():
    return ["the cat sat on the mat. " * 300] * 2


def copies():
    return (X[:60], Y[:60]), (X[50:70], Y[50:70])


def from_file():
    return np.load("x.npy"), Y
