# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests; the work is in testbed.py, and README.md says how they fit together."""
import pytest

from testbed import AGENT, COLLECTOR, VONGGAC, Testbed


def pytest_configure(config):
    config.addinivalue_line("markers", "browser: needs Chromium and the built console")
    missing = [str(p) for p in (COLLECTOR, VONGGAC, AGENT) if not p.exists()]
    if missing:
        pytest.exit(f"not built: {', '.join(missing)} (VONGGAC_BUILD names the build folder)", returncode=4)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the last lines of every program's log."""
    report = (yield).get_result()
    if report.failed:
        for bed in item.stash.get(BEDS, []):
            report.sections.append((f"programs in {bed.dir}", bed.logs()))


BEDS = pytest.StashKey()


@pytest.fixture
def make_bed(request, tmp_path):
    """make_bed(rules=..., options=...): a Testbed in a folder of its own; its programs end with the test."""
    beds = request.node.stash.setdefault(BEDS, [])

    def make(name=None, **arguments):
        folder = tmp_path / (name or f"bed{len(beds)}")
        folder.mkdir()
        bed = Testbed(folder, **arguments)
        beds.append(bed)
        return bed

    yield make
    for bed in beds:
        bed.end()


@pytest.fixture
def bed(make_bed):
    """A running collector with the level-3 rules."""
    return make_bed().start()
