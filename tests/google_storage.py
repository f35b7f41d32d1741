"""A tiny server of the few calls of Google Cloud Storage's JSON API that `core/gs.py` makes."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 1000
"""Entries of a page of a listing."""
FAULT = 0
"""Answered in place of everything, where set."""
Objects = dict[str, tuple[bytes, dict[str, Any]]]


class GoogleStorage(ThreadingHTTPServer):
    """Its one bucket is `scans`, and begins empty."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Calls)
        self.objects: Objects = {}
        self.lock = threading.Lock()
        self.generation = 0

    def put(self, key: str, data: bytes, wanted: str | None) -> dict[str, Any] | None:
        """The new object, None where the one that is there has not the wanted generation (0: none)."""
        with self.lock:
            there = self.objects[key][1]["generation"] if key in self.objects else "0"
            if wanted not in (None, there):
                return None
            self.generation += 1
            facts = {"name": key, "bucket": "scans", "size": str(len(data)), "kind": "storage#object"}
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            facts |= {"generation": str(self.generation), "updated": now, "timeCreated": now}
            self.objects[key] = data, facts
            return facts


class Calls(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: GoogleStorage

    def answer(self, code: int, content: Any) -> None:
        code = FAULT or code
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        path, words = self.asked()
        bucket, _, key = path.removeprefix("/storage/v1/b/").partition("/o/")
        if bucket == "scans/o":
            return self.answer(200, self.listed(words.get("prefix", ""), int(words.get("pageToken", 0))))
        if key not in self.server.objects or bucket != "scans":
            return self.answer(404, {})
        data, facts = self.server.objects[key]
        if words.get("alt") != "media":
            return self.answer(200, facts)
        begin, _, end = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = data[int(begin) : int(end) + 1 if end else None]
        return self.answer(206 if "Range" in self.headers else 200, part)

    def do_POST(self) -> None:
        path, words = self.asked()
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if path != "/upload/storage/v1/b/scans/o":
            return self.answer(404, {})
        facts = self.server.put(words["name"], data, words.get("ifGenerationMatch"))
        return self.answer(200, facts) if facts else self.answer(412, {})

    def do_DELETE(self) -> None:
        key = self.asked()[0].partition("/o/")[2]
        self.answer(204 if self.server.objects.pop(key, None) else 404, b"")

    def asked(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        return unquote(parts.path), {name: values[0] for name, values in parse_qs(parts.query).items()}

    def listed(self, prefix: str, start: int) -> dict[str, Any]:
        """A page of what is directly beneath, with the delimiter `/`."""
        beneath: dict[str, Any] = {}
        for key, (_, facts) in sorted(self.server.objects.items()):
            if key.startswith(prefix):
                name, found, _ = key.removeprefix(prefix).partition("/")
                beneath[prefix + name + found] = None if found else facts
        shown = list(beneath.items())[start : start + PAGE]
        page = {"items": [facts for _, facts in shown if facts], "prefixes": [p for p, f in shown if not f]}
        return page | ({"nextPageToken": str(start + PAGE)} if start + PAGE < len(beneath) else {})

    def log_message(self, format: str, *words: Any) -> None:
        """Nothing."""
