"""Runs it for as long as is asked for; exit status 1 if anything was wrong."""

import argparse
import shutil

from churn import explicit, poll
from wheels import TARGET

FOLDER = TARGET / "churn"
MOST_TOLD = 50


def main():
    """Both modes, one after the other."""
    parser = argparse.ArgumentParser(prog="scripts/churn", description="Changes everything while clients ask.")
    parser.add_argument("--minutes", type=float, default=10, help="of changes to files, in poll mode [default: 10]")
    parser.add_argument("--reloads", type=int, default=1000, help="by clients, in explicit mode [default: 1000]")
    parser.add_argument("--seed", type=int, default=1, help="of what happens [default: 1]")
    parser.add_argument("--settle-ms", type=int, default=200, help="the daemon's window [default: 200]")
    parser.add_argument("--daemon-settle-ms", type=int, help="another for the daemon, to see that faults are found")
    options = parser.parse_args()
    # What is there afterwards is for who wants to know more.
    shutil.rmtree(FOLDER, ignore_errors=True)
    found = []
    if options.minutes:
        print(f"\n== poll mode, {options.minutes:g} minutes, seed {options.seed}\n", flush=True)
        settings = {"settle_ms": options.settle_ms, "daemon_settle_ms": options.daemon_settle_ms}
        found += poll.run(FOLDER / "poll", 60 * options.minutes, options.seed, **settings)
    if options.reloads:
        print(f"\n== explicit mode, {options.reloads:,} reloads, seed {options.seed}\n", flush=True)
        found += explicit.run(FOLDER / "explicit", options.reloads, options.seed)
    print()
    for fault in found[:MOST_TOLD]:
        print(f"FAULT {fault}")
    print(f"{len(found)} faults")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
