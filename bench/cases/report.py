"""Samples, their median and spread, the tables and the JSON of bench/compare. No measuring here."""

import json
import math
import os
import statistics
import subprocess
import time

import lab

NEVER = math.inf  # a figure that did not come within the patience


class Sample:
    """What one round found of one program under one heading.

    figures: name → number, or None where it did not come in time. series: name → list of numbers,
    for curves. error: why the round ended early, else None.
    """

    def __init__(self, section, program, figures=None, series=None, complaints=(), error=None):
        self.section, self.program = section, program
        self.figures, self.series = dict(figures or {}), dict(series or {})
        self.complaints, self.error = list(complaints), error
        self.text = None  # what a program of its own said
        self.case = None
        self.repetition = 0

    def plain(self):
        return {"case": self.case, "section": self.section, "program": self.program,
                "repetition": self.repetition, "figures": self.figures, "series": self.series,
                "text": self.text, "complaints": self.complaints, "error": self.error}


class Summary:
    """Median and spread of the figures of several rounds; None counts as never."""

    def __init__(self, values):
        self.values = sorted(NEVER if value is None else value for value in values)

    def __bool__(self):
        return bool(self.values)

    @property
    def median(self):
        """NEVER where most rounds had no figure; nan without any round."""
        if not self.values:
            return math.nan
        low = self.values[(len(self.values) - 1) // 2]
        high = self.values[len(self.values) // 2]
        return NEVER if NEVER in (low, high) else (low + high) / 2

    @property
    def least(self):
        return self.values[0] if self.values else math.nan

    @property
    def most(self):
        return self.values[-1] if self.values else math.nan

    def text(self, form):
        if not self.values:
            return "-"
        middle = "never" if self.median == NEVER else form(self.median)
        if len(self.values) == 1 or self.least == self.most:
            return middle
        return "%s [%s .. %s]" % (middle, form(self.least),
                                  "never" if self.most == NEVER else form(self.most))


def percentile(values, share):
    """The smallest value that at least that share of them does not exceed; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values):
    return statistics.median(values) if values else None


# --- how figures are written ---------------------------------------------------------------------


def seconds(value):
    return "%.2f s" % value


def milliseconds(value):
    return "%.1f ms" % value if value < 100 else "%.0f ms" % value


def percent(value):
    return "%.2f %%" % value if value < 10 else "%.1f %%" % value


def megabytes(value):
    return "%.1f MB" % value


def kibibytes(value):
    return "%.2f KiB" % value


def count(value):
    return format(round(value), ",")


def number(value):
    return "%.3g" % value


# --- tables --------------------------------------------------------------------------------------


class Figure:
    """One row of a table. The target is for the first program: at_most and at_least for its own
    figure, ratio_at_most and ratio_at_least for its figure divided by the second program's."""

    def __init__(self, title, key, form, ratio=True, at_most=None, at_least=None,
                 ratio_at_most=None, ratio_at_least=None):
        self.title, self.key, self.form, self.ratio = title, key, form, ratio
        self.at_most, self.at_least = at_most, at_least
        self.ratio_at_most, self.ratio_at_least = ratio_at_most, ratio_at_least

    def target(self):
        for value, sign, form in ((self.at_most, "<=", self.form), (self.at_least, ">=", self.form),
                                  (self.ratio_at_most, "<=", lambda x: "%.2f x" % x),
                                  (self.ratio_at_least, ">=", lambda x: "%.2f x" % x)):
            if value is not None:
                return "%s %s" % (sign, form(value))
        return ""

    def verdict(self, own, ratio):
        """"reached", "MISSED", "unknown" (nothing to compare with) or "" without a target."""
        verdicts = []
        for limit, value, upper in ((self.at_most, own, True), (self.at_least, own, False),
                                    (self.ratio_at_most, ratio, True),
                                    (self.ratio_at_least, ratio, False)):
            if limit is None:
                continue
            if value is None or math.isnan(value):
                verdicts.append("unknown")
            else:
                verdicts.append("reached" if (value <= limit if upper else value >= limit)
                                else "MISSED")
        for word in ("MISSED", "unknown", "reached"):
            if word in verdicts:
                return word
        return ""


class Section:
    """A table: its heading (the samples' section), its rows, remarks below it."""

    def __init__(self, heading, figures, remarks=()):
        self.heading, self.figures, self.remarks = heading, figures, list(remarks)
        self.missed = 0  # targets that only the remarks speak of


def summary(samples, section, program, key):
    return Summary([one.figures[key] for one in samples
                    if one.section == section and one.program == program and key in one.figures])


def ratio_of(summaries):
    """The first median over the second's; None where that says nothing."""
    if len(summaries) != 2 or not all(summaries):
        return None
    first, second = (one.median for one in summaries)
    if second == NEVER:
        return None if first == NEVER else 0.0
    return first / second if second > 0 else None


def table_rows(section, samples, programs):
    """The table as rows of texts: a heading, then one row a figure that any program has."""
    programs = [label for label in programs
                if any(one.section == section.heading and one.program == label for one in samples)]
    two = len(programs) == 2
    rows = [[section.heading] + programs + (["ratio"] if two else []) + ["target", ""]]
    for figure in section.figures:
        found = [summary(samples, section.heading, label, figure.key) for label in programs]
        if not any(found):
            continue
        cells = [figure.title] + [one.text(figure.form) for one in found]
        ratio = ratio_of(found)
        if two:
            shown = (figure.ratio and ratio is not None and math.isfinite(ratio) and
                     found[1].median != NEVER)
            cells.append("%.2f" % ratio if shown else "")
        own = found[0].median if found and found[0] else None
        cells += [figure.target(), figure.verdict(own, ratio)]
        rows.append(cells)
    return rows


def tables(sections, samples, programs):
    """All tables of a case as lines, and how many targets were missed."""
    lines, missed = [], 0
    for section in sections:
        rows = table_rows(section, samples, programs)
        if len(rows) > 1:
            lines += lab.table(rows) + ["  " + remark for remark in section.remarks] + [""]
            missed += section.missed + sum(1 for cells in rows[1:] if cells[-1] == "MISSED")
    for sample in samples:
        if sample.error:
            lines.append("FAILED: %s, %s: %s" % (sample.section, sample.program, sample.error))
    return lines, missed


# --- what goes to the disk -----------------------------------------------------------------------


def version(path):
    try:
        return subprocess.run([path, "--version"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=10).stdout.decode().strip()
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return os.uname().machine


def machine():
    """Where this is measured, and how busy that is with other things."""
    return {"cores": os.cpu_count(), "processor": processor(), "kernel": os.uname().release,
            "load_before": list(os.getloadavg())}


class Results:
    """The folder of one run: results.json, written anew after each round, tables and plots."""

    def __init__(self, folder, name, programs, settings):
        self.folder = os.path.join(folder, time.strftime("%Y%m%d-%H%M%S-") + name)
        os.makedirs(self.folder, exist_ok=True)
        self.head = {
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine(),
            "programs": {one["label"]: version(one["path"]) for one in programs},
            "settings": settings}
        self.samples, self.rounds = [], set()

    def add(self, number, samples):
        """The samples of a round that has ended."""
        self.rounds.add(number)
        self.samples += samples
        self.save()

    def save(self):
        path = os.path.join(self.folder, "results.json")
        with open(path + ".new", "w") as file:
            json.dump(dict(self.head, samples=[one.plain() for one in self.samples]), file,
                      indent=1)
            file.write("\n")
        os.replace(path + ".new", path)

    def write(self, name, lines):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write("\n".join(lines) + "\n")
