"""The benchmarks: startup, load, idle, overload and storm. `scripts/bench --help` says what each measures."""
