"""A model that knows the JPEG quality of its images: trained, exported to ONNX, and asked about files.

    python examples/onnx_export.py --data FOLDER --onnx model.onnx

It needs onnx, onnxscript and onnxruntime. FOLDER has a sub-folder of images for each class; a fifth of the images is
held out. The lines marked `# FCT` are those that differ from a script for a plain model. It prints:

    epoch 1: loss ...
    accuracy on the files: ...
    accuracy on JPEGs of quality 10: ...
"""

import argparse
import io
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image
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


def train(model: nn.Module, batches: DataLoader, epochs: int) -> None:
    """Train the model and its blocks on raw and on compressed images, each with its quality."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    jpeg, consistency = fct.RandomJPEG((10, 90), return_quality=True), fct.FeatureConsistencyLoss(0.3)  # FCT
    taps = fct.FeatureTaps(model, ["model.layer3", "model.layer4"])  # FCT
    for epoch in range(epochs):
        model.train()
        for images, labels in batches:
            compressed, quality = jpeg(images)  # FCT
            # Of raw images no quality is known: blocks change nothing there.
            quality = torch.cat([torch.full_like(quality, fct.UNKNOWN_QUALITY), quality])  # FCT
            images, labels = torch.cat([images, compressed]), labels.repeat(2)  # FCT
            loss = cross_entropy(model(normalise(images), quality), labels)  # FCT
            loss = loss + consistency(*taps.halves())  # FCT
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}")


def read(content: bytes, size: int) -> tuple[Tensor, int]:  # FCT
    """Return the pixels of an image file, uint8 [3, size, size], and the quality that its tables tell."""
    with Image.open(io.BytesIO(content)) as image:
        pixels = v2.functional.pil_to_tensor(image.convert("RGB").resize((size, size)))
    return pixels, fct.estimate_quality(content)  # FCT


def as_jpeg(path: str, quality: int) -> bytes:
    """Return an image file as the JPEG that somebody may upload."""
    file = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(file, "JPEG", quality=quality)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="FOLDER", help="one sub-folder for each class")
    parser.add_argument("--onnx", default="model.onnx", metavar="FILE", help="the file to write")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=64, help="pixels that the model sees")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    resize = v2.Resize((args.size, args.size))
    images = ImageFolder(args.data, v2.Compose([resize, v2.RandomHorizontalFlip(), v2.PILToTensor()]))
    order = torch.randperm(len(images)).tolist()
    fifth = len(order) // 5

    backbone = resnet18(num_classes=len(images.classes))
    shape = (3, args.size, args.size)
    model = fct.QualityAware(backbone, ["layer1", "layer2"], image_shape=shape, width=0.25)  # FCT
    train(model, DataLoader(Subset(images, order[fifth:]), batch_size=32, shuffle=True), args.epochs)

    model.eval()
    example = (torch.zeros(2, *shape), torch.tensor([fct.UNKNOWN_QUALITY, 50]))  # FCT
    torch.onnx.export(
        model,
        example,
        args.onnx,
        dynamo=True,
        input_names=["image", "quality"],  # FCT
        output_names=["logits"],
        dynamic_shapes={"image": {0: "batch"}, "quality": {0: torch.export.Dim.DYNAMIC}},  # FCT
        external_data=False,
        verbose=False,
    )

    session = onnxruntime.InferenceSession(args.onnx)
    held_out = [images.samples[index] for index in order[:fifth]]  # path and label of each
    labels = np.array([label for _, label in held_out])
    files = {
        "the files": [Path(path).read_bytes() for path, _ in held_out],
        "JPEGs of quality 10": [as_jpeg(path, 10) for path, _ in held_out],
    }
    for name, contents in files.items():
        pixels, qualities = zip(*(read(content, args.size) for content in contents), strict=True)  # FCT
        image, quality = normalise(torch.stack(pixels)), torch.tensor(qualities)  # FCT
        [logits] = session.run(None, {"image": image.numpy(), "quality": quality.numpy()})  # FCT
        with torch.inference_mode():
            np.testing.assert_allclose(logits, model(image, quality).numpy(), atol=1e-3)  # FCT
        print(f"accuracy on {name}: {(logits.argmax(1) == labels).mean():.3f}")


if __name__ == "__main__":
    main()
