"""What one Nerite daemon does with each case when it serves all of them at once."""

import time
from typing import NamedTuple, Optional

import tritonclient.grpc as triton

from .tensors import Tensor, to_array

# Nerite's own defaults for ONNX Runtime, but one intra-op thread, and nothing is taken to be a batch.
FLAGS = [
    "--model-control-mode=none",
    "--exit-on-error=false",
    "--strict-readiness=false",
    "--backend-config=onnxruntime,intra_op_thread_count=1",
    "--backend-config=default-max-batch-size=0",
]
LOAD_SECONDS = 180
REQUEST_SECONDS = 60


class Answer(NamedTuple):
    """The answer to one case: `refused` (the index's reason), an error's `code` and `text`, or `outputs`."""

    refused: Optional[str] = None
    code: Optional[str] = None
    text: Optional[str] = None
    outputs: Optional[list] = None


def wait_loaded(daemon, client, count):
    """The reasons of the models that are not served, once all `count` models are loaded or refused."""
    entries = []

    def settled():
        nonlocal entries
        if daemon.http("/v2/health/live")[0] != 200:
            return False
        entries = client.get_model_repository_index().models
        return sum(entry.state in ("READY", "UNAVAILABLE") for entry in entries) >= count

    daemon.wait_until(settled, LOAD_SECONDS, f"load {count} models")
    return {entry.name: entry.reason for entry in entries if entry.state != "READY"}


def ask(client, outcome):
    """Sends one case's inputs."""
    inputs = []
    for tensor in outcome.inputs:
        infer_input = triton.InferInput(tensor.name, list(tensor.shape), tensor.dtype)
        inputs.append(infer_input.set_data_from_numpy(to_array(tensor)))
    try:
        result = client.infer(outcome.name, inputs, client_timeout=REQUEST_SECONDS)
    except triton.InferenceServerException as error:
        return Answer(code=str(error.status()).removeprefix("StatusCode."), text=error.message())
    response = result.get_response()
    if len(response.outputs) != len(response.raw_output_contents):
        return Answer(
            code="MALFORMED", text=f"{len(response.outputs)} outputs, {len(response.raw_output_contents)} contents"
        )
    return Answer(
        outputs=[
            Tensor(output.name, output.datatype, tuple(output.shape), data)
            for output, data in zip(response.outputs, response.raw_output_contents)
        ]
    )


def serve_all(daemon, outcomes):
    """The answer to every case, by name."""
    with triton.InferenceServerClient(daemon.url) as client:
        begun = time.monotonic()
        refused = wait_loaded(daemon, client, len(outcomes))
        seconds = time.monotonic() - begun
        print(f"  {len(outcomes) - len(refused)} models loaded, {len(refused)} refused, in {seconds:.1f} s")
        answers = {}
        for name, outcome in outcomes.items():
            answers[name] = Answer(refused=refused[name]) if name in refused else ask(client, outcome)
        return answers
