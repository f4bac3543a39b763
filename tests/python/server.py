"""A daemon and the clients of it, for tests that watch what it says of itself."""

import grpc
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import np_to_triton_dtype

LIMIT = 30


class Server:
    """A daemon with Triton's client and the bare stub connected to it."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.client = triton.InferenceServerClient(daemon.url)
        self.channel = grpc.insecure_channel(daemon.url)
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)

    def close(self):
        self.client.close()
        self.channel.close()

    def until(self, condition, what):
        self.daemon.wait_until(condition, LIMIT, what)

    def rows(self, name):
        """What the index says of a model: its versions, states and reasons."""
        index = self.client.get_model_repository_index().models
        return [(entry.version, entry.state, entry.reason) for entry in index if entry.name == name]

    def infer(self, model, *, outputs=None, **inputs):
        """The outputs, by name, of inputs whose dtypes are those of their arrays."""
        asked = outputs and [triton.InferRequestedOutput(name) for name in outputs]
        answer = self.client.infer(model, tensors(inputs), outputs=asked, client_timeout=LIMIT)
        return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}

    def fail_to_load(self, name, timeout=LIMIT):
        """Asks for a load that fails; gives back the error, and what it adds to the log."""
        before = len(self.daemon.log_text())
        with pytest.raises(triton.InferenceServerException) as error:
            self.client.load_model(name, client_timeout=timeout)
        return error.value, self.daemon.log_text()[before:]


def tensors(arrays):
    """Inputs for Triton's client."""
    return [
        triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype)).set_data_from_numpy(array)
        for name, array in arrays.items()
    ]
