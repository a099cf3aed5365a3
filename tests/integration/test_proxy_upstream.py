# SPDX-License-Identifier: Apache-2.0
"""The PROXY header towards servers: it comes first, says for whom the connection is, and no other client uses that."""
import signal
import socket
import threading

import pytest
from harness import http, upgrade
from harness.client import Client
from harness.configs import forward
from harness.ports import take_port
from harness.proxied import read_header, told
from harness.tls import Authority, server_context
from harness.upstream import Upstream, answering
from harness.waiting import wait_for

VERSIONS = pytest.mark.parametrize("version", ["v1", "v2"])


def naming(server, version="v1", more=None, **top):
    """Everything goes to the server, one worker, behind a PROXY header of that version."""
    config = forward(server, workers=1, **top)
    config["upstreams"]["app"].update({"proxy_protocol": version, **(more or {})})
    return config


def say_who(link):
    """Answers each request with whom the connection is for."""
    source = link.told and f"{link.told[0]} {link.told[1]}"
    answering(lambda message: http.response(body=str(source).encode()))(link)


def own(client):
    """A client's address and port as it answers itself."""
    return "{} {}".format(*client.sock.getsockname()[:2])


def ends(client, proxy):
    return (*client.sock.getsockname()[:2], *proxy.address)


@VERSIONS
def test_it_says_who_and_where(start, upstream, connect, version):
    headers = []
    proxy = start(naming(upstream(told(say_who, headers)), version))
    client = connect(proxy)
    for _ in range(3):
        assert client.ask().body == own(client).encode()
    assert headers == [(int(version[1]), ends(client, proxy))]
    assert [line["reused"] for line in proxy.requests(3)] == [False, True, True]


def test_exact_bytes_and_the_request_right_behind(start, upstream, connect):
    said = []

    def serve(link):
        said.append(link.reader.until(b"\r\n\r\n"))
        link.send(http.response(body=b"ok"))

    proxy = start(naming(upstream(serve)))
    client = connect(proxy)
    assert client.ask("GET", "/x").status == 200
    port = client.sock.getsockname()[1]
    assert said[0].startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\nGET /x HTTP/1.1\r\n" % (port, proxy.address[1]))


@VERSIONS
def test_two_clients_never_share(start, upstream, connect, version):
    headers = []
    server = upstream(told(say_who, headers))
    proxy = start(naming(server, version))
    clients = [connect(proxy) for _ in range(3)]
    for turn in range(20):
        for client in clients if turn % 2 else reversed(clients):
            assert client.ask().body == own(client).encode()
    assert len(headers) == server.connections == 3
    assert sorted(header[1] for header in headers) == sorted(ends(client, proxy) for client in clients)


def test_many_at_once_never_share(start, upstream):
    """Sixteen clients that come, ask and go, all at once: each is told about itself."""
    server = upstream(told(say_who, []))
    proxy = start(naming(server, "v2", {"pool_max": 8}))
    wrong = []

    def come():
        for _ in range(10):
            with Client(proxy.address) as client:
                for _ in range(5):
                    body = client.ask().body
                    if body != own(client).encode():
                        wrong.append((body, own(client)))

    threads = [threading.Thread(target=come) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and len(server.requests) == 800


def test_a_full_pool_keeps_the_client_that_came_last(start, upstream, connect):
    """Who has left makes room; nothing is kept where nothing may be."""
    for most, connections in ((1, 2), (0, 4)):
        server = upstream(told(say_who, []))
        proxy = start(naming(server, "v1", {"pool_max": most, "timeouts": {"pool_idle": "1h"}}))
        first = connect(proxy)
        assert first.ask().status == 200
        first.close()
        second = connect(proxy)
        for _ in range(3):
            assert second.ask().body == own(second).encode()
        assert server.connections == connections


def test_what_is_not_kept_makes_nobody_leave(start, upstream, connect):
    """A server that ends each connection of one client leaves the kept one of another where it is."""

    def answer(message):
        return http.response(fields=[("Connection", "close")] if message.target == "/end" else [])

    server = upstream(told(answering(answer), []))
    proxy = start(naming(server, "v1", {"pool_max": 1, "timeouts": {"pool_idle": "1h"}}))
    kept, ended = connect(proxy), connect(proxy)
    assert kept.ask("GET", "/").status == 200
    assert ended.ask("GET", "/end").status == 200
    assert kept.ask("GET", "/").status == 200
    assert server.connections == 2


@VERSIONS
def test_whom_a_trusted_proxy_names_in_a_header(start, upstream, connect, version):
    headers = []
    proxy = start(naming(upstream(told(say_who, headers)), version, trusted_proxies=["127.0.0.1"]))
    client = connect(proxy)
    for address in ("203.0.113.5", "203.0.113.6", "203.0.113.5", "2001:db8::5"):
        assert client.ask(fields=[("X-Forwarded-For", address)]).body == f"{address} 0".encode()
    port = proxy.address[1]
    assert headers == [(int(version[1]), one) for one in (
        ("203.0.113.5", 0, "127.0.0.1", port), ("203.0.113.6", 0, "127.0.0.1", port), ("2001:db8::5", 0, "::ffff:127.0.0.1", port))]
    assert [line["client_ip"] for line in proxy.requests(4)] == ["203.0.113.5", "203.0.113.6", "203.0.113.5", "2001:db8::5"]


def test_who_is_not_trusted_names_nobody(start, upstream, connect):
    proxy = start(naming(upstream(told(say_who, []))))
    client = connect(proxy)
    assert client.ask(fields=[("X-Forwarded-For", "203.0.113.5")]).body == own(client).encode()


@VERSIONS
def test_a_header_that_came_goes_on(start, upstream, connect, version):
    """Behind a proxy in front that speaks it too: its addresses and ports, not ours."""
    headers = []
    config = naming(upstream(told(say_who, headers)), version, trusted_proxies=["127.0.0.1"],
                    listen=[{"address": f"127.0.0.1:{take_port()}", "proxy_protocol": True}])
    proxy = start(config)
    for line in (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n", b"PROXY TCP6 2001:db8::7 2001:db8::1 40001 8443\r\n"):
        client = connect(proxy)
        client.send(line)
        assert client.ask().status == 200
    local = connect(proxy)
    local.send(b"PROXY UNKNOWN\r\n")
    assert local.ask().body == own(local).encode()
    assert [header[1] for header in headers] == [
        ("192.0.2.7", 40000, "198.51.100.1", 443), ("2001:db8::7", 40001, "2001:db8::1", 8443), ends(local, proxy)]


@VERSIONS
def test_ipv6_clients(start, upstream, connect, version):
    headers = []
    port = take_port()
    proxy = start(naming(upstream(told(say_who, headers)), version, listen=[{"address": f"[::1]:{port}"}]))
    client = connect(("::1", port))
    assert client.ask().body == own(client).encode()
    assert headers == [(int(version[1]), (*client.sock.getsockname()[:2], "::1", port))]
    assert [line["client_ip"] for line in proxy.requests(1)] == ["::1"]


@VERSIONS
def test_mapped_addresses(start, upstream, connect, version):
    """IPv4 is written as IPv6 only where the other address is that."""
    headers = []
    proxy = start(naming(upstream(told(say_who, headers)), version, trusted_proxies=["127.0.0.1"],
                         listen=[{"address": f"127.0.0.1:{take_port()}", "proxy_protocol": True}]))
    for target in ("::ffff:198.51.100.1", "2001:db8::1"):
        client = connect(proxy)
        client.send(f"PROXY TCP6 ::ffff:192.0.2.7 {target} 5 443\r\n".encode())
        assert client.ask().status == 200
    assert [header[1] for header in headers] == [
        ("192.0.2.7", 5, "198.51.100.1", 443), ("::ffff:192.0.2.7", 5, "2001:db8::1", 443)]


@VERSIONS
def test_clients_on_a_unix_socket(start, upstream, tmp_path, version):
    """Nobody can be named; whom a trusted one names can."""
    headers = []
    path = str(tmp_path / "front.sock")
    start(naming(upstream(told(say_who, headers)), version, trusted_proxies=["unix"],
                 listen=[{"address": f"unix:{path}"}, {"address": f"127.0.0.1:{take_port()}"}]))
    with Client(path) as client:
        assert client.ask().body == b"None"
        assert client.ask(fields=[("X-Forwarded-For", "203.0.113.5")]).body == b"203.0.113.5 0"
        assert client.ask(fields=[("X-Forwarded-For", "2001:db8::5")]).body == b"2001:db8::5 0"
    assert [header[1] for header in headers] == [None, ("203.0.113.5", 0, "0.0.0.0", 0), ("2001:db8::5", 0, "::", 0)]


@VERSIONS
def test_a_server_on_a_unix_socket(start, connect, tmp_path, version):
    path = str(tmp_path / "back.sock")
    said = []

    def serve(listener):
        sock, _ = listener.accept()
        said.append(read_header(sock))
        http.Reader(lambda: sock.recv(65536)).request()
        sock.sendall(http.response(body=b"ok", fields=[("Connection", "close")]))
        sock.close()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        proxy = start(naming("unix:" + path, version))
        client = connect(proxy)
        assert client.ask().body == b"ok"
        thread.join(10)
        assert said == [(int(version[1]), ends(client, proxy))]


@VERSIONS
def test_tls_begins_behind_it(start, upstream, connect, tmp_path, version):
    authority = Authority(tmp_path / "tls")
    headers = []
    server = upstream(told(say_who, headers, server_context(authority.issue("127.0.0.1"))))
    proxy = start(naming(server, version, {"tls": {"ca": authority.file}}))
    clients = [connect(proxy) for _ in range(2)]
    for _ in range(3):
        for client in clients:
            assert client.ask("POST", body=b"x" * 100000).body == own(client).encode()
    assert sorted(header[1] for header in headers) == sorted(ends(client, proxy) for client in clients)
    assert {line["end"] for line in proxy.requests(6)} == {"ok"}


def test_a_retry_says_it_again(start, upstream, connect):
    headers = []

    def serve(link):
        message = link.read_request()
        if message is None:
            return
        link.send(http.response(body=message.target.encode()))
        link.sock.recv(1)  # the next request arrives, and finds nobody

    proxy = start(naming(upstream(told(serve, headers))))
    client = connect(proxy)
    for n in range(5):
        assert client.ask("GET", f"/{n}").body == f"/{n}".encode()
    assert headers == [(1, ends(client, proxy))] * 5
    assert [line["tries"] for line in proxy.requests(5)] == [1, 2, 2, 2, 2]


def test_the_next_server_is_told_too(start, upstream, connect):
    headers = []
    server = upstream(told(say_who, headers))
    config = naming(server, "v2")
    config["upstreams"]["app"]["servers"] = [f"127.0.0.1:{take_port()}", server.address]
    proxy = start(config)
    client = connect(proxy)
    for _ in range(4):
        assert client.ask().body == own(client).encode()
    assert headers == [(2, ends(client, proxy))]


@VERSIONS
def test_a_tunnel(start, upstream, connect, version):
    headers = []
    server = upstream(told(upgrade.tunnel(upgrade.echo), headers))
    config = naming(server, version)
    config["routes"][0]["upgrade"] = ["websocket"]
    proxy = start(config)
    client, _ = upgrade.opened(connect, proxy)
    client.send(b"ping")
    assert client.reader.take(4) == b"ping"
    assert headers == [(int(version[1]), ends(client, proxy))]


def test_large_bodies_pass_behind_it(start, upstream, connect):
    """Through pipes, both ways, on the first request of a connection and on the next."""
    body = bytes(range(256)) * 8192  # 2 MiB

    def serve(link):
        answering(lambda message: http.response(body=message.body))(link)

    proxy = start(naming(upstream(told(serve, [])), "v2"))
    client = connect(proxy)
    for _ in range(2):
        assert client.ask("PUT", "/big", body=body).body == body


@VERSIONS
def test_checks_are_for_nobody(start, upstream, version):
    headers = []
    server = upstream(told(say_who, headers))
    proxy = start(naming(server, version, {"health": {"check": {"path": "/healthz", "interval": "250ms"}}}))
    wait_for(lambda: len(headers) >= 2, "checks come")
    assert set(headers) == {(int(version[1]), None)}
    assert {message.target for message in server.requests} == {"/healthz"}
    assert proxy.requests() == []


def test_a_full_server_gives_the_place_of_a_kept_connection(start, upstream, connect):
    """max_connections 1: a connection kept for one client is closed for the next, never lent to it."""
    headers = []
    server = upstream(told(say_who, headers))
    config = naming(server)
    config["upstreams"]["app"]["servers"] = [{"address": server.address, "max_connections": 1}]
    proxy = start(config)
    clients = [connect(proxy) for _ in range(2)]
    for _ in range(5):
        for client in clients:
            assert client.ask().body == own(client).encode()
    assert [header[1] for header in headers] == [ends(client, proxy) for client in clients] * 5


def test_a_reload_switches_it(start, upstream, connect):
    """Connections that began otherwise serve nobody any more."""
    said = []

    def serve(link):
        link.server.begins = getattr(link.server, "begins", []) + [bytes(link.sock.recv(6, socket.MSG_PEEK))]
        if link.server.begins[-1] == b"PROXY ":
            said.append(read_header(link.sock))
        answering(lambda message: http.response(body=b"ok"))(link)

    server = Upstream(serve)
    proxy = start(forward(server, workers=1))
    client = connect(proxy)
    assert client.ask().status == 200
    for count, version in enumerate(["v1", "off"]):
        proxy.config["upstreams"]["app"]["proxy_protocol"] = version
        proxy.write_config(proxy.config)
        proxy.signal(signal.SIGHUP)
        proxy.wait_for_event("reload", count + 1)
        assert client.ask().status == client.ask().status == 200
    assert server.begins == [b"GET / ", b"PROXY ", b"GET / "]
    assert said == [(1, ends(client, proxy))]
    client.close()
    server.stop()
