# SPDX-License-Identifier: Apache-2.0
"""The national centre's side, played for the tests: OASIS's medallion behind nginx that asks for client certificates, and a
contrary TAXII server that answers what it is told to. And the analyst, as a client of the API's Unix socket."""
import collections
import http.client
import http.server
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import uuid

from testbed import PATIENCE_S, VONGGAC, Program, free_port, wait_until

MEDIA_TYPE = "application/taxii+json;version=2.1"
COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
ROOT = "province"
PASSWORD = "Mat-khau-thu-2026"


class Authority:
    """A certificate authority and certificates of it."""

    def __init__(self, folder: pathlib.Path, name="Peer authority"):
        self.dir = folder
        folder.mkdir(parents=True)
        self.cert, self.key = folder / "ca.crt", folder / "ca.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "30",
                      "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.cert)

    @staticmethod
    def _openssl(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)

    def issue(self, name, extension):
        cert, key, csr, ext = (self.dir / f"{name}.{e}" for e in ("crt", "key", "csr", "ext"))
        ext.write_text(extension)
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-subj",
                      f"/CN={name}", "-keyout", key, "-out", csr)
        self._openssl("x509", "-req", "-in", csr, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days", "30",
                      "-extfile", ext, "-out", cert)
        return cert, key

    def server(self):
        return self.issue("localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")

    def client(self, name="soc"):
        return self.issue(name, "extendedKeyUsage=clientAuth\n")


def api_root(max_content_length=10_000_000):
    return {"title": "Province", "versions": [MEDIA_TYPE], "max_content_length": max_content_length}


class Medallion:
    """medallion on plain HTTP, and nginx before it with TLS and client certificates. Survives nothing: its memory is gone when it
    stops, unless stopped through the door only (nginx)."""

    def __init__(self, folder: pathlib.Path, authority: Authority, can_read=True, max_content_length=10_000_000):
        folder.mkdir()
        self.authority = authority
        self.port, inner = free_port(), free_port()
        self.url = f"https://localhost:{self.port}/{ROOT}/collections/{COLLECTION}/"
        data = folder / "data.json"
        data.write_text(json.dumps({
            "/discovery": {"title": "Test centre", "api_roots": [f"https://localhost:{self.port}/{ROOT}/"]},
            ROOT: {"information": api_root(max_content_length), "status": [], "collections": [{
                "id": COLLECTION, "title": "Incidents", "can_read": can_read, "can_write": True,
                "media_types": [], "objects": [], "manifest": []}]}}))
        config = folder / "medallion.json"
        config.write_text(json.dumps({
            "backend": {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": str(data)},
            "users": {"soc": "peer-password"}, "taxii": {"max_page_size": 1000}}))
        self.inner_port = inner
        self.server = Program("medallion", [sys.executable, "-m", "medallion.scripts.run", "--port", inner, config],
                              folder / "medallion.log")
        self.door = Program("nginx", self._nginx(folder, inner), folder / "nginx.log")

    def _nginx(self, folder, inner):
        cert, key = self.authority.server()
        conf = folder / "nginx.conf"
        paths = "".join(f"{k}_temp_path {folder}/{k};" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf.write_text(f"""
            daemon off; pid {folder}/nginx.pid; worker_processes 1; error_log stderr;
            {"user root;" if os.getuid() == 0 else ""}
            events {{ worker_connections 64; }}
            http {{ {paths} access_log {folder}/access.log; client_max_body_size 32m;
              server {{ listen 127.0.0.1:{self.port} ssl;
                ssl_certificate {cert}; ssl_certificate_key {key};
                ssl_client_certificate {self.authority.cert}; ssl_verify_client on;
                location / {{ proxy_pass http://127.0.0.1:{inner}; }} }} }}""")
        return [shutil.which("nginx") or "/usr/sbin/nginx", "-e", "stderr", "-c", conf]

    def start(self):
        self.server.start()
        wait_until("medallion listens", lambda: self._is_open(self.inner_port, self.server))
        return self.open()

    def open(self):
        """The peer can be reached."""
        self.door.start()
        wait_until("nginx listens", lambda: self._is_open(self.port, self.door))
        return self

    def close(self):
        """The peer cannot be reached; what it holds stays."""
        self.door.stop()

    @staticmethod
    def _is_open(port, program):
        assert program.is_running(), program.text()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def end(self):
        for program in (self.door, self.server):
            program.end()

    def objects(self):
        """What the centre sees, asked for from inside."""
        connection = http.client.HTTPConnection("127.0.0.1", self.inner_port, timeout=PATIENCE_S)
        connection.request("GET", f"/{ROOT}/collections/{COLLECTION}/objects/", headers={
            "Accept": MEDIA_TYPE, "Authorization": "Basic c29jOnBlZXItcGFzc3dvcmQ="})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return json.loads(body).get("objects", [])


class Contrary(http.server.ThreadingHTTPServer):
    """A TAXII server over TLS that answers from a script: self.script is a queue of functions (handler, body) -> (status,
    headers, document or bytes); when it is empty, everything is taken. What came is in self.pushes and self.paths."""
    daemon_threads = True

    def __init__(self, authority: Authority, max_content_length=10_000_000):
        super().__init__(("127.0.0.1", 0), _ContraryHandler)
        cert, key = authority.server()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.max_content_length = max_content_length
        self.script, self.pushes, self.paths, self.headers = collections.deque(), [], [], []
        self.polls = {}  # status id -> queue of documents
        self.url = f"https://localhost:{self.server_address[1]}/{ROOT}/collections/{COLLECTION}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # clients that refuse our certificate are part of the tests

    def end(self):
        self.shutdown()
        self.server_close()


def taken(objects, **more):
    """A complete status resource that names every object a success."""
    return {"id": str(uuid.uuid4()), "status": "complete", "total_count": len(objects), "success_count": len(objects),
            "successes": [{"id": o["id"], "version": o.get("modified", "")} for o in objects], "failure_count": 0,
            "pending_count": 0, **more}


class _ContraryHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _send(self, status, headers, document):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for key, value in {"Content-Type": MEDIA_TYPE, "Content-Length": len(body), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.paths.append(self.path)
        if self.path == f"/{ROOT}/":
            self._send(200, {}, api_root(self.server.max_content_length))
        elif self.path.startswith(f"/{ROOT}/status/"):
            queue = self.server.polls.get(self.path.split("/")[3])
            self._send(200, {}, queue.popleft()) if queue else self._send(404, {}, {"title": "gone"})
        else:
            self._send(403, {}, {"title": "not readable"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.headers.append(dict(self.headers))
        objects = json.loads(body)["objects"]
        self.server.pushes.append(objects)
        answer = self.server.script.popleft() if self.server.script else None
        self._send(*(answer(self, objects) if answer else (202, {}, taken(objects))))

    def log_message(self, *args):
        pass


class Analyst:
    """Somebody signed in to the API, over its Unix socket."""

    def __init__(self, bed, name="lan"):
        self.socket_path = str(bed.dir / "api.sock")
        self.cookie = self.csrf = None
        subprocess.run([VONGGAC, "user", "add", name, "--config", bed.config, "--password-file", "-"],
                       input=PASSWORD + "\n", text=True, check=True, capture_output=True, timeout=PATIENCE_S)
        me = self.post("/api/login", {"user": name, "password": PASSWORD})
        self.csrf = me["csrf"]

    def request(self, method, path, body=None):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE_S)
            s.connect(self.socket_path)
            connection = http.client.HTTPConnection("localhost")
            connection.sock = s
            headers = {"Cookie": self.cookie or "", "X-CSRF-Token": self.csrf or "", "Connection": "close"}
            if body is not None:
                body = json.dumps(body)
                headers["Content-Type"] = "application/json"
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.getheader("Set-Cookie"):
                self.cookie = answer.getheader("Set-Cookie").split(";")[0]
            return answer.status, json.loads(text) if text else None

    def get(self, path):
        status, document = self.request("GET", path)
        assert status == 200, (path, status, document)
        return document

    def post(self, path, body):
        status, document = self.request("POST", path, body)
        assert status in (200, 201, 204), (path, status, document)
        return document

    def escalate(self, alerts, title="Dò mật khẩu SSH", severity=3):
        return self.post("/api/incidents", {"alert_ids": [a["id"] for a in alerts], "title": title, "severity": severity,
                                            "note": "Đã chặn địa chỉ nguồn ở tường lửa."})

    def delivery(self, incident):
        return self.get(f"/api/incidents/{incident['id']}")["deliveries"][0]

    def wait_delivery(self, incident, state, timeout_s=PATIENCE_S):
        def arrived():
            delivery = self.delivery(incident)
            return delivery if delivery["state"] == state else None
        return wait_until(f"delivery {state}", arrived, timeout_s)
