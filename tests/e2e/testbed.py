# SPDX-License-Identifier: Apache-2.0
"""One collector and its agents as real processes in a temporary folder, on loopback, unprivileged.

`Testbed` writes the configuration, makes the authority, starts and kills programs and asks what they did: state.db, the
archive as `vonggac archive export` gives it, counters. Nothing here knows pytest; conftest.py makes fixtures of it.
"""
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
import http.client
from contextlib import closing
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("VONGGAC_BUILD", SOURCE / "build")).resolve()
COLLECTOR = BUILD / "collector" / "vonggac-collector"
VONGGAC = BUILD / "collector" / "vonggac"
AGENT = BUILD / "agent" / "vonggac-agent"
# Sanitizers make programs many times slower; waits are only upper limits, so a generous one costs nothing.
PATIENCE_S = float(os.environ.get("VONGGAC_PATIENCE", "60"))


def free_port() -> int:
    with closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(what, condition, timeout_s=PATIENCE_S, every_s=0.02):
    """Waits until condition() is true and returns it; fails with `what` otherwise."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(every_s)


class Program:
    """A program in the foreground, its output appended to a log file."""

    def __init__(self, name, argv, log: Path):
        self.name, self.argv, self.log = name, [str(a) for a in argv], log
        self.process = None

    def start(self):
        assert self.process is None, f"{self.name} runs already"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        return self

    def end(self):
        """Ends it whatever its state, with everything it started (nginx's workers outlive a killed master)."""
        if self.is_running():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9, as a power switch would."""
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL, f"{self.name} had ended by itself; see {self.log}"
        self.process = None

    def stop(self):
        """SIGTERM; the program must end by itself, with status 0."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE_S)
        self.process = None
        assert status == 0, f"{self.name} ended with {status}:\n{self.tail()}"

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        status = self.process.wait(PATIENCE_S)
        self.process = None
        return status

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines=40):
        return "\n".join(self.text().splitlines()[-lines:])


class AgentProgram(Program):
    def __init__(self, bed, name, config: Path, state: Path):
        super().__init__(name, [AGENT, "run", "--config", config], bed.dir / f"{name}.log")
        self.bed, self.config, self.state = bed, config, state

    def enroll(self, token=None, check=True):
        token = token or self.bed.token()
        return subprocess.run([AGENT, "enroll", "--config", self.config, "--token-file", "-"], input=token + "\n",
                              capture_output=True, text=True, check=check, timeout=PATIENCE_S)

    @property
    def id(self):
        subject = subprocess.run(["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in",
                                  self.state / "agent.crt"], capture_output=True, text=True, check=True).stdout
        return re.search(r"CN=([0-9a-f-]{36})", subject).group(1)


class Testbed:
    def __init__(self, folder: Path, rules=None, options=""):
        """rules: list of files or folders (default: the level-3 rules); options: more lines for collector.yml."""
        self.dir = folder
        self.state = folder / "collector"
        self.port = free_port()
        self.programs = []
        self.config = folder / "collector.yml"
        rules = rules or [SOURCE / "rules" / "level3"]
        (folder / "logs").mkdir()
        self.config.write_text(
            f"state_dir: {self.state}\n"
            f"listen: {{address: 127.0.0.1, port: {self.port}}}\n"
            f"rules: [{', '.join(str(r) for r in rules)}]\n"
            f"mappings: [{SOURCE}/rules/mappings]\n"
            f"decoders: [{SOURCE}/rules/decoders]\n"
            f"api: {{socket: {folder}/api.sock}}\n"
            "archive: {reserve: 64MiB}\n"
            f"{options}")
        self.vonggac("authority", "init", "--name", "End to end", "--server-name", "127.0.0.1", "--server-name",
                     "localhost")
        self.collector = self._add(Program("collector", [COLLECTOR, "--config", self.config], folder / "collector.log"))

    def _add(self, program):
        self.programs.append(program)
        return program

    def vonggac(self, *args, check=True, text=True):
        command = " ".join(args[:2]) if args[0] not in ("status", "version") else args[0]
        words = command.split()
        return subprocess.run([VONGGAC, *words, "--config", self.config, *args[len(words):]], capture_output=True,
                              text=text, check=check, timeout=10 * PATIENCE_S)

    def token(self, *options):
        return self.vonggac("agent", "token", *options).stdout.strip()

    def agent(self, name="agent", files=None, options=""):
        """Writes an agent's configuration; enroll() and start() are the caller's. files: list of YAML maps."""
        state = self.dir / name
        config = self.dir / f"{name}.yml"
        lines = files or [f"{{name: logs, paths: ['{self.dir}/logs/*.log']}}"]
        config.write_text(
            f"collector: {{host: 127.0.0.1, port: {self.port}}}\n"
            f"state_dir: {state}\n"
            "journal: {enabled: false}\n"
            "linger: 20ms\n"
            "files:\n" + "".join(f"  - {line}\n" for line in lines) + options)
        return self._add(AgentProgram(self, name, config, state))

    def start(self):
        self.collector.start()
        self.wait_listening()
        return self

    def wait_listening(self):
        """Until the agents' port and the API both take connections."""
        def is_open():
            assert self.collector.is_running(), f"collector ended:\n{self.collector.tail()}"
            with closing(socket.socket()) as port, closing(socket.socket(socket.AF_UNIX)) as api:
                return port.connect_ex(("127.0.0.1", self.port)) == 0 and api.connect_ex(str(self.dir / "api.sock")) == 0
        wait_until("collector listens", is_open)

    def end(self):
        for program in self.programs:
            program.end()

    # ---- what came of it ----

    def query(self, sql, *args):
        """Rows of state.db, read-only."""
        with closing(sqlite3.connect(f"file:{self.state}/state.db?mode=ro", uri=True, timeout=30)) as db:
            return db.execute(sql, args).fetchall()

    def alerts(self):
        """Every alert without what depends on when it was written."""
        return self.query("SELECT rule_id, rule_title, kind, group_json, count, first_ns, last_ns FROM alerts"
                          " ORDER BY rule_id, group_json, first_ns, last_ns, event_json")

    def export_raw(self) -> bytes:
        """Every record in the archive, in the order it was stored."""
        return self.vonggac("archive", "export", "--raw", text=False).stdout

    def metrics(self) -> dict:
        with closing(socket.socket(socket.AF_UNIX)) as s:
            s.settimeout(PATIENCE_S)
            s.connect(str(self.dir / "api.sock"))
            connection = http.client.HTTPConnection("localhost")
            connection.sock = s
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        return {name: float(value) for name, value in
                (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))}

    def metric(self, name):
        return self.metrics()[f"vonggac_collector_{name}"]

    def wait_detected(self, lines, timeout_s=PATIENCE_S):
        """Until that many records are in the archive and detection has committed all of them."""
        def done():
            m = self.metrics()
            return (m["vonggac_collector_events_total"] >= lines and
                    m["vonggac_collector_detect_lag_events"] == 0 and
                    m["vonggac_collector_detect_position_bytes"] == m["vonggac_collector_archive_position_bytes"])
        wait_until(f"{lines} lines stored and seen by detection", done, timeout_s)

    def logs(self):
        return "\n".join(f"--- {p.name}\n{p.tail()}" for p in self.programs)


def audit(bed):
    return [dict(zip(("user", "action", "object", "detail"), (u, a, o, json.loads(d))))
            for u, a, o, d in bed.query("SELECT user, action, object, detail_json FROM audit ORDER BY id")]
