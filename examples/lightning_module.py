"""A LightningModule, and what makes its model robust against JPEG.

    python examples/lightning_module.py --data FOLDER

It needs pytorch-lightning, or lightning, which brings it. FOLDER has a sub-folder of images for each class; a fifth of
the images is held out. The lines marked `# FCT` are all that is added to a plain script; the one marked `# FCT: test`
only measures. It prints:

    loss: ...
    accuracy on raw images: ...
    accuracy at JPEG quality 10: ...
"""

import argparse

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18
from torchvision.transforms import v2

import fct  # FCT


class Classifier(pl.LightningModule):
    """A ResNet-18 of uint8 images [B, 3, H, W]."""

    def __init__(self, classes: int, *, pretrained: bool = False) -> None:
        super().__init__()
        self.model = resnet18(weights="DEFAULT" if pretrained else None)
        self.model.fc = nn.Linear(self.model.fc.in_features, classes)
        self.normalise = v2.Compose(
            [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])]
        )
        self.jpeg, self.consistency = fct.RandomJPEG((10, 90)), fct.FeatureConsistencyLoss(weight=0.3)  # FCT

    # Taps are there while the model is trained. A copy or a checkpoint has none.
    def on_fit_start(self) -> None:  # FCT
        self.taps = fct.FeatureTaps(self.model, ["layer3", "layer4"])  # FCT

    def on_fit_end(self) -> None:  # FCT
        del self.taps  # FCT

    def forward(self, images: Tensor) -> Tensor:
        return self.model(self.normalise(images))

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        images, labels = batch
        images, labels = torch.cat([images, self.jpeg(images)]), labels.repeat(2)  # FCT
        loss = cross_entropy(self(images), labels)
        loss = loss + self.consistency(*self.taps.halves())  # FCT
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        images, labels = batch
        self.log("accuracy on raw images", self.accuracy(images, labels))
        self.log("accuracy at JPEG quality 10", self.accuracy(fct.JPEG(10)(images), labels))  # FCT: test

    def accuracy(self, images: Tensor, labels: Tensor) -> Tensor:
        return (self(images).argmax(1) == labels).float().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def load(folder: str, size: int) -> tuple[DataLoader, DataLoader, int]:
    """Return batches to train on, batches held out (uint8 [B, 3, size, size], labels), and the number of classes."""
    augment = v2.Compose([v2.RandomResizedCrop(size, (0.5, 1)), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    resize = v2.Compose([v2.Resize(size), v2.CenterCrop(size), v2.PILToTensor()])
    train, test = ImageFolder(folder, augment), ImageFolder(folder, resize)
    order = torch.randperm(len(train)).tolist()
    fifth = len(order) // 5
    return (
        DataLoader(Subset(train, order[fifth:]), batch_size=32, shuffle=True),
        DataLoader(Subset(test, order[:fifth]), batch_size=100),
        len(train.classes),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="FOLDER", help="one sub-folder for each class")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=64, help="pixels that the model sees")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pretrained", action="store_true", help="start from ImageNet's weights (downloads them)")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train, held_out, classes = load(args.data, args.size)

    model = Classifier(classes, pretrained=args.pretrained)
    trainer = pl.Trainer(max_epochs=args.epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(model, train, held_out)
    for name, accuracy in trainer.callback_metrics.items():
        print(f"{name}: {accuracy:.3f}")


if __name__ == "__main__":
    main()
