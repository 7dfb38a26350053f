# SPDX-License-Identifier: Apache-2.0
"""`vonggac decode` as people use it, and the decoders over real logs of services under attack where the corpora are at hand."""

import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("VONGGAC_BUILD", ROOT / "build"))
DECODERS = ROOT / "rules/decoders"
CORPORA = os.environ.get("VONGGAC_CORPORA")

SSHD = "Mar 14 08:15:04 gate sshd[813]: Failed password for invalid user admin from 203.0.113.9 port 40022 ssh2"


def decode(text, *args):
    data = text if isinstance(text, bytes) else text.encode()
    return subprocess.run([BUILD / "collector/vonggac", "decode", "--decoders", DECODERS, *args], input=data,
                          capture_output=True, timeout=120)


def events(text, *args):
    r = decode(text, *args)
    assert r.returncode == 0, r.stderr
    return [json.loads(line) for line in r.stdout.splitlines()]


def test_one_event_a_line():
    found = events(f"{SSHD}\n\nsomething else\n{SSHD}")
    assert [e.get("event.action") for e in found] == ["ssh_login", None, "ssh_login"]
    assert found[0]["source.ip"] == "203.0.113.9" and found[0]["event.original"] == SSHD
    assert found[1]["message"] == "something else"


def test_explain_names_decoder_and_pattern():
    out = decode(SSHD + "\nwhat\n", "--explain").stdout.decode().splitlines()
    assert out[0].startswith("# sshd, ") and "sshd.yml:" in out[0] and "%{user.name:user}" in out[0]
    assert out[2] == "# no decoder knows this line"


def test_type_path_and_encoding(tmp_path):
    line = '203.0.113.9 - - [14/Mar/2026:08:15:04 +0700] "GET / HTTP/1.1" 200 5'
    assert events(line)[0]["event.dataset"] == "web.access"
    assert events(line, "--type", "nginx.access")[0]["event.dataset"] == "nginx.access"
    assert events(line, "--path", "/var/log/apache2/access.log")[0]["event.dataset"] == "apache.access"
    entry = json.dumps({"MESSAGE": "(to root) lan on pts/0", "SYSLOG_IDENTIFIER": "su", "_HOSTNAME": "gate"})
    assert events(entry, "--encoding", "journal")[0]["event.action"] == "su"
    log = tmp_path / "log"
    log.write_text(SSHD)
    assert events("", str(log))[0]["event.action"] == "ssh_login"


def test_hostile_input_is_decoded_or_cut():
    found = events(b"\x00\xff\xfe\x1b[31m\n" + b"A" * 300000 + b"\n" + SSHD.encode())
    assert len(found) == 3 and found[2]["event.action"] == "ssh_login"
    assert len(found[1]["event.original"]) == 64 * 1024


def test_wrong_use_says_so(tmp_path):
    assert decode("", "--encoding", "morse").returncode == 2
    assert decode("", "--nonsense").returncode == 2
    missing = decode("", str(tmp_path / "missing"))
    assert missing.returncode == 1 and b"No such file" in missing.stderr
    bad = tmp_path / "bad.yml"
    bad.write_text("name: x\npatterns:\n  - match: '%{a:nosuch}'\n")
    r = decode("x\n", "--decoders", bad)
    assert b"bad.yml:3:12: unknown placeholder type 'nosuch'" in r.stderr


@pytest.mark.skipif(not CORPORA, reason="VONGGAC_CORPORA is not set: no real logs to try")
@pytest.mark.parametrize("pattern,share", [
    ("logs/ssh*/*.log", 0.97),
    ("logs/iptables-scan-multi-port/*.log", 1),
    ("logs/nginx-http-*/*.log", 1),
    ("logs/apache2-*/*.log", 1),
    ("logs/http-dos-*/*.log", 1),
    ("logs/apache_access_10k.log", 1),
])
def test_real_logs_are_known(pattern, share):
    files = sorted(pathlib.Path(CORPORA).glob(pattern))
    assert files
    lines = b"\n".join(f.read_bytes().rstrip(b"\n") for f in files) + b"\n"
    found = events(lines)
    known = [e for e in found if "source.address" in e or "event.action" in e]
    assert len(found) > 10 and len(known) >= share * len(found)
