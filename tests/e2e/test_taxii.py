# SPDX-License-Identifier: Apache-2.0
"""From a line in a log to an object at the national centre, with a real TAXII server and a contrary one."""
import collections
import json
import sqlite3
import time

import pytest
from stix2validator import ValidationOptions, validate_instance

from taxii_peer import PASSWORD, Analyst, Authority, Contrary, Medallion, taken
from testbed import wait_until

RULE = """
title: Failed SSH password
title_vi: Sai mật khẩu SSH
id: 2f8a9a2e-6d0b-4f2b-9d6c-0a3f3c1b7e55
author: Test
status: test
logsource: {product: linux, service: sshd}
detection:
    keywords:
        - Failed password
    condition: keywords
tags: [attack.credential-access, attack.t1110.001, tcvn14423.5-6-1c]
level: medium
"""


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "peer-pki")


@pytest.fixture
def options(tmp_path, authority):
    """collector.yml's taxii section, with everything the peer asks for."""
    cert, key = authority.client()
    secret = tmp_path / "peer-password"
    secret.write_text("peer-password\n")
    secret.chmod(0o600)
    return lambda url, **more: "taxii:\n" + "".join(f"  {k}: {v}\n" for k, v in {
        "url": url, "authority": authority.cert, "certificate": cert, "key": key, "user": "soc", "password_file": secret,
        **more}.items() if v) + "soc: {name: SOC thử nghiệm}\n"


@pytest.fixture
def medallion(tmp_path, authority):
    peer = Medallion(tmp_path / "peer", authority)
    yield peer
    peer.end()


@pytest.fixture
def contrary(authority):
    peer = Contrary(authority)
    yield peer
    peer.end()


@pytest.fixture
def soc(make_bed, tmp_path):
    """soc(options) -> (bed, analyst): a running collector with one rule and one agent."""
    def make(options):
        rule = tmp_path / "rule.yml"
        rule.write_text(RULE)
        bed = make_bed(rules=[rule], options=options)
        bed.start()
        agent = bed.agent()
        agent.enroll()
        agent.start()
        return bed, Analyst(bed)
    return make


def attack(bed, analyst, addresses):
    """Each address fails once to sign in; the alerts it makes."""
    known = {a["id"] for a in analyst.get("/api/alerts?status=all&limit=500")["alerts"]}
    stamp = time.strftime("%b %e %H:%M:%S")
    with open(bed.dir / "logs" / "auth.log", "a") as log:
        for address in addresses:
            log.write(f"{stamp} web01 sshd[811]: Failed password for root from {address} port 4711 ssh2\n")

    def arrived():
        alerts = analyst.get("/api/alerts?status=all&limit=500")["alerts"]
        fresh = [a for a in alerts if a["id"] not in known]
        return fresh if len(fresh) == len(addresses) else None
    return wait_until("alerts", arrived)


def assert_valid(objects):
    for stix_object in objects:
        result = validate_instance(stix_object, ValidationOptions(version="2.1"))
        assert not result.errors and not result.warnings, (stix_object, result.errors, result.warnings)


def of_type(objects, kind):
    return [o for o in objects if o["type"] == kind]


# ---- with medallion ----

def test_an_incident_arrives_and_is_acknowledged(medallion, soc, options):
    medallion.start()
    bed, analyst = soc(options(medallion.url))
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7", "10.0.0.9"]))
    delivery = analyst.wait_delivery(incident, "acknowledged")

    held = medallion.objects()
    assert_valid(held)
    assert {o["id"] for o in held} == {o["id"] for o in delivery["objects"]}
    assert delivery["success_count"] == len(held) and delivery["failure_count"] == delivery["pending_count"] == 0
    assert all(o["status"] == "success" for o in delivery["objects"])
    assert [o["id"] for o in of_type(held, "incident")] == [f"incident--{incident['id']}"]
    assert [o["value"] for o in of_type(held, "ipv4-addr")] == ["203.0.113.7"]
    assert of_type(held, "sighting") and of_type(held, "note")
    text = str(held)
    assert "10.0.0.9" not in text and "root" not in text and "lan" not in [o.get("created_by") for o in held]
    assert "SOC thử nghiệm" in [o["name"] for o in of_type(held, "identity")]

    outbox = analyst.get("/api/outbox")
    assert outbox["queued"] == 0 and outbox["destination"]["enabled"] and outbox["last_error"] is None
    assert outbox["destination"]["certificate_not_after"] > "2026"
    history = [h["action"] for h in analyst.get(f"/api/incidents/{incident['id']}")["history"]]
    assert history == ["incident.create", "delivery.acknowledged"]
    assert PASSWORD not in bed.collector.text() and "peer-password" not in bed.collector.text()


def test_a_second_incident_sends_only_what_is_new(medallion, soc, options):
    """medallion calls an object that it holds a failure; ours must not be sent twice."""
    medallion.start()
    bed, analyst = soc(options(medallion.url))
    first = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    analyst.wait_delivery(first, "acknowledged")
    second = analyst.escalate(attack(bed, analyst, ["203.0.113.7", "203.0.113.8"]))
    delivery = analyst.wait_delivery(second, "acknowledged")
    assert delivery["success_count"] == len(delivery["objects"])
    held = medallion.objects()
    assert len(of_type(held, "incident")) == 2
    assert len(of_type(held, "ipv4-addr")) == 2 and len(of_type(held, "attack-pattern")) == 1
    assert len(of_type(held, "identity")) == 2
    assert_valid(held)


def test_what_the_peer_holds_already_is_no_failure(medallion, soc, options):
    """A collector that died after pushing and before writing it down pushes again: the peer refuses what it has."""
    medallion.start()
    bed, analyst = soc(options(medallion.url))
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    analyst.wait_delivery(incident, "acknowledged")
    held = medallion.objects()
    bed.collector.kill()
    with sqlite3.connect(bed.state / "state.db") as db:
        db.execute("DELETE FROM outbox_objects")
        db.execute("UPDATE outbox SET state = 'queued', next_try_ns = 0, response_json = NULL, acknowledged_ns = NULL")
    bed.start()
    delivery = analyst.wait_delivery(incident, "acknowledged")
    assert delivery["success_count"] == len(delivery["objects"]) and delivery["failure_count"] == 0
    assert medallion.objects() == held


def test_the_peer_is_down_and_comes_back(medallion, soc, options):
    medallion.start()
    medallion.close()
    bed, analyst = soc(options(medallion.url))
    alerts = attack(bed, analyst, [f"203.0.113.{i}" for i in range(1, 4)])
    incidents = [analyst.escalate([a]) for a in alerts]
    wait_until("an error is shown", lambda: analyst.get("/api/outbox")["last_error"])
    outbox = analyst.get("/api/outbox")
    assert outbox["queued"] == 3 and outbox["oldest_queued"] is not None
    # The queue is on disk: neither kind of end loses it.
    bed.collector.kill()
    bed.start()
    bed.collector.stop()
    bed.start()
    assert analyst.get("/api/outbox")["queued"] == 3
    medallion.open()
    analyst.post(f"/api/outbox/{analyst.delivery(incidents[0])['id']}/retry", {})
    for incident in incidents:
        analyst.wait_delivery(incident, "acknowledged")
    held = medallion.objects()
    assert [o["id"] for o in of_type(held, "incident")] == [f"incident--{i['id']}" for i in incidents]  # oldest first
    assert_valid(held)


def test_small_messages_where_the_peer_wants_them(tmp_path, authority, soc, options):
    peer = Medallion(tmp_path / "peer", authority, max_content_length=4000).start()
    try:
        bed, analyst = soc(options(peer.url))
        incident = analyst.escalate(attack(bed, analyst, [f"203.0.113.{i}" for i in range(1, 31)]))
        delivery = analyst.wait_delivery(incident, "acknowledged")
        assert delivery["success_count"] == len(peer.objects()) == delivery["object_count"]
        sizes = [int(line.split('"')[2].split()[1]) for line in (tmp_path / "peer/access.log").read_text().splitlines()]
        assert len(sizes) > 5
    finally:
        peer.end()


def test_a_peer_that_is_not_who_it_should_be_gets_nothing(tmp_path, medallion, soc, options):
    medallion.start()
    other = Authority(tmp_path / "other-pki", "Somebody else")
    bed, analyst = soc(options(medallion.url, authority=other.cert))
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    error = wait_until("an error is shown", lambda: analyst.delivery(incident)["last_error"])
    assert "certificate" in error
    assert analyst.delivery(incident)["state"] == "queued" and medallion.objects() == []


def test_without_our_certificate_the_peer_refuses(medallion, soc, options):
    medallion.start()
    bed, analyst = soc(options(medallion.url, certificate=None, key=None))
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    wait_until("an error is shown", lambda: analyst.delivery(incident)["last_error"])
    assert analyst.delivery(incident)["state"] in ("queued", "rejected") and medallion.objects() == []


def test_without_a_destination_reports_wait(soc):
    bed, analyst = soc("")
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    outbox = analyst.get("/api/outbox")
    assert outbox["destination"]["enabled"] is False and outbox["queued"] == 1
    delivery = analyst.delivery(incident)
    assert delivery["state"] == "queued" and delivery["attempts"] == 0
    assert_valid(_bundle(bed))


def _bundle(bed):
    return json.loads(bed.query("SELECT bundle_json FROM outbox")[0][0])["objects"]


# ---- with a contrary peer ----

def answer(status, headers=None, document=None):
    return lambda handler, objects: (status, headers or {}, document if document is not None else {"title": f"No: {status}"})


def test_headers_and_envelope(contrary, soc, options):
    bed, analyst = soc(options(contrary.url))
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    analyst.wait_delivery(incident, "acknowledged")
    headers = contrary.headers[0]
    assert headers["Content-Type"] == headers["Accept"] == "application/taxii+json;version=2.1"
    assert headers["Authorization"].startswith("Basic ") and "Expect" not in headers
    assert {o["id"] for o in contrary.pushes[0]} == {o["id"] for o in analyst.delivery(incident)["objects"]}


def test_pending_is_polled(contrary, soc, options):
    bed, analyst = soc(options(contrary.url))
    answers = collections.deque()

    def pending(handler, objects):
        first = {"id": "11111111-1111-4111-8111-111111111111", "status": "pending", "total_count": len(objects),
                 "success_count": 1, "successes": [{"id": objects[0]["id"], "version": objects[0]["modified"]}],
                 "failure_count": 0, "pending_count": len(objects) - 1,
                 "pendings": [{"id": o["id"]} for o in objects[1:]]}
        answers.append(first)
        answers.append({**taken(objects), "id": first["id"]})
        contrary.polls[first["id"]] = answers
        return 202, {}, first
    contrary.script.append(pending)
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    delivery = analyst.wait_delivery(incident, "sent")
    assert delivery["success_count"] == 1 and delivery["pending_count"] == delivery["object_count"] - 1
    assert {o["status"] for o in delivery["objects"]} == {"success", "pending"}
    # The poll goes on where it was after a crash.
    bed.collector.kill()
    bed.start()
    delivery = analyst.wait_delivery(incident, "acknowledged")
    assert delivery["success_count"] == delivery["object_count"] and delivery["pending_count"] == 0
    assert len(contrary.pushes) == 1 and delivery["attempts"] == 1


def test_a_forgotten_status_is_pushed_again(contrary, soc, options):
    bed, analyst = soc(options(contrary.url))
    contrary.script.append(lambda handler, objects: (202, {}, {
        "id": "22222222-2222-4222-8222-222222222222", "status": "pending", "total_count": len(objects), "success_count": 0,
        "failure_count": 0, "pending_count": len(objects)}))
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    analyst.wait_delivery(incident, "sent")
    analyst.wait_delivery(incident, "acknowledged")
    assert len(contrary.pushes) == 2


def test_retry_after_is_kept(contrary, soc, options):
    bed, analyst = soc(options(contrary.url))
    contrary.script.extend([answer(503, {"Retry-After": "7"}), answer(429, {"Retry-After": "6"})])
    began = time.monotonic()
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    delivery = analyst.wait_delivery(incident, "acknowledged")
    assert time.monotonic() - began >= 13 and delivery["attempts"] == 3
    assert delivery["last_error"] is None


def test_one_bad_row_does_not_hold_up_the_others(contrary, soc, options):
    bed, analyst = soc(options(contrary.url))
    contrary.script.append(answer(500))
    alerts = attack(bed, analyst, ["203.0.113.7", "203.0.113.8"])
    first = analyst.escalate([alerts[0]])
    wait_until("refused", lambda: analyst.delivery(first)["last_error"])
    second = analyst.escalate([alerts[1]])
    analyst.wait_delivery(second, "acknowledged")
    analyst.wait_delivery(first, "acknowledged")


def test_too_large_is_split(contrary, soc, options):
    bed, analyst = soc(options(contrary.url))
    contrary.script.extend([answer(413), answer(413)])
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    delivery = analyst.wait_delivery(incident, "acknowledged")
    lengths = [len(p) for p in contrary.pushes]
    assert lengths[0] > lengths[1] > lengths[2] >= 1
    assert sum(lengths[2:]) == delivery["object_count"]


@pytest.mark.parametrize("status", [400, 422])
def test_refused_is_for_a_person_to_decide(contrary, soc, options, status):
    bed, analyst = soc(options(contrary.url))
    contrary.script.append(answer(status, document={"title": "Unprocessable", "description": "we do not like it"}))
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    delivery = analyst.wait_delivery(incident, "rejected")
    assert delivery["last_error"] == f"HTTP {status}: Unprocessable: we do not like it"
    time.sleep(1)
    assert len(contrary.pushes) == 1
    analyst.post(f"/api/outbox/{delivery['id']}/retry", {})
    analyst.wait_delivery(incident, "acknowledged")


def test_refused_objects_are_named(contrary, soc, options):
    bed, analyst = soc(options(contrary.url))

    def partly(handler, objects):
        bad = [o for o in objects if o["type"] == "note"]
        good = [o for o in objects if o["type"] != "note"]
        return 202, {}, taken(good, total_count=len(objects), failure_count=1, failures=[
            {"id": bad[0]["id"], "version": bad[0]["modified"], "message": "no notes here"}])
    contrary.script.append(partly)
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    delivery = analyst.wait_delivery(incident, "rejected")
    assert delivery["failure_count"] == 1 and delivery["success_count"] == delivery["object_count"] - 1
    assert "no notes here" in delivery["last_error"]
    assert [(o["type"], o["status"], o["message"]) for o in delivery["objects"] if o["status"] != "success"] == \
        [("note", "failure", "no notes here")]
    # Trying again sends the one that is missing.
    analyst.post(f"/api/outbox/{delivery['id']}/retry", {})
    analyst.wait_delivery(incident, "acknowledged")
    assert [[o["type"] for o in p] for p in contrary.pushes[1:]] == [["note"]]


@pytest.mark.parametrize("nonsense", [
    answer(202, document=b"<html>thank you</html>"),
    answer(202, headers={"Content-Type": "text/html"}),
    answer(202, document={"id": "../../objects", "status": "complete"}),
    answer(202, document=b"{" * 100000),
    answer(302, headers={"Location": "https://localhost:1/"}),
    answer(204, document=b""),
])
def test_nonsense_is_tried_again(contrary, soc, options, nonsense):
    bed, analyst = soc(options(contrary.url))
    contrary.script.append(nonsense)
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    wait_until("an error is shown", lambda: analyst.delivery(incident)["last_error"])
    delivery = analyst.wait_delivery(incident, "acknowledged")
    assert delivery["attempts"] == 2


def test_stopping_does_not_wait_for_a_slow_peer(contrary, soc, options):
    bed, analyst = soc(options(contrary.url))

    def slow(handler, objects):
        time.sleep(30)
        return 202, {}, taken(objects)
    contrary.script.append(slow)
    incident = analyst.escalate(attack(bed, analyst, ["203.0.113.7"]))
    wait_until("pushed", lambda: contrary.pushes)
    began = time.monotonic()
    bed.collector.stop()
    assert time.monotonic() - began < 10
    bed.start()
    analyst.wait_delivery(incident, "acknowledged")
