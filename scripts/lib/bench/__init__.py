"""The benchmarks: startup, load, idle, overload, storm, scale, batches and trace.

`scripts/bench --help` says what each measures.
"""
