"""A hub for tests: a server on this machine that answers the few questions ``huggingface_hub`` asks about models."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

LFS = (".safetensors", ".bin")


@dataclass
class Repository:
    """Its files by name; ``card``: what its page says; ``parameters``: as the hub counts them in safetensors;
    ``config``: what the hub tells of its ``config.json``."""

    files: dict[str, bytes]
    card: dict[str, str] = field(default_factory=lambda: {"license": "mit"})
    parameters: int = 0
    config: dict | None = None

    @classmethod
    def of(cls, folder: Path, **told) -> Repository:
        return cls({file.name: file.read_bytes() for file in folder.iterdir()}, **told)

    @property
    def commit(self) -> str:
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()

    def info(self, name: str) -> dict:
        siblings = []
        for file, content in self.files.items():
            one = {"rfilename": file, "size": len(content), "blobId": git_blob(content)}
            if file.endswith(LFS):
                sha256 = hashlib.sha256(content).hexdigest()
                one["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
            siblings.append(one)
        counted = {"safetensors": {"parameters": {"F32": self.parameters}, "total": self.parameters}}
        return {
            "id": name, "modelId": name, "sha": self.commit, "siblings": siblings, "cardData": self.card, "tags": [],
            **(counted if self.parameters else {}), **({"config": self.config} if self.config else {}),
        }  # fmt: skip


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """``repositories`` may change between questions; ``asked``: paths of all of them, ``ranges``: of those for a part.

    ``sent``: other bytes for a file than its repository has. ``breaks_after``: so many bytes of a file, once or each
    time, then the connection ends. ``status``: the answer to everything. ``ranged``: whether it knows parts of files.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.sent: dict[str, bytes] = {}
        self.breaks_after: dict[str, int] = {}
        self.breaks_always = False
        self.status = 200
        self.ranged = True
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # one question a connection: no thread waits for another

            def do_GET(self):
                hub._answer(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, to: BaseHTTPRequestHandler) -> None:
        path = urlsplit(to.path).path  # of a proxy, all of the address is asked for
        self.asked.append(to.path if to.path.startswith("http") else path)
        info = re.fullmatch(r"/api/models/(.+?)(?:/revision/([^/]+))?", path)
        file = re.fullmatch(r"/(.+)/resolve/([^/]+)/([^/]+)", path)
        if self.status != 200:
            _send(to, self.status, b"")
        elif info and (repository := self.repositories.get(info[1])):
            if info[2] in (None, "main", repository.commit):
                _send(to, 200, json.dumps(repository.info(info[1])).encode())
            else:
                _send(to, 404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif file and (repository := self.repositories.get(file[1])) and file[3] in repository.files:
            self._send_file(to, file[3], self.sent.get(file[3], repository.files[file[3]]))
        elif file and file[1] in self.repositories:
            _send(to, 404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            _send(to, 401, b"", {"X-Error-Code": "RepoNotFound"})

    def _send_file(self, to: BaseHTTPRequestHandler, name: str, content: bytes) -> None:
        start = 0
        if self.ranged and (asked := to.headers.get("Range")):
            self.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        end = len(content)
        if name in self.breaks_after:
            end = start + (self.breaks_after[name] if self.breaks_always else self.breaks_after.pop(name))
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        _send(to, 206 if start else 200, content[start:end], headers, length=len(content) - start)


def _send(to: BaseHTTPRequestHandler, status: int, body: bytes, headers=None, length: int | None = None) -> None:
    to.send_response(status)
    for key, value in {**(headers or {}), "Content-Length": str(len(body) if length is None else length)}.items():
        to.send_header(key, value)
    to.end_headers()
    to.wfile.write(body)


@pytest.fixture
def online(monkeypatch):
    """As in a process that began without HF_HUB_OFFLINE; connections are new, and a broken one is not waited for."""
    import huggingface_hub
    import huggingface_hub.constants  # which the package itself imports when it is first asked for something

    from core.hub import download

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(download, "WAIT_S", 0.01)
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


@pytest.fixture
def hub(online, monkeypatch):
    """An empty hub that is asked instead of the real one."""
    made = Hub()
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    yield made
    made.close()


@pytest.fixture
def models_on_hub(hub, tmp_path):
    """``(encoder, lm)``: folders of tiny models, which the hub has as ``tiny/clip`` and ``tiny/lm``."""
    from tests.tiny import write_tiny_encoder, write_tiny_lm

    encoder = write_tiny_encoder(tmp_path / "clip", image_tower="vit", seed=3)
    lm = write_tiny_lm(tmp_path / "lm", seed=3)
    hub.repositories = {"tiny/clip": Repository.of(encoder), "tiny/lm": Repository.of(lm)}
    return encoder, lm
