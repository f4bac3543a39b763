"""The benchmarks: startup, load, idle, overload, storm and scale. `scripts/bench --help` says what each measures."""
