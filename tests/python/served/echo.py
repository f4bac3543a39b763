"""Gives back what it is given, whatever that is: OUTPUT0 is INPUT0, and so on."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([self.answer(one) for one in request.inputs()]) for request in requests]

    def answer(self, tensor):
        return pb_utils.Tensor(tensor.name().replace("INPUT", "OUTPUT"), tensor.as_numpy())
