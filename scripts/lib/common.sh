# What the scripts share. Sourced, not run; every script starts from the repository's root.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cd "$ROOT"

VENV="$ROOT/target/venv"
# ONNX Runtime's packages report to their makers unless told not to.
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1

# A heading with the seconds since the script started.
step() {
    printf '\n\033[1m== %s\033[0m  (%d s)\n' "$*" "$SECONDS"
}

die() {
    printf '\nerror: %s\n' "$*" >&2
    exit 1
}

# Whether the interpreter $1 exists and is at least Python $2 (as in 3.11).
python_at_least() {
    "$1" -c "import sys; sys.exit(sys.version_info < tuple(map(int, '$2'.split('.'))))" 2>/dev/null
}

# Prints the first interpreter that is at least Python $1: $NERITE_PYTHON, python3, or a numbered one.
find_python() {
    local candidate
    for candidate in "${NERITE_PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python3.10 python3.9; do
        if python_at_least "$candidate" "$1"; then
            echo "$candidate"
            return
        fi
    done
    die "Python $1 or newer is needed, and none was found; name one with NERITE_PYTHON=/path/to/python3"
}

# Makes target/venv for an interpreter of at least Python $1.
make_venv() {
    local python
    if [ -x "$VENV/bin/python" ] && python_at_least "$VENV/bin/python" "$1"; then
        return
    fi
    python="$(find_python "$1")" || exit 1
    echo "making target/venv with $("$python" --version)"
    rm -rf "$VENV"
    if "$python" -m venv "$VENV" >/dev/null 2>&1; then
        return
    fi
    # Debian keeps ensurepip in a package of its own; a pip outside of the environment can fill it too.
    rm -rf "$VENV"
    "$python" -m venv --without-pip "$VENV" ||
        die "$python cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv"
    "$python" -m pip --python "$VENV/bin/python" install --quiet pip ||
        die "$python has neither ensurepip nor a recent pip; on Debian or Ubuntu: apt-get install python3-venv python3-pip"
}

# Makes target/venv hold what the requirement files $2... pin, for Python $1 or newer. Instant when it does already.
ensure_venv() {
    local minimum="$1" name file stamp
    shift
    make_venv "$minimum"
    for name in "$@"; do
        file="scripts/$name.txt"
        stamp="$VENV/.$name"
        if cmp -s "$file" "$stamp"; then
            continue
        fi
        echo "installing $file"
        "$VENV/bin/python" -m pip install --quiet --only-binary=:all: -r "$file" ||
            die "pip could not install $file; is the package index reachable? (PIP_INDEX_URL names another one)"
        cp "$file" "$stamp"
    done
}

demo_venv() {
    ensure_venv 3.9 requirements
}

test_venv() {
    ensure_venv 3.11 requirements requirements-test
}

# Whether there is a browser without a window, after installing Debian's where that is possible: only root can.
headless_browser() {
    command -v chromium-headless-shell || command -v chromium || command -v google-chrome && return
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "installing chromium-headless-shell"
        (apt-get update && apt-get install --yes --no-install-recommends chromium-headless-shell fonts-dejavu-core) \
            >/dev/null 2>&1 || true
    fi
    command -v chromium-headless-shell
}
