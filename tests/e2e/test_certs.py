# SPDX-License-Identifier: Apache-2.0
"""Who gets nothing from the agents' port: strangers, foreign, expired and revoked certificates, plaintext.

The client here is Python's own TLS, so that it may do what our agent never would.
"""
import socket
import ssl
import struct
import subprocess
import time
from contextlib import closing

import pytest

from testbed import PATIENCE_S, SOURCE, wait_until

RULES = [SOURCE / "tests/e2e/data/rules.yml"]
HELLO, WELCOME, ENROL, BYE = 1, 2, 9, 8
BYE_PROTOCOL, BYE_DENIED = 1, 3


def string(b):
    return struct.pack("<H", len(b)) + b


def frame(kind, body):
    return struct.pack("<IB3x", len(body) + 4, kind) + body


HELLO_FRAME = frame(HELLO, struct.pack("<H", 1) + string(b"web-1") + string(b"test"))


def openssl(*args, **kwargs):
    return subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=PATIENCE_S, **kwargs)


def make_certificate(folder, name, ca, ca_key, agent_id, days=30, usage="clientAuth"):
    """A certificate of that authority, as our collector would issue it; returns (certificate, key)."""
    key, csr, crt, ext = (folder / f"{name}.{end}" for end in ("key", "csr", "crt", "ext"))
    ext.write_text("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                   f"extendedKeyUsage={usage}\n")
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    openssl("req", "-new", "-key", key, "-subj", f"/CN={agent_id}", "-out", csr)
    openssl("x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca_key, "-set_serial", time.time_ns(), "-days", days,
            "-extfile", ext, "-out", crt)
    return crt, key


class Client:
    def __init__(self, bed, certificate=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(bed.state / "pki/ca.crt")
        context.set_alpn_protocols(["vonggac/1"])
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if certificate:
            context.load_cert_chain(*certificate)
        raw = socket.create_connection(("127.0.0.1", bed.port), PATIENCE_S)
        self.tls = context.wrap_socket(raw, server_hostname="127.0.0.1")

    def say(self, data):
        try:
            self.tls.sendall(data)
        except OSError:
            pass  # the collector has closed: what it said before is read next
        return self

    def hear(self):
        """Every frame until the connection ends, as (type, body); [] also when it ends with an alert."""
        data = b""
        try:
            while chunk := self.tls.recv(65536):
                data += chunk
        except OSError:
            pass
        frames = []
        while len(data) >= 8:
            length, kind = struct.unpack_from("<IB", data)
            frames.append((kind, data[8:4 + length]))
            data = data[4 + length:]
        return frames


def expect_bye(frames, code):
    assert [kind for kind, _ in frames] == [BYE], frames
    assert struct.unpack_from("<H", frames[0][1])[0] == code, frames


@pytest.fixture
def running(make_bed):
    return make_bed(rules=RULES).start()


@pytest.fixture
def agent(running):
    agent = running.agent()
    agent.enroll()
    return agent


def nothing_stored(bed):
    assert bed.metric("events_total") == 0
    assert bed.collector.is_running()


def test_our_own_certificate_gets_in(running, agent):
    """The client works; so what the others do not get is not its fault."""
    client = Client(running, (agent.state / "agent.crt", agent.state / "agent.key")).say(HELLO_FRAME)
    client.tls.settimeout(PATIENCE_S)
    assert client.tls.recv(5)[4] == WELCOME


def test_a_foreign_certificate_gets_nothing(running, agent, tmp_path):
    ca, ca_key = tmp_path / "other.crt", tmp_path / "other.key"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
            "/CN=End to end", "-days", 30, "-out", ca, "-keyout", ca_key)
    certificate = make_certificate(tmp_path, "foreign", ca, ca_key, agent.id)
    assert Client(running, certificate).say(HELLO_FRAME).hear() == []
    nothing_stored(running)


def test_an_expired_certificate_gets_nothing(running, agent, tmp_path):
    pki = running.state / "pki"
    key, csr, crt = tmp_path / "old.key", tmp_path / "old.csr", tmp_path / "old.crt"
    make_certificate(tmp_path, "old", pki / "ca.crt", pki / "ca.key", agent.id)
    (tmp_path / "index").write_text("")
    (tmp_path / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nrand_serial=yes\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\n"
        "unique_subject=no\n[p]\ncommonName=supplied\n" % (tmp_path, tmp_path))
    openssl("ca", "-batch", "-config", tmp_path / "ca.cnf", "-in", csr, "-out", crt, "-cert", pki / "ca.crt", "-keyfile",
            pki / "ca.key", "-startdate", "20240101000000Z", "-enddate", "20240201000000Z", "-extfile",
            tmp_path / "old.ext", "-notext")
    assert Client(running, (crt, key)).say(HELLO_FRAME).hear() == []
    nothing_stored(running)


def test_a_server_certificate_is_no_agent(running, agent, tmp_path):
    pki = running.state / "pki"
    certificate = make_certificate(tmp_path, "server", pki / "ca.crt", pki / "ca.key", agent.id, usage="serverAuth")
    assert Client(running, certificate).say(HELLO_FRAME).hear() == []
    nothing_stored(running)


def test_a_certificate_never_enrolled_is_denied(running, tmp_path):
    pki = running.state / "pki"
    certificate = make_certificate(tmp_path, "ghost", pki / "ca.crt", pki / "ca.key",
                                   "11111111-2222-4333-8444-555555555555")
    expect_bye(Client(running, certificate).say(HELLO_FRAME).hear(), BYE_DENIED)


def test_a_revoked_agent_is_cut_off_and_stays_out(running, agent):
    log = running.dir / "logs" / "auth.log"
    log.write_text("one\n")
    agent.start()
    running.wait_detected(1)
    running.vonggac("agent", "revoke", agent.id)
    wait_until("cut off", lambda: running.metric("agents_connected") == 0, timeout_s=10)
    with open(log, "a") as f:
        f.write("two\n")
    time.sleep(2)
    assert running.export_raw() == b"one\n"
    certificate = (agent.state / "agent.crt", agent.state / "agent.key")
    expect_bye(Client(running, certificate).say(HELLO_FRAME).hear(), BYE_DENIED)
    assert agent.is_running() and b"revoked" in running.vonggac("agent", "list", text=False).stdout


def test_a_stranger_may_only_enrol(running):
    expect_bye(Client(running).say(HELLO_FRAME).hear(), BYE_PROTOCOL)
    enrol = frame(ENROL, string(bytes(32)) + string(b"web-1") + string(b"not a request"))
    expect_bye(Client(running).say(enrol).hear(), BYE_DENIED)
    nothing_stored(running)


def test_a_token_is_good_once(running, agent):
    token = running.token()
    second = running.agent("second")
    second.enroll(token)
    third = running.agent("third")
    refused = third.enroll(token, check=False)
    assert refused.returncode == 1
    assert not (third.state / "agent.crt").exists()


def test_an_agent_enrols_only_with_the_authority_of_its_token(running, make_bed):
    """A collector in the middle has another authority: the agent must not tell it the token's secret."""
    other = make_bed("other", rules=RULES).start()
    victim = running.agent("victim")
    victim.config.write_text(victim.config.read_text().replace(str(running.port), str(other.port)))
    refused = victim.enroll(running.token(), check=False)
    assert refused.returncode == 1
    assert other.metric("enrol_denied_total") == 0  # it was never asked


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2])
def test_older_tls_gets_nothing(running, version):
    context = ssl.create_default_context(cafile=running.state / "pki/ca.crt")
    context.set_alpn_protocols(["vonggac/1"])
    context.maximum_version = version
    with closing(socket.create_connection(("127.0.0.1", running.port), PATIENCE_S)) as raw, pytest.raises(OSError):
        context.wrap_socket(raw, server_hostname="127.0.0.1")


@pytest.mark.parametrize("text", [b"GET / HTTP/1.0\r\n\r\n", b"<34>Oct 11 22:14:15 host su: hello\n", b"\0" * 4096,
                                  HELLO_FRAME])
def test_plaintext_gets_nothing(running, text):
    with closing(socket.create_connection(("127.0.0.1", running.port), PATIENCE_S)) as raw:
        raw.sendall(text)
        answer = b""
        try:
            while chunk := raw.recv(4096):
                answer += chunk
        except OSError:
            pass
    assert answer == b"" or (answer[0] == 21 and len(answer) == 7), answer  # at most a TLS alert
    nothing_stored(running)


def test_the_collector_listens_nowhere_else(running):
    """Its only TCP socket is the agents' port, and that one speaks TLS."""
    inodes = set()
    fds = f"/proc/{running.collector.process.pid}/fd"
    for fd in subprocess.run(["ls", "-l", fds], capture_output=True, text=True, check=True).stdout.split():
        if fd.startswith("socket:["):
            inodes.add(fd[8:-1])
    ports = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        with open(f"/proc/{running.collector.process.pid}/net/{table}") as f:
            for line in list(f)[1:]:
                columns = line.split()
                if columns[9] in inodes and (columns[3] == "0A" or table.startswith("udp")):
                    ports.add((table[:3], int(columns[1].rsplit(":", 1)[1], 16)))
    assert ports == {("tcp", running.port)}
