# SPDX-License-Identifier: Apache-2.0
"""TLS to Redis: who is believed, what is said of who is not, and that no handshake holds anybody up."""
import json
import pathlib
import socket
import threading
import time

import pytest
from harness.configs import forward
from harness.counting import USERS, ask, wait_until_counting
from harness.names import Names
from harness.proxy import BINARY
from harness.redis_fleet import ClusterFleet, SentinelFleet
from harness.redis_server import RedisServer
from harness.redis_tls import Tls, TlsServer
from harness.tls import Authority
from harness.waiting import wait_for

HERE = ["127.0.0.1", "localhost"]


@pytest.fixture
def authority(world):
    return Authority(world.folder / "authority")


@pytest.fixture
def serve(world, authority):
    """serve(names, clients=...): a server whose certificate is for those names."""

    def make(names=None, *, pair=None, clients=False, options=()):
        server = TlsServer(world.folder / f"redis{len(world.redises)}", Tls(authority, pair or authority.issue(*(names or HERE), stem="server"), clients), *options)
        world.redises.append(server)
        return server

    return make


def store(address, tls, **more):
    made = {"type": "redis", "servers": [address], "decision_timeout": "250ms", "fleet_size": 1, "on_failure": "deny", **more}
    return {**made, "tls": tls} if tls is not None else made


def config_of(server, store_, accuracy="leased"):
    return forward(server, store=store_, quotas={"user": {"key": ["user"], "limits": {"day": 100000}, "accuracy": accuracy}}, **USERS)


def ca_of(authority, **more):
    return {"ca": authority.file, **more}


def wait_for_sentence(proxy, sentence):
    wait_for(lambda: sentence in proxy.stderr(), f"the log says: {sentence}")


# ---- who is believed ----

def test_every_connection_is_secured(start, upstream, connect, serve, authority):
    server = serve()
    proxy = start(config_of(upstream(), store(server.address, ca_of(authority))))
    wait_until_counting(connect, proxy)
    wait_for(lambda: len([row for row in server.client.client_list() if row["name"].startswith("sluice:") or "sub" in row]) >= 3,
             "two workers and one who listens are connected")
    # None but ours uses the Unix socket, and there is no other port.
    assert server.client.config_get("port")["port"] == "0"


def test_a_recall_comes_over_tls(start, upstream, connect, serve, authority):
    server = serve()
    config = config_of(upstream(), store(server.address, ca_of(authority)))
    proxies = [start(config), start(config)]
    for proxy in proxies:
        wait_until_counting(connect, proxy)
    wait_for(lambda: server.client.pubsub_numsub("sluice:recall")[0][1] == 2, "both listen")


def test_a_name_is_verified(start, upstream, connect, serve, authority):
    server = serve(["localhost"])
    proxy = start(config_of(upstream(), store(f"localhost:{server.port}", ca_of(authority))))
    wait_until_counting(connect, proxy)


def test_a_point_at_the_end_of_a_name_is_none_of_the_certificates(start, upstream, connect, world, serve, authority):
    server, names = serve(["store.test"]), Names(world.folder)
    names.set(store="127.0.0.1")
    proxy = start(config_of(upstream(), store(f"store.test.:{server.port}", ca_of(authority))), env=names.env(BINARY))
    wait_until_counting(connect, proxy)


def test_another_name_may_be_stated(start, upstream, connect, serve, authority):
    server = serve(["redis.example"])
    proxy = start(config_of(upstream(), store(server.address, ca_of(authority, server_name="redis.example"))))
    wait_until_counting(connect, proxy)


def test_a_certificate_of_ours_is_shown(start, upstream, connect, serve, authority):
    server = serve(clients=True)
    ours = authority.issue("proxy")
    proxy = start(config_of(upstream(), store(server.address, ca_of(authority, **ours.config))))
    wait_until_counting(connect, proxy)


def test_unverified_on_demand(start, upstream, connect, serve):
    server = serve(["redis.example"])
    proxy = start(config_of(upstream(), store(server.address, {"verify": False})))
    wait_until_counting(connect, proxy)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_versions(start, upstream, connect, serve, authority, version):
    server = serve(options=["--tls-protocols", f"TLSv{version}"])
    proxy = start(config_of(upstream(), store(server.address, ca_of(authority, min_version=version))))
    wait_until_counting(connect, proxy)


def test_large_commands_and_scripts_pass(start, upstream, connect, serve, authority):
    """More than a record (16 KiB) at once: many requests in one turn, and scripts that were flushed."""
    server = serve()
    proxy = start(config_of(upstream(), store(server.address, ca_of(authority)), accuracy="exact"))
    wait_until_counting(connect, proxy)
    clients = [connect(proxy) for _ in range(40)]
    statuses = []

    def run(client, user):
        statuses.extend(ask(client, f"user{user}-{i}").status for i in range(25))

    threads = [threading.Thread(target=run, args=(client, i)) for i, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    server.client.script_flush()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 1000
    assert len(list(server.client.scan_iter("sluice:q:*"))) == 1001


# ---- who is not, and what is said of it ----

CASES = {
    "wrong authority": ("none of the authorities", lambda s, a, other: {"ca": other.file}, {}),
    "system's authorities": ("none of the authorities", lambda s, a, other: {}, {}),
    "another name": ('its certificate is not for "127.0.0.1": give a name that stands in it as "server_name"', lambda s, a, other: ca_of(a), {"names": ["redis.example"]}),
    "another stated name": ('its certificate is not for "other.example"', lambda s, a, other: ca_of(a, server_name="other.example"), {}),
    "no certificate of ours": ('it wants a certificate of ours: give "certificate" and "key"', lambda s, a, other: ca_of(a), {"clients": True}),
    "old version": ("it has no version of TLS in common with us", lambda s, a, other: ca_of(a, min_version="1.3"), {"options": ["--tls-protocols", "TLSv1.2"]}),
}


@pytest.mark.parametrize("case", CASES, ids=lambda name: name.replace(" ", "-"))
def test_what_is_not_believed(start, upstream, connect, world, serve, authority, case):
    sentence, tls_of, kind = CASES[case]
    server = serve(kind.get("names"), clients=kind.get("clients", False), options=kind.get("options", ()))
    proxy = start(config_of(upstream(), store(server.address, tls_of(server, authority, Authority(world.folder / "other", "other")))))
    wait_for_sentence(proxy, f"redis {server.address} is away: ")
    wait_for_sentence(proxy, sentence)
    assert ask(connect(proxy)).status == 503
    assert not server.client.keys("*"), "nothing was told to a server that was not believed"


@pytest.mark.parametrize("kind", ["expired", "not yet"])
def test_out_of_its_time(start, upstream, connect, serve, authority, kind):
    since, days = (-400, -30) if kind == "expired" else (30, 400)
    server = serve(pair=authority.issue(*HERE, stem="server", since=since, days=days))
    proxy = start(config_of(upstream(), store(server.address, ca_of(authority))))
    wait_for_sentence(proxy, "has expired" if kind == "expired" else "is not valid yet: is a clock wrong?")
    assert ask(connect(proxy)).status == 503


def test_a_certificate_of_ours_that_nobody_trusts(start, upstream, connect, world, serve, authority):
    server = serve(clients=True)
    ours = Authority(world.folder / "other", "other").issue("proxy")
    proxy = start(config_of(upstream(), store(server.address, ca_of(authority, **ours.config))))
    wait_for_sentence(proxy, "it does not accept our certificate: see its own list of authorities")
    assert ask(connect(proxy)).status == 503


def test_a_server_without_tls(start, upstream, connect, redis, authority):
    proxy = start(config_of(upstream(), store(redis.address, ca_of(authority), connect_timeout="300ms")))
    wait_for(lambda: "its port without TLS?" in proxy.stderr(), "the log says so")
    assert ask(connect(proxy)).status == 503


def test_a_server_with_tls_for_who_has_none(start, upstream, connect, serve):
    server = serve()
    proxy = start(config_of(upstream(), store(server.address, None)))
    wait_for_sentence(proxy, f"redis {server.address} is away: it closed the connection without a word: if it speaks TLS, set \"tls\"")
    assert ask(connect(proxy)).status == 503


# ---- nobody is held up ----

class Hole:
    """Takes connections and says nothing, or bytes that are given."""

    def __init__(self, world, say=b""):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.taken, self.say = [], say
        world.redises.append(self)
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
                self.taken.append(sock)
                sock.sendall(self.say)
            except OSError:
                return

    def stop(self):
        self.listener.close()
        for sock in self.taken:
            sock.close()


@pytest.mark.parametrize("say", [b"", b"\x16\x03\x03\x40\x00", b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76"], ids=["silent", "half a record", "half a hello"])
def test_a_handshake_that_never_ends(start, upstream, connect, world, authority, say):
    hole = Hole(world, say)
    config = config_of(upstream(), store(hole.address, ca_of(authority), connect_timeout="300ms", decision_timeout="50ms"))
    config["routes"].insert(0, {"name": "free", "path": "/free", "respond": {"status": 204}})
    proxy = start(config)
    wait_for(lambda: len(hole.taken) >= 2, "it is connected to")
    # The loop serves others all the while.
    client = connect(proxy)
    for _ in range(50):
        assert client.ask("GET", "/free").status == 204
    wait_for_sentence(proxy, "it took a connection but did not finish the TLS handshake")
    assert "within 300 ms" in proxy.stderr()
    assert ask(connect(proxy)).status == 503


@pytest.mark.parametrize("say", [b"\x15\x03\x03\x00\x02\x02\x28", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x03\xff\xff" + b"x" * 65535, b"-ERR no\r\n"],
                         ids=["alert", "http", "huge record", "redis"])
def test_what_is_no_handshake(start, upstream, connect, world, authority, say):
    hole = Hole(world, say)
    proxy = start(config_of(upstream(), store(hole.address, ca_of(authority), decision_timeout="50ms")))
    wait_for_sentence(proxy, f"redis {hole.address} is away: ")
    assert ask(connect(proxy)).status == 503


def test_the_second_server_when_the_first_is_not_believed(start, upstream, connect, world, serve, authority):
    false = TlsServer(world.folder / "false", Tls(authority, Authority(world.folder / "other", "other").issue(*HERE, stem="server")))
    world.redises.append(false)
    server = serve()
    made = store(server.address, ca_of(authority))
    proxy = start(config_of(upstream(), {**made, "servers": [false.address, server.address]}))
    wait_until_counting(connect, proxy)
    assert not false.client.keys("*")


def test_a_restart_is_survived(start, upstream, connect, serve, authority):
    server = serve()
    proxy = start(config_of(upstream(), store(server.address, ca_of(authority))))
    wait_until_counting(connect, proxy)
    server.kill()
    wait_for(lambda: "it closed the connection" in proxy.stderr(), "the loss is seen")
    server.start()
    wait_until_counting(connect, proxy)


def test_a_server_that_stands_still(start, upstream, connect, serve, authority):
    server = serve()
    proxy = start(config_of(upstream(), store(server.address, ca_of(authority), command_timeout="300ms"), accuracy="exact"))
    wait_until_counting(connect, proxy)
    server.pause()
    begin = time.monotonic()
    assert ask(connect(proxy)).status == 503
    assert time.monotonic() - begin < 5
    wait_for_sentence(proxy, "a command was not answered within 300 ms")
    server.resume()
    wait_until_counting(connect, proxy)


# ---- several servers ----

def test_sentinel(start, upstream, connect, world, authority):
    fleet = SentinelFleet(world.folder, tls=Tls(authority, authority.issue(*HERE, stem="server")))
    world.redises.extend(fleet.sentinels + fleet.servers)
    made = store(fleet.addresses[0], ca_of(authority), topology="sentinel", master=fleet.NAME)
    proxy = start(config_of(upstream(), {**made, "servers": fleet.addresses}))
    wait_until_counting(connect, proxy)
    fleet.servers[0].kill()
    wait_for(fleet.master, "another server is promoted", 20)
    wait_until_counting(connect, proxy)


def test_plain_sentinels(start, upstream, connect, world, authority):
    fleet = SentinelFleet(world.folder, tls=Tls(authority, authority.issue(*HERE, stem="server")), plain_sentinels=True)
    world.redises.extend(fleet.sentinels + fleet.servers)
    made = store(fleet.addresses[0], ca_of(authority, sentinels=False), topology="sentinel", master=fleet.NAME)
    proxy = start(config_of(upstream(), {**made, "servers": fleet.addresses}))
    wait_until_counting(connect, proxy)


def test_cluster(start, upstream, connect, world, authority):
    fleet = ClusterFleet(world.folder, tls=Tls(authority, authority.issue(*HERE, stem="server")))
    world.redises.extend(fleet.nodes)
    proxy = start(config_of(upstream(), store(fleet.nodes[0].address, ca_of(authority), topology="cluster")))
    wait_until_counting(connect, proxy)
    client = connect(proxy)
    assert [ask(client, f"user{i}").status for i in range(60)] == [200] * 60
    owners = {node.port for node in fleet.keys("sluice:q:*").values()}
    assert len(owners) == 3, "every master counts"


# ---- what is checked before ----

def check(verb, world, tls, **more):
    config = {"listen": [{"address": "127.0.0.1:1"}], "store": {"type": "redis", "servers": ["127.0.0.1:6379"], "fleet_size": 1, "tls": tls, **more},
              "routes": [{"prefix": "/", "respond": {"status": 200}}]}
    path = world.folder / "tried.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    done = verb("check", "-c", path)
    return done.returncode, done.stdout + done.stderr


def test_files_are_checked(verb, world, authority):
    ours = authority.issue("proxy")
    other, sealed = authority.issue("proxy", stem="other"), authority.issue("proxy", stem="sealed", password=b"open")
    (world.folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", encoding="ascii")
    (world.folder / "ca.pem").write_bytes(pathlib.Path(authority.file).read_bytes())
    good = [{}, {"ca": "ca.pem"}, ca_of(authority, **ours.config), {"min_version": "1.3", "sentinels": False, "server_name": "a.example"}]
    for tls in good:
        code, text = check(verb, world, tls)
        assert code == 0, (tls, text)
    bad = [
        ({"ca": "nowhere.pem"}, '/store/tls/ca: the file "nowhere.pem" cannot be read: '),
        ({"ca": "broken.pem"}, "/store/tls/ca: not certificates in PEM"),
        ({"ca": ours.key}, "/store/tls/ca: not certificates in PEM"),
        ({"ca": ""}, "/store/tls/ca: must not be empty"),
        ({"ca": 5}, "/store/tls/ca: expected a string"),
        ({"ca": "ca.pem", "verify": False}, '/store/tls/ca: nobody looks at it with "verify": false'),
        ({"certificate": ours.certificate}, '/store/tls: "key" is missing'),
        ({"key": ours.key}, '/store/tls: "certificate" is missing'),
        ({"certificate": ours.key, "key": ours.key}, "/store/tls/certificate: not a certificate in PEM"),
        ({"certificate": ours.certificate, "key": ours.certificate}, "/store/tls/key: not a private key in PEM"),
        ({"certificate": ours.certificate, "key": other.key}, "/store/tls/key: it is not the key of the certificate"),
        (sealed.config, "/store/tls/key: the key is encrypted"),
        ({"min_version": "1.1"}, '/store/tls/min_version: expected "1.2" or "1.3"'),
        ({"servername": "x"}, 'unknown key "servername" (did you mean "server_name"?)'),
    ]
    for tls, sentence in bad:
        code, text = check(verb, world, tls)
        assert code != 0 and sentence in text, (tls, text)
    code, text = check(verb, world, {}, servers=["unix:/run/redis.sock"])
    assert code != 0 and 'a Unix socket (in "servers") has no TLS' in text
    code, text = check(verb, world, {"verify": False})
    assert code == 0 and "/store/tls/verify: whoever answers is believed" in text


def test_what_has_no_effect_is_told(verb, world, authority):
    ours = authority.issue("proxy")
    code, text = check(verb, world, {"sentinels": False})
    assert code == 0 and '/store/tls/sentinels: not used: only with "topology": "sentinel"' in text
    code, text = check(verb, world, {"sentinels": False}, topology="sentinel", master="m")
    assert code == 0 and "not used" not in text
    code, text = check(verb, world, {"sentinels": True})
    assert code == 0 and "not used" not in text, "a dump spells it out"
    code, text = check(verb, world, {"ca": ours.certificate})
    assert code == 0 and "/store/tls/ca: certificate 1 in the file is no authority's: nobody is believed by it" in text


def test_a_key_is_never_shown(verb, world, authority):
    ours = authority.issue("proxy")
    check(verb, world, ca_of(authority, **ours.config))
    shown = verb("check", "-c", world.folder / "tried.json", "--dump").stdout
    assert json.loads(shown)["store"]["tls"]["key"] == ours.key
    assert "PRIVATE KEY" not in shown


def test_plain_redis_is_as_it_was(start, upstream, connect, world):
    server = RedisServer(world.folder)
    world.redises.append(server)
    proxy = start(config_of(upstream(), store(server.address, None)))
    wait_until_counting(connect, proxy)


# ---- doctor ----

def doctor(verb, world, exit_code, store_):
    config = {"listen": [{"address": "127.0.0.1:1"}], "store": store_, "routes": [{"prefix": "/", "respond": {"status": 200}}]}
    path = world.folder / "doctor.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    done = verb("doctor", "-c", path, "--json")
    assert done.returncode == exit_code, done
    return [(row["level"], row["check"], row["text"]) for row in json.loads(done.stdout)["checks"]]


def errors_of(checks):
    return [text for level, _, text in checks if level == "error"]


def test_doctor_is_let_in(verb, world, serve, authority):
    server = serve(clients=True)
    ours = authority.issue("proxy")
    good = store(server.address, ca_of(authority, **ours.config, min_version="1.3"))
    checks = doctor(verb, world, 0, good)
    assert errors_of(checks) == [] and ("ok", "connection", f"{server.address}: let in") in checks
    assert sum(check == "rights" for _, check, _ in checks) == 1
    server = serve(["localhost"])
    assert errors_of(doctor(verb, world, 0, store(f"localhost:{server.port}", ca_of(authority)))) == []
    server = serve(["redis.example"])
    assert errors_of(doctor(verb, world, 0, store(server.address, ca_of(authority, server_name="redis.example")))) == []
    assert errors_of(doctor(verb, world, 0, store(server.address, {"verify": False}))) == []


@pytest.mark.parametrize("case", CASES, ids=lambda name: name.replace(" ", "-"))
def test_doctor_says_who_is_not_believed(verb, world, serve, authority, case):
    sentence, tls_of, kind = CASES[case]
    server = serve(kind.get("names"), clients=kind.get("clients", False), options=kind.get("options", ()))
    made = store(server.address, tls_of(server, authority, Authority(world.folder / "other", "other")), password="not to be told")
    (error,) = errors_of(doctor(verb, world, 5, made))
    assert error.startswith(f"{server.address}: ") and sentence in error
    assert "Unknown" not in error and "cmdstat_auth" not in server.client.info("commandstats")


def test_a_terminal_does_not_obey_what_a_server_says(verb, world):
    made = store(Hole(world, b"-ERR \x1b[2J\x1b]0;x\x07 \xc2\x9b1m\r\n" * 9).address, None, database=3)
    assert any("\x1b[2J" in text for _, _, text in doctor(verb, world, 1, made)), "JSON has it as it is, escaped"
    said = verb("doctor", "-c", world.folder / "doctor.json").stdout
    assert "\\x1b[2J\\x1b]0;x\\x07 \\xc2\\x9b1m" in said
    assert not set(said) & {"\x1b", "\x07", "\x9b", "\r"}


def test_doctor_on_the_wrong_port(verb, world, redis, serve, authority):
    (error,) = errors_of(doctor(verb, world, 5, store(redis.address, ca_of(authority))))
    assert error == f"{redis.address}: it took a connection but did not finish the TLS handshake (is it its port without TLS?) within 1000 ms"
    server = serve()
    (error,) = errors_of(doctor(verb, world, 5, store(server.address, None)))
    assert error == f'{server.address}: it closed the connection without a word: if it speaks TLS, set "tls"'
    alert = Hole(world, b"\x15\x03\x03\x00\x02\x02\x28")
    (error,) = errors_of(doctor(verb, world, 5, store(alert.address, None)))
    assert error == f'{alert.address}: it speaks TLS: set "tls", or name its port without'
    silent = Hole(world)
    (error,) = errors_of(doctor(verb, world, 5, store(silent.address, None)))
    assert error == f"{silent.address}: a command was not answered within 1000 ms"


@pytest.mark.parametrize("is_plain", [False, True], ids=["secured", "plain"])
def test_doctor_asks_sentinels(verb, world, authority, is_plain):
    fleet = SentinelFleet(world.folder, tls=Tls(authority, authority.issue(*HERE, stem="server")), plain_sentinels=is_plain)
    world.redises.extend(fleet.sentinels + fleet.servers)
    made = {**store("", ca_of(authority, sentinels=not is_plain), topology="sentinel", master=fleet.NAME), "servers": fleet.addresses}
    checks = doctor(verb, world, 0, made)
    master = fleet.master().address
    assert [text for _, check, text in checks if check == "sentinel"] == [f"{address}: it names {master}" for address in fleet.addresses]
    assert ("ok", "connection", f"{master}: let in") in checks
    made["tls"]["sentinels"] = is_plain
    checks = doctor(verb, world, 5, made)
    said = "did not finish the TLS handshake" if is_plain else "it closed the connection without a word"
    assert [said in text for _, check, text in checks if check == "connection"] == [True] * 3


def test_doctor_looks_at_a_cluster(verb, world, authority):
    fleet = ClusterFleet(world.folder, tls=Tls(authority, authority.issue(*HERE, stem="server")))
    world.redises.extend(fleet.nodes)
    checks = doctor(verb, world, 0, store(fleet.nodes[0].address, ca_of(authority), topology="cluster"))
    assert ("ok", "cluster", "16384 of 16384 slots on 3 masters") in checks
    assert {text for level, check, text in checks if check == "connection"} >= {f"{node.address}: let in" for node in fleet.masters()}
