# SPDX-License-Identifier: Apache-2.0
"""What docs/configuration.md shows can be copied: each example is accepted, and the whole ones serve."""
import json
import pathlib
import re

import pytest
from harness import http
from harness.in_flight import Gate, in_redis, let_go, wait_until_up_open
from harness.replies import trio_of
from harness.waiting import wait_for

PAGE_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs"
PAGE = (PAGE_FOLDER / "configuration.md").read_text()
SECTIONS = {text.splitlines()[0]: text for text in PAGE.split("\n## ")[1:]}
EXAMPLES = [(title, block) for title, text in SECTIONS.items() for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


def parsed(block):
    """A whole object, or members of one."""
    return json.loads(block if block.lstrip().startswith("{") else "{" + block + "}")


def completed(example):
    """The least configuration around a part of one; routes that name no quota of the example lead to all of them."""
    if "prefix" in example:
        example = {"routes": [example]}
    quotas = example.get("quotas", {"ip": {"key": ["ip"], "limits": {"minute": 100}}})
    routes = example.get("routes", [{"prefix": "/", "upstream": "app", "quotas": list(quotas)}])
    named = {name for quota in quotas.values() for name in quota["key"]} - {"ip"}
    return {
        "listen": [{"address": "127.0.0.1:8080"}],
        "upstreams": {route["upstream"]: {"servers": ["127.0.0.1:9000"]} for route in routes},
        "subject_secret": "only for this test",
        "identities": {name: {"from": ["access_key"]} for name in named},
        **example, "quotas": quotas, "routes": routes,
    }


@pytest.mark.parametrize("title, block", EXAMPLES, ids=[f"{title}-{n}" for n, (title, _) in enumerate(EXAMPLES)])
def test_examples_are_accepted(verb, tmp_path, title, block):
    config = completed(parsed(block))
    for key in [key for identity in config["identities"].values() for key in identity.get("keys", [])]:
        key.update({"algorithm": "HS256", "key": "0" * 32})  # the reader's own
    (tmp_path / "sluice.json").write_text(json.dumps(config))
    done = verb("check", "-c", tmp_path / "sluice.json", env={"SLUICE_SUBJECT_SECRET": "x" * 32})
    assert done.returncode == 0, (title, done.stderr)
    if "listen" in parsed(block) and "routes" in parsed(block):
        assert "warning" not in done.stdout + done.stderr, (title, done.stderr)


def test_there_are_examples():
    assert len(EXAMPLES) >= 10 and sum({"listen", "routes"} <= set(parsed(block)) for _, block in EXAMPLES) == 1
    assert "listen" in parsed(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1]), "the smallest useful file stands first"


def rows_of(name, pattern):
    return re.findall(pattern, (PAGE_FOLDER.parent / "src" / "plan" / name).read_text())


def test_what_headers_may_name_and_not_name_is_told():
    text = SECTIONS["Other headers for servers and clients"]
    variables = rows_of("plan_rewrite_variables.def", r'VARIABLE\(\w+, "(\w+)", \d+, \w+, "(.*)"\)')
    assert len(variables) >= 10 and all(f"| `{name}` | {what}" in text for name, what in variables)
    told = {}
    for names, where in re.findall(r"^\| (`.*`) \| (both|requests|responses) \|", text, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", names):
            told[name.lower().rstrip("*")] = (where != "responses", where != "requests")
    refused = {name: (request == "true", response == "true") for name, request, response in
               rows_of("plan_rewrite_refused.def", r'REFUSED\("([^"]+)", (\w+), (\w+),')}
    assert refused == told


def test_forwarded_paths(start, upstream, connect):
    """The table of "Another path for the server", with the example above it."""
    section = SECTIONS["Another path for the server"]
    server = upstream()
    route = parsed(re.search(r"```json\n(.*?)```", section, re.DOTALL)[1])
    proxy = start({"upstreams": {"app": {"servers": [server.address]}}, "routes": [route]})
    rows = [(asked, forwarded) for asked, forwarded in re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", section, re.MULTILINE)]
    for asked, _ in rows:
        client = connect(proxy)
        client.send(f"GET {asked} HTTP/1.1\r\nHost: host\r\n\r\n".encode())
        assert client.read().status == 200
    assert [seen.target for seen in server.requests] == [forwarded for _, forwarded in rows] and len(rows) == 3


def test_members_in_redis_from_nothing(start, upstream, connect, redis):
    """The whole example of "Members in Redis", as it stands but for addresses: tiers with windows and requests in flight."""
    config = parsed(re.search(r"```json\n(.*?)```", SECTIONS["Members in Redis"], re.DOTALL)[1])
    gate = Gate()
    del config["listen"]
    config["upstreams"]["app"]["servers"] = [upstream(gate.serve).address]
    config["store"].update(in_redis(redis))
    config["subject_secret"] = "test"
    proxy = start(config)
    key = [("Authorization", "SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=host, Signature=ab12")]
    wait_until_up_open(connect, gate, proxy)
    clients = [connect(proxy) for _ in range(2)]
    for number, client in enumerate(clients, 1):
        client.send(http.request("GET", "/", key))
        gate.wait_for(number)
    refused = connect(proxy).ask("GET", "/", key)
    assert refused.status == 429 and proxy.line_of(refused)["refused_by"] == ["user/in_flight"]
    assert [trio_of(reply)[0] for reply in let_go(gate, clients)] == [60, 60]
    gate.is_open.set()
    redis.client.hset("sluice:members:user", "AKEXAMPLE", "pro")
    wait_for(lambda: trio_of(connect(proxy).ask("GET", "/", key))[0] == 600, "the tier of Redis", 10)
