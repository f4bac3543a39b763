"""Works until its request is cancelled; says in the file of the parameter `journal` that it began, and whether it was."""

import json
import time

import triton_python_backend_utils as pb_utils

LONGEST = 20


class TritonPythonModel:
    def initialize(self, args):
        self.journal = json.loads(args["model_config"])["parameters"]["journal"]["string_value"]

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        self.write("begun")
        deadline = time.monotonic() + LONGEST
        while not request.is_cancelled() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.write("cancelled" if request.is_cancelled() else "left alone")
        error = pb_utils.TritonError("cancelled", pb_utils.TritonError.CANCELLED)
        return pb_utils.InferenceResponse(error=error)

    def write(self, text):
        with open(self.journal, "a") as file:
            print(text, file=file)
