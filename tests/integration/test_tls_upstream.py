# SPDX-License-Identifier: Apache-2.0
"""TLS towards servers: who is believed, what is kept, and what a client is told when there is none."""
import contextlib
import os
import signal
import socket
import ssl
import threading

import pytest
from harness import http
from harness.configs import forward
from harness.metrics import scrape
from harness.names import Names
from harness.ports import take_port
from harness.proxy import BINARY
from harness.tls import Authority, client_context, server_context
from harness.upgrade import HANDSHAKE, accept_of
from harness.upstream import hello
from harness.waiting import wait_for

V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "tls")


def towards(server, tls, **upstream):
    config = forward(server, admin={"metrics": f"127.0.0.1:{take_port()}"})
    config["upstreams"]["app"].update({"tls": tls, **upstream})
    return config


def metrics_of(proxy):
    return scrape(int(proxy.config["admin"]["metrics"].rsplit(":", 1)[1]))


@pytest.mark.parametrize("version", [V1_2, V1_3])
def test_bodies_and_kept_connections(start, upstream, connect, authority, version):
    body = os.urandom(1 << 20) + b"end"
    server = upstream(answer=lambda message: http.response(body=message.body), tls=server_context(
        authority.issue("127.0.0.1"), version=version))
    proxy = start(towards(server, {"ca": authority.file}))
    client = connect(proxy)
    for _ in range(3):
        sender = threading.Thread(target=client.send, args=(http.request("POST", "/", body=body),))
        sender.start()
        reply = client.read()
        sender.join()
        assert reply.body == body
    assert server.connections == 1
    values = metrics_of(proxy)
    assert values['sluice_upstream_tls_handshakes_total{result="ok"}'] == 1 and values["sluice_upstream_reused_total"] == 2


def test_chunks_and_pipelining(start, upstream, connect, authority):
    server = upstream(answer=lambda message: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + http.chunked([message.body, b"x" * 40000]),
                      tls=server_context(authority.issue("127.0.0.1")))
    client = connect(start(towards(server, {"ca": authority.file})))
    client.send(b"".join(http.request("POST", "/", chunks=[b"%d" % n, b"y" * 20000]) for n in range(5)))
    for n in range(5):
        assert client.read().body == b"%d" % n + b"y" * 20000 + b"x" * 40000


@pytest.mark.parametrize("case, reason", [
    ("stranger", "untrusted"), ("expired", "expired"), ("early", "not_yet_valid"), ("other name", "wrong_name"), ("plain", "no_tls"),
    ("closes", "closed"), ("old", "version"), ("wants a certificate", None)])
def test_servers_that_are_not_believed(start, upstream, connect, authority, tmp_path, case, reason):
    signer = Authority(tmp_path / "other") if case == "stranger" else authority
    pair = signer.issue("b.example" if case == "other name" else "127.0.0.1",
                        **{"expired": {"days": -1, "since": -3}, "early": {"since": 2}}.get(case, {}))
    if case == "plain":
        server = upstream(lambda link: (link.sock.recv(1000), link.send(http.response(400, "Bad Request")), link.wait_for_end()))
    elif case == "closes":
        server = upstream(lambda link: link.sock.recv(1))
    else:
        server = upstream(tls=server_context(pair, authority if case == "wants a certificate" else None,
                                             V1_2 if case == "old" else None))
    proxy = start(towards(server, {"ca": authority.file, "min_version": "1.3" if case == "old" else "1.2"}))
    reply = connect(proxy).ask()
    assert reply.status == 502 and b"Backend unavailable" in reply.body
    line = proxy.line_of(reply)
    if reason is None:  # under TLS 1.3 the server says so after our handshake
        assert line["end"] in ("upstream_tls", "upstream_abort")
        return
    assert (line["end"], line["reason"], line["tries"]) == ("upstream_tls", reason, 1)
    assert "no TLS with 127.0.0.1:" in proxy.stderr()
    assert metrics_of(proxy)['sluice_upstream_tls_handshakes_total{result="failed"}'] == 1
    assert server.requests == []


def test_each_line_has_its_own_reason(start, upstream, connect, authority):
    """Lines are made of pieces of those before: the reason must not be one."""
    behaviours = iter([b"", b"plain", b"", b"plain", b""])

    def behave(link):
        link.sock.recv(1000)
        if next(behaviours):
            link.send(http.response(400, "Bad Request"))
            link.wait_for_end()

    config = towards(upstream(behave), {"ca": authority.file}, health={"failures": 0})
    config["quotas"] = {"q": {"key": ["ip"], "limits": {"day": 9}}}
    config["routes"][0]["quotas"] = ["q"]
    proxy = start(config)
    lines = [proxy.line_of(connect(proxy).ask()) for _ in range(5)]
    assert [line["reason"] for line in lines] == ["closed", "no_tls", "closed", "no_tls", "closed"]


def test_the_next_server_is_tried(start, upstream, connect, authority, tmp_path):
    bad = upstream(tls=server_context(Authority(tmp_path / "other").issue("127.0.0.1")))
    good = upstream(tls=server_context(authority.issue("127.0.0.1")))
    config = forward(bad, good)
    config["upstreams"]["app"]["tls"] = {"ca": authority.file}
    proxy = start(config)
    assert [connect(proxy).ask().status for _ in range(4)] == [200] * 4
    assert bad.requests == [] and len(good.requests) == 4


def test_whoever_answers_is_believed_on_demand(start, upstream, connect, authority, verb):
    server = upstream(tls=server_context(authority.issue("b.example", days=-1, since=-3)))
    proxy = start(towards(server, {"verify": False}))
    assert connect(proxy).ask().status == 200
    assert "warning: /upstreams/app/tls/verify: servers are not verified" in verb("check", "-c", proxy.file).stderr


def test_name_that_is_asked_for_and_verified(start, upstream, connect, authority):
    asked = []
    context = server_context(authority.issue("b.example"))
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    proxy = start(towards(upstream(tls=context), {"ca": authority.file, "server_name": "b.example"}))
    assert connect(proxy).ask().status == 200
    assert asked == ["b.example"]


def test_name_of_the_server(start, upstream, connect, authority):
    """An address is verified, and never asked for (RFC 6066 section 3); a host's name is both."""
    asked = []
    context = server_context(authority.issue("localhost", "127.0.0.1"))
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    server = upstream(tls=context)
    config = towards(server, {"ca": authority.file})
    assert connect(start(config)).ask().status == 200
    config["upstreams"]["app"]["servers"] = [f"localhost:{server.port}"]
    config["admin"]["metrics"] = f"127.0.0.1:{take_port()}"
    proxy = start(config)
    wait_for(lambda: connect(proxy).ask().status == 200, "the name is resolved")
    assert asked == [None, "localhost"]


def test_a_point_at_the_end_of_a_name_is_none_of_the_certificates(start, upstream, connect, authority, world):
    """It keeps the resolver from trying domains behind the name, as in Kubernetes."""
    asked, names = [], Names(world.folder)
    context = server_context(authority.issue("app.test"))
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    server = upstream(tls=context)
    names.set(app="127.0.0.1")
    config = towards(server, {"ca": authority.file}, health={"check": {"path": "/healthz", "interval": "250ms"}})
    config["upstreams"]["app"]["servers"] = [f"app.test.:{server.port}"]
    proxy = start(config, env=names.env(BINARY))
    assert connect(proxy).ask().status == 200
    wait_for(lambda: metrics_of(proxy)['sluice_upstream_checks_total{result="good"}'], "checks believe it too")
    assert set(asked) == {"app.test"}


def test_authorities_of_the_system(start, upstream, connect, authority):
    server = upstream(tls=server_context(authority.issue("127.0.0.1")))
    proxy = start(towards(server, {}), env={"SSL_CERT_FILE": authority.file})
    assert connect(proxy).ask().status == 200
    other = start(towards(server, {}))
    reply = connect(other).ask()
    assert reply.status == 502 and other.line_of(reply)["reason"] == "untrusted"


def test_our_certificate(start, upstream, connect, authority):
    seen = []

    def serve(link):
        while link.read_request() is not None:
            seen.append(link.sock.getpeercert(True))
            link.send(hello(link.server.requests[-1]))

    ours = authority.issue("proxy")
    server = upstream(serve, tls=server_context(authority.issue("127.0.0.1"), authority))
    proxy = start(towards(server, {"ca": authority.file, **ours.config}))
    assert connect(proxy).ask().status == 200
    assert seen == [ours.der]


@pytest.mark.parametrize("version", [V1_2, V1_3])
def test_sessions_are_resumed(start, upstream, connect, authority, version):
    reused = []

    def serve(link):
        reused.append(link.sock.session_reused)
        message = link.read_request()
        link.send(http.response(fields=[("Connection", "close")], body=b"x"))
        assert message

    proxy = start({**towards(upstream(serve, tls=server_context(authority.issue("127.0.0.1"), version=version)), {"ca": authority.file}), "workers": 1})
    client = connect(proxy)
    assert [client.ask().status for _ in range(5)] == [200] * 5
    assert reused == [False, True, True, True, True]
    assert metrics_of(proxy)["sluice_upstream_tls_resumed_total"] == 4


def test_a_reload_that_verifies_leaves_nothing_of_one_that_did_not(start, upstream, connect, authority, tmp_path):
    """Neither a kept connection nor a session may serve a configuration under which it would not have been made."""
    server = upstream(tls=server_context(Authority(tmp_path / "other").issue("127.0.0.1")))
    config = {**towards(server, {"verify": False}, timeouts={"pool_idle": "60s"}), "workers": 1}
    proxy = start(config)
    assert connect(proxy).ask().status == 200
    proxy.config["upstreams"]["app"]["tls"] = {"ca": authority.file}
    proxy.write_config(proxy.config)
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload")
    reply = connect(proxy).ask()
    assert reply.status == 502 and proxy.line_of(reply)["reason"] == "untrusted"
    assert len(server.requests) == 1


def test_what_is_kept_on_other_terms_takes_no_place(start, upstream, connect, authority):
    """Though an exchange of the configuration before goes on."""
    is_over = threading.Event()

    def hold(link):
        message = link.read_request()
        is_over.wait(20)
        link.send(hello(message))

    server, held = upstream(tls=server_context(authority.issue("127.0.0.1"))), upstream(hold)
    config = {**towards(server, {"verify": False}, timeouts={"pool_idle": "60s"}, queue={"timeout": "2s"}), "workers": 1}
    config["upstreams"]["app"]["servers"] = [{"address": server.address, "max_connections": 1}]
    config["upstreams"]["held"] = {"servers": [held.address]}
    config["routes"].insert(0, {"path": "/held", "upstream": "held"})
    proxy = start(config)
    client = connect(proxy)
    client.send(http.request("GET", "/held"))
    held.wait_for_requests(1)
    assert connect(proxy).ask().status == 200
    proxy.config["upstreams"]["app"]["tls"] = {"ca": authority.file}
    proxy.write_config(proxy.config)
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload")
    assert connect(proxy).ask().status == 200
    assert server.connections == 2
    is_over.set()
    assert client.read().status == 200


def test_silent_server(start, connect, authority):
    """The handshake has the time of the connect."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = forward(f"127.0.0.1:{listener.getsockname()[1]}")
        config["upstreams"]["app"].update({"tls": {"ca": authority.file}, "timeouts": {"connect": "300ms"}})
        proxy = start(config)
        reply = connect(proxy).ask()
    assert reply.status == 502 and proxy.line_of(reply)["end"] == "upstream_connect"
    assert "connecting took too long" in proxy.stderr()


def test_server_whose_handshake_comes_byte_by_byte(start, upstream, connect, authority):
    """A relay in front of it cuts everything into bytes."""
    server = upstream(tls=server_context(authority.issue("127.0.0.1")))
    relay = socket.create_server(("127.0.0.1", 0))

    def pump(source, sink, step):
        try:
            while data := source.recv(65536):
                for at in range(0, len(data), step):
                    sink.sendall(data[at:at + step])
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def run():
        near, _ = relay.accept()
        far = socket.create_connection(("127.0.0.1", server.port))
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=pump, args=(near, far, 7), daemon=True).start()
        pump(far, near, 1)
        near.close()
        far.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    config = towards(server, {"ca": authority.file}, timeouts={"connect": "20s"})
    config["upstreams"]["app"]["servers"] = [f"127.0.0.1:{relay.getsockname()[1]}"]
    proxy = start(config)
    client = connect(proxy)
    for _ in range(3):
        assert client.ask("POST", "/", body=b"z" * 3000).body == b"hello from upstream\n"
    relay.close()


@pytest.mark.parametrize("how, is_whole", [("says so", True), ("just ends", False), ("resets", False)])
def test_body_that_ends_with_the_connection(start, upstream, connect, authority, how, is_whole):
    """Anybody can end a connection: only the server can say that it was the end."""
    def serve(link):
        link.read_request()
        link.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"b" * 50000)
        if how == "says so":
            try:
                link.sock.unwrap()
            except OSError:
                pass
        elif how == "resets":
            link.reset()

    proxy = start(towards(upstream(serve, tls=server_context(authority.issue("127.0.0.1"))), {"ca": authority.file}))
    client = connect(proxy)
    client.send(http.request())
    if is_whole:
        assert client.read().body == b"b" * 50000
        assert proxy.requests(1)[0]["end"] == "ok"
        return
    with pytest.raises((http.Ended, ConnectionResetError)):
        client.read()
    assert proxy.requests(1)[0]["end"] == "upstream_abort"


def test_a_kept_connection_that_has_ended_is_not_used(start, upstream, connect, authority):
    count = []

    def serve(link):
        link.read_request()
        count.append(1)
        link.send(http.response(body=b"x"))
        if len(count) % 2:
            with contextlib.suppress(ssl.SSLError):  # the next request may be on its way: it is sent again
                link.sock.unwrap()

    proxy = start(towards(upstream(serve, tls=server_context(authority.issue("127.0.0.1"))), {"ca": authority.file}))
    client = connect(proxy)
    for _ in range(6):
        assert client.ask("GET", "/").status == 200


def test_tunnel(start, upstream, connect, authority):
    data = os.urandom(300000)

    def serve(link):
        message = link.read_request_head()
        link.send(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  f"Sec-WebSocket-Accept: {accept_of(message['Sec-WebSocket-Key'])}\r\n\r\n".encode())
        while got := link.sock.recv(65536):
            link.send(got)
        link.sock.unwrap()

    server = upstream(serve, tls=server_context(authority.issue("127.0.0.1")))
    config = towards(server, {"ca": authority.file})
    config["routes"][0]["upgrade"] = ["websocket"]
    proxy = start(config)
    client = connect(proxy)
    client.send(http.request("GET", "/", HANDSHAKE))
    assert client.reader.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    sender = threading.Thread(target=client.send, args=(data,))
    sender.start()
    assert client.reader.take(len(data)) == data
    sender.join()
    client.end_output()
    client.expect_end()
    assert proxy.requests(1)[0]["end"] == "ok"


def test_a_tunnel_whose_client_ends_first(start, upstream, connect, authority):
    """Half of it: the client has said its end (close_notify) and still reads; both ends are passed on as ends."""
    seen = []

    def serve(link):
        message = link.read_request_head()
        link.send(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  f"Sec-WebSocket-Accept: {accept_of(message['Sec-WebSocket-Key'])}\r\n\r\n".encode())
        said = bytes(link.reader.buffer)
        while got := link.sock.recv(65536):  # a close_notify is an end here, anything else an exception
            said += got
        seen.append(said)
        link.send(b"last words")
        link.sock.unwrap()

    server = upstream(serve, tls=server_context(authority.issue("127.0.0.1")))
    config = towards(server, {"ca": authority.file})
    config["routes"][0]["upgrade"] = ["websocket"]
    config["listen"] = [{"address": f"127.0.0.1:{take_port()}", "tls": authority.issue("a.example").config}]
    proxy = start(config)
    client = connect(proxy)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = client_context(authority).wrap_bio(incoming, outgoing, server_hostname="a.example")

    def until(step):
        while True:
            try:
                result = step()
                client.send(outgoing.read())
                return result
            except ssl.SSLWantReadError:
                client.send(outgoing.read())
                data = client.sock.recv(65536)
                incoming.write(data) if data else incoming.write_eof()

    until(session.do_handshake)
    session.write(http.request("GET", "/", HANDSHAKE))
    said = b""
    while b"\r\n\r\n" not in said:
        said += until(lambda: session.read(65536))
    assert said.startswith(b"HTTP/1.1 101 ")
    session.write(b"question")
    with pytest.raises(ssl.SSLWantReadError):
        session.unwrap()
    client.send(outgoing.read())
    rest = b""
    while not rest.endswith(b"last words"):
        rest += until(lambda: session.read(65536))
    assert seen == [b"question"] and rest == b"last words"
    assert proxy.requests(1)[0]["end"] == "ok"
