"""The bare services that Nerite is measured against."""

import subprocess

import grpc
from bench.process import TOOLS
from daemon import free_ports
from tritonclient.grpc import service_pb2_grpc


class Bare:
    """One of the tools that serve, ready. As a context manager, it has ended when the block is left."""

    def __init__(self, tool, *arguments, prefix=()):
        """The tool is given a port and these arguments; `prefix` is a command that runs it, as `taskset` does."""
        (self.port,) = free_ports(1)
        command = [*map(str, prefix), TOOLS / tool, str(self.port), *map(str, arguments)]
        # In a session of its own, as the daemon is: the kernel may share a busy machine out among sessions, and then
        # serves one that the generator of the load is in differently.
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        self.pid = self.process.pid
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        try:
            grpc.channel_ready_future(self.channel).result(timeout=10)
        except grpc.FutureTimeoutError:
            self.stop()
            raise RuntimeError(f"{tool} did not start") from None

    def stub(self):
        """A client of it."""
        return service_pb2_grpc.GRPCInferenceServiceStub(self.channel)

    def stop(self):
        """Ends the process."""
        self.channel.close()
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
