# SPDX-License-Identifier: Apache-2.0
"""Secrets that can be found again, one for each place that may hold a credential, and the requests that bring them."""
import base64
import hashlib
import hmac
import json
import random

from . import http

SEED = 20261129


class Marks:
    """{secret: where it stands}.  A mark is a text that occurs nowhere else."""

    def __init__(self):
        self.places, self._rng = {}, random.Random(SEED)

    def add(self, place, text):
        """A secret that was made elsewhere."""
        self.places[text] = place
        return text

    def new(self, place):
        return self.add(place, f"MARK{len(self.places):03}x{self._rng.getrandbits(64):016x}")

    def basic(self, place):
        """The name of a caller is none: logs may show it."""
        return self.add(place, base64.b64encode(f"alice:{self.new(place)}".encode()).decode())

    def told_in(self, data):
        """[(secret, where it stands)] of those that are in the text or the bytes."""
        return [(mark, place) for mark, place in self.places.items() if (mark.encode() if isinstance(data, bytes) else mark) in data]


def _get(*fields, target="/p", method="GET", host="test.local", body=b""):
    head = "".join(f"{name}: {value}\r\n" for name, value in (("Host", host), *fields, *([("Content-Length", len(body))] if body else [])))
    return f"{method} {target} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode() + body


def _field(name, text="{}"):
    return name + " " + text.split("{")[0], 200, lambda mark: _get((name, text.format(mark.new(name))))


def _query(name):
    return "query " + name, 200, lambda mark: _get(target=f"/p?a=b&{name}={mark.new('query ' + name)}&c=d")


def _bad(place, status, build):
    """One that is refused, so that much is told of it."""
    return place, status, lambda mark: build(mark.new(place))


def token(mark, key):
    """A signed token: whose it is may be shown, what it is signed with and by may not."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    text = part(b'{"alg":"HS256"}') + "." + part(json.dumps({"sub": "bob", "exp": 4102444800}).encode())
    return f"{text}.{mark.add('signature of a token', part(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()))}"


# (place, status of the answer, request made of marks)
REQUESTS = [
    ("Authorization Basic", 200, lambda mark: _get(("Authorization", "Basic " + mark.basic("Authorization Basic")))),
    ("Proxy-Authorization", 200, lambda mark: _get(("Proxy-Authorization", "Basic " + mark.basic("Proxy-Authorization")))),
    _field("Authorization", "Bearer {}"), _field("authorization", "bearer {}"), _field("Authorization", "Negotiate {}"),
    _field("Authorization", "Token token={}"),
    _field("Authorization", 'Digest username="alice", response="{}"'), _field("Authorization", "AWS4-HMAC-SHA256 Credential=a/b, Signature={}"),
    _field("Authorization", "ApiKey {}"), _field("Authorization", "{}"), _field("Authorization", "Basic {}"),
    _field("Cookie", "session={}"), _field("Cookie", "other=1; session={}"), _field("Cookie", "other={}"), _field("Cookie", "{}"),
    _field("X-Api-Key"), _field("x-api-key"), _field("Api-Key"), _field("X-Auth-Token"), _field("X-Access-Token"), _field("X-Csrf-Token"), _field("X-Secret"),
    _field("X-Amz-Security-Token"), _field("X-Vault-Token"), _field("PRIVATE-TOKEN"), _field("X-Forwarded-Client-Cert", "Hash={}"),
    _field("Referer", "https://a.test/?token={}"),
    _field("X-Goog-Iap-Jwt-Assertion"), _field("Sec-WebSocket-Protocol", "bearer, {}"), _field("User-Agent", "tool ({})"),
    *[_query(name) for name in ("token", "access_token", "api_key", "key", "password", "sig", "X-Amz-Signature", "code", "session")],
    ("form", 200, lambda mark: _get(("Content-Type", "application/x-www-form-urlencoded"), method="POST", body=f"password={mark.new('form')}".encode())),
    ("trailer", 200, lambda mark: http.request("POST", "/p", [("Connection", "close")], chunks=[b"x"]).replace(
        b"0\r\n\r\n", f"0\r\nX-Token: {mark.new('trailer')}\r\n\r\n".encode())),
    # refused
    _bad("userinfo of the target", 400, lambda mark: _get(target=f"http://alice:{mark}@test.local/")),
    _bad("token before the host of the target", 400, lambda mark: _get(target=f"http://{mark}@test.local/")),
    _bad("userinfo of Host", 400, lambda mark: _get(host=f"alice:{mark}@test.local")),
    _bad("token in Host", 400, lambda mark: _get(host=f"{mark}@test.local")),
    _bad("userinfo of CONNECT", 405, lambda mark: _get(target=f"alice:{mark}@test.local:443", method="CONNECT")),
    _bad("fragment", 400, lambda mark: _get(target=f"/p#access_token={mark}")),
    _bad("fragment of a query", 400, lambda mark: _get(target=f"/p?a=b#access_token={mark}")),
    _bad("query of a bad target", 400, lambda mark: _get(target=f"/p?token={mark}&x=\x01")),
    _bad("query of a bad line", 400, lambda mark: _get(target=f"/p?token={mark} x")),
    _bad("query beside a bad name", 400, lambda mark: _get(("Bad Name", "x"), target=f"/p?token={mark}")),
    _bad("key beside a bad name", 400, lambda mark: _get(("X-Api-Key", mark), ("Bad Name", "x"))),
    _bad("value of a bad name", 400, lambda mark: _get(("Bad Name", mark))),
    _bad("value with a control byte", 400, lambda mark: _get(("X-Api-Key", f"{mark}\x01"))),
    _bad("folded value", 400, lambda mark: _get(("X-Api-Key", f"a\r\n {mark}"))),
    _bad("key of two hosts", 400, lambda mark: _get(("Host", "b.test"), ("Authorization", f"Bearer {mark}"))),
    _bad("extension of a chunk", 400, lambda mark: _get(("Transfer-Encoding", "chunked"), method="POST") + f"1;token={mark}\x01\r\nx\r\n0\r\n\r\n".encode()),
    _bad("size of a chunk", 400, lambda mark: _get(("Transfer-Encoding", "chunked"), method="POST") + f"{mark}\r\nx\r\n0\r\n\r\n".encode()),
    _bad("bad trailer", 400, lambda mark: _get(("Transfer-Encoding", "chunked"), method="POST") + f"1\r\nx\r\n0\r\nBad Name: {mark}\r\n\r\n".encode()),
    _bad("bad version", 505, lambda mark: f"GET /p?token={mark} HTTP/3.7\r\nHost: test.local\r\n\r\n".encode()),
    _bad("bad method", 400, lambda mark: f"G,T /p?token={mark} HTTP/1.1\r\nHost: test.local\r\n\r\n".encode()),
    _bad("what is no HTTP", 400, lambda mark: f"AUTH {mark}\r\n\r\n".encode()),
    _bad("path with a bad escape", 400, lambda mark: _get(target=f"/p%zz?token={mark}")),
    # the server's
    ("Set-Cookie", 200, lambda mark: _get(target="/said/Set-Cookie")),
    ("Set-Cookie of a broken response", 502, lambda mark: _get(target="/said/broken")),
    ("start of a broken response", 502, lambda mark: _get(target="/said/nothing")),
]


def answering(marks):
    """What a server says that has secrets too."""
    def answer(message):
        if message.target == "/said/broken":
            return f"HTTP/1.1 200 OK\r\nSet-Cookie: session={marks.new('Set-Cookie of a broken response')}\r\nBad Name: x\r\nContent-Length: 0\r\n\r\n".encode()
        if message.target == "/said/nothing":
            return f"{marks.new('start of a broken response')}\r\n\r\n".encode()
        if message.target == "/said/Set-Cookie":
            return http.response(fields=[("Set-Cookie", f"session={marks.new('Set-Cookie')}; HttpOnly")])
        return http.response(body=b"here\n")

    return answer
