# SPDX-License-Identifier: Apache-2.0
"""backend_python PORT RECORD - a server on Python's own http.server: one line per request that was read whole."""
import http.server
import sys

RECORD = open(sys.argv[2], "a", encoding="latin-1", buffering=1)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _chunked(self):
        size = 0
        while (chunk := int(self.rfile.readline().split(b";")[0], 16)) != 0:
            size += len(self.rfile.read(chunk))
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b""):
            pass
        return size

    def _serve(self):
        if self.headers.get("Transfer-Encoding"):
            size = self._chunked()
        else:
            size = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        RECORD.write(f"{self.headers['X-request-id']}\t{self.command}\t{self.path}\t{size}\n")
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"seen\n")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = _serve

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer.request_queue_size = 512
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
