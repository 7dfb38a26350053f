# SPDX-License-Identifier: Apache-2.0
"""A second reading of Sigma, slow and plain, that shares nothing with the engine: what a rule finds in an event, and which events are
triggers of a correlation (by the contract in rules/matcher.h). Rules are documents as YAML would load them. Knows no pytest.

Covers what random rules are made of: maps, lists, keywords, every modifier but the time's and expand; every type of correlation. Case
folding is Python's lower(), so values should keep to scripts where that is enough.
"""

import base64
import ipaddress
import itertools
import re
from fractions import Fraction

ANY, ONE, DASH = ("*",), ("?",), ("-",)  # tokens beside plain characters
DASHES = "-/\u2013\u2014\u2015"


# ---- values of an event

def scalars(value):
    """Arrays taken apart; objects have no value of their own."""
    if isinstance(value, list):
        return [x for item in value for x in scalars(item)]
    return [] if isinstance(value, dict) else [value]


def flat(value):
    return [None] if value in ([], {}) else scalars(value)  # what is empty is null


def everything(value):
    if isinstance(value, dict):
        return [x for item in value.values() for x in everything(item)]
    return [x for item in value for x in everything(item)] if isinstance(value, list) else [value]


def values(event, field):
    if field in event:
        return flat(event[field])
    found = [event]
    for part in field.split("."):
        items = [x for f in found for x in (f if isinstance(f, list) else [f])]
        found = [x[part] for x in items if isinstance(x, dict) and part in x]
    return [x for f in found for x in flat(f)]


def text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)


def number(value):
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return Fraction(str(value))
    return Fraction(value) if re.fullmatch(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", value) else None


# ---- strings: tokens, modifiers in their order, one regular expression for each outcome

def tokens(s):
    out, i = [], 0
    while i < len(s):
        if s[i] == "\\" and s[i + 1:i + 2] in ("*", "?", "\\"):
            i += 1
            out.append(s[i])
        else:
            out.append({"*": ANY, "?": ONE}.get(s[i], s[i]))
        i += 1
    return out


def with_dashes(toks):
    def is_word(t):
        return isinstance(t, str) and (t.isalnum() or t == "_")

    def is_flag(i):
        before, behind = toks[i - 1] if i else None, toks[i + 1] if i + 1 < len(toks) else None
        return isinstance(toks[i], str) and toks[i] in DASHES and is_word(behind) and not is_word(before)
    return [DASH if is_flag(i) else t for i, t in enumerate(toks)]


def written_out(toks):
    """Every string that the dashes stand for, as bytes."""
    places = [i for i, t in enumerate(toks) if t == DASH]
    for dashes in itertools.product(DASHES, repeat=len(places)):
        out = list(toks)
        for i, dash in zip(places, dashes):
            out[i] = dash
        yield "".join(t if isinstance(t, str) else t.decode("latin-1") for t in out)


def base64_at(data, offset):
    """The part of the encoding that is the same whatever stands around."""
    coded = base64.b64encode(bytes(offset) + data).decode()
    return coded[(0, 2, 3)[offset]:(None, -3, -2)[(len(data) + offset) % 3]]


def encoded(strings, modifier, is_wide):
    for s in strings:
        data = s.encode("latin-1" if is_wide else "utf-8")  # after `wide` each character stands for a byte
        if modifier == "wide":
            yield list(s.encode("utf-16le").decode("latin-1"))
        elif modifier == "base64":
            yield list(base64.b64encode(data).decode())
        else:
            yield from (list(part) for part in (base64_at(data, i) for i in range(3)) if part)


def patterns(modifiers, value, is_keyword):
    outcomes, is_wide = [tokens(value)], False
    for m in modifiers:
        if m == "windash":
            outcomes = [with_dashes(t) for t in outcomes]
        elif m in ("contains", "startswith", "endswith"):
            outcomes = [[ANY] * (m != "startswith") + t + [ANY] * (m != "endswith") for t in outcomes]
        elif m in ("wide", "base64", "base64offset"):
            outcomes = [e for t in outcomes for e in encoded(written_out(t), m, is_wide)]
            is_wide |= m == "wide"
    if is_keyword and not {"contains", "startswith", "endswith"} & set(modifiers):
        outcomes = [[ANY] + t + [ANY] for t in outcomes]
    special = {ANY: ".*", ONE: ".", DASH: f"[{DASHES}]"}
    flags = re.S if "cased" in modifiers else re.S | re.I
    for t in outcomes:
        yield re.compile("".join(special.get(x) or re.escape(x) for x in t), flags)


# ---- a field, a selection, a condition

def related(a, b, modifiers):
    if a is None or b is None:
        return a is b and not {"contains", "startswith", "endswith"} & set(modifiers)
    a, b = text(a), text(b)
    if "cased" not in modifiers:
        a, b = a.lower(), b.lower()
    return (b in a if "contains" in modifiers else a.startswith(b) if "startswith" in modifiers
            else a.endswith(b) if "endswith" in modifiers else a == b)


def in_network(value, network):
    try:
        return ipaddress.ip_address(text(value)) in ipaddress.ip_network(network)
    except ValueError:
        return False


COMPARISONS = {"lt": lambda a, b: a < b, "lte": lambda a, b: a <= b, "gt": lambda a, b: a > b, "gte": lambda a, b: a >= b,
               "eq": lambda a, b: a == b, "neq": lambda a, b: a != b}


def one_value(event, field, modifiers, wanted):
    found = values(event, field) if field else everything(event)
    present = [v for v in found if v is not None]
    if wanted is None:
        return len(present) < len(found) or not found
    if "exists" in modifiers:
        return bool(found) == wanted
    if "re" in modifiers:
        regex = re.compile(wanted, re.I if "i" in modifiers else 0)
        return any(regex.match(text(v)) if "startswith" in modifiers else regex.search(text(v)) for v in present)
    if "cidr" in modifiers:
        return any(in_network(v, wanted) for v in present)
    for op in ("lt", "lte", "gt", "gte"):
        if op in modifiers:
            return any(number(v) is not None and COMPARISONS[op](number(v), Fraction(str(wanted))) for v in present)
    if "fieldref" in modifiers:
        return any(related(a, b, modifiers) for a in found for b in values(event, wanted))
    regexes = list(patterns(modifiers, wanted if isinstance(wanted, str) else text(wanted), not field))
    return any(r.fullmatch(text(v)) for r in regexes for v in present)


def item_holds(event, key, wanted):
    field, *modifiers = key.split("|")
    join = all if "all" in modifiers else any
    holds = join(one_value(event, field, modifiers, w) for w in (wanted if isinstance(wanted, list) else [wanted]))
    return holds != ("neq" in modifiers)


def selection_holds(event, selection):
    if isinstance(selection, list):
        return any(selection_holds(event, s) for s in selection)
    return all(item_holds(event, key, wanted) for key, wanted in selection.items())


def boolean(condition, holds):
    """A condition of and, or, not and brackets over names whose truth `holds` has; also "1 of", "any of", "all of"."""
    def of(m):
        names = [n for n in holds if (m[2] == "them" or re.fullmatch(m[2].replace("*", ".*"), n)) and not n.startswith("_")]
        return str((all if m[1] == "all" else any)(holds[n] for n in names))
    condition = re.sub(r"\b(1|any|all) of ([\w*]+)", of, condition)
    words = re.findall(r"[()]|[^\s()]+", condition)
    known = ("and", "or", "not", "(", ")", "True", "False")
    return bool(eval(" ".join(w if w in known else str(holds[w]) for w in words)))  # the words are ours


def detection_holds(rule, event):
    selections = {k: v for k, v in rule["detection"].items() if k != "condition"}
    return boolean(rule["detection"]["condition"], {k: selection_holds(event, s) for k, s in selections.items()})


# ---- correlations

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def aggregate(kind, condition, numbers):
    numbers = sorted(numbers)
    if kind == "value_sum":
        return sum(numbers)
    if kind == "value_avg":
        return sum(numbers) / Fraction(len(numbers))
    percent = condition.get("percentile", 50) if kind == "value_percentile" else 50
    rank = Fraction(percent) * (len(numbers) - 1) / 100
    low = numbers[int(rank)]
    return low + (rank - int(rank)) * (numbers[int(rank) + 1] - low) if rank != int(rank) else low


def within(condition, value):
    return all(COMPARISONS[op](value, Fraction(str(bound))) for op, bound in condition.items() if op in COMPARISONS)


def is_sequence(window, n_rules, at):
    """Hits of all rules in their order, times not decreasing, the last one at `at`."""
    latest = at
    for rule in reversed(range(n_rules)):
        times = [h["t"] for h in window if h["rule"] == rule and h["t"] <= latest]
        if not times or (rule == n_rules - 1 and at not in times):
            return False
        latest = at if rule == n_rules - 1 else max(times)
    return True


class Story:
    """Documents and events with their times: events are dicts, times numbers, in the same order."""

    def __init__(self, documents, events, times):
        self.documents = {d["title"]: d for d in documents}
        self.events, self.times = events, [Fraction(str(t)) for t in times]
        self.known = {}

    def matches(self, title):
        """Indexes of the events that a rule matches or a correlation is triggered by."""
        d = self.documents[title]
        if "correlation" in d:
            return {index for index, group in self.triggers(title)}
        return {i for i, e in enumerate(self.events) if detection_holds(d, e)}

    def hits(self, c):
        condition = c.get("condition")
        fields = condition.get("field") if isinstance(condition, dict) else None
        fields = [fields] if isinstance(fields, str) else fields or []
        for rule, title in enumerate(c["rules"]):
            for i in self.matches(title):
                group = [values(self.events[i], g)[:1] for g in c.get("group-by", [])]
                found = [values(self.events[i], f)[:1] for f in fields]
                if any(v in ([], [None]) for v in group + found):
                    continue
                value = tuple(text(v[0]) for v in found)
                if fields and c["type"] != "value_count":
                    value = number(found[0][0])
                    if value is None:
                        continue
                yield {"event": i, "t": self.times[i], "rule": rule, "group": tuple(text(g[0]) for g in group), "value": value}

    def is_trigger(self, c, hit, window):
        kind, condition = c["type"], c.get("condition")
        by_event = {h["event"]: h for h in window}
        if kind == "event_count":
            return within(condition, len(by_event))
        if kind == "value_count":
            return within(condition, len({h["value"] for h in window}))
        if kind.startswith("value_"):
            return within(condition, aggregate(kind, condition, [h["value"] for h in by_event.values()]))
        seen = {h["rule"] for h in window}
        if kind == "temporal_ordered":
            return hit["rule"] == len(c["rules"]) - 1 and is_sequence(window, len(c["rules"]), hit["t"])
        if isinstance(condition, str):
            return boolean(condition, {title: rule in seen for rule, title in enumerate(c["rules"])})
        return within(condition or {"gte": len(c["rules"])}, len(seen))

    def triggers(self, title):
        """The set of (event, group)."""
        if title not in self.known:
            c = self.documents[title]["correlation"]
            hits, span = list(self.hits(c)), int(c["timespan"][:-1]) * SECONDS[c["timespan"][-1]]
            self.known[title] = {
                (h["event"], h["group"]) for h in hits
                if self.is_trigger(c, h, [o for o in hits if o["group"] == h["group"] and h["t"] - span < o["t"] <= h["t"]])}
        return self.known[title]
