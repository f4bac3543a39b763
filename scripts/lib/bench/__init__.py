"""The benchmarks: startup, load and idle. `scripts/bench --help` says what each measures."""
