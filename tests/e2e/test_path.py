# SPDX-License-Identifier: Apache-2.0
"""The one path through the system: a line appended to a followed file becomes evidence and an alert."""
import time

from testbed import SOURCE, audit, wait_until

RULES = [SOURCE / "tests/e2e/data/rules.yml"]


def stamp(at=None):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at or time.time())) + "+00:00"


def failed(address, at=None):
    return f"{stamp(at)} web-1 sshd[811]: Failed password for invalid user admin from {address} port 4022 ssh2\n"


def start(bed):
    agent = bed.agent()
    agent.enroll()
    agent.start()
    return agent


def test_a_line_becomes_evidence_and_an_alert(make_bed):
    bed = make_bed(rules=RULES).start()
    agent = start(bed)
    log = bed.dir / "logs" / "auth.log"
    text = f"{stamp()} web-1 sshd[811]: Accepted password for root from 198.51.100.7 port 4022 ssh2\n"
    text += "".join(failed("203.0.113.9") for _ in range(12))
    log.write_text(text)
    bed.wait_detected(13)
    assert bed.export_raw().decode() == text

    alerts = bed.query("SELECT rule_title, kind, count, host, user, source_ip, agent, is_demo FROM alerts"
                       " ORDER BY rule_title")
    assert len(alerts) == 2
    assert alerts[0][:3] == ("Brute force", "correlation", 12)
    assert alerts[1][:3] == ("Direct root login", "detection", 1)
    assert alerts[1][4:] == ("root", "198.51.100.7", agent.id, 0)

    with open(log, "a") as f:
        f.write(failed("203.0.113.9"))
    wait_until("the alert grows", lambda: bed.query("SELECT 1 FROM alerts WHERE count = 13"))
    agent.stop()
    bed.collector.stop()


def test_level_3_rules_see_a_brute_force(bed):
    start(bed)
    lines = [failed("203.0.113.9") for _ in range(40)]
    (bed.dir / "logs" / "auth.log").write_text("".join(lines))
    bed.wait_detected(len(lines))
    found = bed.query("SELECT rule_title FROM alerts WHERE source_ip = '203.0.113.9' AND kind = 'correlation'")
    assert found, "no level-3 rule noticed 40 failed logins within a minute"


def test_the_agent_spools_while_the_collector_is_away(make_bed):
    bed = make_bed(rules=RULES).start()
    start(bed)
    log = bed.dir / "logs" / "auth.log"
    log.write_text(failed("203.0.113.1"))
    bed.wait_detected(1)
    bed.collector.stop()
    with open(log, "a") as f:
        f.writelines(failed("203.0.113.2") for _ in range(500))
    time.sleep(1)
    bed.start()
    bed.wait_detected(500)
    assert bed.export_raw() == log.read_bytes()
    assert bed.query("SELECT count FROM alerts WHERE rule_title = 'Brute force'") == [(500,)]


def test_a_silent_agent_and_its_return_are_events(make_bed):
    bed = make_bed(rules=RULES, options="silence: {agent_after: 3s}\n").start()
    agent = start(bed)
    (bed.dir / "logs" / "auth.log").write_text(failed("203.0.113.1"))
    bed.wait_detected(1)
    agent.kill()
    wait_until("silence is noticed", lambda: b"agent_silent" in bed.export_raw(), every_s=0.5)
    time.sleep(4)
    assert bed.export_raw().count(b"agent_silent") == 1
    agent.start()
    wait_until("the return is noticed", lambda: b"agent_back" in bed.export_raw(), every_s=0.5)


def test_a_silent_source_of_a_living_agent_is_an_event(make_bed):
    bed = make_bed(options="silence: {agent_after: 1m, source_after: 3s}\n").start()
    files = [f"{{name: {name}, paths: ['{bed.dir}/logs/{name}.log']}}" for name in ("auth", "nginx")]
    agent = bed.agent(files=files)
    agent.enroll()
    agent.start()
    (bed.dir / "logs" / "auth.log").write_text(failed("203.0.113.1"))
    bed.wait_detected(1)
    wait_until("silence is noticed", lambda: b"source_silent" in bed.export_raw(), every_s=0.5)
    assert b'"vonggac.source.name":"auth"' in bed.export_raw() and b"agent_silent" not in bed.export_raw()
    wait_until("it is an alert", lambda: bed.query("SELECT 1 FROM alerts WHERE rule_title LIKE '%silent%' AND agent = ?",
                                                   agent.id))
    with open(bed.dir / "logs" / "auth.log", "a") as f:
        f.write(failed("203.0.113.1"))
    wait_until("the return is noticed", lambda: b"source_back" in bed.export_raw(), every_s=0.5)


def test_what_people_do_is_in_the_audit_trail(make_bed):
    bed = make_bed(rules=RULES).start()
    agent = start(bed)
    wait_until("connected", lambda: bed.metric("agents_connected") == 1)
    bed.vonggac("agent", "revoke", agent.id)
    actions = [(row["action"], row["object"]) for row in audit(bed)]
    assert [a for a, _ in actions] == ["agent.token", "agent.enrol", "agent.revoke"]
    assert actions[1][1] == actions[2][1] == agent.id


def test_status_says_whether_it_runs(make_bed):
    bed = make_bed(rules=RULES)
    assert bed.vonggac("status", check=False).returncode == 1
    bed.start()
    status = bed.vonggac("status")
    assert "collector is running" in status.stdout
    bed.collector.stop()
    assert "NOT running" in bed.vonggac("status", check=False).stdout
