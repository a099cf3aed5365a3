# SPDX-License-Identifier: Apache-2.0
"""Programs of other people, as their packages ship them, understand what Sluice says.  scripts/install-clients brings them."""
import hashlib
import hmac
import json
import os
import pathlib
import re
import subprocess
import urllib.parse

import pytest
import requests
from keystoneauth1 import exceptions
from keystoneauth1 import session as keystone_session
from keystoneauth1.identity import v3
from openstack import exceptions as openstack_exceptions
from urllib3.util.retry import Retry
from harness import http
from harness.configs import forward
from harness.replies import throttled
from harness.waiting import PATIENCE_S, wait_for_room

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "build/clients/node_modules"
CLIENTS = pathlib.Path(__file__).parent / "clients"


def node(tmp_path, script, *words, said=""):
    """Run a script of clients/ with the packages; gives the CompletedProcess."""
    assert PACKAGES.is_dir(), "run scripts/install-clients first"
    place = tmp_path / "clients"  # where node looks for packages beside a script
    if not place.exists():
        place.mkdir()
        (place / "node_modules").symlink_to(PACKAGES)
    (place / script).write_text((CLIENTS / script).read_text())
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(["node", str(place / script), *words], input=said, capture_output=True, text=True, env=env,
                          timeout=2 * PATIENCE_S, check=False)
    assert done.returncode == 0, done
    return done


def ip_quota(limit, window="hour"):
    return {"ip": {"key": ["ip"], "limits": {window: limit}}}


# -- Python: requests with urllib3's Retry

def test_requests_waits_as_long_as_retry_after_says_and_succeeds(start, upstream):
    proxy = start(forward(upstream(), quotas=ip_quota(1, "5 seconds"), headers={"retry_after_jitter": "1s"}))
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=Retry(total=1, status_forcelist=[429])))
    wait_for_room(5, 3)
    assert session.get(proxy.url + "/").status_code == 200
    assert session.get(proxy.url + "/").status_code == 200, "refused once, then let in"
    session.close()
    first, refused, last = sorted(proxy.requests(3), key=lambda line: line["ts"])
    assert [line["status"] for line in (first, refused, last)] == [200, 429, 200]
    assert refused["retry_after"] >= 1
    waited = _seconds(last["ts"]) - _seconds(refused["ts"])
    assert waited >= refused["retry_after"] - 0.01, (waited, refused["retry_after"])


def _seconds(ts):
    hours, minutes, seconds = re.search(r"T(\d+):(\d+):([\d.]+)Z", ts).groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


# -- Python: keystoneauth1 and openstacksdk

TOKEN = "MII" + "x" * 5000


def keystone(message):
    """The backend of the token flow."""
    if message.target == "/v3/auth/tokens":
        body = {"token": {"expires_at": "2099-01-01T00:00:00.000000Z", "issued_at": "2026-01-01T00:00:00.000000Z", "methods": ["password"],
                          "user": {"id": "u", "name": "u", "domain": {"id": "d", "name": "d"}}, "catalog": []}}
        return http.response(201, "Created", [("Content-Type", "application/json"), ("X-Subject-Token", TOKEN)], json.dumps(body).encode())
    return http.response(fields=[("Content-Type", "application/json")], body=b'{"ok": true}')


def test_keystoneauth_gets_a_token_and_understands_a_refusal(start, upstream):
    server = upstream(answer=keystone)
    config = forward(server, quotas={"token": {"key": ["header:X-Auth-Token"], "limits": {"hour": 2}}}, errors={"default": "openstack"},
                     subject_secret={"env": "SECRET"})
    config["routes"].insert(0, {"name": "token", "methods": ["POST"], "path": "/v3/auth/tokens", "upstream": "app"})
    proxy = start(config, env={"SECRET": "s" * 32})
    auth = v3.Password(auth_url=proxy.url + "/v3", username="u", password="p", user_domain_id="d")
    wait_for_room(3600, 15)
    with requests.Session() as inner:
        inner.trust_env = False
        session = keystone_session.Session(auth=auth, session=inner)
        for _ in range(2):
            assert session.get(proxy.url + "/v2/servers").json() == {"ok": True}
        with pytest.raises(exceptions.HttpError) as refusal:
            session.get(proxy.url + "/v2/servers")
    assert refusal.value.http_status == 429
    assert refusal.value.message == throttled("token", 2, 1, "hour") + " (HTTP 429)"
    assert int(refusal.value.retry_after) >= 1
    assert [message.target for message in server.requests] == ["/v3/auth/tokens", "/v2/servers", "/v2/servers"]
    assert server.requests[1]["X-Auth-Token"] == TOKEN


def test_keystoneauth_tokens_of_one_project_share_its_quota(start, upstream):
    """Two logins to a project and one to another, as keystoneauth1 does them."""
    issued = []

    def scoped(message):
        reply = keystone(message)
        if message.target != "/v3/auth/tokens":
            return reply
        project = json.loads(message.body)["auth"]["scope"]["project"]["id"]
        issued.append(f"{TOKEN}{len(issued)}")
        reply = reply.replace(TOKEN.encode(), issued[-1].encode())
        head, body = reply.split(b"\r\n\r\n", 1)
        body = json.loads(body)
        body["token"]["project"] = {"id": project, "name": "n", "domain": {"id": "d", "name": "d"}}
        lines = [line for line in head.decode().split("\r\n")[1:] if not line.startswith("Content-Length")]
        return http.response(201, "Created", [tuple(line.split(": ", 1)) for line in lines], json.dumps(body).encode())

    server = upstream(answer=scoped)
    config = forward(server, quotas={"project": {"key": ["token_project"], "limits": {"hour": 50}}}, subject_secret={"env": "SECRET"})
    config["routes"].insert(0, {"name": "token", "methods": ["POST"], "path": "/v3/auth/tokens", "upstream": "app", "learns": "token_project"})
    proxy = start(config, env={"SECRET": "s" * 32})
    wait_for_room(3600, 15)

    def left(project):
        with requests.Session() as inner:
            inner.trust_env = False
            auth = v3.Password(auth_url=proxy.url + "/v3", username="u", password="p", user_domain_id="d", project_id=project)
            return int(keystone_session.Session(auth=auth, session=inner).get(proxy.url + "/v2/servers").headers["X-ratelimit-used"])

    assert [left("p1"), left("p1"), left("p2"), left("p1")] == [49, 48, 49, 47]
    assert len(set(issued)) == 4


def test_openstacksdk_shows_the_sentence(start, upstream):
    proxy = start(forward(upstream(), quotas=ip_quota(0), errors={"default": "openstack"}))
    with requests.Session() as session:
        session.trust_env = False
        with pytest.raises(openstack_exceptions.HttpException) as refusal:
            openstack_exceptions.raise_from_response(session.get(proxy.url + "/"))
    assert refusal.value.status_code == 429
    assert refusal.value.details == throttled("ip", 0, 1, "hour")


# -- the fields of the IETF draft, read by a parser of RFC 9651

# The draft's own examples.
EXAMPLES = [
    ('"burst";q=100;w=60,"daily";q=1000;w=86400', [["burst", {"q": 100, "w": 60}], ["daily", {"q": 1000, "w": 86400}]]),
    ('"default";q=100;w=10', [["default", {"q": 100, "w": 10}]]),
    ('"permin";q=50;w=60,"perhr";q=1000;w=3600', [["permin", {"q": 50, "w": 60}], ["perhr", {"q": 1000, "w": 3600}]]),
    ('"default";r=50;t=30', [["default", {"r": 50, "t": 30}]]),
    ('"default";r=999;pk=:dHJpYWwxMjEzMjM=:', [["default", {"r": 999, "pk": {"bytes": 11}}]]),
    ('"default";r=300000000;t=60;pk=:QXBwLTk5OQ==:', [["default", {"r": 300000000, "t": 60, "pk": {"bytes": 7}}]]),
    ("limit=100, remaining=50", None),
]


def test_structured_headers_reads_the_ietf_fields(start, upstream, connect, tmp_path):
    server = upstream(answer=lambda _: http.response(fields=[("RateLimit-Policy", '"origin";q=9;w=3'), ("RateLimit", '"origin";r=5;t=1')]))
    quotas = {"user-1.x_Y": {"key": ["ip"], "limits": {"hour": 3, "5 minutes": 2}}, "api": {"key": ["route"], "limits": {"day": 50}}}
    proxy = start(forward(server, quotas=quotas, headers={"dialects": ["ietf"]}))
    wait_for_room(300, 15)
    client = connect(proxy)
    replies = [client.ask() for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    values = [", ".join(reply.all(name)) for reply in replies for name in ("RateLimit-Policy", "RateLimit")]
    lists = json.loads(node(tmp_path, "structured.mjs", said=json.dumps(values + [value for value, _ in EXAMPLES])).stdout)
    assert lists[len(values):] == [meaning for _, meaning in EXAMPLES]
    policies = [["user-1.x_Y/hour", {"q": 3, "w": 3600}], ["user-1.x_Y/5 minute", {"q": 2, "w": 300}], ["api/day", {"q": 50, "w": 86400}]]
    origin = [["origin", {"q": 9, "w": 3}]]
    assert lists[:6:2] == [origin + policies, origin + policies, policies]
    for found, left in zip(lists[1:6:2], ((2, 1, 49), (1, 0, 48), (1, 0, 48))):
        ours = found[-3:]
        assert [name for name, _ in ours] == [name for name, _ in policies]
        assert tuple(limit["r"] for _, limit in ours) == left
        assert all(1 <= limit["t"] <= policy["w"] for (_, limit), (_, policy) in zip(ours, policies))
    assert lists[5][1][1]["t"] == int(replies[2]["Retry-After"]), "the window that refused says the same"


# -- the fields of GitHub, read by a parser of them

@pytest.mark.parametrize("dialects", [["github"], ["x-ratelimit", "github"], ["github", "x-apig"]], ids="+".join)
def test_ratelimit_header_parser_reads_the_github_fields(start, upstream, tmp_path, dialects):
    proxy = start(forward(upstream(), quotas=ip_quota(5), headers={"dialects": dialects, "used": "consumed"}))
    begin = wait_for_room(3600, 15)
    for used in (1, 2):
        found = json.loads(node(tmp_path, "ratelimit.cjs", proxy.url + "/").stdout)
        assert found == {"limit": 5, "used": used, "remaining": 5 - used, "reset": begin + 3600}


# -- the SDK of Huawei Cloud

def check_signature(message, secret=b"SKEXAMPLE"):
    """The documented algorithm SDK-HMAC-SHA256, over what arrived behind the proxy."""
    scheme, access, names, signature = re.fullmatch(
        r"(SDK-HMAC-SHA256) Access=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})", message["Authorization"]).groups()
    path, _, query = message.target.partition("?")
    path = path if path.endswith("/") else path + "/"
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
    query = "&".join(f"{urllib.parse.quote(name, '~')}={urllib.parse.quote(value, '~')}" for name, value in pairs)
    fields = "".join(f"{name}:{message[name]}\n" for name in names.split(";"))
    body = hashlib.sha256(message.body).hexdigest()
    canonical = "\n".join([message.method, path, query, fields, names, body])
    text = "\n".join([scheme, message["X-Sdk-Date"], hashlib.sha256(canonical.encode()).hexdigest()])
    assert hmac.new(secret, text.encode(), "sha256").hexdigest() == signature, canonical
    return access


PREFIXES = {"apig": "APIG", "iva": "IVA", "modelarts": "ModelArts", "as": "AS", "as-otc": "AS", "img": "IMG", "openstack": "APIG"}


@pytest.mark.parametrize("dialect", PREFIXES)
def test_huaweicloud_sdk_signs_and_understands_a_refusal(start, upstream, tmp_path, dialect):
    callers = []

    def answer(message):
        callers.append(check_signature(message))
        return http.response(fields=[("Content-Type", "application/json")], body=b'{"vpcs": [{"id": "vpc-1"}]}')

    server = upstream(answer=answer)
    proxy = start(forward(server, quotas={"user": {"key": ["access_key"], "limits": {"hour": 1}}}, errors={"default": dialect}))
    wait_for_room(3600, 30)

    told = node(tmp_path, "huaweicloud.js", proxy.url).stderr.strip().splitlines()[-1]
    allowed, refused = json.loads(told)
    assert allowed == {"vpcs": ["vpc-1"]}
    lines = sorted(proxy.requests(2), key=lambda line: line["ts"])
    assert refused.pop("id").split("-")[0] == lines[1]["id"]
    assert refused == {"kind": "ClientRequestException", "status": 429, "code": f"{PREFIXES[dialect]}.0308",
                       "message": throttled("user", 1, 1, "hour")}
    assert callers == ["AKEXAMPLE"] and server.requests[0].target.startswith("/v1/0123456789abcdef/vpcs?limit=2&marker=a")
