"""What was seen, held against what was on disk."""

from collections import Counter, defaultdict

from churn import contents

# What may be answered where a model may be away.
AWAY = {"NOT_FOUND", "UNAVAILABLE"}
MOST_TOLD = 20


def faults(disk, seen, lasting):
    """Everything that is wrong, a line each. `lasting` are the models that always have something to serve."""
    found = [*failures(seen, lasting), *torn(disk, seen)]
    series = defaultdict(dict)
    for model, version, tag, _count, first, last in seen["answers"]:
        content = disk.contents.get(tag)
        if content is None:
            found.append(f"{model}, version {version}: content {tag} was answered, and never whole on disk")
        elif model not in content.models or int(version) != content.version:
            found.append(f"{model}, version {version}: content {tag} was answered, which is of {content}")
        else:
            if first < content.whole_from:
                found.append(f"{model}, version {version}: content {tag} was answered before it was whole on disk")
            series[model, version][tag] = (first, last)
    for (model, version), answers in series.items():
        of_it = {tag: at for tag, at in disk.loaded.items() if model in disk.contents[tag].models}
        found += [f"{model}, version {version}: {fault}" for fault in backward(answers, of_it)]
    return found


def failures(seen, lasting):
    """Requests that failed and must not have."""
    for model, code, text, count in seen["errors"]:
        if model in lasting or code not in AWAY:
            at = [f"{at:.2f}" for *which, at in seen["failed"] if which == [model, code, text]]
            yield f"{model}: {count} requests failed with {code}: {text} (after {', '.join(at[:MOST_TOLD])} s)"


def torn(disk, seen):
    """Answers that are of no one content."""
    of_a_kind = Counter((model, version, text) for model, version, _, text in seen["torn"])
    for (model, version, text), count in of_a_kind.items():
        at = min(at for *which, at, of_it in seen["torn"] if (*which, of_it) == (model, version, text))
        if not any(text == contents.mixed({float(old)}, {float(new)}) for old, new in disk.excused):
            yield f"{model}, version {version}: {count} answers, the first at {at:.3f}, are of no one content: {text}"


def backward(answers, loaded):
    """Answers of older content to requests that began after newer was answered, or after its load was over."""
    for tag, (_, last) in answers.items():
        newer = [(at, other) for other, (at, _) in answers.items() if tag < other and at < last]
        if newer:
            at, other = min(newer)
            yield f"content {tag} was answered to a request {last - at:.3f} s after {other}, which is newer, was"
        newer = [(at, other) for other, at in loaded.items() if tag < other and at < last]
        if newer:
            at, other = min(newer)
            yield f"content {tag} was answered to a request {last - at:.3f} s after {other} had been loaded"


def summary(seen):
    """What was seen, in numbers, a line for each model."""
    models = defaultdict(lambda: [0, 0, 0])
    for model, _version, _tag, count, *_ in seen["answers"]:
        models[model][0] += count
        models[model][1] += 1
    for model, _code, _text, count in seen["errors"]:
        models[model][2] += count
    for model, (count, contents, errors) in sorted(models.items()):
        yield f"{model}: {count:,} answers of {contents:,} contents, {errors:,} errors"
