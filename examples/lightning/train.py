"""Train a small network on scikit-learn's digits with Lightning."""

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset, random_split

import optbench
from optbench.integrations.lightning import OptbenchCallback, optimizers

run = optbench.attach(metric="val_accuracy", direction="max")


class Net(lightning.LightningModule):
    """Two layers for 64 pixels and 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))

    def training_step(self, batch, index):
        pixels, labels = batch
        return cross_entropy(self.layers(pixels), labels)

    def validation_step(self, batch, index):
        self.log("val_accuracy", self.accuracy(*batch))

    def test_step(self, batch, index):
        self.log("test_accuracy", self.accuracy(*batch))

    def accuracy(self, pixels, labels):
        return (self.layers(pixels).argmax(1) == labels).float().mean()

    def configure_optimizers(self):
        return optimizers(run, self)


pixels, labels = load_digits(return_X_y=True)
digits = TensorDataset(torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels))
train, validation, test = random_split(digits, [1200, 300, 297], torch.Generator().manual_seed(0))
validation, test = DataLoader(validation, batch_size=300), DataLoader(test, batch_size=297)

lightning.seed_everything(run.seed, verbose=False)
saved = ModelCheckpoint(run.checkpoint_folder, save_last=True) if run.checkpoint_folder else None
trainer = lightning.Trainer(
    max_steps=run.steps,
    callbacks=[OptbenchCallback(run, metric="val_accuracy"), *([saved] if saved else [])],
    logger=False,
    enable_checkpointing=bool(saved),
    enable_progress_bar=False,
    enable_model_summary=False,
)
net = Net()
trainer.fit(net, DataLoader(train, run.batch_size, shuffle=True), validation, ckpt_path="last" if run.resumed else None)
final = trainer.validate(net, validation, verbose=False)[0]
run.finish(val_metric=final["val_accuracy"], test_metric=trainer.test(net, test, verbose=False)[0]["test_accuracy"])
