# SPDX-License-Identifier: Apache-2.0
"""What an expression of Prometheus asks for: cut into tokens, and every series that it names.

Only what is needed to hold our own rules to our own metrics: operators are not judged, brackets and what stands in them are.
"""
import collections
import re

TOKEN = re.compile(r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<range>\[[0-9]+(?:ms|[smhdwy])(?::[0-9]*[smhdwy]?)?\])|(?P<number>[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?(?:ms|[smhdwy])?)
                       |(?P<variable>\[\$__(?:rate_)?interval\])|(?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*|\$[a-z]+)|(?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^<>=(){},]))""", re.VERBOSE)
FUNCTIONS = ("rate", "increase", "sum", "max", "min", "count", "avg", "histogram_quantile", "time", "absent", "clamp_min", "label_values", "topk", "changes")
LISTS = ("by", "without", "on", "ignoring", "group_left", "group_right")
WORDS = ("and", "or", "unless", "bool", "offset")
GIVEN = ("instance", "job")  # labels that Prometheus puts on every series

Selector = collections.namedtuple("Selector", "name matchers")  # matchers: [(label, operator, value)]


def tokens(text):
    found, at, text = [], 0, text.strip()
    while at < len(text):
        match = TOKEN.match(text, at)
        assert match, f"what is this: {text[at:at + 20]!r} in {text!r}"
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def check_brackets(row, text):
    stack = []
    for kind, token in row:
        if kind == "sign" and token in "({":
            stack.append({"(": ")", "{": "}"}[token])
        elif kind == "sign" and token in ")}":
            assert stack and stack.pop() == token, f"brackets of {text!r}"
    assert not stack, f"brackets of {text!r}"


def read_matchers(row, at):
    """From behind "{"; gives them and where "}" stands."""
    matchers = []
    while row[at] != ("sign", "}"):
        (kind, label), (_, operator), (value_kind, value) = row[at:at + 3]
        assert kind == "word" and operator in ("=", "!=", "=~", "!~") and value_kind == "string", row[at:at + 3]
        matchers.append((label, operator, re.sub(r"\\(.)", r"\1", value[1:-1])))
        at += 3
        if row[at] == ("sign", ","):
            at += 1
    return matchers, at


def read_list(row, at):
    """From behind "("; the words, and where ")" stands."""
    end = row.index(("sign", ")"), at)
    return [token for kind, token in row[at:end] if kind == "word"], end


def parse(text):
    """(selectors, labels that results are grouped or joined by)."""
    row = tokens(text)
    check_brackets(row, text)
    row += [("end", ""), ("end", "")]
    selectors, labels, at = [], [], 0
    while row[at][0] != "end":
        (kind, token), following = row[at], row[at + 1]
        if kind == "word" and token in LISTS:
            if following == ("sign", "("):
                words, at = read_list(row, at + 2)
                labels += words
        elif kind == "word" and (following == ("sign", "(") or following[1] in LISTS[:2]):
            assert token in FUNCTIONS, f"no function of ours: {token} in {text!r}"
        elif kind == "word" and token not in WORDS:
            matchers = []
            if following == ("sign", "{"):
                matchers, at = read_matchers(row, at + 2)
            selectors.append(Selector(token, matchers))
        elif (kind, token) == ("sign", "{"):
            raise AssertionError(f"a selector without a name in {text!r}")
        at += 1
    return selectors, labels


def check(text, families):
    """Faults: metrics that there are not, labels that they do not have, values that no series has (where the program gives them)."""
    selectors, labels = parse(text)
    faults, known = [], set(GIVEN) | {"le"}
    for selector in selectors:
        if selector.name == "up":
            continue
        family = next((f for f in families.values() if f.takes(selector.name)), None)
        if family is None:
            faults.append(f"no metric {selector.name}")
            continue
        rows = [s.labels for s in family.samples if s.name == selector.name]
        known |= set(rows[0])
        if family.type == "counter" and not re.search(rf"(rate|increase)\({selector.name}\b", text):
            faults.append(f"{selector.name} is a counter: only its rate says something")
        for label, operator, value in selector.matchers:
            if label in GIVEN:
                continue
            if label not in rows[0]:
                faults.append(f"{selector.name} has no label {label}")
            elif value.startswith("$"):
                continue
            elif not any(re.fullmatch(value, row[label]) if operator.endswith("~") else row[label] == value for row in rows):
                faults.append(f"no series {selector.name} with {label} {operator} {value}")
            elif operator == "=~" and re.fullmatch(r"[\w|]+", value):
                faults += [f"no series {selector.name} with {label} = {one}" for one in value.split("|") if not any(row[label] == one for row in rows)]
    faults += [f"no label {label}" for label in labels if label not in known]
    return [f"{fault}, in {text!r}" for fault in faults]
