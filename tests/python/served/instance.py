"""Gives back INPUT0, with the number of its process; leaves a line for its end in the file of the parameter `journal`."""

import json
import os
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.journal = parameters["journal"]["string_value"]
        self.seconds = float(parameters["seconds"]["string_value"])
        self.name = args["model_instance_name"]

    def execute(self, requests):
        time.sleep(self.seconds)
        return [self.answer(request) for request in requests]

    def answer(self, request):
        array = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()
        process = np.array([os.getpid()], np.int32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", array), pb_utils.Tensor("PROCESS", process)])

    def finalize(self):
        with open(self.journal, "a") as file:
            print(self.name, file=file)
