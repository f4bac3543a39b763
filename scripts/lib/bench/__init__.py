"""The benchmarks; `scripts/bench --help` says what each measures."""
