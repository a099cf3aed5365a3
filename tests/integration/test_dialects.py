# SPDX-License-Identifier: Apache-2.0
"""Every dialect of error bodies and of rate-limit headers, to the byte, and one id and one number everywhere."""
import json
import re
import time
import xml.etree.ElementTree as ET

import pytest
from harness import http
from harness.configs import forward
from harness.replies import request_id_of, throttled, trio_of
from harness.waiting import wait_for_room

NOT_FOUND = "The API does not exist or has not been published in the environment."
BAD_GATEWAY = "Backend unavailable."
JSON = "application/json; charset=UTF-8"
QUOTAS = {"ip": {"key": ["ip"], "limits": {"hour": 1}}}

# name: (media type, body with CODE number, MESSAGE, ID, TITLE, STATUS; with a body of its own for refusals by quota)
DIALECTS = {
    "apig": (JSON, '{"error_code":"APIG.CODE","error_msg":"MESSAGE","request_id":"ID"}'),
    "iva": (JSON, '{"error_msg":"MESSAGE","error_code":"IVA.CODE","request_id":"ID"}'),
    "modelarts": (JSON, '{"error_message":"MESSAGE","error_code":"ModelArts.CODE","error_msg":"MESSAGE","request_id":"ID"}'),
    "as": (JSON, '{"error_code":"AS.CODE","error_msg":"MESSAGE"}'),
    "as-otc": (JSON, '{"error_msg":"MESSAGE","error_code":"AS.CODE"}'),
    "img": (JSON, '{"error_msg":"MESSAGE","error_code":"IMG.CODE"}'),
    "openstack": (JSON, '{"error":{"code":"APIG.CODE","message":"MESSAGE","title":"TITLE"}}'),
    "problem": ("application/problem+json",
                '{"type":"about:blank","title":"TITLE","status":STATUS,"detail":"MESSAGE","request_id":"ID"}',
                '{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",'
                '"title":"Request cannot be satisfied as assigned quota has been exceeded",'
                '"status":429,"detail":"MESSAGE","violated-policies":["ip/hour"],"request_id":"ID"}'),
    "text": ("text/plain; charset=UTF-8", "APIG.CODE MESSAGE (ID)\n"),
    "ocr": (JSON, '{"error_code":"OCR.CODE","error_msg":"MESSAGE"}'),
    "own": (JSON, '{"fault":["MY.CODE",STATUS,"ID: MESSAGE"],"limit":null,"wait":null,"at":"/ of "}',
            '{"fault":["MY.CODE",429,"ID: MESSAGE"],"limit":1,"wait":WAIT,"at":"ip/hour of 0"}'),
    "line": ("text/x-line", "CODE"),
}
OWN = {
    "ocr": {"like": "apig", "prefix": "OCR", "request_id": False},
    "own": {"prefix": "MY", "template": {
        "fault": ["${code}", "${status}", "${request_id}: ${message}"],
        "limit": "${limit}", "wait": "${retry_after}", "at": "${quota}/${window} of ${remaining}"}},
    "line": {"template": "${code}", "content_type": "text/x-line"},
}


def check_body(reply, name, status, title, code, message):
    row = DIALECTS[name]
    assert (reply.status, reply.reason, reply["Content-Type"]) == (status, title, row[0])
    body = row[-1] if status == 429 else row[1]
    if name == "line":
        code = f"APIG.{code}"
    values = {"CODE": code, "MESSAGE": message, "TITLE": title, "STATUS": str(status), "ID": request_id_of(reply),
              "WAIT": reply["Retry-After"] or "null"}
    expected = re.sub("|".join(values), lambda word: values[word[0]], body)
    assert reply.body.decode() == expected
    assert reply["Content-Length"] == str(len(expected))


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_of_bodies(start, upstream, connect, name):
    """A refusal, a failure of the server and a path without a route; the id is the same in header, body, the server's
    request and the log."""
    def serve(link):
        link.read_request()  # and no answer

    server = upstream(serve)
    routes = [{"name": "limited", "path": "/limited", "quotas": ["ip"], "upstream": "app", "errors": name},
              {"name": "broken", "path": "/broken", "upstream": "app", "errors": name}]
    default = "apig" if name == "iva" else "iva"
    proxy = start({**forward(server, quotas=QUOTAS), "routes": routes, "errors": {"default": default, "dialects": OWN}})
    client = connect(proxy)
    wait_for_room(3600, 10)
    client.ask("GET", "/limited")
    refused = client.ask("GET", "/limited")
    check_body(refused, name, 429, "Too Many Requests", "0308", throttled("ip", 1, 1, "hour"))
    assert trio_of(refused) == (1, 0, "hour") and int(refused["Retry-After"]) >= 1
    broken = client.ask("GET", "/broken")
    check_body(broken, name, 502, "Bad Gateway", "0201", BAD_GATEWAY)
    lost = client.ask("GET", "/elsewhere")
    check_body(lost, default, 404, "Not Found", "0101", NOT_FOUND)
    for reply in (refused, broken, lost):
        assert proxy.line_of(reply)["id"] == request_id_of(reply)
    assert server.requests[-1].target == "/broken"
    assert server.requests[-1]["X-request-id"] == broken["X-request-id"]
    assert proxy.line_of(refused)["retry_after"] == int(refused["Retry-After"])


def test_errors_before_a_route_is_known_have_the_default_dialect(start, upstream, connect):
    proxy = start(forward(upstream(), errors={"default": "openstack"}, route={"errors": "text"}, limits={"connections": 1}, workers=1))
    client = connect(proxy)
    crowd = connect(proxy)
    crowded = crowd.read()
    assert json.loads(crowded.body) == {"error": {"code": "APIG.0620", "message": "The proxy is overloaded. Retry later.",
                                                  "title": "Service Unavailable"}}
    assert crowded["Content-Type"] == JSON and crowded["Retry-After"] == "1"
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n")
    assert client.read().body == b'{"error":{"code":"APIG.0201","message":"API request error.","title":"Bad Request"}}'


# -- XML

@pytest.mark.parametrize("name", DIALECTS)
def test_who_prefers_xml_gets_the_same_members(start, connect, name):
    proxy = start({"routes": [{"name": "all", "prefix": "/", "quotas": ["ip"], "errors": name, "respond": {}}],
                   "quotas": QUOTAS, "errors": {"accept": True, "dialects": OWN}})
    wait_for_room(3600, 10)
    client = connect(proxy)
    client.ask()
    xml = client.ask(fields=[("Accept", "application/xml, application/json;q=0.9")])
    own = client.ask(fields=[("Accept", "application/xml;q=0.5, */*")])
    assert own["Content-Type"] == DIALECTS[name][0]
    if name in ("text", "line"):
        assert xml["Content-Type"] == own["Content-Type"] and xml["Vary"] is None
        return
    assert xml["Content-Type"] == "application/xml; charset=UTF-8"
    assert xml["Vary"] == own["Vary"] == "Accept"

    def plain(value):
        if isinstance(value, dict):
            return [(key, plain(item)) for key, item in value.items()]
        return [("item", plain(item)) for item in value] if isinstance(value, list) else str(value)

    def members(element):
        return [(child.tag, members(child)) for child in element] if len(element) else element.text or ""

    root = ET.fromstring(xml.body.decode())
    expected = json.loads(own.body.decode().replace(request_id_of(own), request_id_of(xml)))
    if name == "openstack":
        expected = expected["error"]
    assert root.tag == "error" and members(root) == plain(expected)


def test_accept_is_off_unless_configured(start, connect):
    reply = connect(start({"routes": [{"path": "/x", "respond": {}}]})).ask(fields=[("Accept", "application/xml")])
    assert reply["Content-Type"] == JSON and reply["Vary"] is None


# -- headers

TWO = {"user": {"key": ["ip"], "limits": {"hour": 3, "day": 50}}, "api": {"key": ["route"], "limits": {"2 hours": 10}}}


def limit_lines(reply):
    """The lines about limits, as they stand in the head."""
    lines = reply.raw_head.decode().split("\r\n")
    return [line for line in lines if re.match(r"(?i)(x-)?(apig-)?ratelimit|x-apig-ratelimit", line)]


def expected_lines(dialects, used):
    """What stands in the head after `used` requests (refused ones do not count)."""
    now = time.time()
    hour, day, two = 3600 - now % 3600, 86400 - now % 86400, 7200 - now % 7200
    left = max(3 - used, 0)
    lines = {
        "x-ratelimit": ["X-ratelimit: 3", f"X-ratelimit-used: {left}", "X-ratelimit-window: hour"],
        "ietf": ['RateLimit-Policy: "user/hour";q=3;w=3600, "user/day";q=50;w=86400, "api/2 hour";q=10;w=7200',
                 f'RateLimit: "user/hour";r={left};t={hour:.0f}, "user/day";r={50 - used};t={day:.0f}, '
                 f'"api/2 hour";r={10 - used};t={two:.0f}'],
        "x-apig": [f"X-Apig-RateLimit-user: remain:{left},limit:3,time:1 hour",
                   f"X-Apig-RateLimit-api: remain:{10 - used},limit:10,time:2 hour"],
        "github": ["X-RateLimit-Limit: 3", f"X-RateLimit-Remaining: {left}", f"X-RateLimit-Reset: {now - now % 3600 + 3600:.0f}"],
    }
    return [line for name in ("ietf", "x-apig", "github", "x-ratelimit") if name in dialects for line in lines[name]]


def without_seconds(lines):
    return [re.sub(r";t=\d+", ";t=", line) for line in lines]


@pytest.mark.parametrize("dialects", [["x-ratelimit"], ["ietf"], ["x-apig"], ["github"], [], ["github", "x-apig", "ietf", "x-ratelimit"]],
                         ids="+".join)
def test_every_dialect_of_headers(start, upstream, connect, dialects):
    proxy = start(forward(upstream(), quotas=TWO, headers={"dialects": dialects}))
    wait_for_room(3600, 10)
    client = connect(proxy)
    for used in (1, 2, 3, 3):
        reply = client.ask(fields=[("X-Apig-Mode", "debug")])
        lines, expected = limit_lines(reply), expected_lines(dialects, used)
        assert without_seconds(lines) == without_seconds(expected)
        for line, want in zip(lines, expected):
            for said, true in zip(re.findall(r";t=(\d+)", line), re.findall(r";t=(\d+)", want)):
                assert int(true) <= int(said) + 1 <= int(true) + 3, (line, want)
    assert reply.status == 429 and reply["Retry-After"]


def test_x_apig_only_for_who_asks(start, upstream, connect):
    server = upstream()
    client = connect(start(forward(server, quotas=TWO, headers={"dialects": ["x-apig"]})))
    for value, is_shown in (("debug", True), ("DEBUG", True), ("debug ", True), ("off", False), ("", False), (None, False)):
        reply = client.ask(fields=[] if value is None else [("x-apig-mode", value)])
        assert bool(limit_lines(reply)) == is_shown, value
    assert server.requests[0]["X-Apig-Mode"] == "debug", "the server may want to know too"


FROM_SERVER = [("RateLimit", '"origin";r=5;t=1'), ("RateLimit-Policy", '"origin";q=9;w=3'), ("X-RateLimit-Limit", "900"),
               ("X-RateLimit-Remaining", "800"), ("X-RateLimit-Reset", "700"), ("X-RateLimit-Used", "600"),
               ("X-RateLimit", "500"), ("X-RateLimit-Window", "day"), ("X-Apig-RateLimit-api", "remain:1,limit:2,time:3 day"),
               ("X-Apig-RateLimit-other", "remain:1,limit:2,time:3 day"), ("X-Apig-Latency", "7")]
REPLACED = {"x-ratelimit": {"x-ratelimit", "x-ratelimit-used", "x-ratelimit-window"}, "ietf": set(),
            "github": {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"},
            "x-apig": {"x-apig-ratelimit-api", "x-apig-ratelimit-other"}}


@pytest.mark.parametrize("dialect", [*REPLACED, None])
def test_the_servers_own_fields(start, upstream, connect, dialect):
    """Those of a dialect that is on are replaced; RateLimit is a list, and nothing of the server's may be taken away."""
    server = upstream(answer=lambda _: http.response(fields=FROM_SERVER))
    proxy = start(forward(server, quotas=TWO, headers={"dialects": [dialect] if dialect else []}))
    reply = connect(proxy).ask(fields=[("X-Apig-Mode", "debug")])
    kept = [(n, v) for n, v in FROM_SERVER if n.lower() not in REPLACED.get(dialect, set())]
    assert [field for field in reply.fields if field in FROM_SERVER] == kept
    ours = expected_lines([dialect], 1)
    assert len(limit_lines(reply)) == len([n for n, _ in kept if n != "X-Apig-Latency"]) + len(ours)
    if dialect == "ietf":
        assert reply.all("RateLimit")[0] == '"origin";r=5;t=1' and reply.all("RateLimit")[1].startswith('"user/hour";r=2;t=')
        assert len(reply.all("RateLimit-Policy")) == 2


@pytest.mark.parametrize("value", ["limit=100, remaining=50, reset=5", "100;w=60", '"a";r=1;', ""])
def test_a_malformed_ratelimit_of_the_server_does_not_spoil_ours(start, upstream, connect, value):
    server = upstream(answer=lambda _: http.response(fields=[("RateLimit", value), ("RateLimit-Policy", '"a";q=5')]))
    reply = connect(start(forward(server, quotas=TWO, headers={"dialects": ["ietf"]}))).ask()
    assert reply["RateLimit"].startswith('"user/hour"') and len(reply.all("RateLimit-Policy")) == 2


def test_fields_of_a_dialect_that_is_off_pass(start, upstream, connect):
    server = upstream(answer=lambda _: http.response(fields=[("RateLimit", "limit=1")]))
    reply = connect(start(forward(server, quotas=TWO))).ask()
    assert reply["RateLimit"] == "limit=1" and reply["X-ratelimit"] == "3"


def test_a_crowd_of_windows_fits(start, upstream, connect):
    """Eight quotas of four windows with the longest names, in all dialects, beside a head of the server's as large as ours."""
    windows = {"hour": 5, "2 days": 2147483647, "day": 2147483647, "366 days": 2147483647}
    quotas = {f"{n}{'x' * 63}": {"key": ["route"], "limits": windows} for n in range(8)}
    big = [("X-Big", "y" * 30000)]
    server = upstream(answer=lambda _: http.response(fields=big))
    proxy = start(forward(server, quotas=quotas, headers={"dialects": ["x-ratelimit", "ietf", "x-apig", "github"]},
                          errors={"default": "problem"}))
    wait_for_room(3600, 10)
    client = connect(proxy)
    for _ in range(5):
        reply = client.ask(fields=[("X-Apig-Mode", "debug")])
        assert reply.status == 200 and reply["X-Big"] == "y" * 30000
    reply = client.ask(fields=[("X-Apig-Mode", "debug")])
    assert reply.status == 429 and reply["RateLimit"].count(";r=") == 32
    assert json.loads(reply.body)["violated-policies"] == [f"{name}/hour" for name in quotas]


# -- Retry-After

def test_jitter_is_added_and_the_same_everywhere(start, upstream, connect):
    own = {"wait": {"template": ["${retry_after}"]}}
    proxy = start(forward(upstream(), quotas={"ip": {"key": ["ip"], "limits": {"day": 1}}}, route={"errors": "wait"},
                          headers={"retry_after_jitter": "30s"}, errors={"dialects": own}))
    wait_for_room(86400, 120)
    client = connect(proxy)
    client.ask()
    seen = set()
    for _ in range(200):
        before = 86400 - time.time() % 86400
        reply = client.ask()
        wait = int(reply["Retry-After"])
        assert before - 1 <= wait <= before + 31
        assert json.loads(reply.body) == [wait]
        seen.add(round(wait - before))
    assert len(seen) > 10, seen
    lines = proxy.requests(201)
    assert proxy.line_of(reply)["retry_after"] == wait and len(lines) == 201


def test_jitter_of_a_503_and_of_a_route(start, upstream, connect):
    quotas = {"ip": {"key": ["ip"], "limits": {"day": 1}}}
    proxy = start(forward(upstream(), quotas=quotas, headers={"retry_after_jitter": "60s"}, limits={"connections": 1},
                          route={"headers": {"retry_after_jitter": "0%"}}))
    wait_for_room(86400, 120)
    client = connect(proxy)
    client.ask()  # it has the one place, whichever worker accepts first
    waits = []
    for _ in range(40):
        crowd = connect(proxy)
        waits.append(int(crowd.read()["Retry-After"]))
        crowd.close()
    assert min(waits) >= 1 and max(waits) <= 61 and len(set(waits)) > 3, waits
    for _ in range(20):
        before = 86400 - time.time() % 86400
        assert before - 1 <= int(client.ask()["Retry-After"]) <= before + 1


# -- what check says

def test_used_and_github_together_are_warned_about(verb, tmp_path):
    config = forward("127.0.0.1:1", quotas=QUOTAS, listen=[{"address": "127.0.0.1:1"}], headers={"dialects": ["x-ratelimit", "github"]})
    config["routes"].append({"path": "/y", "upstream": "app"})
    config["routes"].reverse()
    for used, count in (("remaining", 1), ("consumed", 0)):
        config["headers"]["used"] = used
        (tmp_path / "c.json").write_text(json.dumps(config))
        done = verb("check", "-c", tmp_path / "c.json")
        assert done.returncode == 0
        assert (done.stdout + done.stderr).count("take X-ratelimit-used for what was consumed") == count, done
