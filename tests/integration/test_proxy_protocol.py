# SPDX-License-Identifier: Apache-2.0
"""The PROXY header of a trusted proxy in front: whom it names is the client, everywhere; without it nobody is served."""
import signal
import socket
import ssl
import struct

import pytest
from harness.client import Client
from harness.configs import forward, respond
from harness.metrics import scrape
from harness.ports import take_port
from harness.proxy import run_verb
from harness.replies import trio_of
from harness.tls import Authority, client_context
from harness.waiting import wait_for

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v1(address, port=40000):
    family = "TCP6" if ":" in address else "TCP4"
    server = "::1" if ":" in address else "127.0.0.1"
    return f"PROXY {family} {address} {server} {port} 443\r\n".encode()


def v2(address, more=b"", command=1):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    ends = socket.inet_pton(family, address) + socket.inet_pton(family, "::1" if ":" in address else "127.0.0.1")
    body = ends + struct.pack(">HH", 40000, 443) + more
    return SIGNATURE + struct.pack(">BBH", 0x20 | command, 0x21 if ":" in address else 0x11, len(body)) + body


def behind(config, **listener):
    """The configuration behind one listener that takes PROXY headers from 127.0.0.1, and a metrics page."""
    return {"trusted_proxies": ["127.0.0.1"], **config, "admin": {"metrics": f"127.0.0.1:{take_port()}"},
            "listen": [{"address": f"127.0.0.1:{take_port()}", "proxy_protocol": True, **listener}]}


def closed_for(proxy, reason):
    port = int(proxy.config["admin"]["metrics"].rsplit(":", 1)[1])
    return scrape(port)[f'sluice_connections_closed_total{{reason="{reason}"}}']


@pytest.mark.parametrize("header", [v1, v2])
@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_the_named_address_is_the_client(start, upstream, connect, header, address):
    server = upstream()
    proxy = start(behind(forward(server, quotas={"q": {"key": ["ip"], "limits": {"hour": 2}}})))
    client = connect(proxy)
    client.send(header(address))
    assert trio_of(client.ask()) == (2, 1, "hour")
    assert trio_of(client.ask()) == (2, 0, "hour")
    assert client.ask().status == 429
    other = connect(proxy)
    other.send(header("198.51.100.9"))
    assert trio_of(other.ask()) == (2, 1, "hour")
    assert server.requests[0].all("x-forwarded-for") == [address]
    ips = sorted((line["client_ip"], line["peer_ip"]) for line in proxy.requests(4))
    assert ips == sorted([(address, address)] * 3 + [("198.51.100.9",) * 2])


def test_a_header_in_pieces_and_with_the_request(start, connect):
    proxy = start(behind(respond()))
    slow = connect(proxy)
    slow.send_bytewise(v1("192.0.2.1"))
    assert slow.ask().status == 200
    both = connect(proxy)
    both.send(v2("192.0.2.2", more=b"\x04\x00\x03abc") + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    assert both.read().status == both.read().status == 200
    assert sorted(line["client_ip"] for line in proxy.requests(3)) == ["192.0.2.1", "192.0.2.2", "192.0.2.2"]


def test_who_speaks_for_itself(start, connect):
    """LOCAL and UNKNOWN tell of no client: the proxy in front is the peer, and its word in a header counts."""
    proxy = start(behind(respond()))
    for header in (v2("192.0.2.1", command=0), b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\x00\x00\x00"):
        client = connect(proxy)
        client.send(header)
        assert client.ask(fields=[("X-Forwarded-For", "203.0.113.5")]).status == 200
    assert [(line["client_ip"], line["peer_ip"]) for line in proxy.requests(3)] == [("203.0.113.5", "127.0.0.1")] * 3


@pytest.mark.parametrize("begin", [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PROXY TCP4 192.0.2.1\r\n", b"\x16\x03\x01", SIGNATURE + b"\x31", b"P" * 200,
    v1("192.0.2.1")[:-2] + b"\n", SIGNATURE + b"\x21\x11\xff\xff"], ids=str)
def test_without_a_good_header_nobody_is_served(start, connect, begin):
    proxy = start(behind(respond()))
    client = connect(proxy)
    client.send(begin)
    assert client.expect_gone() == b""
    assert closed_for(proxy, "proxy_header") == 1
    wait_for(lambda: "the trusted proxy 127.0.0.1 began a connection to " in proxy.stderr(), "it is told")
    assert proxy.requests() == []


def test_it_has_to_come_in_time(start, connect):
    proxy = start(behind(respond()) | {"limits": {"header_timeout": "300ms"}})
    silent, slow = connect(proxy), connect(proxy)
    slow.send(v1("192.0.2.1")[:20])
    assert silent.expect_gone() == slow.expect_gone() == b""
    assert closed_for(proxy, "proxy_header") == 2


def test_a_look_at_the_port_is_no_fault(start):
    proxy = start(behind(respond()))
    before = closed_for(proxy, "client")
    with Client(proxy.address):
        pass
    wait_for(lambda: closed_for(proxy, "client") == before + 1, "it is seen to have left")
    assert closed_for(proxy, "proxy_header") == 0 and "PROXY" not in proxy.stderr()


def test_others_are_served_without_and_cannot_name_anybody(start, connect):
    proxy = start(behind(respond()) | {"trusted_proxies": ["192.0.2.0/24"]})
    client = connect(proxy)
    assert client.ask().status == 200
    liar = connect(proxy)
    liar.send(v1("203.0.113.5") + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert liar.read().status == 400
    assert {line["client_ip"] for line in proxy.requests(2)} == {"127.0.0.1"}


def test_a_named_proxy_is_believed_in_turn(start, connect):
    """Two proxies in front: the inner one names the outer one, whose header names the client."""
    proxy = start(behind(respond()) | {"trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]})
    for named, client_ip in (("10.1.1.1", "203.0.113.5"), ("198.51.100.1", "198.51.100.1")):
        client = connect(proxy)
        client.send(v2(named))
        reply = client.ask(fields=[("X-Forwarded-For", "203.0.113.5")])
        assert proxy.line_of(reply)["client_ip"] == client_ip


@pytest.mark.parametrize("header", [v1, v2])
def test_tls_begins_behind_it(start, connect, tmp_path, header):
    authority = Authority(tmp_path / "tls")
    proxy = start(behind(respond(), tls=authority.issue("a.example").config))
    for together in (False, True):
        client = connect(proxy)
        context = client_context(authority)
        if together:  # the header and ClientHello in one segment
            inner, outer = client.sock, header("192.0.2.9")
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            hello = context.wrap_bio(incoming, outgoing, server_hostname="a.example")
            with pytest.raises(ssl.SSLWantReadError):
                hello.do_handshake()
            inner.sendall(outer + outgoing.read())
            assert inner.recv(1) == b"\x16"
            continue
        client.send(header("192.0.2.9"))
        client.sock = context.wrap_socket(client.sock, server_hostname="a.example")
        assert client.ask().status == 200
    (line,) = proxy.requests(1)
    assert (line["client_ip"], line["tls_name"]) == ("192.0.2.9", "a.example")


def test_named_addresses_are_limited_each(start, connect):
    proxy = start(behind(respond()) | {"limits": {"connections_per_address": 2}})
    kept = [connect(proxy) for _ in range(3)]
    for client, address in zip(kept, ("192.0.2.1", "192.0.2.1", "192.0.2.2")):
        client.send(v1(address))
        assert client.ask().status == 200
    third = connect(proxy)
    third.send(v1("192.0.2.1") + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert third.read().status == 503
    kept[0].close()
    wait_for(lambda: closed_for(proxy, "client") >= 1, "it is seen to have left")
    fourth = connect(proxy)
    fourth.send(v1("192.0.2.1"))
    assert fourth.ask().status == 200


@pytest.mark.parametrize("is_secured", [False, True], ids=["plain", "tls"])
def test_who_is_refused_for_its_named_address_stands_in_the_log(start, connect, tmp_path, is_secured):
    """Under TLS nobody is told, so that the line is all that there is."""
    tls = {"tls": Authority(tmp_path / "tls").issue("a.example").config} if is_secured else {}
    proxy = start(behind(respond(), **tls) | {"limits": {"connections_per_address": 1}})
    first, second = connect(proxy), connect(proxy)
    first.send(v1("192.0.2.1"))
    if is_secured:
        first.sock = client_context().wrap_socket(first.sock, server_hostname="a.example")
    assert first.ask().status == 200
    second.send(v1("192.0.2.1"))
    if is_secured:
        assert second.expect_gone() == b""
    else:
        assert second.read().status == 503
    lines = {line["end"]: line for line in proxy.requests(2)}
    assert set(lines) == {"ok", "address_connections"}
    refused = lines["address_connections"]
    assert (refused["client_ip"], refused["peer_ip"]) == ("192.0.2.1",) * 2
    assert refused.get("status") == (None if is_secured else 503) and refused["id"] != lines["ok"]["id"]
    assert (refused["bytes_out"] == 0) == is_secured


def test_a_unix_socket_behind_a_local_proxy(start, tmp_path):
    path = str(tmp_path / "front.sock")
    proxy = start({**behind(respond()), "trusted_proxies": ["unix"],
                   "listen": [{"address": f"unix:{path}", "proxy_protocol": True}, {"address": f"127.0.0.1:{take_port()}"}]})
    with Client(path) as client:
        client.send(v1("192.0.2.3"))
        assert client.ask().status == 200
    assert proxy.requests(1)[0]["client_ip"] == "192.0.2.3"


def test_a_reload_and_a_drain(start, connect):
    proxy = start(behind(respond()))
    waiting, silent = connect(proxy), connect(proxy)
    waiting.send(v1("192.0.2.1"))
    assert waiting.ask().status == 200
    proxy.write_config({**proxy.config, "listen": [{"address": proxy.config["listen"][0]["address"]}]})
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload")
    assert connect(proxy).ask().status == 200  # from now on they bring none
    assert waiting.ask().status == 200
    proxy.signal(signal.SIGTERM)
    silent.expect_gone()
    assert proxy.wait_exit() == 0


def test_nobody_to_take_it_from_is_an_error(tmp_path):
    (tmp_path / "sluice.json").write_text(
        '{"listen": [{"address": "127.0.0.1:1", "proxy_protocol": true}], "routes": [{"name": "a", "prefix": "/", "respond": {"text": "x"}}]}')
    done = run_verb(tmp_path, "check", "-c", "sluice.json")
    assert done.returncode != 0
    assert 'a PROXY header is only taken from "trusted_proxies", and there are none' in done.stdout + done.stderr
