"""A plain PyTorch loop on a torchvision model, and the five lines that make the model robust against JPEG.

    python examples/plain_loop.py --data FOLDER

FOLDER has a sub-folder of images for each class; a fifth of the images is held out. The lines marked `# FCT` are all
that is added to a plain script; the one marked `# FCT: test` only measures. It prints:

    epoch 1: loss ...
    accuracy on raw images: ...
    accuracy at JPEG quality 10: ...
"""

import argparse

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18
from torchvision.transforms import v2

import fct  # FCT

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Batches stay uint8 until here: JPEG is for pixels, so it comes before floats.
normalise = v2.Compose(
    [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])]
)


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
def accuracy(model: nn.Module, batches: DataLoader, change: nn.Module | None = None) -> float:
    """Return the share of images that are classified correctly, after a change of their pixels."""
    model.eval()
    correct: list[Tensor] = []
    for images, labels in batches:
        changed = change(images) if change else images
        correct.append(model(normalise(changed.to(DEVICE))).argmax(1) == labels.to(DEVICE))
    return torch.cat(correct).float().mean().item()


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

    model = resnet18(weights="DEFAULT" if args.pretrained else None)
    model.fc = nn.Linear(model.fc.in_features, classes)
    model.to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    jpeg, consistency = fct.RandomJPEG((10, 90)), fct.FeatureConsistencyLoss(weight=0.3)  # FCT
    taps = fct.FeatureTaps(model, ["layer3", "layer4"])  # FCT

    for epoch in range(args.epochs):
        model.train()
        for images, labels in train:
            images, labels = images.to(DEVICE), labels.to(DEVICE)
            # Each image twice, raw and at a random quality: the loss pulls its compressed features to its raw ones.
            images, labels = torch.cat([images, jpeg(images)]), labels.repeat(2)  # FCT
            loss = cross_entropy(model(normalise(images)), labels)
            loss = loss + consistency(*taps.halves())  # FCT
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}")

    print(f"accuracy on raw images: {accuracy(model, held_out):.3f}")
    print(f"accuracy at JPEG quality 10: {accuracy(model, held_out, fct.JPEG(10)):.3f}")  # FCT: test


if __name__ == "__main__":
    main()
