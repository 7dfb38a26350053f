# SPDX-License-Identifier: Apache-2.0
"""`vonggac rules check` and its sisters as people use them: every error in one pass, a SigmaHQ checkout brought in and kept."""

import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("VONGGAC_BUILD", ROOT / "build"))
CORPORA = os.environ.get("VONGGAC_CORPORA")
MAPPINGS = ("--mappings", ROOT / "rules/mappings")

GOOD = """title: {title}
id: {id}
status: {status}
author: A. Author
level: {level}
tags: [attack.t1110, attack.credential-access]
logsource: {{product: linux, service: {service}}}
detection:
    selection:
        user.name: root
    condition: selection
"""


def rules(*args, **kwargs):
    return subprocess.run([BUILD / "collector/vonggac", "rules", *args], capture_output=True, timeout=120, text=True, **kwargs)


def rule(path, n, *, status="test", level="medium", service="sshd", title=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(GOOD.format(title=title or f"Rule {n}", id=f"00000000-0000-4000-8000-{n:012}", status=status, level=level,
                                service=service))
    return path


# ---- check ----

BAD = """title: Bad
level: huge
logsource: {product: linux}
detection:
    selection:
        user.name|nosuch: root
        process.name|re: ['(', ok]
    condition: |
        selection and missing
            or absent
"""


def check(*args):
    r = rules("check", "--json", *MAPPINGS, "--decoders", ROOT / "rules/decoders", *args)
    return r.returncode, json.loads(r.stdout)


def test_check_tells_every_error_with_its_place(tmp_path):
    (tmp_path / "bad.yml").write_text(BAD)
    (tmp_path / "broken.yml").write_text("title: x\n  a: [")
    rule(tmp_path / "good.yml", 1)
    status, out = check(tmp_path)
    assert status == 1 and out["loaded"] == 1
    places = {(pathlib.Path(e["file"]).name, e["line"], e["column"]) for e in out["rejected"]}
    assert places == {("bad.yml", 2, 8), ("bad.yml", 6, 19), ("bad.yml", 7, 29), ("bad.yml", 9, 23), ("bad.yml", 10, 16),
                      ("broken.yml", 2, 4)}
    text = rules("check", *MAPPINGS, tmp_path)
    assert text.returncode == 1 and "bad.yml:9:23: condition: no selection is called 'missing'" in text.stdout
    assert "1 loaded, 2 rejected, 6 errors" in text.stdout


def test_check_warns_of_likely_mistakes(tmp_path):
    (tmp_path / "odd.yml").write_text("""title: Odd
logsource: {product: linux, service: sshd}
detection:
    a: {user.nmae: root, process.name: '*'}
    b: {user.name|re: '(a+)+b'}
    c: {user.name: x}
    condition: a and b
""")
    status, out = check(tmp_path)
    assert status == 0 and out["rejected"] == []
    warnings = {(w["line"], w["column"]): w["warning"] for w in out["warnings"]}
    assert "'user.nmae' is unknown for this log source" in warnings[4, 9]
    assert "matches every value" in warnings[4, 40]
    assert "slow" in warnings[5, 23]
    assert "does not use selection 'c'" in warnings[6, 5]
    assert len(warnings) == 4


def test_placeholders_from_a_file(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/p.yml").write_text(BAD.split("logsource")[0].replace("level: huge\n", "") + """
logsource: {product: linux}
detection:
    s: {user.name|expand: '%admins%', host.name|expand: 'x-%hosts%'}
    condition: s
""")
    status, out = check(tmp_path / "rules")
    assert status == 1 and [e["error"].split("'")[1] for e in out["rejected"]] == ["admins", "hosts"]
    values = tmp_path / "values.yml"
    values.write_text("admins: [root, toor]\nhosts: a\n")
    assert check("--placeholders", values, tmp_path / "rules")[1]["loaded"] == 1
    values.write_text("admins: [{a: b}]\n")
    r = rules("check", *MAPPINGS, "--placeholders", values, tmp_path / "rules")
    assert r.returncode == 1 and f"{values}:1:10:" in r.stderr


@pytest.mark.skipif(not CORPORA, reason="VONGGAC_CORPORA names no folder")
def test_check_sigmahq(tmp_path):
    """All of it loads but for placeholders without a value, each of which is named; with values all of it does."""
    status, out = check(pathlib.Path(CORPORA) / "sigmahq")
    assert status == 1 and len({e["file"] for e in out["rejected"]}) + out["loaded"] == 3780
    assert all(e["error"].startswith("placeholder '") for e in out["rejected"])
    names = {e["error"].split("'")[1] for e in out["rejected"]}
    values = tmp_path / "values.yml"
    values.write_text("".join(f"{name}: [10.0.0.0/8]\n" for name in names))
    status, out = check("--placeholders", values, pathlib.Path(CORPORA) / "sigmahq")
    assert status == 0 and out["loaded"] == 3780 and out["rejected"] == []


# ---- import ----

@pytest.fixture
def checkout(tmp_path):
    top = tmp_path / "sigma"
    rule(top / "rules/linux/a.yml", 1, level="high")
    rule(top / "rules/linux/b.yml", 2, level="low")
    rule(top / "rules/cloud/c.yml", 3, service="nosuch")
    rule(top / "rules-threat-hunting/d.yml", 4, status="deprecated")
    rule(top / "rules-threat-hunting/e.yml", 5, status="unsupported")
    rule(top / "tests/f.yml", 6)
    (top / "LICENSE.Detection.Rules.md").write_text("Detection Rule License 1.1")
    return top


def bring(checkout, to, *args):
    r = rules("import", checkout, "--to", to, "--json", *MAPPINGS, *args)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def test_import_takes_what_can_match(checkout, tmp_path):
    to = tmp_path / "etc/sigma"
    dry = bring(checkout, to, "--dry-run")
    assert dry["added"] == 3 and not to.exists()
    out = bring(checkout, to)
    assert out["files"] == 2 and out["added"] == 3 and out["left_out"] == {
        "no_rule": 0, "status": 2, "level": 0, "logsource": 1, "placeholder": 0, "not_loaded": 0}
    files = {str(p.relative_to(to)) for p in to.rglob("*") if p.is_file()}
    assert files == {"rules/linux/a.yml", "rules/linux/b.yml", "LICENSE.Detection.Rules.md", ".vonggac-import"}
    assert (to / "rules/linux/a.yml").read_bytes() == (checkout / "rules/linux/a.yml").read_bytes()
    assert subprocess.run(["sha256sum", "-c", "--quiet", ".vonggac-import"], cwd=to).returncode == 0


def test_import_again_changes_only_what_changed(checkout, tmp_path):
    to = tmp_path / "to"
    bring(checkout, to)
    again = bring(checkout, to)
    assert (again["added"], again["updated"], again["removed"], again["unchanged"]) == (0, 0, 0, 3)
    rule(checkout / "rules/linux/a.yml", 1, level="critical")
    (checkout / "rules/linux/b.yml").unlink()
    rule(to / "mine.yml", 9)
    rule(to / "rules/linux/own.yml", 10)
    again = bring(checkout, to)
    assert (again["updated"], again["removed"], again["unchanged"]) == (1, 1, 1)
    assert (to / "mine.yml").exists() and (to / "rules/linux/own.yml").exists()
    assert not (to / "rules/linux/b.yml").exists()


def test_import_leaves_alone_what_was_changed(checkout, tmp_path):
    to = tmp_path / "to"
    rule(to / "rules/linux/b.yml", 2, title="was here before")
    bring(checkout, to)
    (to / "rules/linux/a.yml").write_text("# mine now\n")
    rule(checkout / "rules/linux/a.yml", 1, level="critical")
    out = bring(checkout, to)
    assert out["kept"] == 2
    assert (to / "rules/linux/a.yml").read_text() == "# mine now\n"
    assert "was here before" in (to / "rules/linux/b.yml").read_text()


def test_import_by_level_and_status(checkout, tmp_path):
    assert bring(checkout, tmp_path / "1", "--min-level", "medium")["files"] == 1
    assert bring(checkout, tmp_path / "2", "--status", "deprecated")["files"] == 1
    assert rules("import", checkout, "--to", tmp_path / "3", "--min-level", "loud").returncode == 2
    assert rules("import", checkout).returncode == 2


def test_import_refuses_folders_within_each_other(checkout, tmp_path):
    for to in (checkout, checkout / "rules/new/er", tmp_path):
        r = rules("import", checkout, "--to", to, *MAPPINGS)
        assert r.returncode == 1 and "within each other" in r.stderr
    assert not (checkout / "rules/new").exists() and not (tmp_path / ".vonggac-import").exists()


def test_import_does_not_follow_a_manifest_out_of_its_folder(checkout, tmp_path):
    to = tmp_path / "to"
    to.mkdir()
    victim = rule(tmp_path / "victim.yml", 7)
    digest = subprocess.run(["sha256sum", victim], capture_output=True, text=True).stdout.split()[0]
    (to / ".vonggac-import").write_text(f"{digest}  ../victim.yml\n")
    r = rules("import", checkout, "--to", to, *MAPPINGS)
    assert r.returncode == 1 and "line 1" in r.stderr and victim.exists()


# ---- coverage ----

def test_coverage_counts_and_writes_a_layer(tmp_path):
    rule(tmp_path / "r/a.yml", 1, level="high")
    rule(tmp_path / "r/b.yml", 2, service="nosuch", title="Unheard of")
    layer = tmp_path / "layer.json"
    r = rules("coverage", "--json", "--navigator", layer, *MAPPINGS, tmp_path / "r")
    assert r.returncode == 0, r.stderr
    out = json.loads(r.stdout)
    assert (out["rules"], out["usable"]) == (2, 1)
    assert out["techniques"]["T1110"]["rules"] == 2 and out["techniques"]["T1110"]["usable"] == 1
    assert out["tactics"]["credential-access"]["titles"] == ["Rule 1", "Unheard of"]
    assert out["levels"]["high"]["rules"] == 1
    assert out["logsources"]["product=linux service=nosuch"]["usable"] == 0
    drawn = json.loads(layer.read_text())
    assert drawn["versions"] == {"navigator": "4.9.0", "layer": "4.5"} and drawn["domain"] == "enterprise-attack"
    assert [(t["techniqueID"], t["score"], t["comment"]) for t in drawn["techniques"]] == [("T1110", 2, "Rule 1\nUnheard of")]
    assert drawn["gradient"]["maxValue"] == 2
    only = json.loads(rules("coverage", "--navigator", "-", "--usable", *MAPPINGS, tmp_path / "r").stdout)
    assert [(t["score"], t["comment"]) for t in only["techniques"]] == [(1, "Rule 1")]


def test_coverage_of_our_own_rules_names_clauses():
    r = rules("coverage", *MAPPINGS, ROOT / "rules/level3")
    assert r.returncode == 0 and " tcvn14423.5-6-2-3" in r.stdout and " T1110" in r.stdout and "product=linux" in r.stdout


# ---- explain ----

EXPLAINED = """title: Explained
id: 00000000-0000-4000-8000-000000000077
logsource: {product: linux, service: sshd}
detection:
    who:
        user.name: [root, toor]
        source.ip|cidr: 10.0.0.0/8
    how: {message|re: 'pass.ord for (?:root|toor)'}
    honest: {host.name|startswith: bastion}
    condition: who and how and not honest
"""
EVENT = {"event.dataset": "system.auth", "process.name": "sshd", "user.name": "root", "source": {"ip": "10.9.9.9"},
         "message": "Failed password for root", "host.name": "web1"}


def explain(tmp_path, event=None, *args):
    path = tmp_path / "explained.yml"
    path.write_text(EXPLAINED)
    r = rules("explain", path, "--json", *MAPPINGS, *(["--event", "-"] if event else []), *args,
              input=json.dumps(event) if event else None)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def leaves(node):
    return [node] if node["kind"] == "test" else [t for kid in node["of"] for t in leaves(kid)]


def test_explain_shows_the_plan(tmp_path):
    out = explain(tmp_path)
    source, = out["sources"]
    assert {w["field"] for w in source["when"]} == {"event.dataset", "process.name"}
    assert source["trigger"]["looks"].startswith("only") and source["trigger"]["any_of"] and source["regexes"] == 1
    assert "matches" not in out and source["condition"]["kind"] == "and"
    text = rules("explain", tmp_path / "explained.yml", *MAPPINGS).stdout
    assert "user.name, any of 2" in text and "source.ip is in network '10.0.0.0/8'  [index]" in text and "cost: " in text


def test_explain_says_why_an_event_matches(tmp_path):
    out = explain(tmp_path, EVENT)
    assert out["matches"]
    found = {t["selection"] + t["field"]: t for t in leaves(out["sources"][0]["condition"])}
    assert found["whouser.name"]["holds"] and found["whouser.name"]["value"] == "root"
    assert found["howmessage"]["pattern"] == "pass.ord for (?:root|toor)"
    assert not found["honesthost.name"]["holds"]


@pytest.mark.parametrize("change, why", [
    ({"user.name": "admin"}, {"why": "no value matches", "values": ["admin"], "selection": "who"}),
    ({"source": {}}, {"why": "the event does not have the field", "selection": "who"}),
    ({"host.name": "bastion2"}, {"holds": True, "value": "bastion2", "selection": "honest"}),
])
def test_explain_says_why_an_event_does_not_match(tmp_path, change, why):
    out = explain(tmp_path, EVENT | change)
    assert not out["matches"] and out["sources"][0]["fits"]
    assert any(why.items() <= t.items() for t in leaves(out["sources"][0]["condition"]))


def test_explain_says_when_the_log_source_does_not_fit(tmp_path):
    source, = explain(tmp_path, EVENT | {"process.name": "cron"})["sources"]
    assert not source["fits"] and not source["matches"] and source["why_not"] == "process.name is 'cron'"


def test_explain_agrees_with_eval(tmp_path):
    """Every rule of ours, each of its own events: explain says "matches" exactly where eval prints a detection."""
    lines = ["Mar 14 08:15:04 gate sshd[813]: Accepted password for root from 203.0.113.9 port 40022 ssh2",
             '203.0.113.9 - - [14/Mar/2026:08:15:04 +0000] "GET /?id=1%27%20union%20select%201 HTTP/1.1" 200 1 "-" "sqlmap"',
             "Mar 14 08:15:04 gate sudo: bob : TTY=pts/0 ; PWD=/tmp ; USER=root ; COMMAND=/bin/bash"]
    events = subprocess.run([BUILD / "collector/vonggac", "decode", "--decoders", ROOT / "rules/decoders"], input="\n".join(lines),
                            capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert len(events) == len(lines)

    def matching(node):
        own = {node["id"]} if node["kind"] == "detection" and node["matches"] else set()
        return own.union(*[matching(kid) for kid in node.get("rules", [])])

    some = 0
    for event in events:
        r = rules("explain", ROOT / "rules/level3", "--json", *MAPPINGS, "--event", "-", input=event)
        explained = set().union(*[matching(json.loads(line)) for line in r.stdout.splitlines()])
        said = rules("eval", "--rules", ROOT / "rules/level3", "--mapping", ROOT / "rules/mappings", "-", input=event).stdout
        loud = {d["rule"]["id"] for d in map(json.loads, said.splitlines()) if d["type"] == "detection"}
        assert loud <= explained
        some += len(explained)
    assert some >= 2


def test_explain_a_correlation(tmp_path):
    path = rule(tmp_path / "a.yml", 1)
    path.write_text(path.read_text() + """---
title: Counted
correlation: {type: value_count, rules: [00000000-0000-4000-8000-000000000001], group-by: [user.name], timespan: 1m,
  condition: {field: source.ip, gte: 3, lt: 9}}
---
title: Both
correlation: {type: temporal, rules: [00000000-0000-4000-8000-000000000001, Counted], timespan: 5m,
  condition: Counted and not 00000000-0000-4000-8000-000000000001}
""")
    r = rules("explain", path, "--json", "--id", "Counted", *MAPPINGS)
    out = json.loads(r.stdout)
    assert (out["type"], out["condition"], out["waits"]) == ("value_count", "source.ip >= 3 and < 9", True)
    assert out["rules"][0]["kind"] == "detection"
    text = rules("explain", path, "--id", "Both", *MAPPINGS).stdout
    assert "temporal: not 00000000-0000-4000-8000-000000000001 and Counted within 300 s" in text


def test_explain_wrong_use(tmp_path):
    path = rule(tmp_path / "a.yml", 1)
    assert rules("explain", *MAPPINGS).returncode == 2
    assert rules("explain", path, *MAPPINGS, "--id", "nosuch").returncode == 1
    r = rules("explain", path, *MAPPINGS, "--event", "-", input="{nonsense")
    assert r.returncode == 1 and "not one JSON object, at byte 2" in r.stderr


@pytest.mark.parametrize("command", ["check", "test", "eval", "import", "explain", "coverage"])
def test_help(command):
    r = rules(command, "--help")
    assert r.returncode == 0 and f"Usage: vonggac rules {command}" in r.stdout and "--placeholders" in r.stdout
    assert rules(command, "--nosuch").returncode == 2


# ---- the engine in somebody else's program ----

def test_example_program(tmp_path):
    path = rule(tmp_path / "a.yml", 1)
    path.write_text(path.read_text() + """---
title: Two of them
correlation: {type: event_count, rules: [00000000-0000-4000-8000-000000000001], group-by: [user.name], timespan: 1m,
  condition: {gte: 2}, generate: true}
""")
    events = [{"product": "linux", "user": {"name": "root"}, "@timestamp": f"2026-11-23T10:00:0{i}Z"} for i in range(2)]
    r = subprocess.run([BUILD / "examples/embed", path], input="".join(json.dumps(e) + "\n" for e in events) + "rubbish\n",
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 and "line 3" in r.stderr
    assert r.stdout.count("detection: Rule 1\n  selection: 'root' in root") == 2
    assert r.stdout.count("correlation: Two of them") == 1 and "3 events, 3 matches" in r.stdout
