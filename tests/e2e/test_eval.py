# SPDX-License-Identifier: Apache-2.0
"""`vonggac rules eval`: others script against it, so that its contract is tested as they see it."""

import json
import os
import pathlib
import random
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("VONGGAC_BUILD", ROOT / "build"))

RULES = """\
title: Shell from a browser
id: 11111111-2222-4333-8444-555555555555
author: Somebody, Else
level: high
tags: [attack.execution, attack.t1059]
logsource: {product: windows, category: process_creation}
detection:
    child: {Image|endswith: '\\cmd.exe'}
    parent: {ParentImage|contains: [firefox, chrome]}
    condition: child and parent
---
title: A word anywhere
logsource: {product: linux}
detection:
    words: ['*backdoor*']
    condition: words
---
title: Any element
name: any-element
logsource: {category: lists}
detection:
    s: {tags.name: blue, port: 42}
    condition: s
---
title: From outside
logsource: {category: placeholders}
detection:
    s: {src|expand: '%outside%'}
    condition: s
"""

HIT = {"product": "windows", "category": "process_creation", "Image": "C:\\Windows\\cmd.exe", "ParentImage": "C:\\FireFox.exe"}


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    path = tmp_path_factory.mktemp("eval") / "rules.yml"
    path.write_text(RULES)
    return path


def run(*args, data=b"", code=0):
    r = subprocess.run([BUILD / "collector/vonggac", "rules", "eval", *args], input=data, capture_output=True, timeout=120)
    assert r.returncode == code, r.stderr
    return r


def ndjson(events):
    return b"".join(json.dumps(e).encode() + b"\n" for e in events)


def found(rules, events, *args):
    data = events if isinstance(events, bytes) else ndjson(events)
    return [json.loads(line) for line in run("--mapping", "none", "--rules", rules, *args, data=data).stdout.splitlines()]


def hits(*args):
    return [(m["event"], m["rule"]["id"]) for m in found(*args)]


def test_a_detection_as_the_contract_has_it(rules):
    [m] = found(rules, [{"a": 1}, HIT])
    assert list(m) == ["event", "type", "rule", "matched", "group"]
    assert m["event"] == 1 and m["type"] == "detection" and m["group"] == {}
    assert m["rule"] == {"id": "11111111-2222-4333-8444-555555555555", "title": "Shell from a browser", "level": "high",
                         "author": "Somebody, Else", "tags": ["attack.execution", "attack.t1059"]}
    assert m["matched"] == [{"field": "Image", "value": "C:\\Windows\\cmd.exe", "pattern": "*\\cmd.exe"},
                            {"field": "ParentImage", "value": "C:\\FireFox.exe", "pattern": "*firefox*"}]


def test_a_rule_without_id_author_and_level(rules):
    [m] = found(rules, [{"product": "linux", "x": "a BackDoor"}])
    assert m["rule"] == {"id": "A word anywhere", "title": "A word anywhere", "level": "medium", "author": None, "tags": []}
    assert m["matched"][0]["field"] is None and m["matched"][0]["value"] == "a BackDoor"


def test_a_rule_is_left_aside_only_where_the_event_says_another_source(rules):
    bare = {k: v for k, v in HIT.items() if k not in ("product", "category")}
    assert len(found(rules, [bare, {**bare, "product": "WINDOWS"}, {**bare, "product": "macos"}, {**bare, "category": "dns"}])) == 2


def test_nested_values_and_arrays(rules):
    deep = {"product": "linux", "a": {"b": [1, {"c": ["x", "the backdoor"]}]}}
    assert hits(rules, [deep]) == [(0, "A word anywhere")]
    listed = {"category": "lists", "tags": [{"name": "red"}, {"name": ["green", "BLUE"]}], "port": [7, "42"]}
    assert hits(rules, [listed, {**listed, "port": 7}]) == [(0, "any-element")]


def test_lines_that_are_no_events_keep_their_index(rules):
    data = b"{bad\n\n[1]\n" + ndjson([HIT]).strip() + b"\n{\"a\":1} x\n" + b"1\n" * 9 + ndjson([HIT]).strip()
    r = run("--mapping", "none", "--rules", rules, data=data)
    assert [json.loads(line)["event"] for line in r.stdout.splitlines()] == [3, 14]
    told = r.stderr.decode()
    assert "line 1, column 2: not a JSON object" in told and "line 3, column 1" in told and "line 5, column 9" in told
    assert "line 2" not in told and "line 9" not in told and "12 lines are no events" in told
    assert run("--quiet", "--mapping", "none", "--rules", rules, data=data).stderr == b""


def test_a_line_that_is_too_long_is_left_out(rules):
    long = b'{"x":"' + b"a" * (17 << 20) + b'"}\n'
    r = run("--mapping", "none", "--rules", rules, "--threads", "2", data=long + ndjson([HIT]) + long)
    assert [json.loads(line)["event"] for line in r.stdout.splitlines()] == [1]
    assert b"line 1: longer than" in r.stderr and b"2 lines are no events" in r.stderr


def test_bytes_that_are_no_text_come_out_as_json(rules):
    data = b'{"product":"linux","x":"backdoor \xff\xc3( \\u0000\\ud800 \\u2028"}'
    [m] = found(rules, data)
    assert m["matched"][0]["value"] == "backdoor \ufffd\ufffd( \0\ufffd \u2028"


def test_every_number_of_threads_prints_the_same(rules, tmp_path):
    rng = random.Random(7)
    path = tmp_path / "events.ndjson"
    with path.open("wb") as f:
        for i in range(30000):
            f.write(rng.choice((b"{broken\n", b"\n", ndjson([HIT]), ndjson([{"product": "linux", "n": i, "x": "a backdoor" * rng.randrange(9)}]))))
    one = run("--mapping", "none", "--rules", rules, path).stdout
    indexes = [json.loads(line)["event"] for line in one.splitlines()]
    assert len(one) > 1 << 20 and indexes == sorted(indexes)
    for threads in ("2", "3", "4"):
        assert run("--mapping", "none", "--rules", rules, "--threads", threads, path).stdout == one
    assert run("--mapping", "none", "--threads", "4", "--rules", rules, data=path.read_bytes()).stdout == one
    assert run("--mapping", "none", "--threads", "2", "--rules", rules, "-", data=path.read_bytes()).stdout == one


CORRELATIONS = """\
title: Failed
name: failed
logsource: {category: authentication}
detection:
    s: {type: failure}
    condition: s
---
title: Anything
logsource: {category: authentication}
detection:
    s: {type: '*'}
    condition: s
---
title: Many
correlation: {type: event_count, rules: [failed], group-by: [user], timespan: 10s, condition: {gte: 3}}
---
title: Many hosts
correlation: {type: value_count, rules: [failed], group-by: [user], timespan: 10s, condition: {field: host, gte: 2}}
---
title: Few
correlation: {type: event_count, rules: [failed], group-by: [user], timespan: 10s, condition: {lt: 2}}
---
title: Bytes
correlation: {type: value_sum, rules: [failed], group-by: [user], timespan: 10s, condition: {field: bytes, gt: 100}}
"""


def auth(t, user, host="a", bytes=1):
    return {"category": "authentication", "type": "failure", "user": user, "host": host, "bytes": bytes, **({} if t is None else {"time": 1700000000 + t})}


def triggers(path, *args, data):
    out = run("--mapping", "none", "--rules", path, *args, data=data).stdout
    found = [json.loads(line) for line in out.splitlines()]
    assert [m["event"] for m in found] == sorted(m["event"] for m in found)
    return out, {(m["event"], m["rule"]["title"], m["group"]["user"]) for m in found if m["type"] == "correlation"}


def test_correlations_name_their_trigger_and_group(tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text(CORRELATIONS)
    events = [auth(0, "u"), auth(1, "v", bytes=99), auth(30, "u", "a"), auth(31, "u", "b", 200), auth(None, "u"), auth(29, "u")]
    out, found = triggers(path, data=ndjson(events))
    assert found == {(0, "Few", "u"), (1, "Few", "v"), (3, "Many hosts", "u"), (3, "Many", "u"), (3, "Bytes", "u"), (4, "Many", "u"),
                     (4, "Many hosts", "u"), (4, "Bytes", "u"), (5, "Few", "u")}
    lines = [json.loads(line) for line in out.splitlines()]
    assert [m["type"] for m in lines if m["event"] == 3] == ["detection"] + 3 * ["correlation"]
    assert all(m["matched"] == [] for m in lines if m["type"] == "correlation")


def test_correlations_are_the_same_for_every_number_of_threads(tmp_path):
    rng = random.Random(9)
    path = tmp_path / "rules.yml"
    path.write_text(CORRELATIONS)
    data, t = [], None
    for i in range(12000):
        t = t if rng.randrange(3) else (None if i < 5000 else i / 100 - rng.randrange(100))  # no times at all in the first chunks
        data.append(auth(t if i % 7 else None, f"u{rng.randrange(50)}", f"h{rng.randrange(3)}", rng.randrange(90)))
    data = ndjson(data)
    assert len(data) > 4 * 256 * 1024
    one, found = triggers(path, data=data)
    assert {title for _, title, _ in found} == {"Many", "Many hosts", "Few", "Bytes"}
    for threads in ("2", "3", "4"):
        assert triggers(path, "--threads", threads, data=data)[0] == one


def test_placeholders_come_from_a_file(rules, tmp_path):
    event = {"category": "placeholders", "src": "1.2.3.4"}
    assert found(rules, [event]) == []
    values = tmp_path / "values.yml"
    values.write_text("outside: [5.6.7.8, 1.2.3.4]\n")
    assert hits(rules, [event], "--placeholders", values) == [(0, "From outside")]


def test_a_mapping_gives_ecs_names(tmp_path):
    rule, mapping, events = tmp_path / "rule.yml", tmp_path / "map", tmp_path / "events.json"
    rule.write_text("title: T\nlogsource: {category: firewall}\ndetection:\n    s: {src_ip|cidr: 203.0.113.0/24}\n    condition: s\n")
    events.write_bytes(ndjson([{"event": {"dataset": "iptables.log"}, "source.ip": "203.0.113.9"}, {"src_ip": "203.0.113.9"}]))
    out = run("--rules", rule, "--mapping", f"{ROOT}/rules/mappings/firewall.yml", events).stdout
    [m] = [json.loads(line) for line in out.splitlines()]
    assert m["event"] == 0 and m["matched"] == [{"field": "source.ip", "value": "203.0.113.9", "pattern": "203.0.113.0/24"}]
    mapping.mkdir()
    assert b"no mapping 'nowhere'" in run("--rules", rule, "--mapping", "nowhere", events, code=1).stderr


def test_several_rules_and_folders(rules, tmp_path):
    folder, events = tmp_path / "rules", tmp_path / "events"
    folder.mkdir()
    (folder / "more.yml").write_text("title: All\nlogsource: {category: x}\ndetection:\n    s: {Image: '*'}\n    condition: s\n")
    (folder / "broken.yml").write_text("title: Broken\n")
    events.write_bytes(ndjson([{**HIT, "category": None}]))
    r = run("--mapping", "none", "--rules", rules, folder, events)
    assert {json.loads(line)["rule"]["title"] for line in r.stdout.splitlines()} == {"All", "Shell from a browser"}
    assert b"broken.yml" in r.stderr and b"left out" in r.stderr


def test_stats_are_told_on_stderr(rules):
    r = run("--mapping", "none", "--rules", rules, "--stats", data=ndjson([HIT] * 3))
    told = r.stderr.decode()
    assert len(r.stdout.splitlines()) == 3 and "events: 3 of 3 lines, 0 bad" in told and "detections: 3" in told and "events/s" in told


def test_wrong_usage_and_what_is_not_there(rules):
    assert b"which rules" in run(code=2).stderr
    run("--rules", rules, "--threads", "0", code=2)
    run("--rules", rules, "--nothing", code=2)
    run("--rules", rules, "a", "b", code=2)
    run("--mapping", "none", "--rules", "/nowhere", code=1)
    run("--mapping", "none", "--rules", rules, "/nowhere", code=1)
    assert run("--mapping", "none", "--rules", rules).stdout == b""
    with open("/dev/full", "wb") as full:
        r = subprocess.run([BUILD / "collector/vonggac", "rules", "eval", "--mapping", "none", "--rules", rules],
                           input=ndjson([HIT]), stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert r.returncode == 1 and b"cannot write" in r.stderr


@pytest.mark.skipif(not (os.environ.get("VONGGAC_CORPORA") and shutil.which("rsigma") and shutil.which("zstd")),
                    reason="needs VONGGAC_CORPORA, rsigma and zstd")
def test_every_difference_from_rsigma_is_explained():
    pytest.importorskip("yaml")
    r = subprocess.run([ROOT / "tests/differential/run", "--build", BUILD, "--lane", "cisco_syslog", "--lane", "made", "--folder", "rules"],
                       capture_output=True, text=True, timeout=600)
    assert r.returncode == 0, r.stdout + r.stderr
