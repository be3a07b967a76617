"""Plots as SVG and PNG, by gnuplot where it is installed; the script and data stay beside them."""

import math
import os
import re
import shutil
import subprocess

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666")


class Bars:
    """Groups of bars. series: [(label, {category: (median, least, most)})]."""

    def __init__(self, name, title, axis, categories, series, logarithmic=False):
        self.name, self.title, self.axis = name, title, axis
        self.categories, self.series, self.logarithmic = list(categories), series, logarithmic


class Curves:
    """Lines. series: [(label, [(x, y)])]; steps for cumulative shares; from_zero for the y axis."""

    def __init__(self, name, title, x_axis, y_axis, series, steps=False, from_zero=True):
        self.name, self.title, self.x_axis, self.y_axis = name, title, x_axis, y_axis
        self.series, self.steps, self.from_zero = series, steps, from_zero


def bar_of(summary):
    """(median, least, most) of a report.Summary for a bar; None where there is nothing finite."""
    values = [value for value in summary.values if math.isfinite(value)]
    if not values or not math.isfinite(summary.median):
        return None
    return summary.median, values[0], values[-1]


def cumulative(values):
    """Points (value, percent of all that are not above it) of a step curve from 0; None counts as
    one that never comes."""
    ordered = sorted(value for value in values if value is not None)
    return [] if not ordered else [(0, 0)] + [(value, 100 * (k + 1) / len(values)) for k, value in enumerate(ordered)]


def quoted(text):
    return '"%s"' % re.sub(r'["\\\n`]', " ", text)


def bars_text(plot):
    """(data, script) of a Bars."""
    lines = []
    for category in plot.categories:
        cells = [quoted(category)]
        for _, bars in plot.series:
            bar = bars.get(category)
            cells += ["%g" % value for value in bar] if bar else ["NaN"] * 3
        lines.append(" ".join(cells))
    script = ["set style data histograms", "set style histogram errorbars gap 1.5 lw 1",
              "set style fill solid 0.85 noborder", "set ylabel " + quoted(plot.axis),
              "set xtics nomirror", "set grid ytics lt 1 lw 0.5 lc rgb '#dddddd'",
              "set format y '%.7g'", "set errorbars small front lw 1.5 lc rgb 'black'"]
    script.append("set logscale y" if plot.logarithmic else "set yrange [0:*]")
    script.append("set key outside below")
    script.append("plot " + ", ".join(
        "data using %d:%d:%d:xtic(1) title %s lc rgb '%s'" % (
            3 * k + 2, 3 * k + 3, 3 * k + 4, quoted(label), COLOURS[k % len(COLOURS)])
        for k, (label, _) in enumerate(plot.series)))
    return "\n".join(lines) + "\n", script


def curves_text(plot):
    """(data, script) of a Curves."""
    blocks = []
    for _, points in plot.series:
        blocks.append("\n".join("%g %g" % point for point in points))
    script = ["set xlabel " + quoted(plot.x_axis), "set ylabel " + quoted(plot.y_axis),
              "set xrange [0:*]", "set grid lt 1 lw 0.5 lc rgb '#dddddd'", "set key outside below"]
    if plot.steps:
        script.append("set yrange [0:103]")
    elif plot.from_zero:
        script.append("set yrange [0:*]")
    style = "with steps lw 2" if plot.steps else "with linespoints lw 2 pt 7 ps 0.6"
    script.append("plot " + ", ".join(
        "data index %d using 1:2 %s lc rgb '%s' title %s" % (
            k, style, COLOURS[k % len(COLOURS)], quoted(label))
        for k, (label, _) in enumerate(plot.series)))
    return "\n\n\n".join(blocks) + "\n", script


def drawable(plot):
    if isinstance(plot, Bars):
        plot.series = [(label, bars) for label, bars in plot.series if any(bars.values())]
    else:
        plot.series = [(label, points) for label, points in plot.series if points]
    return bool(plot.series)


def draw(plot, folder):
    """Draws one; returns None, or what went wrong."""
    if not drawable(plot):
        return None
    data, script = bars_text(plot) if isinstance(plot, Bars) else curves_text(plot)
    head = ["data = %s" % quoted(plot.name + ".dat"), "set title %s noenhanced" % quoted(plot.title),
            "set key noenhanced", "set border 3", "set tics nomirror"]
    ends = [("svg", "set terminal svg size 760,420 font 'sans,12' background '#ffffff'"),
            ("png", "set terminal pngcairo size 1140,630 font 'sans,14' background '#ffffff'")]
    lines = head + script[:-1]
    for ending, terminal in ends:
        lines += [terminal, "set output %s" % quoted("%s.%s" % (plot.name, ending)), script[-1],
                  "unset output"]
    for ending, text in (("dat", data), ("gp", "\n".join(lines) + "\n")):
        with open(os.path.join(folder, "%s.%s" % (plot.name, ending)), "w") as file:
            file.write(text)
    if not shutil.which("gnuplot"):
        return "no gnuplot here (bench/install-deps compare): only data and scripts"
    try:
        done = subprocess.run(["gnuplot", plot.name + ".gp"], cwd=folder, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "%s: %s" % (plot.name, error)
    if done.returncode != 0:
        return "%s: gnuplot: %s" % (plot.name, done.stdout.decode(errors="replace").strip()[-300:])
    return None


def draw_all(plots, folder):
    """Draws them; returns what went wrong, each once."""
    wrong = []
    for plot in plots:
        word = draw(plot, folder)
        if word and word not in wrong:
            wrong.append(word)
    return wrong
