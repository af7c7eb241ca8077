"""The script existing_script.py made robust against JPEG: `diff existing_script.py existing_script_robust.py`.

    python examples/existing_script_robust.py --data FOLDER

FOLDER has a sub-folder of images for each class; a fifth of the images is held out. It prints the loss of each epoch,
and the accuracy on the held-out images, raw and at JPEG quality 10.
"""

import argparse
import io

import torch
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18
from torchvision.transforms import v2

import fct


def at_quality_10(image: Image.Image) -> Image.Image:
    """Return the image as JPEG leaves it."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=10)
    return Image.open(file)


def accuracy(model: nn.Module, loader: DataLoader, device: str) -> float:
    """Return the share of images that are classified correctly."""
    model.eval()
    correct = 0
    with torch.inference_mode():
        for images, labels in loader:
            correct += (model(images.to(device)).argmax(1) == labels.to(device)).sum().item()
    return correct / len(loader.dataset)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="FOLDER", help="one sub-folder for each class")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=64, help="pixels that the model sees")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes that load images")
    parser.add_argument("--pretrained", action="store_true", help="start from ImageNet's weights (downloads them)")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    normalise = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])]
    )
    resize = v2.Compose([v2.Resize(args.size), v2.CenterCrop(args.size)])
    train_set = ImageFolder(
        args.data,
        v2.Compose(
            [
                v2.RandomResizedCrop(args.size, scale=(0.5, 1)),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
            ]
        ),
    )
    raw_set = ImageFolder(args.data, v2.Compose([resize, v2.ToImage(), normalise]))
    jpeg_set = ImageFolder(args.data, v2.Compose([resize, at_quality_10, v2.ToImage(), normalise]))
    order = torch.randperm(len(train_set)).tolist()
    train, held_out = order[len(order) // 5 :], order[: len(order) // 5]
    train_loader = DataLoader(Subset(train_set, train), batch_size=32, shuffle=True, num_workers=args.workers)
    raw_loader = DataLoader(Subset(raw_set, held_out), batch_size=100, num_workers=args.workers)
    jpeg_loader = DataLoader(Subset(jpeg_set, held_out), batch_size=100, num_workers=args.workers)

    model = resnet18(weights="DEFAULT" if args.pretrained else None)
    model.fc = nn.Linear(model.fc.in_features, len(train_set.classes))
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    jpeg, consistency = fct.RandomJPEG((10, 90)), fct.FeatureConsistencyLoss(weight=0.3)
    taps = fct.FeatureTaps(model, ["layer3", "layer4"])

    for epoch in range(args.epochs):
        model.train()
        for images, labels in train_loader:
            images, labels = images.to(device), labels.to(device)
            images, labels = normalise(torch.cat([images, jpeg(images)])), labels.repeat(2)
            loss = cross_entropy(model(images), labels) + consistency(*taps.halves())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}")

    print(f"accuracy on raw images: {accuracy(model, raw_loader, device):.3f}")
    print(f"accuracy at JPEG quality 10: {accuracy(model, jpeg_loader, device):.3f}")


if __name__ == "__main__":
    main()
