"""A server that answers huggingface_hub as the real one does, as far as uploads and downloads of small files need."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Files of repositories by name."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.removeprefix("/api/")
        self.server.requests.append(f"POST {path}")
        if path == "repos/create":
            wanted = json.loads(body)
            name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
            self.server.files.setdefault(name, {})
            self._json({"url": f"{self.server.url}/{name}", "id": name})
        elif path.endswith("/preupload/main"):
            names = [one["path"] for one in json.loads(body)["files"]]
            self._json({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        elif path.endswith("/commit/main"):
            name = path.removeprefix("models/").removesuffix("/commit/main")
            for line in map(json.loads, body.decode().splitlines()):
                if line["key"] == "file":
                    self.server.files[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._json({"commitUrl": f"{self.server.url}/{name}/commit/{COMMIT}", "commitOid": COMMIT})
        else:
            self._json({})

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            name = "/".join(parts[2:4])
            if name not in self.server.files:
                self._missing()
                return
            if parts[4:5] == ["tree"]:
                files = self.server.files[name].items()
                tree = [
                    {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for path, content in files
                ]
                self._json(tree)
                return
            siblings = [{"rfilename": one} for one in self.server.files[name]]
            self._json({"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []})
            return
        name, file = "/".join(parts[:2]), "/".join(parts[4:])
        content = self.server.files.get(name, {}).get(file)
        if content is None:
            self._missing()
            return
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        self._send(content, "application/octet-stream", headers)

    do_HEAD = do_GET  # noqa: N815 - the name that the base class calls

    def _json(self, content: Any) -> None:
        self._send(json.dumps(content).encode(), "application/json", {})

    def _missing(self) -> None:
        self._send(b"{}", "application/json", {"X-Error-Code": "RepoNotFound"}, status=404)

    def _send(self, content: bytes, kind: str, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def hub_stand_in() -> Iterator[Hub]:
    """Serves on loopback for the block."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join(10)
