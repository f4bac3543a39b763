"""Whether models answer on the device as they do on the CPU."""

import grpc
import numpy as np
from gpu_check.outcome import FAILED, PASSED, Outcome
from gpu_check.serving import CPU, DEVICE

# How much an output may differ.
LIMIT = 1e-3
SEED = 7


def compare(server, case):
    """The outcome for a model, in batches of several sizes."""
    title = f"{case.name}: answers as on the CPU"
    for side in (DEVICE, CPU):
        if reason := server.reason(case, side):
            return Outcome(title, FAILED, f"it is not served on the {side}: {reason}")
    random, worst = np.random.default_rng(SEED), 0.0
    for rows in sorted({1, min(3, case.batch), case.batch}):
        inputs = case.inputs(random, rows)
        try:
            answers = [server.infer(case, side, inputs) for side in (DEVICE, CPU)]
        except grpc.RpcError as error:
            return Outcome(title, FAILED, f"{rows} rows: {error.code().name}: {error.details()}")
        found = difference(*answers)
        worst = max(worst, found)
        if not found <= LIMIT:
            return Outcome(title, FAILED, f"{rows} rows differ by {found:.2g}, of which {LIMIT:g} is allowed")
    return Outcome(title, PASSED, f"up to {case.batch} rows differ by {worst:.2g} at most")


def difference(one, other):
    """The greatest between any two numbers; infinite if the outputs are not alike or are no numbers."""
    if {name: array.shape for name, array in one.items()} != {name: array.shape for name, array in other.items()}:
        return np.inf
    worst = 0.0
    for name, array in one.items():
        gaps = np.abs(array.astype(np.float64) - other[name].astype(np.float64))
        if not np.isfinite(gaps).all():
            return np.inf
        worst = max(worst, float(gaps.max(initial=0.0)))
    return worst
