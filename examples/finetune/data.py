"""Handwritten digits in two parts: those to learn first, and those to learn next."""

from sklearn.datasets import load_digits


def load(first: int = 0, train: int = 500):
    """Return samples of five digits from `first` on: `train` for training, 100 for validation, the rest for testing."""
    images, digits = load_digits(return_X_y=True)
    wanted = (digits >= first) & (digits < first + 5)
    images, labels = images[wanted].reshape(-1, 1, 8, 8).astype("float32") / 16, digits[wanted] - first
    cuts = slice(0, train), slice(train, train + 100), slice(train + 100, None)
    return [(images[cut], labels[cut]) for cut in cuts]
