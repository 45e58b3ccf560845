"""Handwritten digits with a LightningModule, a LightningDataModule and a Trainer; a PyTorch Lightning program.

    rushlight run examples/lightning_mnist.py --root ../shared/data

trains a small convolutional network on MNIST, keeps the checkpoint that is best on
the last 5,000 training images, and tests it.
Under a minute on two cores. Call it again with --resume to go on from where it ended, with more --epochs.
"""

import argparse

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

HELD_OUT = 5_000


class Digits(pl.LightningDataModule):
    """MNIST: training images, the held-out last ones, test images."""

    def __init__(self, root: str, batch_size: int = 128, images: int = 60_000):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage):
        pixels = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.13, 0.31)])
        training = datasets.MNIST(self.hparams.root, transform=pixels)
        split = self.hparams.images - HELD_OUT
        self.training, self.held_out = Subset(training, range(split)), Subset(training,
                                                                              range(split, self.hparams.images))
        self.testing = datasets.MNIST(self.hparams.root, train=False, transform=pixels)

    def train_dataloader(self):
        return DataLoader(self.training, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.held_out, batch_size=1000)

    def test_dataloader(self):
        return DataLoader(self.testing, batch_size=1000)


class Network(pl.LightningModule):
    """Two convolutions and two layers, trained with Adam under a one-cycle schedule."""

    def __init__(self, width: int = 16, lr: float = 5e-3):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(width, 2 * width, 3), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(50 * width, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
        self.example_input_array = torch.zeros(1, 1, 28, 28)

    def forward(self, images):
        return self.layers(images)

    def training_step(self, batch, batch_idx):
        images, digits = batch
        loss = F.cross_entropy(self(images), digits)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def _evaluate(self, batch, stage):
        images, digits = batch
        scores = self(images)
        self.log_dict({f"{stage}_loss": F.cross_entropy(scores, digits),
                       f"{stage}_accuracy": (scores.argmax(1) == digits).float().mean()}, prog_bar=True)

    def validation_step(self, batch, batch_idx):
        self._evaluate(batch, "val")

    def test_step(self, batch, batch_idx):
        self._evaluate(batch, "test")

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams.lr)
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.hparams.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--root", default="../shared/data", help="the folder that holds MNIST/raw")
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument("--images", type=int, default=60_000, help="how many training images, the held-out ones included")
    p.add_argument("--folder", default="lightning_mnist", help="where checkpoints and logs go")
    p.add_argument("--resume", action="store_true", help="go on from the folder's last checkpoint")
    args = p.parse_args()
    pl.seed_everything(0)
    best = ModelCheckpoint(dirpath=f"{args.folder}/checkpoints", monitor="val_loss", filename="{epoch}-{val_loss:.4f}",
                           save_last=True, enable_version_counter=False)
    trainer = pl.Trainer(max_epochs=args.epochs, logger=CSVLogger(args.folder), gradient_clip_val=1.0,
                         callbacks=[best, EarlyStopping("val_loss", patience=2), LearningRateMonitor("step")])
    data = Digits(args.root, images=args.images)
    trainer.fit(Network(), data, ckpt_path="last" if args.resume else None)
    trainer.test(ckpt_path="best", datamodule=data)
    loaded = Network.load_from_checkpoint(best.best_model_path)
    print(f"best checkpoint {best.best_model_path}, {sum(p.numel() for p in loaded.parameters()):,} parameters")


if __name__ == "__main__":
    main()
