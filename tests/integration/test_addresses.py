# SPDX-License-Identifier: Apache-2.0
"""Which clients may use a route: the most specific network decides, on the client's own address, before any quota."""
import json

import pytest
from harness.client import Client
from harness.configs import forward, respond
from harness.ports import take_port
from harness.replies import check_error, trio_of

DENIED = "Unknown client IP address."


def route(**lists):
    return respond(trusted_proxies=["127.0.0.1"], routes=[{"name": "all", "prefix": "/", "respond": {"text": "here"}, **lists}])


def statuses(client, addresses):
    return [client.ask(fields=[("X-Forwarded-For", address)]).status for address in addresses]


ROWS = [
    # the lists, who may, who may not
    ({"allow": ["10.0.0.0/8"]}, ["10.0.0.0", "10.255.255.255", "::ffff:10.1.1.1"], ["9.255.255.255", "11.0.0.0", "::a00:1", "::1"]),
    ({"deny": ["10.0.0.0/8"]}, ["9.255.255.255", "11.0.0.0", "2001:db8::1"], ["10.0.0.0", "10.255.255.255"]),
    ({"allow": ["10.0.0.0/8"], "deny": ["10.1.0.0/16"]}, ["10.0.255.255", "10.2.0.0"], ["10.1.0.0", "10.1.255.255", "192.0.2.1"]),
    ({"deny": ["10.0.0.0/8"], "allow": ["10.1.0.0/16"]}, ["10.1.2.3"], ["10.2.0.0", "192.0.2.1"]),
    ({"deny": ["10.0.0.0/8"], "allow": ["10.1.0.0/16", "0.0.0.0/0", "::/0"]}, ["10.1.2.3", "192.0.2.1", "::1"], ["10.2.0.0"]),
    ({"allow": ["10.0.0.0/8", "10.1.2.3"], "deny": ["10.1.0.0/16"]}, ["10.1.2.3", "10.0.0.1"], ["10.1.2.4"]),
    ({"allow": ["2001:db8::/32"], "deny": ["2001:db8:1::/48"]}, ["2001:db8::", "2001:db8:2::1"], ["2001:db8:1::1", "2001:db9::", "10.0.0.1"]),
    ({"allow": ["::/0"]}, ["2001:db8::1"], ["10.0.0.1", "0.0.0.0"]),
    ({"allow": ["0.0.0.0/0"]}, ["10.0.0.1"], ["2001:db8::1"]),
    ({"allow": []}, [], ["10.0.0.1", "::1"]),
    ({"deny": []}, ["10.0.0.1", "::1"], []),
]


@pytest.mark.parametrize("lists, may, may_not", ROWS, ids=[json.dumps(row[0]) for row in ROWS])
def test_most_specific_network_decides(start, connect, lists, may, may_not):
    client = connect(start(route(**lists)))
    assert statuses(client, may) == [200] * len(may)
    assert statuses(client, may_not) == [403] * len(may_not)


def test_denied_is_told_logged_counted_and_not_charged(start, upstream, connect):
    server, port = upstream(), take_port()
    config = forward(server, trusted_proxies=["127.0.0.1"], quotas={"q": {"key": ["route"], "limits": {"hour": 5}}},
                     route={"deny": ["192.0.2.0/24"]}, admin={"metrics": f"127.0.0.1:{port}"})
    proxy = start(config)
    client = connect(proxy)
    for _ in range(20):
        reply = client.ask("POST", fields=[("X-Forwarded-For", "192.0.2.7")], body=b"x" * 100)
        check_error(reply, 403, "0401", DENIED)
        assert trio_of(reply) is None and reply["Retry-After"] is None
    assert trio_of(client.ask(fields=[("X-Forwarded-For", "198.51.100.7")])) == (5, 4, "hour"), "the refused ones cost nothing"
    assert len(server.requests) == 1
    lines = proxy.requests(21)
    assert [line["end"] for line in lines] == ["address_denied"] * 20 + ["ok"]
    assert {(line["status"], line["client_ip"], line["peer_ip"], line["route"], line["decision"]) for line in lines[:20]} == {
        (403, "192.0.2.7", "127.0.0.1", "all", "none")}
    with Client(("127.0.0.1", port)) as metrics:
        assert b'sluice_exchanges_total{end="address_denied"} 20\n' in metrics.ask("GET", "/metrics").body


def test_nobody_talks_himself_in(start, connect):
    config = route(allow=["10.0.0.0/8"])
    proxy = start(config)
    stranger = connect(proxy, source="127.0.0.3")
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP"):
        assert stranger.ask(fields=[(name, "10.0.0.1")]).status == 403, "only a trusted proxy is believed"
    assert stranger.ask(fields=[("X-Forwarded-For", "10.0.0.1, 10.0.0.2")]).status == 403
    trusted = connect(proxy)
    assert trusted.ask(fields=[("X-Forwarded-For", "10.0.0.1, 192.0.2.1")]).status == 403, "the rightmost hop is the client"
    assert trusted.ask(fields=[("X-Forwarded-For", "192.0.2.1, 10.0.0.1")]).status == 200


def test_the_first_match_stays_the_route(start, connect):
    config = route()
    config["routes"] = [{"name": "admin", "prefix": "/admin/", "respond": {"text": "admin"}, "allow": ["127.0.0.2"]},
                        {"name": "rest", "prefix": "/", "respond": {"text": "rest"}}]
    proxy = start(config)
    assert connect(proxy, source="127.0.0.2").ask(target="/admin/x").body == b"admin"
    other = connect(proxy, source="127.0.0.3")
    assert other.ask(target="/admin/x").status == 403
    assert other.ask(target="/x").body == b"rest"


@pytest.mark.parametrize("lists, status", [({}, 200), ({"allow": ["unix"]}, 200), ({"deny": ["unix"]}, 403), ({"allow": ["::/0"]}, 403),
                                           ({"deny": ["::/0", "0.0.0.0/0"]}, 200), ({"allow": ["10.0.0.0/8", "unix"]}, 200)], ids=str)
def test_clients_on_unix_sockets(start, connect, tmp_path, lists, status):
    config = route(**lists)
    path = str(tmp_path / "http.sock")
    config["listen"] = [{"address": f"unix:{path}"}]
    start(config)
    assert connect(path).ask().status == status


def test_long_lists(start, connect):
    nets = [f"10.{a}.{b}.{c}" for a in range(8) for b in range(64) for c in range(0, 256, 2)]
    client = connect(start(route(deny=nets)))
    assert statuses(client, ["10.0.0.0", "10.7.63.254", "10.3.17.100"]) == [403] * 3
    assert statuses(client, ["10.0.0.1", "10.7.63.255", "10.3.17.101", "10.8.0.0"]) == [200] * 4


def test_lists_change_with_a_reload(start, connect, verb, tmp_path):
    config = route(deny=["10.0.0.0/8"])
    config["admin"] = {"address": f"unix:{tmp_path}/admin.sock"}
    proxy = start(config)
    client = connect(proxy)
    assert statuses(client, ["10.0.0.1", "192.0.2.1"]) == [403, 200]
    proxy.config["routes"][0]["deny"] = ["192.0.2.0/24"]
    proxy.write_config(proxy.config)
    assert verb("reload", "-c", proxy.file).returncode == 0
    assert statuses(client, ["10.0.0.1", "192.0.2.1"]) == [200, 403]


def check(verb, tmp_path, **lists):
    config = route(**lists)
    config["listen"] = [{"address": "127.0.0.1:18080"}]
    (tmp_path / "c.json").write_text(json.dumps(config))
    return verb("check", "-c", tmp_path / "c.json")


def test_check_reminds_of_whom_exceptions_shut_out(verb, tmp_path):
    words = "who is in neither list is denied"
    assert words in check(verb, tmp_path, deny=["10.0.0.0/8"], allow=["10.1.0.0/16", "10.2.0.1"]).stderr
    for lists in ({"deny": ["10.1.0.0/16"], "allow": ["10.0.0.0/8"]}, {"deny": ["10.0.0.0/8"]}, {"allow": ["10.0.0.0/8"]},
                  {"deny": ["10.0.0.0/8"], "allow": ["10.1.0.0/16", "0.0.0.0/0"]}, {"deny": ["0.0.0.0/0"], "allow": ["10.0.0.1"]}):
        assert words not in check(verb, tmp_path, **lists).stderr
    assert "nobody may use this route" in check(verb, tmp_path, allow=[]).stderr


@pytest.mark.parametrize("lists, words", [
    ({"allow": ["10.0.0.1/8"]}, "/routes/0/allow/0: \"10.0.0.1/8\": not a network"),
    ({"deny": ["10.0.0.0/33"]}, "/routes/0/deny/0: "),
    ({"deny": ["localhost"]}, "/routes/0/deny/0: "),
    ({"deny": "10.0.0.0/8"}, "/routes/0/deny: expected a list"),
    ({"allow": ["10.0.0.0/8"], "deny": ["10.0.0.0/8"]}, "/routes/0/deny: the network of 10.0.0.0 stands here twice"),
    ({"allow": ["10.0.0.1", "::ffff:10.0.0.1"]}, "/routes/0/allow: the network of 10.0.0.1 stands here twice"),
    ({"allow": ["unix"], "deny": ["unix"]}, "/routes/0/deny: the network of unix stands here twice"),
], ids=str)
def test_what_is_refused(verb, tmp_path, lists, words):
    done = check(verb, tmp_path, **lists)
    assert done.returncode == 3 and words in done.stderr, done.stderr
