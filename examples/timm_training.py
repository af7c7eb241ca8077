"""A timm model with timm's optimiser and scheduler, and the five lines that make it robust against JPEG.

    python examples/timm_training.py --data FOLDER --model resnet10t

It needs timm. FOLDER has a sub-folder of images for each class; a fifth of the images is held out. The lines marked
`# FCT` are all that is added to a plain script; the one marked `# FCT: test` only measures. It prints:

    epoch 1: loss ...
    accuracy on raw images: ...
    accuracy at JPEG quality 10: ...
"""

import argparse

import timm
import timm.data
import timm.optim
import timm.scheduler
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import fct  # FCT


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


@torch.inference_mode()
def accuracy(model: nn.Module, normalise: nn.Module, batches: DataLoader, change: nn.Module | None = None) -> float:
    """Return the share of images that are classified correctly, after a change of their pixels."""
    model.eval()
    correct: list[Tensor] = []
    for images, labels in batches:
        correct.append(model(normalise(change(images) if change else images)).argmax(1) == labels)
    return torch.cat(correct).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="FOLDER", help="one sub-folder for each class")
    parser.add_argument("--model", default="resnet10t", help="name of a timm model")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=64, help="pixels that the model sees")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pretrained", action="store_true", help="start from timm's weights (downloads them)")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train, held_out, classes = load(args.data, args.size)

    model = timm.create_model(args.model, pretrained=args.pretrained, num_classes=classes)
    config = timm.data.resolve_model_data_config(model)
    normalise = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(config["mean"], config["std"])])
    optimizer = timm.optim.create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
    scheduler, epochs = timm.scheduler.create_scheduler_v2(optimizer, sched="cosine", num_epochs=args.epochs)
    jpeg, consistency = fct.RandomJPEG((10, 90)), fct.FeatureConsistencyLoss(weight=0.3)  # FCT
    # timm tells the module at the end of each stage.
    taps = fct.FeatureTaps(model, [stage["module"] for stage in model.feature_info][-2:])  # FCT

    for epoch in range(epochs):
        model.train()
        for images, labels in train:
            images, labels = torch.cat([images, jpeg(images)]), labels.repeat(2)  # FCT
            loss = cross_entropy(model(normalise(images)), labels)
            loss = loss + consistency(*taps.halves())  # FCT
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step(epoch + 1)
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}")

    print(f"accuracy on raw images: {accuracy(model, normalise, held_out):.3f}")
    print(f"accuracy at JPEG quality 10: {accuracy(model, normalise, held_out, fct.JPEG(10)):.3f}")  # FCT: test


if __name__ == "__main__":
    main()
