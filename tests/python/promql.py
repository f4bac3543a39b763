"""Reads expressions of PromQL and says which labels their results have, given those of every metric.

It knows what the files of deploy/observability use, and refuses anything else. That the expressions are valid, types
included, is for promtool to say; what promtool cannot know is whether a metric and its labels exist, and it takes an
expression whose two sides have different labels, which never has a result.
"""

import re
from typing import NamedTuple

AGGREGATIONS = {"sum", "min", "max", "avg", "count", "group"}
# They keep whole series of what they choose from.
CHOICES = {"topk", "bottomk"}
OVER_TIME = {"min_over_time", "max_over_time", "avg_over_time", "sum_over_time", "last_over_time"}
# Functions whose result has the labels of the argument that is no number.
KEEPING = {"rate", "increase", "delta", "changes", "resets", "clamp_min", "clamp_max", "abs", "floor"} | OVER_TIME
SCALARS = {"time"}
PRECEDENCE = [
    {"or"},
    {"and", "unless"},
    {"==", "!=", "<=", "<", ">=", ">"},
    {"+", "-"},
    {"*", "/", "%"},
    {"^"},
]
SETS = {"or", "and", "unless"}
TOKEN = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)
    |(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<duration>(?:\d+(?:ms|[smhdwy]))+)
    |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<word>[A-Za-z_][A-Za-z0-9_:]*)
    |(?P<sign>==|!=|<=|>=|=~|!~|[-+*/%^<>=(){}\[\],@:])""",
    re.VERBOSE,
)


class Mistake(Exception):
    """What is wrong with an expression."""


class Matcher(NamedTuple):
    """One condition of a selector, as in reason=~"BACKEND|OTHER"."""

    metric: str
    label: str
    sign: str
    value: str

    def takes(self, value):
        """Whether the value of a label satisfies it."""
        found = re.fullmatch(self.value, value) is not None if "~" in self.sign else self.value == value
        return found != self.sign.startswith("!")


class Reading(NamedTuple):
    """What an expression is about: the labels of its result, or None of a number; its metrics, and its conditions."""

    labels: frozenset | None
    metrics: frozenset
    matchers: tuple


def read(expression, known):
    """Reads an expression; `known` has the labels of every series' name. Raises Mistake."""
    reader = Reader(expression, known)
    labels = reader.operation(0)
    reader.end()
    return Reading(labels, frozenset(reader.metrics), tuple(reader.matchers))


def tokens(text):
    """The kinds and texts of what an expression consists of."""
    at, found = 0, []
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise Mistake(f"cannot read {text[at : at + 20]!r}")
        at = match.end()
        if match.lastgroup != "skip":
            found.append((match.lastgroup, match.group()))
    return [*found, ("end", "")]


class Reader:
    """A recursive descent. A method that reads an expression, or a part of one, returns the labels of its result."""

    def __init__(self, text, known):
        self.rest = tokens(text)
        self.known = known
        self.metrics, self.matchers = [], []

    def take(self, *wanted):
        """The text of the next token, if it is one of those wanted, or else None."""
        return self.rest.pop(0)[1] if self.rest[0][1] in wanted and self.rest[0][0] in ("word", "sign") else None

    def need(self, *wanted):
        taken = self.take(*wanted)
        if taken is None:
            raise Mistake(f"there is {self.rest[0][1] or 'the end'!r} instead of {' or '.join(wanted)}")
        return taken

    def kind(self, kind):
        """The text of the next token, which has to be of that kind."""
        if self.rest[0][0] != kind:
            raise Mistake(f"there is {self.rest[0][1] or 'the end'!r} instead of a {kind}")
        return self.rest.pop(0)[1]

    def end(self):
        self.kind("end")

    def operation(self, level):
        """An operand, or some with operators between them that bind at least as closely as `level`."""
        if level == len(PRECEDENCE):
            return self.operand()
        left = self.operation(level + 1)
        while sign := self.take(*PRECEDENCE[level]):
            self.take("bool")
            matching = self.take("on", "ignoring")
            names = self.names() if matching else frozenset()
            many = self.take("group_left")
            included = self.names() if many and self.rest[0][1] == "(" else frozenset()
            left = joined(sign, left, self.operation(level + 1), matching, names, many, included)
        return left

    def operand(self):
        if self.take("-", "+"):
            return self.operand()
        if self.rest[0][0] == "number":
            self.rest.pop(0)
            return None
        if self.take("("):
            labels = self.operation(0)
            self.need(")")
            return self.shifted(labels)
        word = self.kind("word")
        if word in AGGREGATIONS | CHOICES:
            return self.aggregation(word)
        if self.rest[0][1] == "(":
            return self.function(word)
        return self.shifted(self.selector(word))

    def shifted(self, labels):
        """The range and the offset that may follow."""
        if self.take("["):
            self.kind("duration")
            if self.take(":") and self.rest[0][1] != "]":
                self.kind("duration")
            self.need("]")
        if self.take("offset"):
            self.kind("duration")
        return labels

    def selector(self, metric):
        if metric not in self.known:
            raise Mistake(f"there is no metric {metric}")
        labels = self.known[metric]
        self.metrics.append(metric)
        bracket = self.take("{")
        while bracket and not self.take("}"):
            name, sign = self.kind("word"), self.need("=", "!=", "=~", "!~")
            require(labels, {name}, metric)
            self.matchers.append(Matcher(metric, name, sign, self.kind("string")[1:-1]))
            self.take(",")
        return labels

    def names(self):
        """Names of labels in brackets."""
        found = set()
        self.need("(")
        while not self.take(")"):
            found.add(self.kind("word"))
            self.take(",")
        return frozenset(found)

    def arguments(self):
        """The labels of each argument of a function."""
        found = []
        self.need("(")
        while not self.take(")"):
            found.append(self.operation(0))
            self.take(",")
        return found

    def aggregation(self, word):
        grouping = self.take("by", "without")
        names = self.names() if grouping else frozenset()
        labels = vector(self.arguments()[-1], word)
        require(labels, names, word)
        if word in CHOICES:
            return labels
        return labels - names if grouping == "without" else names

    def function(self, word):
        before = len(self.matchers)
        arguments = self.arguments()
        if word in KEEPING:
            return vector(next((labels for labels in arguments if labels is not None), None), word)
        if word == "histogram_quantile":
            labels = vector(arguments[1], word)
            require(labels, {"le"}, word)
            return labels - {"le"}
        if word == "absent":
            return frozenset(matcher.label for matcher in self.matchers[before:] if matcher.sign == "=")
        if word == "vector":
            return frozenset()
        if word in SCALARS:
            return None
        raise Mistake(f"nothing is known of {word}()")


def joined(sign, left, right, matching, names, many, included):
    """The labels of the result of an operator."""
    if left is None or right is None:
        return right if left is None else left
    for side in (left, right):
        if matching == "on":
            require(side, names, sign)
    require(right, included, "group_left")
    if sign == "or":
        return left | right
    ignored = names if matching == "ignoring" else frozenset()
    if matching != "on" and left - ignored != right - ignored:
        raise Mistake(f"no series of the two sides of {sign} have the same labels: {set(left)} and {set(right)}")
    if sign in SETS:
        return left
    if many:
        return left | included
    return names if matching == "on" else left - ignored


def vector(labels, word):
    if labels is None:
        raise Mistake(f"{word} is of a number")
    return labels


def require(labels, names, what):
    """Raises Mistake unless all of the names are among the labels."""
    if missing := set(names) - set(labels):
        raise Mistake(f"{what}: there is no label {', '.join(sorted(missing))}, only {', '.join(sorted(labels))}")
