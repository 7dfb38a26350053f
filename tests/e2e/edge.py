# SPDX-License-Identifier: Apache-2.0
"""The web edge as it is shipped: nginx with deploy/nginx/edge.conf.in filled in, a throw-away certificate, a free port."""
import os
import socket
import subprocess
from pathlib import Path

from testbed import SOURCE, Program, free_port, wait_until

NGINX = "/usr/sbin/nginx"
CONSOLE = Path(os.environ.get("VONGGAC_CONSOLE", SOURCE / "dashboards" / "dist")).resolve()


class Edge(Program):
    def __init__(self, folder: Path, api_socket: Path, console: Path = CONSOLE):
        assert (console / "index.html").exists(), f"the console is not built: {console} (npm ci && npm run build in dashboards)"
        folder.mkdir()
        state = folder / "state"
        state.mkdir(mode=0o700)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificate = folder / "edge.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days",
                        "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
                        folder / "edge.key", "-out", self.certificate], check=True, capture_output=True)
        text = (SOURCE / "deploy/nginx/edge.conf.in").read_text()
        for name, value in {"LISTEN_PORT": self.port, "CERTIFICATE": self.certificate, "KEY": folder / "edge.key",
                            "CONSOLE_ROOT": console, "API_SOCKET": api_socket, "STATE_DIR": state}.items():
            text = text.replace(f"@{name}@", str(value))
        config = folder / "edge.conf"
        config.write_text(text)
        # Workers of an nginx that root started would be "nobody", who may not enter the test's folder.
        self.command = [NGINX, "-e", "stderr", "-c", config] + (["-g", "user root;"] if os.getuid() == 0 else [])
        super().__init__("edge", self.command, folder / "edge.log")

    def check(self):
        """nginx -t"""
        return subprocess.run([*map(str, self.command), "-t"], capture_output=True, text=True)

    def start(self):
        super().start()
        wait_until("edge listens", self._is_open, 15)
        return self

    def _is_open(self):
        assert self.is_running(), f"nginx ended:\n{self.tail()}"
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0
