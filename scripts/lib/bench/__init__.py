"""The benchmarks: startup, load, idle and overload. `scripts/bench --help` says what each measures."""
