"""Puts ONNX Runtime's shared library where nerite looks for it: target/onnxruntime/lib/libonnxruntime.so."""

import os

import wheels

LIBRARY = wheels.TARGET / "onnxruntime" / "lib"


def main():
    """Instant when the pinned version is there already."""
    name = f"libonnxruntime.so.{wheels.ONNXRUNTIME.version}"
    link = LIBRARY / "libonnxruntime.so"
    if not (LIBRARY / name).exists():
        data = wheels.read(wheels.ONNXRUNTIME, f"onnxruntime/capi/{name}", wheels.machine())
        # The terms under which the library may be passed on, as in an image.
        for terms in ("LICENSE", "ThirdPartyNotices.txt"):
            text = wheels.read(wheels.ONNXRUNTIME, f"onnxruntime/{terms}", wheels.machine())
            wheels.write(LIBRARY.parent / terms, text)
        wheels.write(LIBRARY / name, data)
    if not link.is_symlink() or os.readlink(link) != name:
        link.unlink(missing_ok=True)
        link.symlink_to(name)
    print(f"ONNX Runtime {wheels.ONNXRUNTIME.version}: {link.relative_to(wheels.ROOT)}")


if __name__ == "__main__":
    main()
