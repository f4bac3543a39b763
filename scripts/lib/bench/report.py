"""How results are shown."""

from statistics import median


# What is said of runs of h2load.
FIGURES = ["requests/s", "p50 µs", "p99 µs", "CPU µs/request"]


def figures(runs):
    """The cells of some runs: the middle of each of their figures."""
    rate, p50, p99, cpu = (median(column) for column in zip(*runs))
    return [f"{rate:,.0f}", f"{p50:,.0f}", f"{p99:,.0f}", f"{cpu:.1f}"]


def table(header, rows):
    """Prints rows under a header, the first column to the left, the others to the right."""
    rows = [header, *rows]
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(header))]
    for row in rows:
        first, *others = (str(cell) for cell in row)
        cells = [first.ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(others, widths[1:])]
        print("  ".join(cells), flush=True)
    print()


def target(what, value, limit, unit):
    """The line that says whether a value is within its limit."""
    return verdict(what, value, unit, f"at most {limit:g}", value <= limit)


def at_least(what, value, limit, unit):
    """The same where more is better."""
    return verdict(what, value, unit, f"at least {limit:g}", value >= limit)


def verdict(what, value, unit, limit, reached):
    """The line of a target."""
    shown = f"{value:.2f}".rstrip("0").rstrip(".")
    return f"target {what}: {shown} {unit}, {limit}: {'reached' if reached else 'missed'}".replace(" ,", ",")


def spread(values, digits=0):
    """The median of some values, with the least and the most."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"
