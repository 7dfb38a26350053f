# SPDX-License-Identifier: Apache-2.0
"""Random rules over random events: the engine and a second reading of Sigma (sigma_reference.py) must find the same.
VONGGAC_ROUNDS makes it longer, VONGGAC_SEED tells it apart."""

import base64
import json
import os
import pathlib
import random
import subprocess

import pytest

from sigma_reference import Story, detection_holds, everything, text, values

VONGGAC = pathlib.Path(os.environ.get("VONGGAC_BUILD", pathlib.Path(__file__).parents[2] / "build")) / "collector/vonggac"
ROUNDS = int(os.environ.get("VONGGAC_ROUNDS", "25"))
SEED = int(os.environ.get("VONGGAC_SEED", "1"))

WORDS = ["foo", "Foo", "bar", "foobar", "a", "ab", "abc", "việt", "VIỆT", "-x", "/x", "–x", " -enc", "cmd.exe", "C:\\dir\\", "\\cmd", "a*b",
         "a?b", "*", "?", "", "42", "4625", "10.0.0.1", "192.168.1.7", "fd00::1", "true", "null", "x-y", "foo bar", "Đ"]
PATTERNS = ["foo", "Foo", "*foo*", "foo*", "*bar", "f?o", "fo*ar", "a\\*b", "a\\?b", "\\\\cmd", "C:\\dir\\", "C:\\dir\\*", "C:\\dir\\\\*",
            "\\\\\\*", "a*", "?", "*", "", "??", "*a*b*", "việt", "V?ỆT", "-x", "/x", " -enc", " /enc -x", "x-y", "cmd.exe", "\\cmd.exe",
            "42", "46??", "true", "foo bar", "a", "ab", "b", "."]
ENCODED = ["foo", "bar", "abc", "a-x", " -x", "foo bar"]
FIELDS = ["A", "B", "C", "d.e"]


def evaluate(folder, documents, events, *options):
    """What the program prints, and what it says of the rules."""
    (folder / "rules.yml").write_text("\n---\n".join(json.dumps(d, ensure_ascii=False) for d in documents))
    (folder / "events").write_text("".join(json.dumps(e) + "\n" for e in events))
    r = subprocess.run([VONGGAC, "rules", "eval", "--rules", folder / "rules.yml", "--mapping", "none", *options, folder / "events"],
                       capture_output=True, text=True, timeout=120)
    assert r.returncode == 0, r.stderr
    return [json.loads(line) for line in r.stdout.splitlines()], r.stderr


# ---- detections

def some(rng, make, chance=0.4):
    return [make() for _ in range(rng.choice([2, 2, 3, 3, 9, 15]))] if rng.random() < chance else make()


def string_item(rng):
    modifiers = [rng.choice(["contains", "startswith", "endswith", "contains"])] if rng.random() < 0.7 else []
    if rng.random() < 0.2:
        modifiers.insert(0, "windash")
    if rng.random() < 0.2:
        modifiers.append("cased")
    wanted = some(rng, lambda: rng.choice(PATTERNS))
    if isinstance(wanted, list) and rng.random() < 0.3:
        modifiers.append("all")
    if rng.random() < 0.15:
        modifiers.append("neq")
    return modifiers, wanted


def regex_item(rng):
    modifiers = ["re"] + ["i"] * (rng.random() < 0.3) + ["startswith"] * (rng.random() < 0.2)
    return modifiers, some(rng, lambda: rng.choice(["^foo", "bar$", "f.o", "[0-9]+", "(a|b)c?", "^$", "o{2}", "\\.exe$"]))


def reference_item(rng):
    modifiers = ["fieldref"] + rng.sample(["contains", "startswith", "endswith"], rng.choice([0, 0, 1]))
    return modifiers + ["cased"] * (rng.random() < 0.3) + ["neq"] * (rng.random() < 0.2), rng.choice(FIELDS)


def encoded_item(rng):
    modifiers = ["windash"] * (rng.random() < 0.2) + ["wide"] * (rng.random() < 0.3)
    return modifiers + [rng.choice(["base64", "base64offset"]), "contains"], rng.choice(ENCODED)


def item(rng):
    field, which = rng.choice(FIELDS + ["A", "B"]), rng.random()
    if which < 0.45:
        modifiers, wanted = string_item(rng)
    elif which < 0.52:
        modifiers, wanted = ["neq"] * (rng.random() < 0.3), some(rng, lambda: rng.choice([42, 4625, 0, -1, 1.5, True, False, 1000]))
    elif which < 0.57:
        modifiers, wanted = [], None
    elif which < 0.62:
        modifiers, wanted = ["exists"], rng.choice([True, False])
    elif which < 0.70:
        modifiers, wanted = regex_item(rng)
    elif which < 0.76:
        modifiers, wanted = ["cidr"], some(rng, lambda: rng.choice(["10.0.0.0/8", "192.168.1.0/24", "fd00::/8", "0.0.0.0/0", "::/0"]))
    elif which < 0.84:
        modifiers, wanted = [rng.choice(["lt", "lte", "gt", "gte"])], rng.choice([0, 1, 42, 100, 1.5, -1])
    elif which < 0.90:
        modifiers, wanted = reference_item(rng)
    elif which < 0.95:
        modifiers, wanted = encoded_item(rng)
    else:
        field, wanted = "", some(rng, lambda: rng.choice([p for p in PATTERNS if p]), 0.6)
        modifiers = rng.choice([["all"] * isinstance(wanted, list), ["contains"], ["startswith"], ["cased"]])
    return "|".join([field, *modifiers]), wanted


def selection(rng):
    def one():
        return dict(item(rng) for _ in range(rng.choice([1, 1, 2, 3])))
    return [one() for _ in range(rng.randint(1, 3))] if rng.random() < 0.15 else one()


def condition(rng, names, depth=0):
    which = rng.random()
    if depth > 2 or which < 0.35:
        return rng.choice(names)
    if which < 0.5:
        return f"not ({condition(rng, names, depth + 1)})"
    if which < 0.6:
        return rng.choice(["1 of them", "all of them", "any of s*", "all of s*", "1 of s_*"])
    return f"({condition(rng, names, depth + 1)} {rng.choice(['and', 'or'])} {condition(rng, names, depth + 1)})"


def rule(rng, title):
    names = ["s_a", "s_b", "t_c"][:rng.randint(1, 3)]
    detection = {n: selection(rng) for n in names}
    return {"title": title, "logsource": {"product": "test"}, "detection": {**detection, "condition": condition(rng, names)}}


def value(rng):
    which = rng.random()
    if which < 0.7:
        return rng.choice(WORDS)
    if which < 0.8:
        return rng.choice([42, 4625, 0, -1, 1.5, 1000, 41, 43, True, False, None])
    if which < 0.9:
        s = rng.choice(["", "x", "xx"]) + rng.choice(ENCODED + ["a/x"]) + rng.choice(["", "y", "yz"])
        return base64.b64encode(s.encode(rng.choice(["utf-8", "utf-16le"]))).decode()
    return rng.choice(WORDS) + rng.choice(WORDS)


def event(rng):
    e = {f: value(rng) if rng.random() < 0.85 else [value(rng) for _ in range(rng.randint(0, 3))] for f in "ABC" if rng.random() < 0.75}
    if rng.random() < 0.6:
        e["d"] = {"e": value(rng)} if rng.random() < 0.7 else [{"e": value(rng)}, {"e": value(rng)}]
    return e


@pytest.mark.parametrize("part", range(ROUNDS))
def test_random_detections(tmp_path, part):
    rng = random.Random(SEED * 1000003 + part)
    rules, events = [rule(rng, f"rule {i}") for i in range(25)], [event(rng) for _ in range(40)]
    found, _ = evaluate(tmp_path, rules, events)
    for i, e in enumerate(events):
        have = sorted(m["rule"]["title"] for m in found if m["event"] == i)
        for r in rules:
            assert (r["title"] in have) == detection_holds(r, e), (e, r)
        assert len(have) == len(set(have))
    for m in found:
        for why in m["matched"]:
            there = values(events[m["event"]], why["field"]) if why["field"] else everything(events[m["event"]])
            assert why["value"] in [text(v) for v in there if v is not None] + [""], (why, events[m["event"]])


# ---- correlations

def bounds(rng, is_count, most):
    while True:
        ops = rng.sample(["gt", "gte", "lt", "lte", "eq", "neq"], rng.choice([1, 1, 1, 2]))
        c = {op: rng.randint(0, most) if is_count or rng.random() < 0.5 else round(rng.uniform(-3, most), 1) for op in ops}
        if not is_count or set(c) - {"gt", "gte"} or 1 <= max(v + (op == "gt") for op, v in c.items()) <= most:
            return c  # a bound that holds without any event, or never, is refused


def words(rng, names):
    a, b = rng.choice(names), rng.choice(names)
    return rng.choice([" and ".join(names), f"{a} or {' and '.join(names)}", f"({' or '.join(names)}) and not {a}",
                       f"not ({a} and {b}) and ({' or '.join(names)})", f"({a} or not {b}) and ({' or '.join(names)})"])


def correlation(rng, below):
    kind = rng.choice(["event_count", "value_count", "value_sum", "value_avg", "value_percentile", "value_median", "temporal", "temporal_ordered"])
    names = rng.sample(below, rng.randint(2 if kind.startswith("temporal") else 1, min(3, len(below))))
    c = {"type": kind, "rules": names, "timespan": f"{rng.choice([1, 3, 5, 10, 60])}s"}
    group = rng.choice([["u"], ["u", "h"], None, ["h"]])
    if group:
        c["group-by"] = group
    if kind == "event_count":
        c["condition"] = bounds(rng, True, 6)
    elif kind == "value_count":
        c["condition"] = {**bounds(rng, True, 4), "field": rng.choice(["n", ["n"], ["n", "h"]])}
    elif kind.startswith("value_"):
        c["condition"] = {**bounds(rng, False, 12), "field": "n"}
        if kind == "value_percentile":
            c["condition"]["percentile"] = rng.choice([0, 10, 25, 50, 75, 90, 99, 100])
    elif kind == "temporal" and rng.random() < 0.7:
        c["condition"] = bounds(rng, True, len(names)) if rng.random() < 0.5 else words(rng, names)
    return c


def documents_of(rng):
    documents = [{"title": x, "logsource": {"product": "test"}, "detection": {"s": {"e": x}, "condition": "s"}} for x in "abc"]
    below = ["a", "b", "c"]
    for title in ["low", "high"][rng.random() < 0.6:]:
        documents.append({"title": title, "generate": True, "correlation": correlation(rng, below)})
        below.append(title)
    return documents


def timed_event(rng):
    e = {"e": rng.choice("abc") if rng.random() < 0.93 else rng.sample("abc", 2)}
    for field, chance, choice in (("u", 0.95, "xy"), ("h", 0.9, (1, 2)), ("n", 0.85, (0, 1, 2, 3, 5, 8, "4", "x", -2, 0.5, 1.5, None))):
        if rng.random() < chance:
            e[field] = rng.choice(choice)
    return e


@pytest.mark.parametrize("part", range(4 * ROUNDS))
def test_random_correlations(tmp_path, part):
    rng = random.Random(SEED * 1000033 + part)
    documents, n, last = documents_of(rng), rng.choice([1, 10, 30, 200]), rng.choice([5, 15, 60, 550])
    times = [rng.choice([rng.randint(0, last), round(rng.uniform(0, last), 3)]) for _ in range(n)]
    events = [{**timed_event(rng), "@timestamp": t} for t in times]
    story = Story(documents, events, times)
    wanted = {(i, d["title"], group) for d in documents if "correlation" in d for i, group in story.triggers(d["title"])}
    for threads in (1, rng.choice([2, 3, 4, 8])):
        order = list(range(n))
        rng.shuffle(order)
        found, told = evaluate(tmp_path, documents, [events[i] for i in order], "--threads", str(threads), "--lateness", "10m")
        if "condition" in told:
            pytest.skip(told.splitlines()[0])  # a condition that can never hold is refused
        assert [m["event"] for m in found] == sorted(m["event"] for m in found)
        have = [(order[m["event"]], m["rule"]["title"], tuple(str(v) for v in m["group"].values())) for m in found if m["type"] == "correlation"]
        assert len(have) == len(set(have))
        assert set(have) == wanted, documents[3:]
