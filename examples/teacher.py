"""Pairs with a teacher: compressed images are pulled to the features of a network that was trained on raw images.

    python examples/teacher.py --data FOLDER

The teacher is a frozen copy of the network, made when it has been trained on raw images: the network that you have.
Then the training goes on from there; in the comparison the student starts anew. FOLDER has a sub-folder of images for
each class; a fifth of the images is held out. The lines marked `# FCT` are all that is added to a plain script; those
marked `# FCT: test` only measure. It prints the accuracy on the held-out images:

    before, raw images: ...
    before, JPEG quality 10: ...
    after, raw images: ...
    after, JPEG quality 10: ...
"""

import argparse
import copy  # FCT
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18
from torchvision.transforms import v2

import fct  # FCT

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
        DataLoader(Subset(train, order[fifth:]), batch_size=16, shuffle=True),
        DataLoader(Subset(test, order[:fifth]), batch_size=100),
        len(train.classes),
    )


def train(model: nn.Module, batches: DataLoader, epochs: int, loss_of: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Train a model by a loss of images and labels."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(epochs):
        for images, labels in batches:
            loss = loss_of(images, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()


@torch.inference_mode()
def accuracy(model: nn.Module, batches: DataLoader, change: nn.Module | None = None) -> float:
    """Return the share of images that are classified correctly, after a change of their pixels."""
    correct: list[Tensor] = []
    for images, labels in batches:
        correct.append(model(normalise(change(images) if change else images)).argmax(1) == labels)
    return torch.cat(correct).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="FOLDER", help="one sub-folder for each class")
    parser.add_argument("--epochs", type=int, default=10, help="of each of the two trainings")
    parser.add_argument("--size", type=int, default=64, help="pixels that the model sees")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pretrained", action="store_true", help="start from ImageNet's weights (downloads them)")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    batches, held_out, classes = load(args.data, args.size)

    model = resnet18(weights="DEFAULT" if args.pretrained else None)
    model.fc = nn.Linear(model.fc.in_features, classes)
    train(model, batches, args.epochs, lambda images, labels: cross_entropy(model(normalise(images)), labels))
    print(f"before, raw images: {accuracy(model, held_out):.3f}")
    print(f"before, JPEG quality 10: {accuracy(model, held_out, fct.JPEG(10)):.3f}")  # FCT: test

    teacher = copy.deepcopy(model).requires_grad_(requires_grad=False)  # FCT
    # The last stage, the classifier and the weight 3 are the comparison's.
    jpeg, consistency = fct.RandomJPEG((10, 90)), fct.FeatureConsistencyLoss(weight=3.0)  # FCT
    taps, targets = (fct.FeatureTaps(network, ["layer4", "fc"]) for network in (model, teacher))  # FCT

    def robust(images: Tensor, labels: Tensor) -> Tensor:  # FCT
        # Features of compressed images are pulled to those that the teacher has of the same images raw.
        teacher(normalise(images))  # FCT
        both = torch.cat([images, jpeg(images)])  # FCT
        loss = cross_entropy(model(normalise(both)), labels.repeat(2))  # FCT
        return loss + consistency(targets.features(), taps.halves()[1])  # FCT

    train(model, batches, args.epochs, robust)  # FCT
    print(f"after, raw images: {accuracy(model, held_out):.3f}")  # FCT: test
    print(f"after, JPEG quality 10: {accuracy(model, held_out, fct.JPEG(10)):.3f}")  # FCT: test


if __name__ == "__main__":
    main()
