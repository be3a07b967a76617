"""Tests of bench/compare: the pure parts, each --help, and one tiny run (pytest; VEDETTE_BUILD names
the build folder to test)."""

import json
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import cases  # noqa: E402
from cases import fanout, growth, harness, plots, queries, report, votes  # noqa: E402

BUILD = os.environ.get("VEDETTE_BUILD", os.path.join(HERE, "..", "build", "release"))


def compare(*arguments, patience=30):
    done = subprocess.run([sys.executable, "-B", os.path.join(HERE, "compare.py"), *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=patience,
                          env=dict(os.environ, VEDETTE_BUILD=BUILD))
    return done.returncode, done.stdout.decode()


def test_median_and_spread():
    assert report.Summary([3, 1, 2]).median == 2
    assert report.Summary([1, 2]).median == 1.5
    assert report.Summary([1, None, 2]).text(report.number) == "2 [1 .. never]"
    assert report.Summary([None, None, 2]).text(report.number) == "never [2 .. never]"
    assert report.Summary([2, 2]).text(report.number) == "2"
    assert report.Summary([]).text(report.number) == "-"


def test_percentile():
    values = list(range(1, 101))
    assert report.percentile(values, 0.99) == 99
    assert report.percentile(values, 0.5) == 50
    assert report.percentile([7], 0.99) == 7
    assert report.percentile([], 0.5) is None


def row(first, second, **target):
    samples = [report.Sample("s", "a", {"k": value}) for value in first]
    samples += [report.Sample("s", "b", {"k": value}) for value in second]
    section = report.Section("s", [report.Figure("title", "k", report.number, **target)])
    return report.table_rows(section, samples, ["a", "b"])[1]


@pytest.mark.parametrize("first, second, target, ratio, verdict", [
    ([1.0], [4.0], {"ratio_at_most": 0.3}, "0.25", "reached"),
    ([2.0], [4.0], {"ratio_at_most": 0.3}, "0.50", "MISSED"),
    ([6.0], [4.0], {"ratio_at_least": 1.3}, "1.50", "reached"),
    ([1.0], [None], {"ratio_at_most": 0.3}, "", "reached"),
    ([None], [1.0], {"ratio_at_most": 0.3}, "", "MISSED"),
    ([None], [None], {"ratio_at_most": 0.3}, "", "unknown"),
    ([5.0], [1.0], {"at_most": 5.0}, "5.00", "reached"),
    ([5.1], [9.0], {"at_most": 5.0}, "0.57", "MISSED"),
    ([None], [9.0], {"at_most": 5.0}, "", "MISSED"),
    ([1.0], [2.0], {}, "0.50", "")])
def test_verdicts_of_targets(first, second, target, ratio, verdict):
    cells = row(first, second, **target)
    assert (cells[3], cells[-1]) == (ratio, verdict)


def test_a_missed_target_is_counted_and_failed_rounds_are_named():
    samples = [report.Sample("s", "a", {"k": 2.0}), report.Sample("s", "b", error="broke")]
    section = report.Section("s", [report.Figure("title", "k", report.number, at_most=1.0)])
    lines, missed = report.tables([section], samples, ["a", "b"])
    assert missed == 1 and lines[-1] == "FAILED: s, b: broke"


def test_growth_is_flat_or_not():
    assert growth.spread([(500, 10.0), (1000, 11.0)]) == pytest.approx(0.1)
    assert growth.spread([]) is None


def test_data_of_plots():
    assert plots.cumulative([2.0, None, 1.0, 3.0]) == [(0, 0), (1.0, 25), (2.0, 50), (3.0, 75)]
    bars = plots.Bars("b", "t", "y", ["one", "two"], [("a", {"one": (2, 1, 3), "two": None})])
    data, script = plots.bars_text(bars)
    assert data == '"one" 2 1 3\n"two" NaN NaN NaN\n'
    assert "using 2:3:4" in script[-1]
    assert plots.bar_of(report.Summary([None, None])) is None
    assert plots.bar_of(report.Summary([1, 2, None])) == (2, 1, 2)
    curves = plots.Curves("c", "t", "x", "y", [("a", [(1, 2)]), ("b", [(3, 4)])])
    data, script = plots.curves_text(curves)
    assert data == "1 2\n\n\n3 4\n" and "index 1" in script[-1]


def test_delays_of_a_fan_out(tmp_path):
    log = tmp_path / "log"
    log.write_text("7:X 26 Nov 2026 00:00:01.250 # +switch-master a 127.0.0.1 1 127.0.0.1 2\n"
                   "7:X 26 Nov 2026 00:00:01.500 # +sdown master b 127.0.0.1 1\n")
    logged = fanout.switch_times(str(log))
    assert list(logged) == ["a"] and logged["a"] % 1000000 == 250000
    at = logged["a"]
    heard = [{"events": {"a": [2, at + 500, at + 3000]}}, {"events": {"a": [2, at, at + 9000]}}]
    assert fanout.delays(heard, logged) == {"a": 9.0}


def test_answers_to_votes_are_counted_whole():
    asker = votes.Asker.__new__(votes.Asker)
    asker.rest, asker.granted, asker.answered, asker.under_way = b"", 0, 0, 3
    answer = ("*3\r\n:0\r\n$40\r\n%s\r\n:7\r\n" % votes.CANDIDATE).encode()
    other = answer.replace(b"c" * 40, b"d" * 40)
    data = answer + other + answer

    class Socket:
        def __init__(self, pieces):
            self.recv = lambda _: pieces.pop(0)

    for step in (1, 7, len(answer), len(data)):
        asker.granted = asker.answered = 0
        asker.under_way = 3
        pieces = [data[k:k + step] for k in range(0, len(data), step)]
        asker.socket = Socket(pieces)
        while pieces:
            asker.receive()
        assert (asker.answered, asker.granted, asker.under_way, asker.rest) == (3, 2, 0, b"")


def test_loads_are_whole_pipelines():
    assert queries.round_up(1001, 50, 16) == 1008
    assert queries.round_up(10, 50, 16) == 800


def test_time_left_counts_what_is_ahead():
    progress = harness.Progress()
    progress.plan("one", 10)
    progress.plan("two", 20)
    assert 29 < progress.left() <= 30
    progress.enter("two")
    progress.enter("not planned")
    assert 19 < progress.left() <= 20


@pytest.mark.parametrize("what", (None, "all") + cases.ORDER)
def test_help(what):
    code, text = compare(*([what] if what else []), "--help")
    assert code == 0 and "usage: bench/compare" in text


def test_plan_and_bad_options(tmp_path):
    code, text = compare("all", "--quick", "--plan", "--out", str(tmp_path))
    assert code == 0 and "rounds, about" in text and not os.listdir(str(tmp_path))
    for arguments in (["nothing"], ["all", "--only", "nothing"], ["steady", "--masters", "0"],
                      ["steady", "--rounds", "0"], ["failure", "--scenarios", "nothing"],
                      ["steady", "--pin", "x"], ["steady", "--pin", "0/5000"]):
        assert compare(*arguments)[0] == 2, arguments


def test_smoke(tmp_path):
    code, text = compare("steady", "--masters", "20", "--steady", "2", "--quick", "--out",
                         str(tmp_path), patience=150)
    assert code == 0, text
    folder, = os.listdir(str(tmp_path))
    folder = os.path.join(str(tmp_path), folder)
    with open(os.path.join(folder, "results.json")) as file:
        samples = json.load(file)["samples"]
    assert sorted(one["program"] for one in samples) == ["redis-sentinel", "vedette"]
    for one in samples:
        assert one["error"] is None and one["complaints"] == []
        assert one["figures"]["known"] > 0 and 1 < one["figures"]["base"] < 2 * one["figures"]["rss"]
    with open(os.path.join(folder, "tables.txt")) as file:
        assert "CPU of one sentinel" in file.read()
    assert os.path.exists(os.path.join(folder, "steady-cpu.gp"))
