#!/usr/bin/env python3
"""Asks the sample models, through Triton's own Python client: what photographs show, what types files have, how close
sentences are, what a page says."""

import argparse
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from PIL import Image
from tritonclient.utils import np_to_triton_dtype

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
PAGES = [ROOT / "target" / "demo" / "page.png"]
SENTENCES = ["A man is playing a guitar.", "Someone plays an instrument.", "It rains in Oslo."]

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
    tensor = as_input(input_name, np.stack(rows))
    output = triton.InferRequestedOutput(output_name, class_count=count)
    answer = client.infer(model, [tensor], outputs=[output]).as_numpy(output_name)
    return [[parse(element) for element in row] for row in answer]


def as_input(name, array):
    """An array as an input of a request."""
    return triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype)).set_data_from_numpy(array)


def contents(paths):
    """The contents of files as a batch, one a row."""
    return np.array([[path.read_bytes()] for path in paths], object)


def embed(client, sentences):
    """For each sentence its vector, of length one."""
    texts = np.array([[sentence.encode()] for sentence in sentences], object)
    return client.infer("sentence_embedding", [as_input("text", texts)]).as_numpy("embedding")


def read(client, path):
    """The lines of text of a page, each with how sure it is."""
    answer = client.infer("ocr", [as_input("image", contents([path]))])
    return [(line.decode(), score) for line, score in zip(answer.as_numpy("text"), answer.as_numpy("score"))]


def parse(element):
    """An element of a classified output, `value:index:label`."""
    value, _index, label = element.decode().split(":", 2)
    return float(value), label


def batches(items, size):
    """The items in groups that the model's max_batch_size allows."""
    return [items[i : i + size] for i in range(0, len(items), size)]


def named(path):
    """A path as a person would say it."""
    return path.relative_to(ROOT) if ROOT in path.parents else path


def show(path, answers):
    """One line for a person."""
    likely = [(p, label) for i, (p, label) in enumerate(answers) if i == 0 or p >= 0.05]
    print(f"  {str(named(path)):32} {', '.join(f'{label} {100 * p:.1f} %' for p, label in likely)}")


def ask(url, images, files, photos, sentences, pages):
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
    if photos:
        print("What photographs show that are sent as files, says photo_label:")
    for group in batches(photos, 8):
        rows = list(contents(group))
        for path, answers in zip(group, classify(client, "photo_label", "image", "probabilities", rows, 3)):
            show(path, answers)
    if sentences:
        print("How close sentences are, says sentence_embedding:")
        vectors = np.concatenate([embed(client, group) for group in batches(sentences, 32)])
        for place, sentence in enumerate(sentences):
            for other in range(place):
                print(f"  {vectors[place] @ vectors[other]:5.2f}  {sentences[other]}  {sentence}")
    for page in pages:
        print(f"What {named(page)} says, says ocr:")
        for line, score in read(client, page):
            print(f"  {100 * score:5.1f} %  {line}")


def main():
    """Exit status 0 if every answer came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="127.0.0.1:8001", help="the daemon's gRPC address (127.0.0.1:8001)")
    parser.add_argument("--image", action="append", type=Path, default=[], help="a photograph; may be repeated")
    parser.add_argument("--file", action="append", type=Path, default=[], help="a file of any type; may be repeated")
    parser.add_argument("--photo", action="append", type=Path, default=[], help="the same, sent as the file that it is")
    parser.add_argument("--sentence", action="append", default=[], help="a sentence, to be compared; may be repeated")
    parser.add_argument("--page", action="append", type=Path, default=[], help="a picture of text; may be repeated")
    options = parser.parse_args()
    wanted = (options.image, options.file, options.photo, options.sentence, options.page)
    if not any(wanted):
        wanted = (PHOTOS, [path for path in FILES if path.exists()], PHOTOS[:2], SENTENCES, PAGES)
    try:
        ask(options.url, *wanted)
    except (OSError, triton.InferenceServerException) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
