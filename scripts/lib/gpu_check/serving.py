"""The daemon with each model on the device and on the CPU, and what it answers."""

import grpc
import numpy as np
from daemon import Daemon
from gpu_check.cases import config
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

# On a device multiplications are made of shorter numbers unless this forbids it, and differ from the CPU's by more than
# what is compared here.
EXACT = {"NVIDIA_TF32_OVERRIDE": "0"}
LOAD_SECONDS, ANSWER_SECONDS = 300, 120
KINDS = {"gpu": "KIND_GPU", "cpu": "KIND_CPU"}
DEVICE, CPU = "device", "cpu"


class Server:
    """A daemon with models on the device, and on the CPU too unless `only_device`, for as long as the block lasts."""

    def __init__(self, binary, models, device, folder, environment, only_device=False):
        """`models` has the bytes of each case's model."""
        repository = folder / "repository"
        wanted = {DEVICE: KINDS[device]} | ({} if only_device else {CPU: KINDS["cpu"]})
        for case, data in models.items():
            for side, kind in wanted.items():
                version = repository / name_of(case, side) / "1"
                version.mkdir(parents=True, exist_ok=True)
                (version / "model.onnx").write_bytes(data)
                (version.parent / "config.pbtxt").write_text(config(case, kind))
        arguments = [f"--model-repository={repository}", "--exit-on-error=false", "--strict-readiness=false"]
        self.daemon = Daemon(arguments, folder / "nerite.log", binary=binary, environment=environment)

    def __enter__(self):
        try:
            # Without strict readiness it is ready only when every model has been tried.
            self.daemon.wait_ready(LOAD_SECONDS)
        except BaseException:
            self.daemon.stop()
            raise
        self.channel = grpc.insecure_channel(self.daemon.url, [("grpc.max_receive_message_length", -1)])
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)
        return self

    def __exit__(self, *_):
        self.channel.close()
        self.daemon.stop()

    def infer(self, case, side, inputs):
        """The outputs by name."""
        answer = self.stub.ModelInfer(message(case, side, inputs), timeout=ANSWER_SECONDS)
        pairs = zip(answer.outputs, answer.raw_output_contents, strict=True)
        return {one.name: np.frombuffer(raw, triton_to_np_dtype(one.datatype)).reshape(one.shape) for one, raw in pairs}

    def reason(self, case, side):
        """Why a model is not served; nothing if it is."""
        index = self.stub.RepositoryIndex(service_pb2.RepositoryIndexRequest()).models
        return next((one.reason for one in index if one.name == name_of(case, side) and one.state != "READY"), "")


def name_of(case, side):
    """A case's model on the device or on the CPU."""
    return f"{case.name}_{side}"


def message(case, side, inputs):
    """A request."""
    asked = service_pb2.ModelInferRequest(model_name=name_of(case, side))
    for name, array in inputs.items():
        asked.inputs.add(name=name, datatype=np_to_triton_dtype(array.dtype), shape=array.shape)
        asked.raw_input_contents.append(array.tobytes())
    return asked
