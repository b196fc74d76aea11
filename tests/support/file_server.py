"""A local HTTP server with the manners that downloads meet in the wild; one per test, on 127.0.0.1."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from processes import HANGS


@dataclass
class File:
    """One path of the server; what is None behaves well."""

    content: bytes = b""
    status: int = 200
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    drop_after: list[int] = field(default_factory=list)
    """Bytes after which the connection is cut, for one request each."""
    truncate: int | None = None
    """Bytes that it says it has, and sends; the rest is lost without a word."""
    corrupt: int = 0
    """Requests for which one byte is changed."""
    location: str | None = None
    kind: str = "application/zip"
    say_length: bool = True
    hold: threading.Event | None = None
    """What the second half of the content waits for."""
    change_to: bytes | None = None
    """The content from the second request on, under another ETag."""
    wrong_range: bool = False
    requests: list[dict[str, str]] = field(default_factory=list)
    """Headers of each request."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        file: File | None = self.server.files.get(self.path.partition("?")[0])
        if file is None:
            self.send_error(404)
            return
        file.requests.append(dict(self.headers.items()))
        if file.change_to is not None and len(file.requests) > 1:
            file.content, file.etag, file.change_to = file.change_to, '"two"', None
        if file.status != 200 or file.location:
            self.send_response(302 if file.location else file.status)
            if file.location:
                self.send_header("Location", file.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send(file)

    def _send(self, file: File) -> None:
        content = file.content[: file.truncate]
        if file.corrupt:
            file.corrupt -= 1
            content = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        start = self._start(file, len(content))
        if start is not None and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200 if start is None else 206)
        if start is not None:
            shown = start + 1 if file.wrong_range else start
            self.send_header("Content-Range", f"bytes {shown}-{len(content) - 1}/{len(content)}")
        body = content[start or 0 :]
        self.send_header("Content-Type", file.kind)
        if file.etag:
            self.send_header("ETag", file.etag)
        if file.modified:
            self.send_header("Last-Modified", file.modified)
        if file.say_length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self._write(body, file)

    def _start(self, file: File, size: int) -> int | None:
        """The first byte asked for, where the condition holds."""
        asked = self.headers.get("Range", "")
        if not file.ranges or not asked:
            return None
        if self.headers.get("If-Range") not in (file.etag, file.modified):
            return None
        return int(asked.removeprefix("bytes=").partition("-")[0])

    def _write(self, body: bytes, file: File) -> None:
        if file.drop_after:
            body = body[: file.drop_after.pop(0)]
            self.close_connection = True
        if not file.say_length:
            self.close_connection = True
        half = len(body) // 2 if file.hold else len(body)
        try:
            self.wfile.write(body[:half])
            if file.hold:
                file.hold.wait(HANGS)
            self.wfile.write(body[half:])
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


@contextmanager
def serve(files: dict[str, File], handler: type[BaseHTTPRequestHandler] = Handler) -> Iterator[str]:
    """The address of a server of these paths."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.files = files
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
