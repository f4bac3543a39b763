"""The benchmarks: startup, load, idle, overload, storm, scale and batches.

`scripts/bench --help` says what each measures.
"""
