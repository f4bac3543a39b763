"""The sample pipelines as ensembles: text in and embedding out, a photograph in and its label out, a page in and its text."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image
from samples import DEMO, PAGE, blank, column, encoded, picture, same_words, served

TEXTS = ["A man is playing a guitar.", "Someone plays an instrument.", "It rains in Oslo."]


@pytest.fixture(scope="module", name="samples")
def serve_samples(tmp_path_factory):
    """A daemon that serves both sample repositories as they are."""
    with served(tmp_path_factory.mktemp("pipelines")) as server:
        yield server


def embed(samples, *texts):
    """The vectors of some texts."""
    return samples.infer("sentence_embedding", text=column(*(text.encode() for text in texts)))["embedding"]


def test_sentences_become_vectors_of_which_those_of_one_meaning_are_close(samples):
    one, other, far = embed(samples, *TEXTS)
    assert one.shape == (384,)
    assert one @ other > 0.5 > 0.2 > one @ far


def test_each_of_many_clients_gets_the_vectors_of_its_own_texts(samples):
    texts = [f"{text} {'And so on. ' * length}" for length in range(8) for text in TEXTS]
    alone = [embed(samples, text)[0] for text in texts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: embed(samples, text)[0], texts))
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_photographs_become_labels(samples):
    files = column(picture("coffee.png"), picture("camera.png"), encoded(Image.open(DEMO / "chelsea.png"), format="JPEG"))
    image = triton.InferInput("image", files.shape, "BYTES").set_data_from_numpy(files)
    output = triton.InferRequestedOutput("probabilities", class_count=1)
    answer = samples.client.infer("photo_label", [image], outputs=[output]).as_numpy("probabilities")
    likeliest = [element.decode().split(":") for (element,) in answer]
    assert [label for _, _, label in likeliest] == ["espresso", "tripod", "Egyptian cat"]
    assert all(float(probability) > 0.95 for probability, _, _ in likeliest[:2])


def read(samples, file):
    """The lines of a page."""
    answer = samples.infer("ocr", image=column(file))
    return [text.decode() for text in answer["text"]], answer["score"], answer["boxes"]


def test_a_printed_page_becomes_its_text(samples):
    texts, scores, boxes = read(samples, picture("page.png"))
    assert len(texts) == len(scores) == len(boxes) >= len(PAGE)
    for text, expected in zip(texts, PAGE):
        assert same_words(text, expected), texts
    assert scores[: len(PAGE)].min() > 0.9
    assert read(samples, blank())[0] == [""]


def test_an_output_that_nobody_asked_for_is_left_out(samples):
    answer = samples.infer("ocr", outputs=["text"], image=column(blank()))
    assert list(answer) == ["text"]


@pytest.mark.parametrize(
    "ensemble, inputs, expected",
    [
        ("sentence_embedding", {"text": column(b"yes", b"no \xff")}, "text 1 is not UTF-8 from byte 3 on"),
        ("photo_label", {"image": column(b"GIF89a")}, "image 0: it is neither JPEG nor PNG"),
        ("ocr", {"image": column(picture("page.png")[:-1000])}, "image 0: it is not a sound PNG"),
    ],
)
def test_what_a_step_refuses_is_the_ensembles_answer(samples, ensemble, inputs, expected):
    with pytest.raises(triton.InferenceServerException) as error:
        samples.infer(ensemble, **inputs)
    assert error.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert re.search(f"in ensemble '{ensemble}', .*{expected}", error.value.message()), error.value.message()
