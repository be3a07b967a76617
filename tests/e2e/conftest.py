"""End-to-end tests: real redis-server processes, watched by vedette.

    /usr/bin/python3 -m pytest tests/e2e [-n 4] [--implementation redis]

VEDETTE_BIN names the program (build/release/vedette if not set). --implementation redis runs the
same tests against redis-sentinel: what passes there is a correct test of what operators know;
tests marked vedette_only ask for what redis-sentinel does not do.
"""

import os
import shutil
import signal
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib.sentinel import VEDETTE  # noqa: E402
from lib.world import World  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--implementation", choices=("vedette", "redis"), default="vedette",
                     help="which sentinel the tests are about")


def pytest_configure(config):
    config.addinivalue_line("markers", "vedette_only: redis-sentinel cannot pass this")
    # Fixtures must end their processes on SIGTERM as on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    missing = [tool for tool in ("redis-server", "redis-sentinel", "redis-cli")
               if shutil.which(tool) is None]
    if missing:
        raise pytest.UsageError("missing: %s (bench/install-deps installs them)"
                                % " ".join(missing))
    if config.getoption("--implementation") == "vedette" and not os.access(VEDETTE, os.X_OK):
        raise pytest.UsageError("%s is not built (or set VEDETTE_BIN)" % VEDETTE)


def pytest_collection_modifyitems(config, items):
    if config.getoption("--implementation") == "redis":
        skip = pytest.mark.skip(reason="redis-sentinel cannot pass this")
        for item in items:
            if item.get_closest_marker("vedette_only"):
                item.add_marker(skip)


@pytest.fixture
def kind(request):
    """The sentinel under test."""
    return request.config.getoption("--implementation")


@pytest.fixture
def world(request, tmp_path, kind):
    """A folder and everything started in it; how its processes ended counts too."""
    world = World(str(tmp_path), kind)
    request.node.world = world
    try:
        yield world
    finally:
        complaints = world.close()
    assert not complaints, "; ".join(complaints)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    world = getattr(item, "world", None)
    if report.failed and world is not None:
        for title, text in world.report():
            report.sections.append((title, text))
