# SPDX-License-Identifier: Apache-2.0
"""`vonggac user`, beside a running collector: who may sign in to the console."""
import json
import os
import subprocess

import pytest

from taxii_peer import PASSWORD, Analyst
from testbed import PATIENCE_S, VONGGAC, audit


def user(bed, *args, password=None):
    return subprocess.run([VONGGAC, "user", *args, "--config", bed.config], input=password, capture_output=True, text=True,
                          timeout=PATIENCE_S)


def sign_in(analyst, name, password):
    analyst.cookie = analyst.csrf = None
    status, me = analyst.request("POST", "/api/login", {"user": name, "password": password})
    if status == 200:
        analyst.csrf = me["csrf"]
    return status, me


def test_a_one_time_password_opens_the_door_once(bed):
    made = user(bed, "add", "admin", "--role", "admin", "--one-time", "--display-name", "Chị Hoa")
    assert made.returncode == 0, made.stderr
    one_time = made.stdout.strip().splitlines()[-1]
    analyst = Analyst(bed)  # somebody else, to have a client
    status, me = sign_in(analyst, "admin", one_time)
    assert status == 200 and me["must_change_password"] and me["role"] == "admin" and me["display_name"] == "Chị Hoa"
    assert analyst.request("GET", "/api/alerts")[0] == 403
    me = analyst.post("/api/password", {"old": one_time, "new": "Mot-mat-khau-moi-1"})
    analyst.csrf = me["csrf"]
    assert not me["must_change_password"]
    analyst.get("/api/alerts")
    assert sign_in(analyst, "admin", one_time)[0] == 401
    assert sign_in(analyst, "admin", "Mot-mat-khau-moi-1")[0] == 200
    by = f"cli:{os.getuid()}"
    assert [(a["user"], a["object"]) for a in audit(bed) if a["action"] == "user.add"][0] == (by, "admin")
    assert one_time not in bed.collector.text()


@pytest.mark.parametrize("password", ["", "short-1A", "no-upper-case-here-1", "contains-Mai-inside-1\n", "A1-" + "x" * 2000])
def test_poor_passwords_are_refused(bed, password):
    made = user(bed, "add", "mai", "--password-file", "-", password=password)
    assert made.returncode == 1 and made.stderr.startswith("vonggac: ")
    assert bed.query("SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("args", [["add"], ["add", "Bad Name"], ["add", "a", "--role", "god"], ["add", "a", "b"],
                                  ["add", "a", "--one-time", "--password-file", "-"], ["list", "x"], ["passwd"]])
def test_wrong_words_change_nothing(bed, args):
    made = user(bed, *args, password=PASSWORD)
    assert made.returncode == 2 and "--help" in made.stderr
    assert bed.query("SELECT count(*) FROM users") == [(0,)]


def test_names_are_taken_once(bed):
    assert user(bed, "add", "lan", "--password-file", "-", password=PASSWORD).returncode == 0
    again = user(bed, "add", "lan", "--password-file", "-", password=PASSWORD)
    assert again.returncode == 1 and "already" in again.stderr
    for command in ("passwd", "unlock"):
        missing = user(bed, command, "nobody", *(["--one-time"] if command == "passwd" else []))
        assert missing.returncode == 1 and "nobody" in missing.stderr


def test_a_new_password_ends_all_sessions_and_unlocks(bed, tmp_path):
    analyst = Analyst(bed)
    analyst.get("/api/alerts")
    secret = tmp_path / "secret"
    secret.write_text("Mat-khau-tu-tep-14\nsecond line\n")
    assert user(bed, "passwd", "lan", "--password-file", str(secret)).returncode == 0
    assert analyst.request("GET", "/api/alerts")[0] == 401
    for _ in range(5):
        status, _ = sign_in(analyst, "lan", "wrong")
    assert status == 423
    listed = json.loads(user(bed, "list", "--json").stdout)
    assert listed["name"] == "lan" and listed["locked_until"] is not None and listed["sessions"] == 0
    assert "locked until" in user(bed, "list").stdout
    assert user(bed, "unlock", "lan").returncode == 0
    assert sign_in(analyst, "lan", "Mat-khau-tu-tep-14")[0] == 200
    assert [a["action"] for a in audit(bed) if a["user"].startswith("cli:")] == ["user.add", "user.password", "user.unlock"]
