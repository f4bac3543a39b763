"""Calls the model of the parameter `target` in the way of the parameter `how`, and answers with what that answered."""

import json

import numpy as np
import triton_python_backend_utils as pb_utils

NAMES = ["OUTPUT0", "OUTPUT1"]


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.target = parameters["target"]["string_value"]
        self.answer = getattr(self, parameters["how"]["string_value"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def call(self, request):
        return pb_utils.InferenceRequest(
            model_name=self.target, requested_output_names=NAMES, inputs=request.inputs()
        )

    def synchronous(self, request):
        response = self.call(request).exec()
        if response.has_error():
            return pb_utils.InferenceResponse(error=response.error())
        return pb_utils.InferenceResponse(response.output_tensors())

    def decoupled(self, request):
        """The sum of all numbers that the target generates, and their count."""
        call = pb_utils.InferenceRequest(
            model_name=self.target, requested_output_names=["NUMBER"], inputs=request.inputs()
        )
        numbers = []
        for response in call.exec(decoupled=True):
            if response.has_error():
                return pb_utils.InferenceResponse(error=response.error())
            # The last may be empty.
            numbers += [tensor.as_numpy().item() for tensor in response.output_tensors()]
        sums = {"SUM": sum(numbers), "LENGTH": len(numbers)}
        tensors = [pb_utils.Tensor(name, np.array([value], np.int32)) for name, value in sums.items()]
        return pb_utils.InferenceResponse(tensors)
