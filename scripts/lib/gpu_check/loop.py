"""ONNX Runtime's own loop in Python, as a program of its own: `python -m gpu_check.loop MODEL INPUTS PROVIDER`.

Prints what it computes on and its version once it is warm, and then, for every line with a number of seconds, how many
runs a second it did for so long.
"""

import json
import os
import subprocess
import sys
import time

WARM_UP = 10


def main():
    import numpy as np
    import onnxruntime

    path, inputs, provider = sys.argv[1:]
    feed = dict(np.load(inputs))
    session = onnxruntime.InferenceSession(path, providers=[provider])
    # It falls back to the CPU without an error.
    if session.get_providers()[0] != provider:
        raise SystemExit(f"error: ONNX Runtime {onnxruntime.__version__} did not take {provider}")
    for _ in range(WARM_UP):
        session.run(None, feed)
    print(json.dumps({"provider": provider, "version": onnxruntime.__version__}), flush=True)
    for line in sys.stdin:
        begun, runs, now = time.perf_counter(), 0, 0.0
        until = begun + float(line)
        while (now := time.perf_counter()) < until or runs == 0:
            session.run(None, feed)
            runs += 1
        print(json.dumps(runs / (time.perf_counter() - begun)), flush=True)


class Loop:
    """The program, warm while the block lasts."""

    def __init__(self, model, inputs, provider, environment):
        command = [sys.executable, "-m", "gpu_check.loop", str(model), str(inputs), provider]
        search = [path for path in (environment.get("PYTHONPATH"), *sys.path) if path]
        variables = {**environment, "PYTHONPATH": os.pathsep.join(search)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
        )

    def __enter__(self):
        self.version = self.answer()["version"]
        return self

    def runs_per_second(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        """The next line; raises RuntimeError with the program's last words if there is none."""
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate()
            last = next((one for one in reversed(errors.splitlines()) if one.strip()), "no word")
            raise RuntimeError(f"ONNX Runtime's own loop ended with: {last}")
        return json.loads(line)

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


if __name__ == "__main__":
    main()
