"""Puts ONNX Runtime's library for NVIDIA GPUs, and its providers beside it, under target/onnxruntime-gpu/lib."""

import os

import wheels

LIBRARY = wheels.TARGET / "onnxruntime-gpu" / "lib"
FILES = (
    f"libonnxruntime.so.{wheels.ONNXRUNTIME_GPU.version}",
    "libonnxruntime_providers_shared.so",
    "libonnxruntime_providers_cuda.so",
    "libonnxruntime_providers_tensorrt.so",
)


def main():
    """Instant when the pinned version is there already."""
    if wheels.machine() != "x86_64":
        print("ONNX Runtime for GPUs is pinned for x86_64 alone; the tests that need it are skipped")
        return
    link = LIBRARY / "libonnxruntime.so"
    if not link.is_symlink() or os.readlink(link) != FILES[0]:
        for name in FILES:
            wheels.write(LIBRARY / name, wheels.read(wheels.ONNXRUNTIME_GPU, f"onnxruntime/capi/{name}"))
        # Last, so that it stands for all of them.
        link.unlink(missing_ok=True)
        link.symlink_to(FILES[0])
    print(f"ONNX Runtime {wheels.ONNXRUNTIME_GPU.version} for GPUs: {link.relative_to(wheels.ROOT)}")


if __name__ == "__main__":
    main()
