"""A loopback server that misbehaves on request, in the place of those that data sets are downloaded from."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = random.Random(7).randbytes(300_000)
HALF = len(CONTENT) // 2


class Handler(BaseHTTPRequestHandler):
    """Plays one act of `server.acts` per request, and "good" when they are used up."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.seen.append(dict(self.headers))
        act = self.server.acts.pop(0) if self.server.acts else "good"
        self.close_connection = True
        # a client that has had enough is no error of the server
        with contextlib.suppress(ConnectionError):
            getattr(self, f"act_{act}")(self.server.files[self.path.lstrip("/")])

    def head(self, status, length, **headers):
        self.send_response(status)
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def act_good(self, content):
        """An honest server: Range, and If-Range with its ETag."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        version = self.headers.get("If-Range", self.server.etag)
        if not match or version != self.server.etag:
            return self.act_ignores_range(content)
        start = int(match[1])
        if start >= len(content):
            return self.head(416, 0, Content_Range=f"bytes */{len(content)}")
        rest = content[start:]
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.head(206, len(rest), Content_Range=span)
        self.wfile.write(rest)

    def act_ignores_range(self, content):
        self.head(200, len(content))
        self.wfile.write(content)

    def act_truncates(self, content):
        self.head(200, len(content))
        self.wfile.write(content[:HALF])

    def act_drops(self, content):
        """Half of it, then the line goes dead: the kernel sends a reset instead of an end."""
        self.act_truncates(content)
        self.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def act_claims_more(self, content):
        self.head(200, len(content) + 1000)
        self.wfile.write(content)

    def act_claims_less(self, content):
        self.head(200, HALF)
        self.wfile.write(content[:HALF])

    def act_no_length(self, content):
        self.head(200, None)
        self.wfile.write(content)

    def act_wrong_file(self, content):
        page = b"<html>Please log in</html>"
        self.head(200, len(page))
        self.wfile.write(page)

    def act_other_range(self, content):
        self.head(206, 10, Content_Range=f"bytes 0-9/{len(content)}")
        self.wfile.write(content[:10])

    def act_says_gzip(self, content):
        self.head(200, len(content), Content_Encoding="gzip")
        self.wfile.write(content)

    def act_busy(self, content):
        self.head(503, 0)

    def act_gone(self, content):
        self.head(404, 0)


@contextlib.contextmanager
def serving() -> Iterator[ThreadingHTTPServer]:
    """The running server, with its ``url``; a test fills ``files`` and ``acts``, and reads ``seen`` (headers)."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.acts, http.seen, http.etag = [], [], '"v1"'
        http.files = {"data.bin": CONTENT}
        http.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http
        http.shutdown()
        thread.join()
