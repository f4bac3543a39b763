"""A daemon and the clients of it, for tests that watch what it says of itself."""

import grpc
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2_grpc

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
