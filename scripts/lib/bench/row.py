"""A request of one row of numbers, for models that give back what they take."""

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc


def request(model, width):
    """The request."""
    message = service_pb2.ModelInferRequest(model_name=model)
    message.inputs.add(name="INPUT0", datatype="FP32", shape=[1, width])
    message.raw_input_contents.append(np.arange(width, dtype=np.float32).tobytes())
    return message


def answer(daemon, message):
    """What the daemon answers. Raises unless it is the request's own row."""
    with grpc.insecure_channel(daemon.url) as channel:
        answered = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(message)
    if answered.raw_output_contents[0] != message.raw_input_contents[0]:
        raise RuntimeError(f"{message.model_name} does not answer with what it was given")
    return answered
