# SPDX-License-Identifier: Apache-2.0
"""The text format 0.0.4 of Prometheus, read strictly: what the format allows and no page of ours needs is a fault too.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""
import collections
import re

LINE = re.compile(r'(?P<name>[a-z_][a-z0-9_]*)(?:\{(?P<labels>.*)\})? (?P<value>-?[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?|\+Inf|NaN)')
LABEL = re.compile(r'([a-z_][a-z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)')
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}

Sample = collections.namedtuple("Sample", "name labels value text")


class Family:
    """One metric: its help, its type, and its samples in the order of the page."""

    def __init__(self, name, text):
        self.name, self.help, self.type, self.samples = name, text, None, []

    def takes(self, name):
        """May a sample of this name stand here?"""
        if self.type == "histogram":
            return name in (self.name + "_bucket", self.name + "_sum", self.name + "_count")
        return name == self.name


def parse_labels(text):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, f"labels {text!r} at {at}"
        assert match[1] not in labels, f"label {match[1]} twice in {text!r}"
        labels[match[1]] = re.sub(r"\\.", lambda escape: ESCAPES[escape[0]], match[2])
        at = match.end()
    assert labels and not text.endswith(","), text
    return labels


def parse(page):
    """{name: Family}; fails with the line at fault."""
    assert page.endswith(b"\n") and b"\r" not in page, "the last line has no end, or one has another"
    families, family, seen = {}, None, set()
    for line in page.decode("utf-8").removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            name, text = line.removeprefix("# HELP ").split(" ", 1)
            assert name not in families, f"{name} stands in two places"
            assert family is None or family.samples, f"{family.name} has no sample"
            family = families[name] = Family(name, text)
        elif line.startswith("# TYPE "):
            name, kind = line.removeprefix("# TYPE ").split(" ")
            assert family is not None and name == family.name and family.type is None and not family.samples, line
            assert kind in ("counter", "gauge", "histogram"), line
            family.type = kind
        else:
            match = LINE.fullmatch(line)
            assert match, f"neither comment nor sample: {line!r}"
            assert family is not None and family.type and family.takes(match["name"]), f"not below its own HELP and TYPE: {line}"
            labels = {} if match["labels"] is None else parse_labels(match["labels"])
            key = (match["name"], *sorted(labels.items()))
            assert key not in seen, f"twice: {line}"
            seen.add(key)
            family.samples.append(Sample(match["name"], labels, float(match["value"].replace("Inf", "inf")), line))
    assert family is not None and family.samples, "the last family has no sample"
    return families


def check_histogram(family):
    """Bounds ascend to +Inf, counts do not fall, and _count is what the last bucket says."""
    rows = collections.defaultdict(list)
    for sample in family.samples:
        rows[tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))].append(sample)
    for samples in rows.values():
        buckets = [s for s in samples if s.name.endswith("_bucket")]
        bounds, counts = [float(s.labels["le"].replace("Inf", "inf")) for s in buckets], [s.value for s in buckets]
        rest = [s.name.removeprefix(family.name) for s in samples[len(buckets):]]
        assert rest == ["_sum", "_count"] and bounds == sorted(set(bounds)) and bounds[-1] == float("inf"), family.name
        assert counts == sorted(counts) and counts[-1] == samples[-1].value, f"{family.name}: {counts}"


UNITS = ("seconds", "bytes")
OLD = ("sluice_body_bytes_spliced_total",)  # named before there was this rule; its dashboards are out there
# What a name must not say: no base unit, or a word that the type says already.
STRANGE = ("ms", "us", "ns", "milliseconds", "microseconds", "minutes", "hours", "days", "kb", "kib", "mb", "mib", "percent", "count", "sum", "bucket",
           "counter", "gauge", "histogram", "metric")


def lint(families, prefix):
    """A sentence for each metric whose name or help is not as https://prometheus.io/docs/practices/naming/ has it."""
    faults = []

    def fault(family, sentence):
        faults.append(f"{family.name}: {sentence}")

    for family in families.values():
        words = family.name.removeprefix(prefix).split("_")
        if not family.name.startswith(prefix) or not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", family.name):
            fault(family, "the name has not our prefix, or odd characters")
        if (family.type == "counter") != (words[-1] == "total"):
            fault(family, "counters end in _total, and nothing else does")
        if any(word in STRANGE for word in words):
            fault(family, "a unit that is no base unit, or a word that the type says")
        ends = words[:-1] if words[-1] == "total" else words
        if any(word in UNITS for word in ends[:-1]) and family.name not in OLD:
            fault(family, "the unit is the last word, before _total")
        if family.type == "histogram":
            if words[-1] not in UNITS:
                fault(family, "a histogram has a unit")
            check_histogram(family)
        if not re.fullmatch(r"[A-Z0-9].*\.", family.help) or "\\" in family.help:
            fault(family, "the help is no sentence")
        names = [tuple(k for k in s.labels if k != "le") for s in family.samples]
        if len(set(names)) != 1:
            fault(family, "not all samples have the same labels")
        if any(label in ("instance", "job", "__name__", "quantile") or len(label) < 3 for label in names[0]):
            fault(family, "a label that Prometheus gives itself, or that says nothing")
    return faults
