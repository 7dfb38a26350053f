# SPDX-License-Identifier: Apache-2.0
"""What nginx lets through to the collector, what it refuses, and what it says to browsers."""
import gzip
import http.client
import json
import re
import socket
import ssl
import subprocess
import time

import pytest
import requests
import urllib3

from edge import CONSOLE, Edge
from testbed import SOURCE

urllib3.disable_warnings()
RULES = SOURCE / "tests/e2e/data/console_rules.yml"
pytestmark = pytest.mark.skipif(not (CONSOLE / "index.html").exists(), reason="the console is not built")


@pytest.fixture
def bed(make_bed):
    return make_bed(rules=[RULES]).start()


@pytest.fixture
def edge(bed):
    edge = Edge(bed.dir / "edge", bed.dir / "api.sock")
    bed.programs.append(edge)
    return edge.start()


def get(edge, path, **options):
    return requests.get(edge.url + path, verify=edge.certificate, timeout=20, **options)


def test_the_configuration_is_valid(make_bed):
    bed = make_bed()
    result = Edge(bed.dir / "edge", bed.dir / "api.sock").check()
    assert result.returncode == 0, result.stderr
    assert "[warn]" not in result.stderr, result.stderr


def test_pages_and_files(edge):
    index = get(edge, "/")
    assert index.status_code == 200 and '<div id="app">' in index.text
    assert index.headers["Cache-Control"] == "no-cache"
    for path in ("/alerts?x=1", "/alerts/00ff", "/anything"):
        assert get(edge, path).text == index.text
    names = re.findall(r'"(/assets/[^"]+)"', index.text)
    assert len(names) == 2
    for name in names:
        asset = get(edge, name, headers={"Accept-Encoding": "gzip"}, stream=True)
        assert asset.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert asset.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(asset.raw.read()) == (CONSOLE / name[1:]).read_bytes()
    missing = get(edge, "/assets/none-123.js")
    assert missing.status_code == 404 and missing.headers["Cache-Control"] == "no-cache"


def test_headers(edge):
    for path in ("/", "/api/me", "/assets/none", "/alerts"):
        headers = get(edge, path).headers
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Strict-Transport-Security"].startswith("max-age=31536000")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Server"] == "nginx"
    assert get(edge, "/api/me").headers["Cache-Control"] == "no-store"


def test_what_is_not_for_outside(edge):
    context = ssl.create_default_context(cafile=edge.certificate)
    for path in ("/metrics", "/%6detrics", "/.git/config", "/../collector.yml", "/assets/../../collector.yml", "/assets/..%2f..%2fcollector.yml"):
        connection = http.client.HTTPSConnection("127.0.0.1", edge.port, context=context, timeout=20)
        connection.request("GET", path)  # as it stands; other clients tidy it first
        assert connection.getresponse().status in (400, 404), path
    assert get(edge, "/metrics/").text == get(edge, "/").text  # a page of the console, not the collector's


def test_refusals_in_the_api_s_own_form(edge, bed):
    large = requests.post(edge.url + "/api/login", data=b"x" * 70_000, verify=edge.certificate, timeout=20,
                          headers={"Content-Type": "application/json"})
    assert large.status_code == 413 and large.json()["error"]["code"] == "too_large"
    seen = []
    for _ in range(30):
        answer = requests.post(edge.url + "/api/login", json={"user": "nobody", "password": "x"}, verify=edge.certificate, timeout=20)
        seen.append(answer.status_code)
    assert seen[0] == 401 and seen[-1] == 429, seen
    assert answer.json()["error"]["code"] == "too_many"
    bed.collector.stop()
    away = get(edge, "/api/me")
    assert away.status_code == 503 and away.json()["error"]["code"] == "busy"


def test_tls_only_and_no_older_than_1_2(edge):
    plain = requests.get(f"http://127.0.0.1:{edge.port}/api/me", allow_redirects=False, timeout=20)
    assert plain.status_code == 301 and plain.headers["Location"] == f"https://127.0.0.1:{edge.port}/"
    assert "Set-Cookie" not in plain.headers

    def negotiate(low, high):
        result = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}", "-CAfile", str(edge.certificate),
                                 "-alpn", "h2", low, *([high] if high else [])], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                errors="replace")
        return result.returncode, result.stdout + result.stderr

    for version in ("-tls1_2", "-tls1_3"):
        code, text = negotiate(version, None)
        assert code == 0 and "ALPN protocol: h2" in text, text
    code, _ = negotiate("-tls1_1", "-cipher=ALL:@SECLEVEL=0")
    assert code != 0


def test_a_request_that_never_ends_is_cut(edge):
    context = ssl.create_default_context(cafile=edge.certificate)
    with socket.create_connection(("127.0.0.1", edge.port)) as raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as s:
        s.settimeout(30)
        s.sendall(b"GET /api/me HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        start = time.monotonic()
        while s.recv(4096):
            pass
        assert time.monotonic() - start < 20


def test_the_stream_is_not_buffered(edge, bed):
    password = bed.vonggac("user", "add", "lan", "--one-time").stdout.split()[-1]
    session = requests.Session()
    options = {"verify": edge.certificate, "timeout": 20}
    me = session.post(edge.url + "/api/login", json={"user": "lan", "password": password}, **options).json()
    changed = session.post(edge.url + "/api/password", json={"old": password, "new": "Mot-cau dai 2026"},
                           headers={"X-CSRF-Token": me["csrf"]}, **options)
    assert changed.status_code == 200, changed.text
    start = time.monotonic()
    with session.get(edge.url + "/api/stream", stream=True, **options) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith(b"data:") and b"events_total" in line:
                json.loads(line[5:])
                break
    assert time.monotonic() - start < 7
