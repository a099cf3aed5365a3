# SPDX-License-Identifier: Apache-2.0
"""TLS towards clients: who is served with what, what is refused, and that the bytes inside are those of plain HTTP."""
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from harness import http
from harness.client import Client
from harness.configs import forward, respond
from harness.metrics import scrape
from harness.ports import take_port
from harness.tls import Authority, client_context, key_updates
from harness.waiting import wait_for

V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "tls")


def secured(config, tls, **listener):
    """The configuration behind one listener with TLS, and a metrics page."""
    return {**config, "listen": [{"address": f"127.0.0.1:{take_port()}", "tls": tls, **listener}],
            "admin": {"metrics": f"127.0.0.1:{take_port()}"}}


def metrics_of(proxy):
    return scrape(int(proxy.config["admin"]["metrics"].rsplit(":", 1)[1]))


def handshakes(proxy):
    """{result: count} of what is not 0."""
    prefix = 'sluice_tls_handshakes_total{result="'
    return {k[len(prefix):-2]: v for k, v in metrics_of(proxy).items() if k.startswith(prefix) and v}


def s_client(proxy, *words, data=b""):
    """What `openssl s_client` says."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.ports[0]}", *words], input=data,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False)
    return done.stdout.decode(errors="replace")


# ---- versions, ciphers, protocols


@pytest.mark.parametrize("least, version, is_served", [
    ("1.2", V1_2, True), ("1.2", V1_3, True), ("1.3", V1_2, False), ("1.3", V1_3, True)])
def test_versions(start, connect, authority, least, version, is_served):
    proxy = start(secured(respond(), {**authority.issue("a.example").config, "min_version": least}))
    context = client_context(authority, version=version)
    if not is_served:
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            connect(proxy, tls=context, name="a.example")
        assert handshakes(proxy) == {"failed": 1}
        return
    client = connect(proxy, tls=context, name="a.example")
    assert client.ask().status == 200
    line = proxy.requests(1)[0]
    assert line["tls"] == {V1_2: "TLSv1.2", V1_3: "TLSv1.3"}[version]
    assert line["tls_cipher"] == client.sock.cipher()[0]
    assert line["tls_name"] == "a.example" and "tls_resumed" not in line
    assert handshakes(proxy) == {"ok": 1} and metrics_of(proxy)["sluice_tls_connections_open"] == 1


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(start, authority, version):
    proxy = start(secured(respond(), authority.issue("a.example").config))
    assert "alert protocol version" in s_client(proxy, version, "-cipher", "ALL:@SECLEVEL=0")


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "DHE-RSA-AES128-GCM-SHA256"])
def test_ciphers_without_forward_secrecy_or_aead_are_refused(start, authority, cipher):
    proxy = start(secured(respond(), {"certificates": [authority.issue("a.example", stem="ec").config,
                                                       authority.issue("a.example", stem="rsa", kind="2048").config]}))
    assert "alert handshake failure" in s_client(proxy, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")


def test_our_order_of_ciphers_counts(start, authority):
    proxy = start(secured(respond(), authority.issue("a.example").config))
    said = s_client(proxy, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256")
    assert "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256" in said
    assert "Secure Renegotiation IS supported" in said and "Compression: NONE" in said


def test_own_list_of_ciphers(start, authority, verb):
    tls = {**authority.issue("a.example", kind="2048").config, "ciphers": "ECDHE-RSA-AES256-GCM-SHA384:AES128-SHA"}
    proxy = start(secured(respond(), tls))
    assert "Cipher is ECDHE-RSA-AES256-GCM-SHA384" in s_client(proxy, "-tls1_2")
    assert "Cipher is AES128-SHA" in s_client(proxy, "-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0")
    assert "warning: /listen/0/tls/ciphers: AES128-SHA has no forward secrecy" in verb("check", "-c", proxy.file).stderr


@pytest.mark.parametrize("offered, chosen", [(["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"), (["http/1.0"], "http/1.0"),
                                             (["http/1.0", "http/1.1"], "http/1.1"), (None, None)])
def test_alpn(start, connect, authority, offered, chosen):
    proxy = start(secured(respond(), authority.issue("a.example").config))
    client = connect(proxy, tls=client_context(authority, alpn=offered), name="a.example")
    assert client.sock.selected_alpn_protocol() == chosen
    assert client.ask().status == 200


def test_no_protocol_in_common_is_an_alert(start, connect, authority):
    """RFC 7301 section 3.2."""
    proxy = start(secured(respond(), authority.issue("a.example").config))
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        connect(proxy, tls=client_context(authority, alpn=["h2"]), name="a.example")


def test_renegotiation_is_off(start, authority):
    proxy = start(secured(respond(), authority.issue("a.example").config))
    said = s_client(proxy, "-tls1_2", data=b"R\n")
    assert "no renegotiation" in said.lower()


def test_new_keys_are_taken_and_a_flood_of_them_is_not(start, connect, authority):
    """Each costs us a hundred times what it costs a client, and all that come together are worked off at once."""
    proxy = start({**secured(respond(), authority.issue("a.example").config), "workers": 1})
    last = http.request(fields=[("Connection", "close")])
    assert b"HTTP/1.1 200" in key_updates(proxy.ports[0], 10, last)
    wait_for(lambda: metrics_of(proxy)["sluice_tls_connections_open"] == 0, "the connection is closed")
    assert b"HTTP/1.1" not in key_updates(proxy.ports[0], 100, last, proxy.child)
    wait_for(lambda: metrics_of(proxy)["sluice_tls_connections_open"] == 0, "the connection is closed")
    assert connect(proxy, tls=client_context(authority), name="a.example").ask().status == 200


# ---- which certificate


def test_names_choose_certificates(start, connect, authority):
    pairs = {stem: authority.issue(*names, stem=stem) for stem, names in {
        "first": ["first.example"], "a": ["a.example", "b.example"], "any": ["*.c.example"], "exact": ["x.c.example"]}.items()}
    proxy = start(secured(respond(), {"certificates": [pair.config for pair in pairs.values()]}))
    for asked, stem in {"a.example": "a", "B.Example": "a", "y.c.example": "any", "x.c.example": "exact", "c.example": "first",
                        "z.y.c.example": "first", "unknown": "first", None: "first"}.items():
        client = connect(proxy, tls=client_context(), name=asked)
        assert client.sock.getpeercert(True) == pairs[stem].der, asked
        assert client.ask().status == 200


def test_chain_is_sent(start, connect, authority, tmp_path):
    between = Authority(tmp_path / "tls", "Intermediate", authority)
    proxy = start(secured(respond(), between.issue("a.example").config))
    assert connect(proxy, tls=client_context(authority), name="a.example").ask().status == 200
    said = s_client(proxy, "-servername", "a.example", "-showcerts")
    assert said.count("BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize("algorithm", ["ECDSA", "RSA"])
def test_two_kinds_of_keys_for_a_name(start, authority, algorithm):
    proxy = start(secured(respond(), {"certificates": [authority.issue("a.example", stem="ec").config,
                                                       authority.issue("a.example", stem="rsa", kind="2048").config]}))
    assert f"Cipher is ECDHE-{algorithm}-AES128-GCM-SHA256" in s_client(
        proxy, "-tls1_2", "-servername", "a.example", "-cipher", f"ECDHE-{algorithm}-AES128-GCM-SHA256")


@pytest.mark.parametrize("version", [V1_2, V1_3])
@pytest.mark.parametrize("fewer", [["a.example"], ["a.example", "A.example"]], ids=["one", "one, twice"])
def test_another_kind_of_key_is_no_reason_to_serve_a_certificate_for_names_that_it_lacks(start, connect, authority, fewer, version):
    pairs = [authority.issue("a.example", "b.example", stem="rsa", kind="2048"), authority.issue(*fewer, stem="ec")]
    proxy = start(secured(respond(), {"certificates": [pair.config for pair in pairs]}))
    for name in ("b.example", "a.example"):
        client = connect(proxy, tls=client_context(version=version), name=name)
        assert client.sock.getpeercert(True) == pairs[0].der, name
        assert client.ask().status == 200


# ---- sessions


def resume(proxy, authority, session, version=V1_2):
    """One request; gives whether it was resumed, and the session to go on with."""
    context = resume.contexts.setdefault((authority.file, version), client_context(authority, version=version))
    with Client(proxy.address, tls=context, name="a.example", session=session) as client:
        assert client.ask().status == 200
        return client.sock.session_reused, client.sock.session


resume.contexts = {}


@pytest.mark.parametrize("version", [V1_2, V1_3])
def test_sessions_are_resumed_with_any_worker(start, authority, version):
    proxy = start(secured(respond(), authority.issue("a.example").config))
    is_resumed, session = resume(proxy, authority, None, version)
    assert not is_resumed
    for _ in range(40):  # SO_REUSEPORT spreads them: all on one worker once in 10^11 runs
        is_resumed, _ = resume(proxy, authority, session, version)
        assert is_resumed
    lines = proxy.requests(41)
    assert [line.get("tls_resumed", False) for line in sorted(lines, key=lambda line: line["seq"])].count(True) == 40
    assert handshakes(proxy) == {"ok": 1, "resumed": 40}


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_ticket_need_not_serve_twice(start, authority, tmp_path, version):
    """Browsers and OpenSSL use one of TLS 1.3 only once, so that nobody can tell who comes back (RFC 8446, C.4): each connection has to bring
    the next one."""
    proxy = start(secured(respond(), authority.issue("a.example").config))
    kept = [tmp_path / f"session{i}" for i in range(6)]
    for i, session in enumerate(kept):
        said = s_client(proxy, version, "-ign_eof", "-sess_out", str(session), *(["-sess_in", str(kept[i - 1])] if i else []),
                        data=http.request(fields=[("Connection", "close")]))
        assert ("Reused, TLSv1" in said) == (i > 0), said
        if not session.exists():  # those of TLS 1.2 may be used again
            assert version == "-tls1_2"
            session.write_bytes(kept[i - 1].read_bytes())
    assert handshakes(proxy) == {"ok": 1, "resumed": 5}


def test_sessions_outlive_a_reload_and_the_serving_process(start, authority):
    proxy = start(secured(respond(), authority.issue("a.example").config))
    _, session = resume(proxy, authority, None)
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload")
    assert resume(proxy, authority, session)[0]
    before = proxy.child
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: proxy.child not in (None, before) and len(proxy.events("start")) == 2, "another child serves")
    assert resume(proxy, authority, session)[0]


def test_keys_of_sessions_are_replaced(start, authority):
    proxy = start(secured(respond(), {**authority.issue("a.example").config, "session_lifetime": "1s"}))
    _, session = resume(proxy, authority, None)
    wait_for(lambda: not resume(proxy, authority, session)[0], "the session has ended")


def test_without_tickets_nothing_is_resumed(start, authority):
    for version in (V1_2, V1_3):
        proxy = start(secured(respond(), {**authority.issue("a.example").config, "session_tickets": False}))
        _, session = resume(proxy, authority, None, version)
        assert session is None or not resume(proxy, authority, session, version)[0]


# ---- certificates of clients


def identified(authority, verify, **tls):
    config = respond(identities={"who": {"from": ["certificate"], "missing": "refuse" if verify == "required" else "shared"}},
                     quotas={"who": {"key": ["who"], "limits": {"day": 2}}}, subject_secret="s")
    config["routes"][0]["quotas"] = ["who"]
    return secured(config, {**authority.issue("a.example").config,
                            "client_certificates": {"verify": verify, "ca": authority.file, **tls}})


def test_certificates_name_callers(start, connect, authority, verb):
    proxy = start(identified(authority, "required"))
    one, two = authority.issue("one", stem="one"), authority.issue("two", stem="two")
    for pair in (one, two):
        context = client_context(authority, pair)
        statuses = [connect(proxy, tls=context, name="a.example").ask().status for _ in range(3)]
        assert statuses == [200, 200, 429]
    subjects = {line["subjects"]["who"] for line in proxy.requests(6)}
    hashed = [verb("hash", "-c", proxy.file, "who", pair.fingerprint).stdout.strip() for pair in (one, two)]
    assert subjects == set(hashed) and len(subjects) == 2


@pytest.mark.parametrize("version", [V1_2, V1_3])
@pytest.mark.parametrize("shown", ["none", "stranger", "expired"])
def test_required_certificates(start, connect, authority, tmp_path, shown, version):
    proxy = start(identified(authority, "required"))
    pair = {"none": None, "stranger": Authority(tmp_path / "other").issue("x"),
            "expired": authority.issue("x", days=-1, since=-3)}[shown]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client = connect(proxy, tls=client_context(authority, pair, version), name="a.example")
        client.send(http.request())
        if client.sock.recv(1) == b"":
            raise ConnectionError
    assert wait_for(lambda: handshakes(proxy), "it is counted") == {"failed": 1}
    assert proxy.requests() == []


def test_optional_certificates(start, connect, authority, tmp_path):
    proxy = start(identified(authority, "optional"))
    assert connect(proxy, tls=client_context(authority), name="a.example").ask().status == 200
    shown = connect(proxy, tls=client_context(authority, authority.issue("x")), name="a.example")
    assert shown.ask().status == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client = connect(proxy, tls=client_context(authority, Authority(tmp_path / "other").issue("y")), name="a.example")
        client.send(http.request())
        client.sock.recv(1)
    assert {line["subjects"]["who"] == "shared" for line in proxy.requests(2)} == {True, False}


def test_what_was_refused_to_one_certificate_is_not_refused_to_another(start, connect, authority):
    """Same address, same bytes: the memory of refusals must not take one for the other."""
    proxy = start({**identified(authority, "optional"), "workers": 1})
    pairs = [authority.issue(name, stem=name) for name in ("one", "two")]
    clients = [connect(proxy, tls=client_context(authority, pair), name="a.example") for pair in [None, *pairs]]
    request = http.request("GET", "/" + "x" * 200)
    for client in clients:
        for status in (200, 200, 429, 429, 429):
            client.send(request)
            assert client.read().status == status


@pytest.mark.parametrize("depth, is_good", [(1, True), (0, False)])
def test_depth(start, connect, authority, tmp_path, depth, is_good):
    between = Authority(tmp_path / "tls", "Intermediate", authority)
    proxy = start(identified(authority, "required", depth=depth))
    context = client_context(authority, between.issue("x"), V1_2)
    if is_good:
        assert connect(proxy, tls=context, name="a.example").ask().status == 200
    else:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(proxy, tls=context, name="a.example")


def test_a_session_proves_nothing_where_more_is_asked(start, connect, authority):
    """One that began where no certificate is asked for is worth nothing where one is."""
    config = identified(authority, "required")
    config["listen"].append({"address": f"127.0.0.1:{take_port()}", "tls": authority.issue("a.example", stem="open").config})
    proxy = start(config)
    for version in (V1_2, V1_3):
        context = client_context(authority, version=version)
        free = connect(("127.0.0.1", proxy.ports[1]), tls=context, name="a.example")
        free.ask()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client = connect(proxy, tls=context, name="a.example", session=free.sock.session)
            client.send(http.request())
            if client.sock.recv(1) == b"":
                raise ConnectionError


@pytest.mark.parametrize("version", [V1_2, V1_3])
def test_a_session_is_not_made_longer_by_resuming_it(start, authority, version):
    """However soon it is resumed, each time with the ticket that it was given last."""
    proxy = start(secured(respond(), {**authority.issue("a.example").config, "session_lifetime": "3s"}))
    began, was_resumed = time.time(), 0
    is_resumed, session = resume(proxy, authority, None, version)
    assert not is_resumed
    while is_resumed or not was_resumed:
        is_resumed, session = resume(proxy, authority, session, version)
        was_resumed += is_resumed
        assert time.time() - began < 20, "the session goes on for ever"
    assert resume(proxy, authority, session, version)[0], "a whole handshake begins another one"


@pytest.mark.parametrize("version", [V1_2, V1_3])
def test_a_session_ends_with_the_certificate_that_was_shown(start, connect, authority, version):
    proxy = start(identified(authority, "required"))
    context = client_context(authority, authority.issue("short", days=6 / 86400), version)
    session, count = None, 0
    with pytest.raises((ssl.SSLError, ConnectionError)):
        while count < 200:  # 20 s
            client = connect(proxy, tls=context, name="a.example", session=session)
            client.send(http.request())
            if client.sock.recv(1) == b"":
                raise ConnectionError
            assert client.sock.session_reused == (count > 0)
            session, count = client.sock.session, count + 1
            client.close()
            time.sleep(0.1)
    assert 2 < count < 200


# ---- what is no TLS


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH"])
def test_plain_request(start, connect, authority, method):
    proxy = start(secured(respond(), authority.issue("a.example").config))
    client = connect(proxy)
    client.send(http.request(method, "/x"))
    reply = client.read(method)
    assert reply.status == 400 and reply["Connection"] == "close"
    if method != "HEAD":
        assert b'"error_code":"APIG.0201"' in reply.body
    line = proxy.requests(1)[0]
    assert (line["end"], line["reason"]) == ("bad_request", "plain_on_tls") and "tls" not in line
    client.expect_end()
    assert handshakes(proxy) == {"plain": 1}


@pytest.mark.parametrize("junk", [b"\x00", b"\xff" * 100, b"\r\n\r\n", b"ssh-2.0\r\n", b"\x80\x2e\x01\x00\x02"])
def test_junk_is_closed_at_once(start, connect, authority, junk):
    proxy = start(secured(respond(), authority.issue("a.example").config))
    client = connect(proxy)
    client.send(junk)
    assert client.expect_gone() == b""
    assert handshakes(proxy) == {"junk": 1} and proxy.requests() == []


@pytest.mark.parametrize("junk", [b"\x16" + b"\xff" * 300, b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\xff\xff" + b"x" * 70000])
def test_broken_hello(start, connect, authority, junk):
    proxy = start(secured(respond(), authority.issue("a.example").config))
    client = connect(proxy)
    try:
        client.send(junk)
    except ConnectionError:
        pass
    assert len(client.expect_gone()) in (0, 7)  # an alert
    assert handshakes(proxy) == {"failed": 1}


def test_tls_on_a_plain_port(start, connect):
    proxy = start(respond())
    with pytest.raises(ssl.SSLError):
        connect(proxy, tls=client_context())
    assert proxy.requests(1)[0]["status"] == 400


# ---- handshakes that do not come to an end


def hello(name="a.example"):
    """A ClientHello, and the objects that go on with it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = client_context().wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return session, incoming, outgoing


@pytest.mark.parametrize("said", ["nothing", "a byte", "half a hello", "a hello"])
def test_handshakes_have_a_deadline(start, connect, authority, said):
    proxy = start(secured(respond(), authority.issue("a.example").config, ) | {"limits": {"tls_handshake_timeout": "300ms"}})
    client = connect(proxy)
    data = hello()[2].read()
    client.send({"nothing": b"", "a byte": data[:1], "half a hello": data[:60], "a hello": data}[said])
    said_back = client.expect_gone()
    assert bool(said_back) == (said == "a hello")
    assert handshakes(proxy) == {"timeout": 1}
    assert metrics_of(proxy)['sluice_connections_closed_total{reason="tls_handshake"}'] == 1


def test_handshake_byte_by_byte(start, connect, authority):
    proxy = start(secured(respond(), authority.issue("a.example").config))
    client = connect(proxy)
    session, incoming, outgoing = hello()
    while True:
        client.send_bytewise(outgoing.read())
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            incoming.write(client.sock.recv(1))
    client.send_bytewise(outgoing.read())
    session.write(http.request("GET", "/", [("Connection", "close")]))
    client.send_bytewise(outgoing.read())
    said = b""
    while True:
        try:
            data = session.read(1000)
        except ssl.SSLWantReadError:
            incoming.write(client.sock.recv(7))
            continue
        except ssl.SSLZeroReturnError:
            break
        said += data
        if not data:
            break
    assert said.startswith(b"HTTP/1.1 200 ") and said.endswith(b"here\n")


def test_the_oldest_handshake_makes_room(start, connect, authority):
    config = secured(respond(), authority.issue("a.example").config)
    proxy = start({**config, "workers": 1, "limits": {"tls_handshakes": 3}})
    silent = [connect(proxy) for _ in range(3)]
    wait_for(lambda: metrics_of(proxy)["sluice_tls_handshakes_open"] == 3, "they are in progress")
    assert connect(proxy, tls=client_context(authority), name="a.example").ask().status == 200
    assert silent[0].expect_gone() == b""
    assert silent[1].is_quiet() and silent[2].is_quiet()
    assert handshakes(proxy) == {"ok": 1, "shed": 1}


@pytest.mark.parametrize("stage", range(4))
def test_aborts_leave_nothing_behind(start, connect, authority, stage):
    proxy = start(secured(respond(), authority.issue("a.example").config))
    for is_reset in (False, True):
        for _ in range(10):
            client = connect(proxy)
            if stage > 0:
                session, incoming, outgoing = hello()
                data = outgoing.read()
                client.send(data[:stage * 40] if stage < 3 else data)
            if stage == 3:
                client.sock.recv(1)
            if is_reset:
                client.reset()
            else:
                client.close()
    wait_for(lambda: not metrics_of(proxy)["sluice_connections_open"], "all are closed")
    assert metrics_of(proxy)["sluice_tls_handshakes_open"] == 0
    assert connect(proxy, tls=client_context(authority), name="a.example").ask().status == 200


# ---- bytes inside


@pytest.mark.parametrize("version", [V1_2, V1_3])
def test_large_bodies_both_ways(start, upstream, connect, authority, version):
    body = os.urandom(1 << 20) + b"end"
    server = upstream(answer=lambda message: http.response(body=message.body))
    proxy = start(secured(forward(server), authority.issue("a.example").config))
    client = connect(proxy, tls=client_context(authority, version=version), name="a.example")
    for _ in range(3):
        client.send(http.request("POST", "/", body=body))  # the server reads all of it first; and no two threads may use one SSLSocket
        assert client.read().body == body
    assert [r.body == body for r in server.requests] == [True] * 3
    assert server.requests[0]["X-Forwarded-Proto"] == "https"


def test_a_client_that_takes_its_time(start, upstream, connect, authority):
    """The kernel takes less than a record: what OpenSSL holds must go out unchanged when there is room again."""
    body = os.urandom(4 << 20)
    server = upstream(answer=lambda message: http.response(body=body))
    proxy = start(secured(forward(server), authority.issue("a.example").config))
    client = connect(proxy, tls=client_context(authority), name="a.example", receive_buffer=4096)
    client.send(http.request())
    time.sleep(0.3)  # until the buffers are full; the result does not depend on it
    reply = client.read()
    assert reply.body == body


def test_pipelined_requests_in_one_record(start, connect, authority):
    proxy = start(secured(respond(), authority.issue("a.example").config))
    client = connect(proxy, tls=client_context(authority), name="a.example")
    client.send(b"".join(http.request("GET", f"/{n}") for n in range(200)))
    assert [client.read().status for _ in range(200)] == [200] * 200
    assert sorted(int(line["path"][1:]) for line in proxy.requests(200)) == list(range(200))


def test_requests_in_records_of_a_byte(start, upstream, connect, authority):
    server = upstream()
    proxy = start(secured(forward(server), authority.issue("a.example").config))
    client = connect(proxy, tls=client_context(authority), name="a.example")
    for _ in range(2):
        client.send_bytewise(http.request("POST", "/", body=b"twenty bytes of text"))
        assert client.read().status == 200
    assert [r.body for r in server.requests] == [b"twenty bytes of text"] * 2


def records(data):
    """The lengths of the records of TLS in these bytes."""
    lengths, at = [], 0
    while at + 5 <= len(data):
        lengths.append(int.from_bytes(data[at + 3:at + 5], "big"))
        at += 5 + lengths[-1]
    assert at == len(data)
    return lengths


@pytest.mark.parametrize("size, count", [(10, 1), (4000, 1), (8000, 1), (16000, 1), (20000, 2)])
def test_head_and_body_share_a_record(start, upstream, connect, authority, size, count):
    server = upstream(answer=lambda message: http.response(body=b"x" * size))
    proxy = start(secured(forward(server), {**authority.issue("a.example").config, "session_tickets": False}))
    client = connect(proxy)
    session, incoming, outgoing = hello()
    while True:
        client.send(outgoing.read())
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            incoming.write(client.sock.recv(65536))
    session.write(http.request())
    client.send(outgoing.read())
    raw, said = b"", b""
    while len(said) < size or not said.endswith(b"x"):
        data = client.sock.recv(65536)
        raw += data
        incoming.write(data)
        try:
            while True:
                said += session.read(65536)
        except ssl.SSLWantReadError:
            pass
    assert len(records(raw)) == count


def test_the_end_is_said(start, upstream, connect, authority):
    """A response that ends with the connection ends with a close_notify; one that breaks off does not."""
    def serve(link):
        message = link.read_request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nhello" % (5 if message.target == "/whole" else 9))

    proxy = start(secured(forward(upstream(serve)), authority.issue("a.example").config))
    client = connect(proxy, tls=client_context(authority), name="a.example")
    reply = client.ask("GET", "/whole", [("Connection", "close")])
    assert reply.body == b"hello"
    client.expect_end()
    client = connect(proxy, tls=client_context(authority), name="a.example")
    client.send(http.request("GET", "/broken"))
    with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
        client.read()


def test_a_client_that_leaves_without_a_word(start, upstream, connect, authority):
    """Its response is awaited: the exchange is given up, as for a plain one."""
    waits = threading.Event()

    def serve(link):
        link.read_request()
        waits.set()
        link.wait_for_end()

    proxy = start(secured(forward(upstream(serve)), authority.issue("a.example").config))
    client = connect(proxy, tls=client_context(authority), name="a.example")
    client.send(http.request())
    waits.wait(20)
    client.end_output()
    assert proxy.requests(1)[0]["end"] == "client_abort"


def test_body_cut_short(start, upstream, connect, authority):
    server = upstream()
    proxy = start(secured(forward(server), authority.issue("a.example").config))
    client = connect(proxy, tls=client_context(authority), name="a.example")
    client.send(http.request("POST", "/", body=b"x" * 1000)[:-500])
    server.wait_for_requests(0)
    client.end_output()
    assert proxy.requests(1)[0]["end"] == "client_abort"


def test_too_many_connections_are_closed_without_plain_text(start, connect, authority):
    config = secured(respond(), authority.issue("a.example").config)
    proxy = start({**config, "limits": {"connections": 1}})
    held = connect(proxy, tls=client_context(authority), name="a.example")
    assert held.ask().status == 200
    assert connect(proxy).expect_gone() == b""
    assert sorted(line["end"] for line in proxy.requests(2)) == ["ok", "too_many_connections"]


# ---- reload and stop


def test_certificates_are_replaced_by_a_reload(start, connect, authority):
    pair = authority.issue("a.example", stem="site")
    proxy = start(secured(respond(), pair.config))
    context = client_context(authority)
    held = connect(proxy, tls=context, name="a.example")
    assert held.ask().status == 200 and held.sock.getpeercert(True) == pair.der
    after = authority.issue("a.example", stem="site")
    proxy.signal(signal.SIGHUP)
    event = proxy.wait_for_event("reload")[0]
    assert "certificate" in event["changes"] and "changed" in event["changes"]
    fresh = connect(proxy, tls=context, name="a.example")
    assert fresh.sock.getpeercert(True) == after.der != pair.der
    assert held.ask().status == 200 and fresh.ask().status == 200


def test_a_broken_certificate_refuses_the_reload(start, connect, authority):
    pair = authority.issue("a.example", stem="site")
    proxy = start(secured(respond(), pair.config))
    with open(pair.key, "w", encoding="ascii") as file:
        file.write("nothing of use")
    proxy.signal(signal.SIGHUP)
    assert "/listen/0/tls/key: not a private key" in proxy.wait_for_event("reload_refused")[0]["reason"]
    assert connect(proxy, tls=client_context(authority), name="a.example").ask().status == 200


def test_no_handshake_fails_while_certificates_are_replaced(start, authority):
    pair = authority.issue("a.example", stem="site")
    proxy = start(secured(respond(), pair.config))
    context, faults, done, served = client_context(authority), [], threading.Event(), []

    def load():
        while not done.is_set():
            try:
                with Client(proxy.address, tls=context, name="a.example") as client:
                    assert client.ask().status == 200
                served.append(1)
            except Exception as fault:  # pylint: disable=broad-except
                faults.append(repr(fault))
                return

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(1, int(os.environ.get("SLUICE_REPLACEMENTS", "20")) + 1):
        authority.issue("a.example", stem="site.next")
        os.replace(authority.folder / "site.next.key", pair.key + ".new")
        os.replace(authority.folder / "site.next.crt", pair.certificate)
        os.replace(pair.key + ".new", pair.key)
        proxy.signal(signal.SIGHUP)
        proxy.wait_for_event("reload", n)
    done.set()
    for thread in threads:
        thread.join()
    assert not faults and len(served) > 20
    assert set(handshakes(proxy)) <= {"ok", "resumed"}


def test_drain(start, upstream, connect, authority):
    arrived, go = threading.Event(), threading.Event()

    def answer(_):
        arrived.set()
        go.wait(20)
        return http.response(body=b"late")

    proxy = start({**secured(forward(upstream(answer=answer)), authority.issue("a.example").config), "workers": 1})
    idle = connect(proxy, tls=client_context(authority), name="a.example")
    busy = connect(proxy, tls=client_context(authority), name="a.example")
    wait_for(lambda: metrics_of(proxy)["sluice_tls_connections_open"] == 2, "both are there")
    busy.send(http.request())
    arrived.wait(20)
    proxy.signal(signal.SIGTERM)
    idle.expect_end()
    go.set()
    reply = busy.read()
    assert reply.body == b"late" and reply["Connection"] == "close"
    busy.expect_end()
    assert proxy.wait_exit() == 0


def test_who_speaks_while_it_is_sent_away_is_not_reset(start, connect, authority):
    """As without TLS, whether it is between two requests or before its handshake."""
    proxy = start({**secured(respond(), authority.issue("a.example").config), "workers": 1, "limits": {"drain_timeout": "1h"}})
    idle, silent = connect(proxy, tls=client_context(authority), name="a.example"), connect(proxy)
    assert idle.ask().status == 200
    wait_for(lambda: metrics_of(proxy)["sluice_tls_handshakes_open"] == 1, "both are there")
    proxy.signal(signal.SIGTERM)
    silent.expect_end()
    silent.send(hello()[2].read())
    idle.expect_end()
    idle.send(http.request())
    for client in (idle, silent):
        assert client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        client.close()
    assert proxy.wait_exit() == 0


def test_half_a_handshake_is_not_missed_at_the_deadline(start, connect, authority):
    proxy = start({**secured(respond(), authority.issue("a.example").config), "workers": 1,
                   "limits": {"tls_handshake_timeout": "1h", "drain_timeout": "1s"}})
    begun = connect(proxy)
    begun.send(hello()[2].read()[:60])
    wait_for(lambda: metrics_of(proxy)["sluice_tls_handshakes_open"] == 1, "it is there")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0


def test_silent_clients_do_not_delay_the_end(start, connect, authority):
    """Who is in a handshake may finish it, and is told then; who has not begun one is not waited for."""
    proxy = start({**secured(respond(), authority.issue("a.example").config), "workers": 1,
                   "limits": {"tls_handshake_timeout": "1h", "drain_timeout": "1h"}})
    silent, begun = connect(proxy), connect(proxy)
    session, incoming, outgoing = hello()
    begun.send(outgoing.read())
    incoming.write(begun.sock.recv(1))
    wait_for(lambda: metrics_of(proxy)["sluice_tls_handshakes_open"] == 2, "both are there")
    proxy.signal(signal.SIGTERM)
    assert silent.expect_gone() == b""
    while True:
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            incoming.write(begun.sock.recv(65536))
    begun.send(outgoing.read())
    assert begun.expect_gone()
    assert proxy.wait_exit() == 0


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_reset_behind_half_a_hello_is_noticed(start, connect, authority, share):
    """It is reported once, together with the bytes before it."""
    proxy = start({**secured(respond(), authority.issue("a.example").config), "workers": 1, "limits": {"tls_handshake_timeout": "1h"}})
    _, _, outgoing = hello()
    said = outgoing.read()
    with proxy.frozen():
        client = connect(proxy)
        client.send(said[:max(1, int(len(said) * share))])
        client.reset()
    wait_for(lambda: handshakes(proxy) == {"failed": 1}, "the handshake has failed")
    assert metrics_of(proxy)["sluice_tls_handshakes_open"] == 0


def test_unix_socket(start, connect, authority, tmp_path):
    path = str(tmp_path / "s.sock")
    config = secured(respond(), authority.issue("a.example").config)
    config["listen"][0]["address"] = f"unix:{path}"
    start(config)
    wait_for(lambda: os.path.exists(path), "it listens")
    assert connect(path, tls=client_context(authority), name="a.example").ask().status == 200
