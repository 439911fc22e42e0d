"""A local HTTP server that fails the way real ones do, by a script of one fault per request."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Answers from `files` by the next fault of the script, well where the script is at its end."""

    protocol_version = "HTTP/1.1"
    server: "FaultyServer"

    def do_GET(self) -> None:
        with self.server.guard:
            self.server.requests.append((self.path, self.headers.get("Range")))
            fault = self.server.script.pop(0) if self.server.script else well
        content = self.server.files.get(self.path)
        if content is None:
            return self.reply(404, {}, b"not here")
        return fault(self, content)

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def ranged(self, content: bytes) -> tuple[int, dict[str, str], bytes]:
        """What a good server would send for the request's range."""
        match = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        if match is None:
            return 200, {}, content
        start = int(match[1])
        if start >= len(content):
            return 416, {"Content-Range": f"bytes */{len(content)}"}, b""
        return 206, {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}, content[start:]

    def drop(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class FaultyServer(ThreadingHTTPServer):
    daemon_threads = True
    files: dict[str, bytes]
    script: list[Fault]
    requests: list[tuple[str, str | None]]
    guard: threading.Lock

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, *_: object) -> None:  # a client that hangs up is part of the play
        pass


@contextmanager
def serving(files: dict[str, bytes], script: list[Fault] | None = None) -> Iterator[FaultyServer]:
    server = FaultyServer(("127.0.0.1", 0), Handler)
    server.files, server.script, server.requests, server.guard = files, list(script or []), [], threading.Lock()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def well(handler: Handler, content: bytes) -> None:
    """As it should be."""
    status, headers, body = handler.ranged(content)
    handler.reply(status, headers, body)


def drops_after(count: int) -> Fault:
    """Announces all and closes after `count` bytes."""

    def fault(handler: Handler, content: bytes) -> None:
        status, headers, body = handler.ranged(content)
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body[:count])
        handler.drop()

    return fault


def answers(status: int, headers: dict[str, str] | None = None, body: bytes = b"no") -> Fault:
    """Answers with a status."""
    return lambda handler, content: handler.reply(status, headers or {}, body)


def sends(body: bytes, headers: dict[str, str] | None = None) -> Fault:
    """Other bytes than the file's, with a friendly 200."""
    return lambda handler, content: handler.reply(200, headers or {}, body)


def ignores_range(handler: Handler, content: bytes) -> None:
    """Sends all of it, whatever was asked."""
    handler.reply(200, {}, content)


def wrong_range(handler: Handler, content: bytes) -> None:
    """Says 206, but starts elsewhere."""
    handler.reply(206, {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"}, content)


def without_length(handler: Handler, content: bytes) -> None:
    """Says no length; the end of the connection is the end of the file."""
    status, headers, body = handler.ranged(content)
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(body)
    handler.drop()


def loops(handler: Handler, content: bytes) -> None:
    """Redirects to itself, and so on."""
    handler.server.script.insert(0, loops)
    handler.reply(302, {"Location": handler.server.url(handler.path)}, b"")


def elsewhere(path: str) -> Fault:
    """Redirects to another path of this server."""
    return lambda handler, content: handler.reply(302, {"Location": handler.server.url(path)}, b"")


def drips(count: int, pause_s: float) -> Fault:
    """Sends `count` bytes one by one with pauses, then hangs up."""

    def fault(handler: Handler, content: bytes) -> None:
        status, headers, body = handler.ranged(content)
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        for index in range(min(count, len(body))):
            handler.wfile.write(body[index : index + 1])
            handler.wfile.flush()
            time.sleep(pause_s)
        handler.drop()

    return fault


def hangs(seconds: float) -> Fault:
    """Accepts the request and says nothing."""

    def fault(handler: Handler, content: bytes) -> None:
        time.sleep(seconds)
        handler.drop()

    return fault
