# SPDX-License-Identifier: Apache-2.0
"""`sluice explain` says from the file alone what a request would meet; a running proxy does the same."""
import json
import subprocess

import pytest
from harness.configs import forward
from harness.proxy import BINARY, environment
from harness.replies import trio_of

AK = "Authorization: SDK-HMAC-SHA256 Access=%s, SignedHeaders=host, Signature=ab12"


JSON_TYPE = "application/json; charset=UTF-8"
FIXED = {"mode": "enforce", "algorithm": "fixed"}


def config(server="127.0.0.1:9000", **more):
    made = forward(
        server, subject_secret={"env": "TEST_SECRET"}, trusted_proxies=["10.0.0.0/8"],
        identities={"user": {"from": ["access_key", "header:X-Key"], "missing": "refuse"}, "key": {"from": ["header:X-Key"], "missing": "skip"},
                    "all": {"from": ["cookie:none"], "missing": "shared"}, "project": {"from": ["path:project"]},
                    "address": {"from": ["ip"], "ipv4_prefix": 24}},
        tiers={"free": {"minute": 60, "5 minutes": 200}, "pro": {"day": 9000}, "staff": "unlimited"},
        quotas={"user": {"key": ["user"], "limits": "tier", "default_tier": "free", "members": {"pro": ["AKPRO"], "staff": ["AKSTAFF"]}},
                "key": {"key": ["key"], "limits": {"hour": 7}}, "all": {"key": ["all"], "limits": {"hour": 1000}},
                "project": {"key": ["project", "address"], "limits": {"hour": 50}}},
        **more)
    made["routes"] = [
        {"name": "search", "path": "/v1/{project}/search", "methods": ["GET"], "quotas": ["project", "key"], "cost": 5, "upstream": "app"},
        {"name": "admin", "prefix": "/admin/", "allow": ["192.0.2.0/24"], "upstream": "app", "headers": {"dialects": []}},
        {"name": "ping", "path": "/ping", "respond": {"status": 204}},
        {"name": "site", "host": "*.example.com", "prefix": "/", "quotas": ["user", "all"], "upstream": "app"},
    ]
    return made


ENV = {"TEST_SECRET": "of the fleet"}


@pytest.fixture
def explain(tmp_path):
    file = tmp_path / "c.json"

    def run(*words, as_json=True, change=None, code=0):
        made = config(listen=[{"name": "in", "address": "127.0.0.1:18080"}, {"name": "out", "address": "127.0.0.1:18081"}])
        if change:
            change(made)
        file.write_text(json.dumps(made))
        done = subprocess.run([BINARY, "explain", *words, "-c", str(file), *(["--json"] if as_json else [])], env=environment(tmp_path, ENV),
                              capture_output=True, timeout=20, check=False)
        assert done.returncode == code, done
        return json.loads(done.stdout) if as_json and code == 0 else (done.stdout + done.stderr).decode()

    return run


def test_route_subjects_and_quotas(explain):
    said = explain("GET", "http://h/v1//al%70ha/search?x=1", "-H", "X-Key: s3cret", "--ip", "203.0.113.7")
    key = said["subjects"][2].pop("subject")
    project, by_key = said["quotas"]
    assert len(key) == len(project.pop("key")) == len(by_key.pop("key")) == 22
    assert said == {
        "client_ip": "203.0.113.7", "listener": "in", "path": "/v1/alpha/search", "route": "search", "cost": 5, "upstream": "app",
        "headers": ["x-ratelimit"],
        "errors": {"dialect": "apig", "like": "apig", "prefix": "APIG", "content_type": JSON_TYPE, "template": False, "xml": False},
        "subjects": [{"identity": "project", "result": "found", "subject": "alpha", "source": "path:project"},
                     {"identity": "address", "result": "found", "subject": "203.0.113.0/24", "source": "ip"},
                     {"identity": "key", "result": "found", "source": "header:x-key"}],
        "quotas": [{"quota": "project", "counted": True, "exempt": False, **FIXED, "limits": [{"window": "hour", "limit": 50}]},
                   {"quota": "key", "counted": True, "exempt": False, **FIXED, "limits": [{"window": "hour", "limit": 7}]}]}


def test_text_for_people(explain):
    said = explain("GET", "http://a.example.com/x", "-H", AK % "AKPRO", "--ip", "10.0.0.1", "-H", "X-Forwarded-For: 198.51.100.1, 192.0.2.9",
                   as_json=False)
    lines = said.splitlines()
    assert lines[:5] == ["client      192.0.2.9   listener in", "path        /x", "route       site -> upstream app   cost 1",
                         "identity    user = AKPRO   from access_key", "identity    all = shared   missing: one bucket for all"]
    assert lines[5].startswith("quota       user   tier pro   key ") and lines[6] == "              9000 per day"
    assert lines[7].startswith("quota       all   key ") and lines[8:] == [
        "              1000 per hour", "headers     x-ratelimit", "errors      apig   prefix APIG   application/json; charset=UTF-8"]


# the route's "errors", what is told of them as JSON, as text
ERRORS = [
    ("iva", ["iva", "iva", "IVA", JSON_TYPE, False, True], "errors      iva   prefix IVA   application/json; charset=UTF-8 or XML"),
    ("ocr", ["ocr", "apig", "OCR", JSON_TYPE, False, True], "errors      ocr   like apig   prefix OCR   application/json; charset=UTF-8 or XML"),
    ("own", ["own", None, "OWN", "application/vnd.own+json", True, True],
     "errors      own   a template   prefix OWN   application/vnd.own+json or XML"),
    ("plain", ["plain", None, "APIG", "text/plain; charset=UTF-8", True, False], "errors      plain   a template   prefix APIG   text/plain; charset=UTF-8"),
    (None, ["text", "text", "APIG", "text/plain; charset=UTF-8", False, False], "errors      text   prefix APIG   text/plain; charset=UTF-8"),
]


@pytest.mark.parametrize("name, told, line", ERRORS, ids=[str(row[0]) for row in ERRORS])
def test_the_dialect_of_errors(explain, name, told, line):
    def change(made):
        made["errors"] = {"default": "text", "accept": True, "dialects": {
            "ocr": {"like": "apig", "prefix": "OCR"}, "plain": {"template": "${code}\n"},
            "own": {"template": {"c": "${code}"}, "prefix": "OWN", "content_type": "application/vnd.own+json"}}}
        if name:
            made["routes"][0]["errors"] = name

    said = explain("GET", "/v1/p/search", change=change)["errors"]
    assert [said.get(key) for key in ("dialect", "like", "prefix", "content_type", "template", "xml")] == told
    assert explain("GET", "/v1/p/search", change=change, as_json=False).splitlines()[-1] == line
    assert explain("GET", "/nothing", change=change)["errors"]["dialect"] == "text", "where no route is, the default"
    assert explain("GET", "/nothing", change=change, as_json=False).splitlines()[-1] == ERRORS[-1][2]


def test_tiers_and_missing_identities(explain):
    said = explain("GET", "http://a.example.com/", "-H", AK % "AKFREE")
    assert said["quotas"][0]["tier"] == "free" and said["quotas"][0]["limits"] == [{"window": "minute", "limit": 60}, {"window": "5 minute", "limit": 200}]
    assert explain("GET", "http://a.example.com/", "-H", AK % "AKSTAFF")["quotas"][0] == {
        "quota": "user", "tier": "staff", "counted": False, "exempt": False, **FIXED}
    said = explain("GET", "/v1/p/search")
    assert said["quotas"][1] == {"quota": "key", "counted": False, "exempt": False, **FIXED} and said["subjects"][2] == {"identity": "key", "result": "skipped"}


def test_algorithms_shadows_costs_and_exemptions(explain):
    def change(made):
        made["quotas"]["key"] = {"key": ["key"], "limits": {"hour": 7}, "algorithm": "token_bucket", "burst": 9, "mode": "shadow"}
        made["quotas"]["project"]["algorithm"] = "sliding"
        made["quotas"]["project"]["exempt"] = {"addresses": ["192.0.2.0/24"], "subjects": ["beta"], "preflight": True}
        made["routes"][0].update(cost={"response_header": "X-Cost", "estimate": 2, "max": 9}, methods=["GET", "OPTIONS"])

    words = ["-H", "X-Key: k", "--ip"]
    said = explain("GET", "/v1/alpha/search", *words, "203.0.113.7", change=change)
    assert (said["cost"], said["cost_header"], said["cost_max"]) == (2, "X-Cost", 9)
    assert [(q["quota"], q["algorithm"], q["mode"], q["counted"], q["exempt"]) for q in said["quotas"]] == [
        ("project", "sliding", "enforce", True, False), ("key", "token_bucket", "shadow", True, False)]
    text = explain("GET", "/v1/alpha/search", *words, "203.0.113.7", change=change, as_json=False)
    for part in ("cost 2 until the response's X-Cost says, at most 9", "50 per hour, sliding", "key   in shadow   key ", "7 per hour, token_bucket, at once 9"):
        assert part in text, text
    preflight = ["-H", "Origin: https://x", "-H", "Access-Control-Request-Method: PUT"]
    for request in (["GET", "/v1/alpha/search", *words, "192.0.2.7"], ["GET", "/v1/beta/search", *words, "203.0.113.7"],
                    ["OPTIONS", "/v1/alpha/search", *preflight, *words, "203.0.113.7"]):
        said = explain(*request, change=change)
        assert [(q["quota"], q["counted"], q["exempt"]) for q in said["quotas"]] == [("project", False, True), ("key", True, False)]
        assert "quota       project   exempt" in explain(*request, change=change, as_json=False)


# words, how it is refused, with what status, because of what
REFUSED = [
    (["GET", "/nothing"], "no_route", 404, None),
    (["POST", "/v1/p/search"], "no_route", 404, None),
    (["GET", "/admin/x"], "address_denied", 403, None),
    (["GET", "http://a.example.com/"], "identity_required", 401, None),
    (["GET", "http://a.example.com/", "-H", "X-Key: a", "-H", "x-key: b"], "bad_request", 400, None),
    (["GET", "/a/../b"], "bad_request", 400, "dot_segment"),
    (["GET", "/%zz"], "bad_request", 400, None),
    (["GET", "http://a b/"], "bad_request", 400, None),
    (["CONNECT", "/"], "method_refused", 405, "connect_refused"),
    (["G T", "/"], "bad_request", 400, None),
    (["GET", "/ping", "-H", "X_Key: a"], "bad_request", 400, "bad_field_name"),
    (["GET", "/ping", "-H", "Transfer-Encoding: gzip"], "not_implemented", 501, "bad_transfer_encoding"),
]


@pytest.mark.parametrize("words, end, status, reason", REFUSED, ids=[" ".join(row[0]) for row in REFUSED])
def test_what_would_be_refused(explain, words, end, status, reason):
    said = explain(*words)
    assert (said["refused"], said["status"], said["quotas"]) == (end, status, []), said
    assert reason is None or reason in said["reason"]
    text = explain(*words, as_json=False)
    assert f"refused     {status}, {end}: " in text


def test_others(explain):
    assert explain("GET", "/admin/x", "--ip", "192.0.2.7")["headers"] == []
    assert "headers     none" in explain("GET", "/admin/x", "--ip", "192.0.2.7", as_json=False)
    assert explain("GET", "/ping")["respond"] == 204
    assert "quota       none" in explain("GET", "/ping", as_json=False)
    assert explain("GET", "http://h")["path"] == "/" and explain("GET", "http://h?q")["path"] == "/"
    assert explain("GET", "http://h/ping#part")["route"] == "ping"
    assert explain("GET", "/", "-H", "Host: a.example.com", "-H", "X-Key: k")["route"] == "site"

    def private(made):
        made["routes"].insert(0, {"name": "private", "listener": "out", "prefix": "/", "respond": {}})

    assert explain("GET", "/ping", change=private)["route"] == "ping"
    assert explain("GET", "/ping", "--listener", "out", change=private)["route"] == "private"


@pytest.mark.parametrize("words, message", [
    ([], "needs METHOD and URL"), (["GET"], "needs METHOD and URL"), (["GET", "ftp://x/"], "is no URL"), (["GET", ""], "is no URL"),
    (["GET", "http:///x"], "is no URL"), (["GET", "/", "-H", "X-Key"], "is no header"), (["GET", "/", "-H", "A: b\r\nC: d"], "is no header"),
    (["GET", "/", "--ip", "localhost"], "is not an address"), (["GET", "/", "--listener", "none"], "no listener has the name"),
    (["GET", "/", "x"], "unexpected argument"),
], ids=str)
def test_what_cannot_be_asked(explain, words, message):
    assert message in explain(*words, as_json=False, code=2)


def test_secrets_do_not_show(explain):
    for as_json in (True, False):
        assert "s3cret" not in str(explain("GET", "http://a.example.com/", "-H", "X-Key: s3cret", as_json=as_json))


def test_a_running_proxy_does_what_was_explained(start, upstream, connect, verb):
    proxy = start(config(upstream()), env=ENV)
    client = connect(proxy)
    rows = [("GET", "a.example.com", "/x", [("X-Key", "k-1")]), ("GET", "a.example.com", "/", [("Authorization", (AK % "AKPRO").split(": ", 1)[1])]),
            ("GET", "h", "/v1/p/search", [("X-Key", "k-2")]), ("GET", "h", "/v1/p/search", []), ("GET", "a.example.com", "/", []),
            ("GET", "h", "/none", []), ("GET", "h", "/ping", []), ("GET", "h", "/admin/", [])]
    for method, host, target, fields in rows:
        reply = client.ask(method, target, fields=fields, host=host)
        line = proxy.line_of(reply)
        options = [word for name, value in fields for word in ("-H", f"{name}: {value}")]
        said = json.loads(verb("explain", method, f"http://{host}{target}", *options, "-c", proxy.file, "--json", env=ENV).stdout)
        assert said.get("route") == line.get("route") and said.get("refused", "ok") == line["end"]
        assert {s["identity"]: s["subject"] for s in said["subjects"] if "subject" in s} == line.get("subjects", {})
        assert said.get("status", 200 if "upstream" in said else 204) == reply.status
        if reply.status == 200 and said["quotas"]:
            limits = {entry["limit"] for quota in said["quotas"] if quota["counted"] for entry in quota["limits"]}
            assert trio_of(reply)[0] in limits
            assert {(entry["q"], entry["limit"]) for entry in line["quotas"]} == {
                (quota["quota"], entry["limit"]) for quota in said["quotas"] if quota["counted"] for entry in quota["limits"]}


def rewriting(made):
    made["routes"][0] |= {
        "strip_prefix": "/v1/{project}", "add_prefix": "/v2",
        "request_headers": {"set": {"X-Who": "${client_ip} ${peer_ip} ${identity:project}", "X-Id": "${request_id}", "X-Cert": "<${certificate}>"},
                            "add": {"X-B": "${scheme} ${method} ${host} ${path} ${listener} ${route} ${upstream}"}, "remove": ["Cookie"]},
        "response_headers": {"remove": ["Server"], "set": {"X-By": "${server}"}}}


def test_what_is_changed_on_the_way(explain):
    words = ["GET", "http://h.example/v1//al%70ha/se%61rch?x=%zz", "--ip", "10.0.0.1", "-H", "X-Forwarded-For: 192.0.2.9"]
    said = explain(*words, change=rewriting)
    assert said["forwarded"] == "/v2/se%61rch?x=***" and said["path"] == "/v1/alpha/search"
    assert said["request_headers"] == {"less": ["Cookie", "X-Who", "X-Id", "X-Cert"], "with": [
        "X-Who: 192.0.2.9 10.0.0.1 alpha", "X-Id: ${request_id}", "X-Cert: <${certificate}>", "X-B: http GET h.example /v1/alpha/search in search app"]}
    assert said["response_headers"] == {"less": ["Server", "X-By"], "with": ["X-By: ${server}"]}
    text = explain(*words, change=rewriting, as_json=False)
    assert text[text.index("forwarded"):text.index("errors")] == (
        "forwarded   /v2/se%61rch?x=***\n"
        "request     less Cookie\nrequest     less X-Who\nrequest     less X-Id\nrequest     less X-Cert\n"
        "request     with X-Who: 192.0.2.9 10.0.0.1 alpha\nrequest     with X-Id: ${request_id}\nrequest     with X-Cert: <${certificate}>\n"
        "request     with X-B: http GET h.example /v1/alpha/search in search app\n"
        "response    less Server\nresponse    less X-By\nresponse    with X-By: ${server}\n")
    for query, shown in (("", ""), ("a", "a"), ("a=", "a="), ("a=b", "a=***"), ("&&a=b=c&", "&&a=***&"), ("=b&c&d=e", "=***&c&d=***")):
        assert explain("GET", f"http://h/v1/a/search?{query}", change=rewriting)["forwarded"] == f"/v2/search?{shown}"
    assert "forwarded" not in explain("GET", "/ping", change=rewriting) and "request_headers" not in explain("GET", "http://h/v1/a/search")


def test_what_rules_say_themselves_is_hidden(explain):
    """Credentials for servers stand there; what only separates values does not matter."""
    def change(made):
        rewriting(made)
        made["routes"][0]["request_headers"]["set"] |= {"X-Auth": "Bearer hush-hush", "X-Pin": "7", "X-Dash": "-",
                                                        "X-Mixed": "by=${client_ip}; key=hush ${scheme}"}
        made["routes"][0]["response_headers"]["set"]["X-Open"] = "told to all"

    said = explain("GET", "http://h/v1/a/search", "--ip", "10.0.0.1", change=change)
    assert said["request_headers"]["with"][3:7] == ["X-Auth: ***", "X-Pin: *", "X-Dash: -", "X-Mixed: ***10.0.0.1***http"]
    assert "X-Open: told to all" in said["response_headers"]["with"]
    assert "hush" not in explain("GET", "http://h/v1/a/search", change=change, as_json=False)
