#!/usr/bin/env python3
"""Asks the sample models what photographs show and what types files have, through Triton's own Python client."""

import argparse
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = [ROOT / "target" / "demo" / name for name in ("coffee.png", "chelsea.png", "camera.png")]
FILES = [
    ROOT / name
    for name in (
        "README.md",
        "Cargo.toml",
        "scripts/demo_client.py",
        "scripts/demo",
        "proto/src/lib.rs",
        "target/release/nerite",
    )
]

# ImageNet's statistics, with which the weights were trained.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)

# How Magika looks at a file.
BLOCK, HALF, PADDING = 4096, 1024, 256


def pixels(path):
    """A photograph as MobileNetV2 takes it: scaled, its middle cut out, normalised; FP32 [3,224,224]."""
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    image = image.crop((left, top, left + 224, top + 224))
    normal = (np.asarray(image, np.float32) / 255 - MEAN) / DEVIATION
    return np.ascontiguousarray(normal.transpose(2, 0, 1))


def ends(path):
    """A file as Magika takes it: its first and last bytes without surrounding white space; INT32 [2048]."""
    with open(path, "rb") as file:
        first = file.read(BLOCK).lstrip()[:HALF]
        file.seek(-min(BLOCK, path.stat().st_size), 2)
        last = file.read(BLOCK).rstrip()[-HALF:]
    row = np.full(2 * HALF, PADDING, np.int32)
    row[: len(first)] = list(first)
    row[2 * HALF - len(last) :] = list(last)
    return row


def classify(client, model, input_name, output_name, rows, count):
    """For each row the `count` likeliest labels, as (probability, label), by the classification extension."""
    batch = np.stack(rows)
    datatype = {"float32": "FP32", "int32": "INT32"}[batch.dtype.name]
    tensor = triton.InferInput(input_name, batch.shape, datatype).set_data_from_numpy(batch)
    output = triton.InferRequestedOutput(output_name, class_count=count)
    answer = client.infer(model, [tensor], outputs=[output]).as_numpy(output_name)
    return [[parse(element) for element in row] for row in answer]


def parse(element):
    """An element of a classified output, `value:index:label`."""
    value, _index, label = element.decode().split(":", 2)
    return float(value), label


def batches(items, size):
    """The items in groups that the model's max_batch_size allows."""
    return [items[i : i + size] for i in range(0, len(items), size)]


def show(path, answers):
    """One line for a person."""
    likely = [(p, label) for i, (p, label) in enumerate(answers) if i == 0 or p >= 0.05]
    name = path.relative_to(ROOT) if ROOT in path.parents else path
    print(f"  {str(name):32} {', '.join(f'{label} {100 * p:.1f} %' for p, label in likely)}")


def ask(url, images, files):
    """Sends everything and prints the answers."""
    client = triton.InferenceServerClient(url)
    if images:
        print("What the photographs show, says mobilenet_v2:")
    for group in batches(images, 8):
        rows = [pixels(path) for path in group]
        for path, answers in zip(group, classify(client, "mobilenet_v2", "image", "probabilities", rows, 3)):
            show(path, answers)
    if files:
        print("What the files are, says magika:")
    for group in batches(files, 16):
        rows = [ends(path) for path in group]
        for path, answers in zip(group, classify(client, "magika", "bytes", "target_label", rows, 2)):
            show(path, answers)


def main():
    """Exit status 0 if every answer came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="127.0.0.1:8001", help="the daemon's gRPC address (127.0.0.1:8001)")
    parser.add_argument("--image", action="append", type=Path, default=[], help="a photograph; may be repeated")
    parser.add_argument("--file", action="append", type=Path, default=[], help="a file of any type; may be repeated")
    options = parser.parse_args()
    images, files = options.image, options.file
    if not images and not files:
        images, files = PHOTOS, [path for path in FILES if path.exists()]
    try:
        ask(options.url, images, files)
    except (OSError, triton.InferenceServerException) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
