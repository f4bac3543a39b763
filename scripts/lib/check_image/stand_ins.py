"""Stand-ins for the images that Dockerfile.gpu builds upon, made of Debian's packages and of this machine's Rust."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from dockerfile_parse import DockerfileParser

from check_image.engine import FOLDER, build, exists, podman

# Where the stand-in for Rust's image finds the toolchain, which is mounted there while it is used.
TOOLCHAIN = "/usr/local/rustup/toolchain"
# What Debian's slim images do without.
FAT = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/apt", "var/lib/apt/lists"]


def bases(dockerfile):
    """The images of others that a Dockerfile names."""
    parser = DockerfileParser(fileobj=dockerfile.open("rb"))
    named = [step["value"].split() for step in parser.structure if step["instruction"] == "FROM"]
    own = {words[2] for words in named if len(words) == 3}
    return sorted({words[0] for words in named} - own)


def make(dockerfile, prebuilt):
    """Makes those that are missing. The options with which a build uses them."""
    images = bases(dockerfile)
    debian = next(image for image in images if image.startswith("debian:"))
    rust = next(image for image in images if image.startswith("rust:"))
    if unknown := set(images) - {debian, rust}:
        raise SystemExit(f"error: there is no stand-in for {', '.join(unknown)}")
    suite = rust.rpartition("-")[2]
    if not exists(debian):
        make_debian(debian, suite)
    if prebuilt:
        make_rust_that_has_built(rust, debian, prebuilt)
        return []
    make_rust(rust, debian)
    sysroot = subprocess.check_output(["rustc", "--print", "sysroot"], text=True).strip()
    return [f"--volume={sysroot}:{TOOLCHAIN}:ro"]


def make_debian(image, suite):
    """A Debian that is as small as its slim image, and trusts whom this machine trusts."""
    print(f"making a stand-in for {image} with debootstrap", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        root = Path(scratch) / "root"
        command = ["debootstrap", "--variant=minbase", suite, root]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if result.returncode != 0:
            raise SystemExit(f"error: debootstrap failed:\n{result.stdout[-2000:]}")
        found = (root / "etc" / "debian_version").read_text().strip()
        wanted = re.match(r"debian:([\d.]+)", image).group(1)
        if found != wanted:
            print(f"note: Debian's mirror has {found}, where the Dockerfile names {wanted}")
        for name in FAT:
            shutil.rmtree(root / name)
            (root / name).mkdir()
        own = Path("/usr/local/share/ca-certificates")
        if own.is_dir():
            shutil.copytree(own, root / "usr/local/share/ca-certificates", dirs_exist_ok=True)
        archive = Path(scratch) / "root.tar"
        subprocess.run(["tar", "--create", "--file", archive, "--directory", root, "."], check=True)
        podman("import", archive, f"docker.io/library/{image}")


def make_rust(image, debian):
    """What Rust's slim image has: a linker, C's headers, and a toolchain, which is this machine's."""
    wanted = re.match(r"rust:([\d.]+)", image).group(1)
    found = subprocess.check_output(["rustc", "--version"], text=True).split()[1]
    if found != wanted:
        raise SystemExit(f"error: the Dockerfile names Rust {wanted}, and this machine has {found}")
    print(f"making a stand-in for {image} with this machine's toolchain", flush=True)
    links = [f"ln -s {TOOLCHAIN}/bin/{name} /usr/local/cargo/bin/" for name in ("cargo", "rustc", "rustdoc")]
    steps = [
        f"FROM {debian}",
        "RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev",
        f"RUN mkdir -p /usr/local/cargo/bin && {' && '.join(links)}",
        "ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:$PATH",
    ]
    make_from(steps, image)


def make_rust_that_has_built(image, debian, binary):
    """A cargo that takes a binary out of its pocket, for when compiling takes too long."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        subprocess.run(["strip", "--strip-debug", "-o", Path(folder) / "nerite", binary], check=True)
        cargo = Path(folder) / "cargo"
        cargo.write_text("#!/bin/sh\nmkdir -p target/release && cp /usr/local/bin/nerite target/release/nerite\n")
        cargo.chmod(0o755)
        make_from([f"FROM {debian}", "COPY nerite cargo /usr/local/bin/"], image, folder)


def make_from(steps, image, context=None):
    """An image of these steps."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        file = Path(folder) / "Dockerfile"
        file.write_text("\n".join(steps) + "\n")
        build(context or folder, file, f"docker.io/library/{image}")
