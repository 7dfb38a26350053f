# SPDX-License-Identifier: Apache-2.0
"""What must not stop the watch: an endless line, binary rubbish, a broken rule file, a full disk, idle strangers. Each
gives a clear error or a counted truncation, and the next ordinary line still becomes an alert."""
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from testbed import PATIENCE_S, SOURCE, wait_until

RULES = SOURCE / "tests/e2e/data/rules.yml"
LONG_LINE = int(os.environ.get("VONGGAC_LONG_LINE", 64 << 20))
LINE_MAX = 64 << 10  # BATCH_LINE_MAX


def root_login(n=0):
    at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    return f"{at} web-1 sshd[{n}]: Accepted password for root from 198.51.100.7 port 4022 ssh2\n".encode()


def follow(bed):
    agent = bed.agent()
    agent.enroll()
    agent.start()
    wait_until("the agent is connected", lambda: bed.metric("agents_connected") == 1)
    return agent


def wait_alerts(bed, n):
    wait_until(f"{n} alerts", lambda: bed.query("SELECT count(*) FROM alerts WHERE rule_title = 'Direct root login'")
               == [(n,)], timeout_s=2 * PATIENCE_S)


def rss_bytes(program):
    with open(f"/proc/{program.process.pid}/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM"))


def test_an_endless_line_is_cut_and_counted(make_bed):
    bed = make_bed(rules=[RULES]).start()
    agent = follow(bed)
    with open(bed.dir / "logs" / "auth.log", "wb") as f:
        f.write(root_login(1))
        left = LONG_LINE
        while left > 0:
            f.write(b"A" * min(left, 1 << 20))
            left -= 1 << 20
        f.write(b"\n" + root_login(2))
    wait_alerts(bed, 2)
    stored = bed.export_raw()
    assert max(map(len, stored.splitlines())) <= LINE_MAX
    assert len(stored) < LONG_LINE
    if "ASAN_OPTIONS" not in os.environ:
        assert rss_bytes(agent) < 128 << 20, "the agent kept the line in memory"
    def counted():
        stats = json.loads(bed.query("SELECT stats_json FROM agents")[0][0])
        return any(("cut" in name or "trunc" in name or "long" in name) and value > 0 for name, value in stats.items())
    wait_until("the cut is counted where the collector sees it", counted)


def test_binary_rubbish_is_kept_as_it_is(make_bed):
    bed = make_bed(rules=[RULES]).start()
    follow(bed)
    chance = random.Random(1)
    rubbish = b"".join(chance.randbytes(chance.randrange(2000)) + b"\n" for _ in range(3000))
    rubbish += b"\0" * 5000 + b"\n" + b"\xff\xfe" * 500 + b"\n" + b"\x1b[2J\r\r\n" + b"{" * 3000 + b"\n"
    log = bed.dir / "logs" / "auth.log"
    log.write_bytes(rubbish + root_login())
    wait_alerts(bed, 1)
    assert bed.export_raw() == log.read_bytes()
    assert b'"' in bed.vonggac("archive", "export", text=False).stdout  # and it can be decoded again
    assert bed.metric("dropped_bad_batches_total") == 0


def test_a_broken_rule_file_keeps_the_old_rules(make_bed, tmp_path):
    rules = tmp_path / "rules"
    rules.mkdir()
    shutil.copy(RULES, rules / "rules.yml")
    bed = make_bed(rules=[rules]).start()
    follow(bed)
    log = bed.dir / "logs" / "auth.log"
    log.write_bytes(root_login())
    wait_alerts(bed, 1)

    broken = rules / "new.yml"
    for text in ("title: x\nlogsource: {product: linux\n", "title: x\nid: y\ndetection: {condition: nothing}\n",
                 "\x00\x01\x02", "a: &a [*a]\n", "- " * 5000, "title: [" * 2000):
        broken.write_text(text)
        before = bed.metric("reloads_failed_total")
        bed.collector.signal(signal.SIGHUP)
        wait_until("the reload is refused", lambda: bed.metric("reloads_failed_total") > before)
        assert f"{broken}:" in bed.collector.text(), "the error does not name the file"
    with open(log, "ab") as f:
        f.write(root_login())
    wait_alerts(bed, 2)
    assert bed.metric("rule_errors") > 0

    broken.write_text("title: Any connection\nid: 11111111-0000-4000-8000-000000000001\nlogsource: {product: linux}\n"
                      "detection: {selection: {source.ip: 198.51.100.7}, condition: selection}\nlevel: low\n")
    before = bed.metric("reloads_total")
    bed.collector.signal(signal.SIGHUP)
    wait_until("the mended rules are in force", lambda: bed.metric("reloads_total") > before)
    with open(log, "ab") as f:
        f.write(root_login())
    wait_alerts(bed, 3)
    wait_until("the new rule fires", lambda: bed.query("SELECT 1 FROM alerts WHERE rule_title = 'Any connection'"))
    assert bed.metric("rule_errors") == 0


def test_a_start_with_a_broken_rule_goes_on_without_it(make_bed, tmp_path):
    rules = tmp_path / "rules"
    rules.mkdir()
    shutil.copy(RULES, rules / "rules.yml")
    (rules / "broken.yml").write_text("title: [")
    bed = make_bed(rules=[rules]).start()
    follow(bed)
    (bed.dir / "logs" / "auth.log").write_bytes(root_login())
    wait_alerts(bed, 1)
    assert "broken.yml:" in bed.collector.text()


@pytest.mark.parametrize("text, complaint", [
    ("state_dir: relative\n", "state_dir"), ("listen: {prot: 1}\n", "prot"), ("listen: {port: 70000}\n", "port"),
    ("a: [\n", "collector.yml:"), ("taxii: {url: 'http://x/'}\n", "https"), ("log: {level: loud}\n", "level")])
def test_a_broken_configuration_says_where(make_bed, text, complaint):
    bed = make_bed(rules=[RULES])
    bed.config.write_text(text)
    assert bed.collector.start().wait() == 1
    assert complaint in bed.collector.text()


def test_idle_strangers_do_not_shut_out_agents(make_bed):
    bed = make_bed(rules=[RULES]).start()
    follow(bed)
    idle = []
    for _ in range(400):
        s = socket.create_connection(("127.0.0.1", bed.port), PATIENCE_S)
        idle.append(s)
    log = bed.dir / "logs" / "auth.log"
    log.write_bytes(root_login())
    wait_alerts(bed, 1)
    assert bed.metric("accept_refused_total") > 0
    second = bed.agent("second")
    token = bed.token()
    wait_until("another agent enrols", lambda: second.enroll(token, check=False).returncode == 0, every_s=1)
    for s in idle:
        s.close()


def test_a_failed_write_ends_the_program_and_loses_nothing(make_bed):
    """Nothing is acknowledged behind a write that failed, and whoever looks after the program starts it again."""
    bed = make_bed(rules=[RULES])
    sound = bed.collector.argv
    bed.collector.argv = ["sh", "-c", 'trap "" XFSZ; ulimit -f 4096; exec "$@"', "sh", *sound]  # no file over 2 MiB
    bed.start()
    agent = follow(bed)
    chance = random.Random(3)
    log = bed.dir / "logs" / "auth.log"
    with open(log, "wb") as f:
        f.write(root_login(1))
        f.writelines(chance.randbytes(300).hex().encode() + b"\n" for _ in range(20000))
        f.write(root_login(2))
    assert bed.collector.wait() == 1
    assert "cannot write the archive" in bed.collector.text()
    bed.collector.argv = sound
    bed.start()
    wait_alerts(bed, 2)
    assert bed.export_raw() == log.read_bytes()
    bed.vonggac("archive", "verify")
    agent.stop()
    bed.collector.stop()


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "vonggac-test", folder],
                             capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("needs the right to mount a small tmpfs (root)")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_makes_agents_wait(make_bed, small_disk):
    bed = make_bed(rules=[RULES])
    bed.config.write_text(bed.config.read_text().replace(f"state_dir: {bed.state}", f"state_dir: {small_disk}")
                          .replace("reserve: 64MiB", "reserve: 8MiB"))
    shutil.copytree(bed.state / "pki", small_disk / "pki")
    bed.state = small_disk
    bed.start()
    agent = follow(bed)
    log = bed.dir / "logs" / "auth.log"
    log.write_bytes(root_login())
    wait_alerts(bed, 1)

    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    ballast = small_disk / "ballast"
    with open(ballast, "wb") as f:
        os.posix_fallocate(f.fileno(), 0, free - (1 << 20))
    wait_until("the disk is seen to be low", lambda: bed.metric("disk_full") == 1)
    with open(log, "ab") as f:
        f.write(root_login())
    time.sleep(2)
    assert bed.export_raw().count(b"Accepted password") == 1
    assert agent.is_running() and bed.collector.is_running()
    assert "disk nearly full" in bed.collector.text()

    ballast.unlink()
    wait_alerts(bed, 2)
    wait_until("both are events", lambda: {b"disk_low", b"disk_ok"} <= set(re.findall(rb"disk_\w+", bed.export_raw())))
    agent.stop()
    bed.collector.stop()
