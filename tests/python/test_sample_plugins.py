"""The sample plugins, with the models that they are made for: each step of the sample pipelines, one after another."""

import json
import re
import sys

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc as triton
import wheels
from conftest import ROOT
from PIL import Image
from samples import DEMO, PAGE, PIPELINES, blank, column, encoded, picture, same_words, served

sys.path.insert(0, str(ROOT / "scripts"))
import demo_client

STEPS = [
    "sentence_tokenizer",
    "minilm",
    "photo_pixels",
    "mobilenet_v2",
    "ocr_pixels",
    "ocr_detection",
    "ocr_lines",
    "ocr_recognition",
    "ocr_text",
]

TEXTS = [
    "The cat sat on the mat.",
    "",
    "Größe & naïveté: 3.14% of “quotes” — don't!",
    "日本語のテキスト 🛄",
    "unaffable\ttokenisation\u0000\n  antidisestablishmentarianism [MASK]",
]


@pytest.fixture(scope="module", name="samples")
def serve_samples(tmp_path_factory):
    """A daemon that serves the steps of the sample pipelines."""
    flags = ["--model-control-mode=explicit", *(f"--load-model={step}" for step in STEPS)]
    with served(tmp_path_factory.mktemp("samples"), *flags) as server:
        yield server


def refused(samples, model, expected, **inputs):
    """A request is refused with these words, and the model goes on."""
    with pytest.raises(triton.InferenceServerException) as error:
        samples.infer(model, **inputs)
    assert error.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert re.search(expected, error.value.message()), error.value.message()
    assert samples.client.is_model_ready(model)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The tokenizer, in Hugging Face's own package, with the sample's settings."""
    folder = tmp_path_factory.mktemp("tokenizers")
    wheels.unpack(wheels.TOKENIZERS, folder, lambda name: name.startswith("tokenizers/"), wheels.machine())
    sys.path.insert(0, str(folder))
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(PIPELINES / "sentence_tokenizer" / "1" / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    return tokenizer


def tokenized(tokenizer, texts):
    """What the sample is to answer."""
    rows = tokenizer.encode_batch(texts)
    return {
        "input_ids": np.array([row.ids for row in rows]),
        "attention_mask": np.array([row.attention_mask for row in rows]),
        "token_type_ids": np.array([row.type_ids for row in rows]),
    }


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:1], TEXTS[1:2], ["many words " * 1000, "few words"]])
def test_texts_are_tokenized_as_by_the_original(samples, reference, texts):
    answer = samples.infer("sentence_tokenizer", text=column(*(text.encode() for text in texts)))
    expected = tokenized(reference, texts)
    assert answer.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(answer[name], array, name)


def test_a_text_that_is_not_utf8_or_too_large_fails_alone(samples):
    refused(samples, "sentence_tokenizer", r"text 1 is not UTF-8 from byte 3 on", text=column(b"yes", b"no \xff"))
    large = column(b"a" * ((1 << 20) + 1))
    refused(samples, "sentence_tokenizer", r"text 0 has 1048577 bytes, and may have 1048576", text=large)


def embed(samples, *texts):
    """The vectors of some texts."""
    tokens = samples.infer("sentence_tokenizer", text=column(*(text.encode() for text in texts)))
    return samples.infer("minilm", **tokens)["sentence_embedding"]


def test_embeddings_are_the_mean_of_the_originals_tokens_of_length_one(samples, reference):
    texts = ["A man is playing a guitar.", "Storms are coming, they say, and nobody knows for how long."]
    tokens = tokenized(reference, texts)
    session = onnxruntime.InferenceSession(wheels.CACHE / "all-MiniLM-L6-v2-int8.onnx")
    (hidden,) = session.run(["last_hidden_state"], tokens)
    mask = tokens["attention_mask"][..., np.newaxis]
    mean = (hidden * mask).sum(1) / mask.sum(1)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(samples, *texts), expected, atol=1e-4)


def test_sentences_of_one_meaning_are_closer_than_others(samples):
    one, other, far = embed(samples, "A man is playing a guitar.", "Someone plays an instrument.", "It rains in Oslo.")
    assert one @ other > 0.5 > 0.2 > one @ far


@pytest.mark.parametrize("name", ["coffee.png", "chelsea.png", "camera.png"])
def test_a_photograph_becomes_what_pillow_makes_of_it(samples, name):
    pixels = samples.infer("photo_pixels", image=column(picture(name)))["pixels"]
    # At most one of 255 steps, of which one is less than 0.018.
    np.testing.assert_allclose(pixels[0], demo_client.pixels(DEMO / name), atol=0.018)


JPEGS = {
    "usual": {"quality": 90},
    "whole colours": {"quality": 90, "subsampling": 0},
    "half colours": {"quality": 90, "subsampling": 1},
    "progressive": {"quality": 90, "progressive": True},
    "optimised": {"quality": 75, "optimize": True},
    "restarted": {"quality": 90, "restart_marker_blocks": 7},
}


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_kind_of_jpeg_becomes_what_pillow_makes_of_it(samples, kind, mode, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(Image.open(DEMO / "coffee.png").convert(mode), format="JPEG", **JPEGS[kind]))
    pixels = samples.infer("photo_pixels", image=column(path.read_bytes()))["pixels"]
    away = np.abs(pixels[0] - demo_client.pixels(path))
    # Decoders differ in how they spread out colours that are stored at half the size.
    assert away.mean() < 0.01 and away.max() < 0.1


def test_a_photographs_bytes_become_its_label(samples):
    pixels = samples.infer("photo_pixels", image=column(picture("coffee.png"), picture("camera.png")))["pixels"]
    answers = demo_client.classify(samples.client, "mobilenet_v2", "image", "probabilities", list(pixels), 1)
    assert [label for ((_, label),) in answers] == ["espresso", "tripod"]
    assert all(probability > 0.95 for ((probability, _),) in answers)


def announcing(width, height):
    """A JPEG that says it has this size."""
    file = encoded(Image.new("RGB", (16, 16)), format="JPEG")
    frame = file.index(b"\xff\xc0") + 5
    return file[:frame] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + file[frame + 4 :]


def test_what_is_no_whole_picture_is_refused(samples):
    jpeg = encoded(Image.open(DEMO / "coffee.png"), format="JPEG")
    for file, expected in [
        (b"", "image 0: it is neither JPEG nor PNG"),
        (picture("coffee.png")[:-1000], "image 0: it is not a sound PNG"),
        (jpeg[: len(jpeg) // 2], "image 0: it is not a sound JPEG"),
        (announcing(60_000, 60_000), "image 0: it has 60000 by 60000 pixels, and may have 50000000"),
    ]:
        refused(samples, "photo_pixels", expected, image=column(file))
    refused(samples, "photo_pixels", "image 1: it is neither", image=column(picture("coffee.png"), b"GIF89a"))


def read(samples, file):
    """The steps of reading a page: its texts, their scores and boxes."""
    page = samples.infer("ocr_pixels", image=column(file))
    found = samples.infer("ocr_detection", x=page["pixels"])
    lines = samples.infer("ocr_lines", probability=found["fetch_name_0"], **page)
    said = samples.infer("ocr_recognition", x=lines["lines"])
    texts = samples.infer("ocr_text", probabilities=said["fetch_name_0"])
    return [text.decode() for text in texts["text"]], texts["score"], lines["boxes"]


def test_a_printed_page_is_read(samples):
    texts, scores, boxes = read(samples, picture("page.png"))
    assert len(texts) >= len(PAGE)
    for text, expected in zip(texts, PAGE):
        assert same_words(text, expected), texts
    assert scores[: len(PAGE)].min() > 0.9
    assert boxes.shape == (len(texts), 4, 2)
    # Each in the page, clockwise from the left above, below the one before.
    width, height = Image.open(DEMO / "page.png").size
    assert 0 <= boxes.min() and boxes[..., 0].max() <= width and boxes[..., 1].max() <= height
    left_above, right_above, right_below, left_below = boxes.swapaxes(0, 1)
    assert (left_above[:, 0] < right_above[:, 0]).all() and (left_below[:, 0] < right_below[:, 0]).all()
    assert (left_above[:, 1] < left_below[:, 1]).all() and (right_above[:, 1] < right_below[:, 1]).all()
    assert (np.diff(left_above[:, 1]) > 0).all()


@pytest.mark.parametrize("degrees", [8, -90])
def test_a_page_that_lies_askew_or_on_its_side_is_read(samples, degrees):
    page = Image.open(DEMO / "page.png").convert("L").rotate(degrees, expand=True, fillcolor=200)
    texts, _, _ = read(samples, encoded(page, format="PNG"))
    # Lines on their side stand beside each other, and so come from the left, which is the last one.
    assert all(any(same_words(text, expected) for text in texts) for expected in PAGE[:6]), texts


def test_a_page_without_text_has_one_empty_line(samples):
    texts, scores, boxes = read(samples, blank())
    assert texts == [""] and scores == [0.0]
    assert boxes.shape == (1, 4, 2) and np.ptp(boxes, axis=1).max() == 0


def test_pages_that_do_not_belong_together_are_refused(samples):
    pixels, probability = np.zeros((1, 3, 32, 64), np.float32), np.zeros((1, 1, 32, 32), np.float32)
    size = np.array([[32, 64]])
    refused(samples, "ocr_lines", "of the same page", pixels=pixels, probability=probability, size=size)


def parameter(**values):
    """A change of a model's parameters."""
    return {"parameters": {name: {"string_value": value} for name, value in values.items()}}


# An output that the image backend does not have.
PICTURE = {"output": [{"name": "picture", "data_type": "TYPE_FP32", "dims": [3, 224, 224]}]}


@pytest.mark.parametrize(
    "model, change, expected",
    [
        ("sentence_tokenizer", parameter(tokenizer="none.json"), r'"none.json" is neither in \S+/1 nor in \S+; put it'),
        ("sentence_tokenizer", parameter(tokenizer="../secret"), r'"\.\./secret" is to be one of the model'),
        ("sentence_tokenizer", parameter(max_length="many"), 'parameter "max_length" of the model is "many"'),
        ("sentence_tokenizer", parameter(max_length="2"), "the tokenizer adds 2 tokens"),
        ("sentence_tokenizer", parameter(padding="none"), 'not "longest" or "max_length"'),
        ("sentence_tokenizer", {"max_batch_size": 0}, 'output "input_ids" has 2 dims'),
        ("photo_pixels", parameter(std="0"), "has a zero"),
        ("photo_pixels", parameter(mean="1, 2"), "neither a number nor three"),
        ("photo_pixels", parameter(resize="crop", shorter_side="200"), "less than what is cut out"),
        ("photo_pixels", parameter(layout="CHW"), "not one of NCHW, NHWC"),
        ("photo_pixels", PICTURE, r'"picture" \(FP32\), and the backend knows "pixels" \(FP32\), "size" \(INT64\)'),
        ("ocr_pixels", parameter(min_side="3000"), "images are to have sides from 3000 to 2048"),
        ("ocr_lines", {"max_batch_size": 4}, "set max_batch_size to 0"),
        ("ocr_lines", parameter(max_width="0"), '"min_width" and "max_width"'),
        ("ocr_text", parameter(characters="config.pbtxt"), "of 18710 classes, and the model knows"),
    ],
)
def test_a_configuration_that_a_sample_does_not_serve_is_refused_with_a_reason(samples, model, change, expected):
    config = samples.client.get_model_config(model, as_json=True)["config"] | change
    with pytest.raises(triton.InferenceServerException) as error:
        samples.client.load_model(model, config=json.dumps(config))
    assert re.search(expected, error.value.message()), error.value.message()
    assert samples.client.is_model_ready(model)
