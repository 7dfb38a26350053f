#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_path.py [--lines N] [--peers] [--json]: the whole path, measured with the real programs on loopback.

Throughput: a file of generated lines, an enrolled agent, mutual TLS, a collector with the level-3 rules; how long until the
last line is on disk at the collector, and until detection has committed it. Latency: single attack lines at random moments,
from write() to the browser's event stream. Peers (--peers): rsyslog to rsyslog, the same file, runs interleaved with ours,
so that what else the machine does hits both and the ratio holds. README.md says how to read the rows.

Nothing is asserted about time. It fails only when lines are missing. Everything is bounded in time and lives in a folder
that is removed; only processes started here are ended.
"""
import argparse
import copy
import hashlib
import http.client
import json
import os
import random
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

TICK = os.sysconf("SC_CLK_TCK")
ALERT_RULE = "7d04f6c4-6dae-4f27-a088-a8bdf04a1f58"  # rules/level3/ssh_root_login.yml: one alert an address
USER, PASSWORD = "bench", "Line-to-alert-" + os.urandom(9).hex() + "A1!"


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- what a process used ----

def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def peak_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def bytes_read(pid):
    return int(Path(f"/proc/{pid}/io").read_text().split("rchar:", 1)[1].split()[0])


def wait(what, condition, timeout_s, every_s=0.005):
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"bench_path: {what}: not within {timeout_s:.0f} s")
        time.sleep(every_s)
    return time.monotonic()


class Row:
    """One measurement: the columns of bench.h, then what the receiver held and both sides' CPU seconds a million events."""

    def __init__(self, what, events, size, took_s, send_kib, receive_kib=None, send_cpu_s=None, receive_cpu_s=None):
        self.what, self.events, self.bytes, self.took_s = what, events, size, took_s
        self.send_kib, self.receive_kib = send_kib, receive_kib
        self.cpu = [None if s is None else s * 1e6 / events for s in (send_cpu_s, receive_cpu_s)]

    @property
    def rate(self):
        return self.events / self.took_s

    def text(self):
        text = (f"{self.what:<34} {self.rate:12.0f} events/s {self.took_s / self.events * 1e9:8.1f} ns/event "
                f"{self.bytes / self.took_s / 1e6:8.1f} MB/s {self.send_kib:6d} KiB RSS")
        if self.receive_kib is not None:
            text += f" + {self.receive_kib:6d} at the receiver"
        if self.cpu[0] is not None:
            text += f"; CPU {self.cpu[0]:.2f}" + (f" + {self.cpu[1]:.2f}" if self.cpu[1] is not None else "") + " s/M"
        return text

    def values(self):
        return {"what": self.what, "events": self.events, "events_per_s": self.rate,
                "ns_per_event": self.took_s / self.events * 1e9, "mb_per_s": self.bytes / self.took_s / 1e6,
                "send_rss_kib": self.send_kib, "receive_rss_kib": self.receive_kib,
                "send_cpu_s_per_million": self.cpu[0], "receive_cpu_s_per_million": self.cpu[1]}


class Log:
    """The generated file, and shorter beginnings of it for slower peers."""

    def __init__(self, build, folder, lines):
        self.folder, self.build = folder, build
        self.path, self.lines = folder / f"generated-{lines}.log", lines
        with open(self.path, "wb") as out:
            subprocess.run([build / "tests/bench/gen_authlog", str(lines)], stdout=out, check=True, timeout=300)
        self.size = self.path.stat().st_size

    def beginning(self, lines):
        return self if lines >= self.lines else Log(self.build, self.folder, lines)

    def without_attacks(self):
        """Only what the generator's staff and machines do: a fifth of the lines."""
        ret = copy.copy(self)
        ret.path, ret.lines = self.folder / "ordinary.log", 0
        with open(self.path, "rb") as lines, open(ret.path, "wb") as out:
            for line in filter(is_ordinary, lines):
                out.write(line)
                ret.lines += 1
        ret.size = ret.path.stat().st_size
        return ret


def is_ordinary(line):
    return any(word in line for word in (b": Accepted ", b" session opened ", b": New session ", b" sudo: "))


# ---- ours ----

class Bed:
    """A testbed of the e2e tests with the agent's own default for linger, and a metrics connection that is kept open."""

    def __init__(self, folder):
        import testbed
        folder.mkdir()
        self.bed = testbed.Testbed(folder, options="placeholders: {admin_networks: [10.0.0.0/8]}\n")
        self.logs = folder / "logs"
        self.connection = None
        self.agent = self.bed.agent()
        self.agent.config.write_text(self.agent.config.read_text().replace("linger: 20ms\n", ""))

    def start(self):
        self.bed.start()
        self.agent.enroll()
        return self

    def connect(self):
        c = http.client.HTTPConnection("localhost")
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.settimeout(30)
        c.sock.connect(str(self.bed.dir / "api.sock"))
        return c

    def metrics(self):
        if not self.connection:
            self.connection = self.connect()
        try:
            self.connection.request("GET", "/metrics")
            text = self.connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            self.connection = None
            return self.metrics()
        if not self.connection.sock:
            self.connection = None
        found = {}
        for line in text.splitlines():
            if line.startswith("vonggac_collector_"):
                name, value = line.rsplit(" ", 1)
                found[name[len("vonggac_collector_"):]] = float(value)
        return found

    def archive_bytes(self):
        return sum(p.stat().st_size for p in (self.bed.state / "archive").glob("*.vga"))

    def is_durable(self, events):
        """Counted when appended; the position moves after fdatasync, at the same moment as the acknowledgements."""
        m = self.metrics()
        return m["events_total"] >= events and m["archive_position_bytes"] == self.archive_bytes()

    def is_detected(self, events):
        m = self.metrics()
        return (m["events_total"] >= events and m["detect_lag_events"] == 0 and
                m["detect_position_bytes"] == m["archive_position_bytes"])

    def close(self):
        if self.connection:
            self.connection.close()
        self.bed.end()


@contextmanager
def bed_in(folder):
    bed = Bed(folder)
    try:
        yield bed.start()
    except BaseException:
        say(bed.bed.logs())
        raise
    finally:
        bed.close()
        shutil.rmtree(folder, ignore_errors=True)


def measure_path(log, folder, timeout_s):
    """Rows: durable, detected. And archive bytes per raw byte."""
    with bed_in(folder) as bed:
        os.link(log.path, bed.logs / "auth.log")
        before = bed.metrics()["events_total"]
        collector = bed.bed.collector.process.pid
        idle_s = cpu_s(collector)
        start = time.monotonic()
        bed.agent.start()
        agent = bed.agent.process.pid

        def row(what, at):
            return Row(what, log.lines, log.size, at - start, peak_kib(agent), peak_kib(collector), cpu_s(agent),
                       cpu_s(collector) - idle_s)

        at = wait("all lines durable at the collector", lambda: bed.is_durable(before + log.lines), timeout_s)
        durable = row("vonggac: line to durable ack", at)
        at = wait("all lines seen by detection", lambda: bed.is_detected(before + log.lines), timeout_s)
        detected = row("vonggac: line to detection's end", at)
        ratio = bed.archive_bytes() / log.size
        bed.agent.stop()
        m = json.loads((bed.agent.state / "status.json").read_text())["metrics"]
        if m["vonggac_agent_records_total"] != log.lines or \
                m["vonggac_agent_acked_batches_total"] != m["vonggac_agent_batches_total"]:
            raise SystemExit(f"bench_path: the agent read or had acknowledged something else than {log.lines} lines: {m}")
        m = bed.metrics()
        return durable, detected, ratio, int(m["alerts_total"]), int(m["alert_updates_total"])


def measure_agent(log, folder, timeout_s):
    """The agent alone: file to spool, with its collector away."""
    with bed_in(folder) as bed:
        bed.bed.collector.stop()
        os.link(log.path, bed.logs / "auth.log")
        start = time.monotonic()
        bed.agent.start()
        pid = bed.agent.process.pid
        at = wait("the agent has read all", lambda: bytes_read(pid) >= log.size, timeout_s, 0.001)
        row = Row("vonggac: agent alone, to its spool", log.lines, log.size, at - start, peak_kib(pid), None, cpu_s(pid))
        bed.agent.stop()
        m = json.loads((bed.agent.state / "status.json").read_text())["metrics"]
        if m["vonggac_agent_records_total"] != log.lines:
            raise SystemExit(f"bench_path: the agent spooled {m['vonggac_agent_records_total']} of {log.lines} lines")
        return row


# ---- latency ----

class Stream(threading.Thread):
    """A browser: reads /api/stream and notes when each waited-for address showed up."""

    def __init__(self, bed):
        super().__init__(daemon=True)
        self.bed, self.seen, self.resets, self.events, self.lock = bed, {}, 0, 0, threading.Lock()
        c = bed.connect()
        c.request("POST", "/api/login", json.dumps({"user": USER, "password": PASSWORD}),
                  {"Content-Type": "application/json"})
        answer = c.getresponse()
        if answer.status != 200:
            raise SystemExit(f"bench_path: sign-in failed: {answer.status} {answer.read().decode()}")
        cookie = answer.getheader("Set-Cookie").split(";", 1)[0]
        c.close()
        self.connection = bed.connect()
        self.connection.sock.settimeout(600)
        self.connection.request("GET", "/api/stream", headers={"Cookie": cookie})
        self.answer = self.connection.getresponse()

    def run(self):
        name, data = b"", b""
        while True:
            try:
                line = self.answer.readline()
            except (OSError, ValueError, http.client.HTTPException, AttributeError):
                return
            now = time.time_ns()
            if not line:
                return
            if line.startswith(b"event: "):
                name = line[7:].strip()
            elif line.startswith(b"data: "):
                data = line[6:]
            elif line == b"\n" and name:
                self.note(name, data, now)
                name = b""

    def note(self, name, data, now):
        if name == b"alert":
            self.events += 1
            if ALERT_RULE.encode() in data:
                self.add([json.loads(data)["source_ip"]], now)
        elif name == b"reset":  # the page loads the list anew, and sees what is committed by now
            self.resets += 1
            rows = self.bed.bed.query("SELECT source_ip FROM alerts WHERE rule_id = ?", ALERT_RULE)
            self.add([r[0] for r in rows], time.time_ns())

    def add(self, addresses, now):
        with self.lock:
            for address in addresses:
                self.seen.setdefault(address, now)


class Background(threading.Thread):
    """Appends lines to a second file, `rate` a second, with the present time in them."""

    def __init__(self, lines, path, rate):
        super().__init__(daemon=True)
        self.bodies, self.path, self.rate, self.is_ending, self.written = lines, path, rate, threading.Event(), 0

    def run(self):
        step_s, at, start = 0.02, 0, time.monotonic()
        with open(self.path, "ab", buffering=0) as out:
            while not self.is_ending.wait(step_s):
                n = int((time.monotonic() - start) * self.rate) - self.written
                stamp = time.strftime("%b %e %H:%M:%S").encode()
                out.write(b"".join(stamp + self.bodies[(at + i) % len(self.bodies)] for i in range(n)))
                at += n
                self.written += n


def attack_line(address):
    return (f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())}+00:00 web-1 sshd[811]: Accepted password for root from "
            f"{address} port 4022 ssh2\n").encode()


def percentiles(ms):
    ms = sorted(ms)
    return {"p50": ms[len(ms) // 2], "p90": ms[int(len(ms) * 0.9)], "p99": ms[int(len(ms) * 0.99)], "max": ms[-1]}


def write_attacks(path, n):
    written = {}
    with open(path, "ab", buffering=0) as out:
        for i in range(n):
            time.sleep(random.uniform(0.02, 0.05))
            address = f"100.{64 + i // 65536}.{i // 256 % 256}.{i % 256}"
            line = attack_line(address)
            written[address] = time.time_ns()
            out.write(line)
    return written


def measure_latency(what, bodies, rate, attacks, folder, timeout_s):
    with bed_in(folder) as bed:
        bed.bed.vonggac("user", "add", USER, "--password-file", str(password_file(folder)))
        bed.agent.start()
        wait("the agent is connected", lambda: bed.metrics()["agents_connected"] == 1, timeout_s)
        stream = Stream(bed)
        stream.start()
        background = Background(bodies, bed.logs / "other.log", rate) if rate else None
        if background:
            background.start()
        time.sleep(2)
        written = write_attacks(bed.logs / "attack.log", attacks)
        try:
            wait(f"{what}: every alert in the stream", lambda: len(stream.seen) >= attacks, timeout_s, 0.05)
        finally:
            if background:
                background.is_ending.set()
                background.join()
        created = dict(bed.bed.query("SELECT source_ip, created_ns FROM alerts WHERE rule_id = ?", ALERT_RULE))
        lag = bed.metrics()["detect_lag_events"]
        stream.connection.sock and stream.connection.sock.close()
        commit = percentiles([(created[a] - t) / 1e6 for a, t in written.items()])
        browser = percentiles([(stream.seen[a] - t) / 1e6 for a, t in written.items()])
        return {"what": what, "attacks": attacks, "background_per_s": rate, "written_to_commit_ms": commit,
                "written_to_stream_ms": browser, "stream_events": stream.events, "resets": stream.resets,
                "detect_lag_events": lag}


def password_file(folder):
    path = folder / "password"
    path.touch(0o600)
    path.write_text(PASSWORD + "\n")
    return path


def latency_text(found):
    ends = (("alert's commit begins", "written_to_commit_ms"), ("event stream", "written_to_stream_ms"))
    return "\n".join(f"{found['what'] + ', to ' + end:<58} " +
                     " ".join(f"{name} {value:7.1f} ms" for name, value in found[key].items())
                     for end, key in ends) + f"  ({found['attacks']} lines, {found['resets']} resets)"


# ---- the peer ----

RSYSLOG = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
MODULES = [Path("/usr/lib") / f"{os.uname().machine}-linux-gnu" / "rsyslog", Path("/usr/lib/rsyslog"),
           Path("/usr/lib64/rsyslog")]


def missing_peer(modules):
    if not Path(RSYSLOG).exists() or not any((m / "imfile.so").exists() for m in MODULES):
        return "rsyslog is not installed"
    absent = [x for x in modules if not any((m / f"{x}.so").exists() for m in MODULES)]
    return f"rsyslog has no {', '.join(absent)}: install rsyslog-relp" if absent else None


# A queue with big batches and large buffers. The message is the line; what the receiver writes is the line again.
MAIN = """global(workDirectory="{dir}" maxMessageSize="8k")
main_queue(queue.type="FixedArray" queue.size="100000" queue.dequeueBatchSize="4096" queue.workerThreads="1")
"""
SENDER = MAIN + """module(load="imfile" mode="inotify")
{load}
template(name="out" type="string" string="<13>%timegenerated% bench log: %msg%{end}")
input(type="imfile" file="{log}" tag="log:" readMode="0" addMetadata="off")
action({action} template="out")
"""
RECEIVER = MAIN + """{load}
template(name="line" type="string" string="%msg:2:$%\\n")
action(type="omfile" file="{dir}/out.log" template="line" ioBufferSize="256k" asyncWriting="off")
input({input})
"""
TLS = ('tls="on" tls.caCert="{pki}/ca.crt" tls.myCert="{pki}/{name}.crt" tls.myPrivKey="{pki}/{name}.key" '
       'tls.authMode="name" tls.permittedPeer=["{peer}"]')


def make_pki(folder):
    """An authority and a certificate for each side."""
    folder.mkdir()

    def openssl(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=60)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", folder / "ca.key", "-out", folder / "ca.crt", "-days", 2, "-subj", "/CN=ca")
    for name in ("sender", "receiver"):
        openssl("req", "-new", *key, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr", "-subj",
                f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
        openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key",
                "-CAcreateserial", "-days", 2, "-copy_extensions", "copy", "-out", folder / f"{name}.crt")
    return folder


def start_rsyslog(stack, folder, config):
    folder.mkdir(exist_ok=True)
    (folder / "rsyslog.conf").write_text(config)
    log = stack.enter_context(open(folder / "stderr", "wb"))
    p = subprocess.Popen([RSYSLOG, "-n", "-C", "-i", folder / "pid", "-f", folder / "rsyslog.conf"], cwd=folder,
                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end():
        p.kill()
        p.wait()
    stack.callback(end)
    return p.pid


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def peer_config(kind, port, pki):
    if kind == "tcp":
        return {"load_r": 'module(load="imptcp" threads="1")', "input": f'type="imptcp" port="{port}" address="127.0.0.1"',
                "load_s": "", "end": "\\n",
                "action": f'type="omfwd" protocol="tcp" target="127.0.0.1" port="{port}" TCP_Framing="traditional"'}
    tls_r = TLS.format(pki=pki, name="receiver", peer="sender")
    tls_s = TLS.format(pki=pki, name="sender", peer="receiver")
    return {"load_r": 'module(load="imrelp" tls.tlslib="openssl")', "end": "",
            "input": f'type="imrelp" port="{port}" address="127.0.0.1" maxDataSize="8k" {tls_r}',
            "load_s": 'module(load="omrelp" tls.tlslib="openssl")',
            "action": f'type="omrelp" target="127.0.0.1" port="{port}" windowSize="1024" {tls_s}'}


def measure_peer(kind, log, folder, pki, timeout_s):
    from testbed import free_port
    folder.mkdir()
    port, send, receive = free_port(), folder / "send", folder / "receive"
    c = peer_config(kind, port, pki)
    out = receive / "out.log"
    name = {"tcp": "rsyslog: TCP, tuned, no ack", "relp": "rsyslog: RELP, mutual TLS, acked"}[kind]
    try:
        with ExitStack() as stack:
            receiver = start_rsyslog(stack, receive, RECEIVER.format(dir=receive, load=c["load_r"], input=c["input"]))
            wait(f"{name}: receiver listens", lambda: listens(port), 20, 0.05)
            idle_s, start = cpu_s(receiver), time.monotonic()
            sender = start_rsyslog(stack, send, SENDER.format(dir=send, load=c["load_s"], log=log.path, end=c["end"],
                                                             action=c["action"]))
            try:
                at = wait(f"{name}: all received", lambda: out.exists() and out.stat().st_size >= log.size, timeout_s)
            except SystemExit:
                say((send / "stderr").read_text() + (receive / "stderr").read_text())
                say(f"received {out.stat().st_size if out.exists() else 0} of {log.size} bytes")
                raise
            row = Row(name, log.lines, log.size, at - start, peak_kib(sender), peak_kib(receiver), cpu_s(sender),
                      cpu_s(receiver) - idle_s)
        if digest(out) != digest(log.path):
            raise SystemExit(f"bench_path: {name}: what was received is not what was sent")
        return row
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").digest()


# ---- all of it ----

def load():
    return os.getloadavg()[0]


def median_row(rows):
    """The run in the middle: its columns belong together, as medians of each column would not."""
    return sorted(rows, key=lambda r: r.rate)[len(rows) // 2]


def throughput(args, folder, show):
    log = Log(args.build, folder, args.lines)
    kinds = []
    if args.peers:
        for kind, modules in (("tcp", ["imptcp"]), ("relp", ["omrelp", "imrelp"])):
            why = missing_peer(modules)
            say(f"peer {kind}: skipped: {why}") if why else kinds.append(kind)
    pki = make_pki(folder / "pki") if "relp" in kinds else None
    # A peer that is many times slower gets the beginning of the file; its rate is steady.
    logs = {"tcp": log, "relp": log.beginning(max(args.lines // 5, 50000))}
    calm = log.without_attacks()
    runs, extra = {}, {}
    for i in range(args.runs):
        durable, detected, ratio, alerts, updates = measure_path(log, folder / f"path{i}", args.timeout)
        found = [measure_agent(log, folder / f"agent{i}", args.timeout), durable, detected]
        row = measure_path(calm, folder / f"calm{i}", args.timeout)[1]
        row.what = "vonggac: the same, no attacks"
        found.append(row)
        found += [measure_peer(k, logs[k], folder / f"{k}{i}", pki, args.timeout) for k in kinds]
        for row in found:
            runs.setdefault(row.what, []).append(row)
            say(f"run {i + 1}, load {load():.1f}: {row.text()}")
        extra = {"archive_bytes_per_raw_byte": ratio, "alerts": alerts, "alert_updates": updates}
    medians = [median_row(rows) for rows in runs.values()]
    for row in medians:
        show(row.text())
    show(f"archive bytes per raw byte: {extra['archive_bytes_per_raw_byte']:.3f} (1/{1 / extra['archive_bytes_per_raw_byte']:.1f}); "
         f"alerts: {extra['alerts']}, updated {extra['alert_updates']} times")
    ratios = {}
    for what, rows in runs.items():
        if what.startswith("rsyslog"):
            each = [ours.rate / peer.rate for ours, peer in zip(runs["vonggac: line to durable ack"], rows)]
            ratios[what] = {"median": statistics.median(each), "least": min(each), "most": max(each)}
            show(f"line to durable ack / {what}: {ratios[what]['median']:.1f} times ({min(each):.1f} to {max(each):.1f})")
    return {"rows": [r.values() for r in medians], "runs": {w: [r.rate for r in rows] for w, rows in runs.items()},
            "ratios": ratios, **extra}


def latency(args, folder, show):
    with open(Log(args.build, folder, 200000).path, "rb") as f:
        bodies = [line[15:] for line in f]  # behind the time
    ordinary = list(filter(is_ordinary, bodies))
    cases = [("idle", ordinary, 0), (f"{args.background} lines/s", ordinary, args.background),
             (f"{args.background} lines/s, 4 of 5 attacks", bodies, args.background)]
    found = []
    for i, (what, lines, rate) in enumerate(cases):
        found.append(measure_latency(what, lines, rate, args.attacks, folder / f"latency{i}", args.timeout))
        show(latency_text(found[-1]))
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--lines", type=int, default=1000000, help="lines of the generated file (default 1000000)")
    p.add_argument("--runs", type=int, default=3, help="interleaved runs, of which the medians are shown (default 3)")
    p.add_argument("--attacks", type=int, default=300, help="single attack lines for the latency (default 300; 0: none)")
    p.add_argument("--background", type=int, default=20000, help="lines a second beside them (default 20000)")
    p.add_argument("--peers", action="store_true", help="rsyslog to rsyslog in the same run")
    p.add_argument("--no-throughput", action="store_true", help="latency only")
    p.add_argument("--json", action="store_true", help="one JSON object instead of rows")
    p.add_argument("--build", type=Path, default=HERE.parents[1] / "build", help="meson's build folder; a release build")
    p.add_argument("--dir", type=Path, help="where the temporary folder is made: the disk that is measured")
    p.add_argument("--timeout", type=float, default=180, help="seconds that one run may take (default 180)")
    args = p.parse_args()
    if args.lines < 1000 or args.runs < 1 or not 0 <= args.attacks <= 65536:
        p.error("--lines from 1000, --runs from 1, --attacks from 0 to 65536")
    args.build = args.build.resolve()
    os.environ["VONGGAC_BUILD"] = str(args.build)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    show = (lambda text: None) if args.json else (lambda text: print(text, flush=True))
    show(f"{os.cpu_count()} cores, load {load():.1f} at the start")
    result = {"cores": os.cpu_count(), "load_at_start": load()}
    with tempfile.TemporaryDirectory(prefix="vonggac-bench-", dir=args.dir) as folder:
        if not args.no_throughput:
            result["throughput"] = throughput(args, Path(folder), show)
        if args.attacks:
            result["latency"] = latency(args, Path(folder), show)
    result["load_at_end"] = load()
    show(f"load {load():.1f} at the end")
    if args.json:
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
