# SPDX-License-Identifier: Apache-2.0
"""A real systemd journal, written by systemd's own tool and read by cursor: entries become evidence and alerts, once each, over a
restart of the agent."""
import json
import shutil
import subprocess
import time

import pytest

from testbed import wait_until

REMOTE = shutil.which("systemd-journal-remote", path="/lib/systemd:/usr/lib/systemd:/usr/bin")
pytestmark = pytest.mark.skipif(not REMOTE, reason="no systemd-journal-remote: no journal can be made here")


class Journal:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.entries = 0

    def write(self, messages, identifier="sshd"):
        """One file of the journal more, as after a rotation."""
        entries = []
        for message in messages:
            self.entries += 1
            now = time.time_ns() // 1000
            entries.append(f"__REALTIME_TIMESTAMP={now}\n__MONOTONIC_TIMESTAMP={self.entries * 1000}\n_BOOT_ID={'ab' * 16}\n_HOSTNAME=web07\n"
                           f"_TRANSPORT=syslog\nPRIORITY=6\nSYSLOG_IDENTIFIER={identifier}\n_PID={4000 + self.entries}\nMESSAGE={message}\n\n")
        subprocess.run([REMOTE, f"--output={self.folder}/remote-{self.entries:06d}.journal", "-"], input="".join(entries),
                       text=True, check=True, capture_output=True)


def failures(first, n, address="203.0.113.50"):
    return [f"Failed password for invalid user u{i} from {address} port {40000 + i} ssh2" for i in range(first, first + n)]


def test_journal_entries_become_evidence_and_alerts(make_bed, tmp_path):
    journal = Journal(tmp_path / "journal")
    bed = make_bed()
    bed.start()
    agent = bed.agent()
    agent.config.write_text(agent.config.read_text().replace(
        "journal: {enabled: false}", f"journal: {{enabled: true, directory: {journal.folder}}}"))
    agent.enroll()
    journal.write(failures(0, 12))
    agent.start()
    bed.wait_detected(12)
    agent.stop()
    journal.write(failures(12, 8))  # while the agent is away
    agent.start()
    bed.wait_detected(20)
    agent.kill()
    agent.start()
    journal.write(["Accepted password for root from 203.0.113.50 port 41000 ssh2"])
    bed.wait_detected(21)

    stored = [json.loads(line) for line in bed.export_raw().splitlines()]
    assert [e["MESSAGE"] for e in stored[:-1]] == failures(0, 20)
    assert len(stored) == 21 and all(e["_HOSTNAME"] == "web07" for e in stored)
    titles = {title for title, in wait_until("alerts", lambda: bed.query("SELECT rule_title FROM alerts WHERE host = 'web07'"))}
    assert {"SSH password guessing", "SSH login succeeded after password guessing", "Direct SSH login as root"} <= titles
