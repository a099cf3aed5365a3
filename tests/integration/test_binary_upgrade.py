# SPDX-License-Identifier: Apache-2.0
"""Another program takes over: nothing is lost when it serves, and nothing changes when it does not."""
import json
import os
import re
import shutil
import signal
import sys
import threading

import pytest
from harness import access_log, http
from harness.client import Client
from harness.configs import forward, respond
from harness.processes import descendants, is_alive
from harness.proxy import BINARY
from harness.replies import trio_of
from harness.waiting import wait_for, wait_for_room

import harness.proxy as proxy_module


class Upgrading:
    """A proxy whose program file is its own copy, so that it can be replaced.  pid is the parent in charge."""

    def __init__(self, start, verb, folder, config, **kwargs):
        self.program = folder / "bin" / "sluice"
        self.program.parent.mkdir()
        self.install()
        self._verb = verb
        config = {**config, "admin": {"address": f"unix:{folder}/admin.sock", **config.get("admin", {})}}
        binary, proxy_module.BINARY = proxy_module.BINARY, str(self.program)
        try:
            self.proxy = start(config, **kwargs)
        finally:
            proxy_module.BINARY = binary
        self.pid = self.proxy.pid
        self.pids = [self.pid]

    def install(self):
        """The good program, in a file of its own."""
        self._replace(lambda path: shutil.copy(BINARY, path))

    def install_script(self, text):
        self._replace(lambda path: path.write_text(text))

    def _replace(self, write):
        fresh = self.program.with_suffix(".new")
        write(fresh)
        fresh.chmod(0o755)
        os.replace(fresh, self.program)

    def upgrade(self, *words):
        return self._verb("upgrade", "-c", self.proxy.file, *words)

    def upgrade_well(self):
        """To the installed program, and until the one before is gone; gives the new parent."""
        before = self.pid
        done = self.upgrade("--json")
        assert done.returncode == 0, (done, self.proxy.stderr())
        answer = json.loads(done.stdout)
        assert answer["upgraded"] is True
        self.pid = answer["pid"]
        self.pids.append(self.pid)
        wait_for(lambda: not is_alive(before), "the one before has ended")
        wait_for(lambda: self.proxy.stderr().count("the process before this one has ended") == len(self.pids) - 1, "and this is known")
        return self.pid

    def child(self):
        return wait_for(lambda: descendants(self.pid), "it has a child")[0]

    def status(self):
        done = self._verb("status", "-c", self.proxy.file, "--json")
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    def end(self):
        """As TERM from systemd, to the one in charge."""
        if self.pid != self.proxy.pid:
            os.kill(self.pid, signal.SIGTERM)
            wait_for(lambda: not is_alive(self.pid), "it ends")
            self.pid = self.proxy.pid  # nobody is left to be ended
            self.proxy.process.wait()
            assert self.proxy.process.returncode == 0, self.proxy.stderr()


@pytest.fixture
def upgrading(start, verb, tmp_path):
    made = []

    def make(config, **kwargs):
        made.append(Upgrading(start, verb, tmp_path, config, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.end()


COUNTED = {"quotas": {"ip": {"key": ["ip"], "limits": {"day": 1000000}}}}


def counted(**top):
    config = respond(**COUNTED, **top)
    config["routes"][0]["quotas"] = ["ip"]
    return config


class Load:
    """Requests all the time, half of them on connections of their own."""

    def __init__(self, address, threads=4):
        self.errors, self.count, self._stop = [], 0, threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(address, i % 2 == 0)) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, address, is_kept):
        client, count, errors = None, 0, []
        while not self._stop.is_set():
            try:
                if client is None:
                    client = Client(address)
                reply = client.ask()
                if reply.status != 200:
                    errors.append(repr(reply))
                count += 1
                if not is_kept or reply["Connection"] == "close":
                    client.close()
                    client = None
            except (OSError, AssertionError, http.Ended) as error:
                errors.append(repr(error))
                client = None
        if client is not None:
            client.close()
        with self._lock:
            self.count += count
            self.errors += errors

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_no_request_is_lost_and_no_counter(upgrading, connect, verb, tmp_path):
    wait_for_room(86400, 60)
    config = counted(store={"type": "memory", "state_file": str(tmp_path / "state")})
    service = upgrading(config)
    load = Load(service.proxy.address)
    parents = [service.upgrade_well() for _ in range(2)]
    load.stop()
    assert not load.errors and load.count > 100
    assert len(set(parents)) == 2
    limit, remaining, _ = trio_of(connect(service.proxy).ask())
    assert limit - remaining == load.count + 1
    service.end()
    lines = access_log.read_lines(service.proxy.access_log)
    access_log.check_sequence(lines)
    assert len(access_log.requests_of(lines)) == load.count + 1
    starts = access_log.events_of(lines, "start")
    assert len(starts) == 3 and len({line["boot"] for line in starts}) == 3
    told = access_log.events_of(lines, "upgrade")
    assert [line["to_pid"] for line in told] == parents and all(line["version"] for line in told)
    taken = access_log.events_of(lines, "takeover")
    assert [line["from_pid"] for line in taken] == service.pids[:-1]
    assert [line["from_boot"] for line in taken] == [line["boot"] for line in starts[:-1]]
    assert len(access_log.events_of(lines, "stop")) == 3
    assert (tmp_path / "state").exists() and not (tmp_path / "admin.sock").exists()
    told = json.loads(verb("verify", "-c", service.proxy.file, "--json", service.proxy.access_log).stdout)
    assert told["verdict"] == "clean" and [(row["windows"], row["fullest"]["admitted"]) for row in told["quotas"]] == [(1, load.count + 1)]


SCRIPTS = {  # program: how it starts, exit code, what is said
    "exits": ("#!/bin/sh\nexit 3\n", 8, "exited with code 3 before it served"),
    "is killed": ("#!/bin/sh\nkill -9 $$\n", 8, "killed by signal 9"),
    "is no program": ("nothing that runs\n", 8, "Exec format error"),
    "hangs": ("#!/bin/sh\nexec sleep 600\n", 9, "it did not serve before the deadline"),
    "closes everything and hangs": (f"#!{sys.executable}\nimport os, time\nos.closerange(0, 1000)\ntime.sleep(600)\n", 9, "before the deadline"),
    "does not know this version": (f"#!/bin/sh\nSLUICE_TAKEOVER=\"9${{SLUICE_TAKEOVER#?}}\" exec {BINARY} \"$@\"\n", 8, "not in version 9"),
    "is of a time before upgrades": (f"#!/bin/sh\nunset SLUICE_TAKEOVER\nexec {BINARY} \"$@\"\n", 8, "exited with code 4"),
    "dies in its child": (f"#!/bin/sh\nulimit -v 20000\nexec {BINARY} \"$@\"\n", 8, ""),
}


def state_of(service):
    proxy = service.proxy
    return proxy.child, proxy.descriptors(proxy.pid), proxy.descriptors(), len(descendants(proxy.pid))


def wait_until_as(before, service, name):
    """What was counted when somebody who had just asked was not gone yet may be less now, and never more."""
    now = []

    def is_as_before():
        now[:] = state_of(service)
        return now[0] == before[0] and all(is_now <= was for is_now, was in zip(now[1:], before[1:]))

    try:
        wait_for(is_as_before, f"nobody is left of the program that {name}")
    except AssertionError as fault:
        raise AssertionError(f"{fault}; before {before}, now {now}") from fault


def test_a_bad_program_changes_nothing(upgrading, connect):
    wait_for_room(86400, 60)
    service = upgrading(counted(store={"type": "memory"}))
    kept = connect(service.proxy)
    assert trio_of(kept.ask())[1] == 999999
    service.status()
    before = state_of(service)
    for name, (text, code, words) in SCRIPTS.items():
        service.install_script(text)
        done = service.upgrade("--deadline", "1s" if code == 9 else "40s")
        assert done.returncode == code and words in done.stderr, (name, done, service.proxy.stderr()[-2000:])
        assert "goes on serving" in done.stderr
        wait_until_as(before, service, name)
    service.program.unlink()
    done = service.upgrade()
    assert done.returncode == 8 and f"{service.program} cannot be started: No such file" in done.stderr
    wait_until_as(before, service, "is not there")
    assert trio_of(kept.ask())[1] == 999998  # the same connection, the same counters
    assert (service.proxy.folder / "admin.sock").exists()
    service.install()
    service.upgrade_well()
    assert trio_of(connect(service.proxy).ask())[1] == 999997


def test_a_bad_configuration_changes_nothing(upgrading, connect):
    service = upgrading(counted(store={"type": "memory", "subjects": 1000}))
    good = service.proxy.config
    for config, words in (({**good, "lissten": []}, "lissten"),
                          ({**good, "store": {"type": "memory", "subjects": 2000}}, "store.subjects is 1000 in the running service"),
                          ({**good, "log": {"access": str(service.proxy.folder / "none" / "a.log")}}, "none")):
        service.proxy.write_config(config)
        done = service.upgrade()
        assert done.returncode == 8 and words in done.stderr, done
        assert connect(service.proxy).ask().status == 200
    service.proxy.write_config(good)
    service.upgrade_well()
    assert connect(service.proxy).ask().status == 200


def test_another_configuration_comes_with_it(upgrading, connect, tmp_path):
    """Listeners come and go, the file of a Unix socket stays, and there may be more or fewer workers."""
    base = counted()
    service = upgrading({**base, "workers": 2})
    good = service.proxy.config
    path = tmp_path / "http.sock"
    for workers in (3, 1):
        service.proxy.write_config({**good, "workers": workers, "listen": [*good["listen"], {"address": f"unix:{path}"}]})
        service.upgrade_well()
        for _ in range(12):
            assert connect(service.proxy).ask().status == 200
            assert connect(str(path)).ask().status == 200
        assert service.status()["workers"] == workers
    service.proxy.write_config(good)
    service.upgrade_well()
    assert connect(service.proxy).ask().status == 200
    # What the one before had and the next does not want is left to the one before, which no longer owns the file.
    with pytest.raises(OSError):
        Client(str(path)).ask()


def test_one_thing_at_a_time(upgrading, connect):
    service = upgrading(counted())
    proxy = service.proxy
    service.install_script("#!/bin/sh\nexec sleep 600\n")
    asked = threading.Thread(target=lambda: answers.append(service.upgrade("--deadline", "40s")))
    answers = []
    asked.start()
    wait_for(lambda: len(descendants(proxy.pid)) == 2, "it is under way")
    done = service.upgrade()
    assert done.returncode == 8 and "an upgrade is under way" in done.stderr
    done = service._verb("reload", "-c", proxy.file)  # pylint: disable=protected-access
    assert done.returncode == 8 and "an upgrade is under way" in done.stderr
    other = next(pid for pid in descendants(proxy.pid) if pid != proxy.child)
    os.kill(other, signal.SIGKILL)
    asked.join()
    assert answers[0].returncode == 8 and "killed by signal 9" in answers[0].stderr
    # The serving process dies meanwhile: its successor serves, the other program goes.
    proxy.signal(signal.SIGUSR2)
    wait_for(lambda: len(descendants(proxy.pid)) == 2, "it is under way")
    os.kill(proxy.child, signal.SIGKILL)
    wait_for(lambda: len(proxy.events("start")) == 2, "the next child serves")
    assert "the serving process died meanwhile" in proxy.stderr() + str(proxy.events("x"))
    assert connect(proxy).ask().status == 200
    # The service is told to end meanwhile.  Its log may say that the child serves before the parent has heard of it.
    wait_for(lambda: proxy.signal(signal.SIGUSR2) or len(descendants(proxy.pid)) == 2, "it is under way")
    everybody = descendants(proxy.pid)
    proxy.stop()
    wait_for(lambda: not any(map(is_alive, everybody)), "nobody is left")


def test_the_one_before_finishes_its_requests(upgrading, upstream, connect):
    """While it does, there is no second upgrade; the admin socket is the new one's; and who is killed leaves no locks."""
    gate = threading.Event()

    def serve(link):
        while (message := link.reader.request()) is not None:
            if message.target == "/slow":
                gate.wait(30)
            link.send(http.response(200, "OK", [], b"done"))

    # What takes over is ready on the same sockets, so that nobody needs to be told.
    config = forward(upstream(serve), quotas=COUNTED["quotas"], store={"type": "memory"}, limits={"drain_announce": "1h"})
    service = upgrading(config)
    slow = connect(service.proxy)
    slow.send(http.request("GET", "/slow"))
    idle = connect(service.proxy)
    assert idle.ask().status == 200
    before = service.pid
    wait_for(lambda: service.status()["exchanges_open"] == 1, "the slow one is on its way")
    service.proxy.write_config({**service.proxy.config, "limits": {}})
    done = service.upgrade("--json")
    assert done.returncode == 0, done
    service.pid = json.loads(done.stdout)["pid"]
    last = idle.ask()  # it may ask once more
    assert last.status == 200 and last["Connection"] == "close"
    assert {service.status()["pid"] for _ in range(8)} == {service.pid}
    assert connect(service.proxy).ask().status == 200
    done = service.upgrade()
    assert done.returncode == 8 and "still has requests to finish" in done.stderr
    assert is_alive(before)
    gate.set()
    reply = slow.read()
    assert reply.status == 200 and reply["Connection"] == "close" and reply.body == b"done"
    wait_for(lambda: not is_alive(before), "then it ends")
    assert connect(service.proxy).ask().status == 200


def test_the_one_before_is_killed(upgrading, connect):
    """At once after the hand-over: the counters are those of both."""
    wait_for_room(86400, 60)
    service = upgrading(counted(store={"type": "memory"}))
    assert trio_of(connect(service.proxy).ask())[1] == 999999
    before = service.pid
    done = service.upgrade("--json")
    service.pid = json.loads(done.stdout)["pid"]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: not is_alive(before), "it is dead")
    assert [trio_of(connect(service.proxy).ask())[1] for _ in range(20)] == list(range(999998, 999978, -1))
    os.kill(service.child(), signal.SIGKILL)  # and the next child goes on with them
    wait_for(lambda: len(service.proxy.events("start")) == 3, "the next child serves")
    assert trio_of(connect(service.proxy).ask())[1] == 999978
    service.proxy.process.wait()
    service.proxy.expected_exit = -signal.SIGKILL
    os.kill(service.pid, signal.SIGTERM)
    wait_for(lambda: not is_alive(service.pid), "it ends")
    service.pid = service.proxy.pid


class Gated:
    """An upgrade whose new program begins when it is let; the parent that is to hear of it stands still."""

    def __init__(self, service, deadline="50s"):
        self.service, self.proxy = service, service.proxy
        self._go = self.proxy.folder / "go"
        service.install_script(f"#!/bin/sh\nwhile [ ! -e '{self._go}' ]; do sleep 0.02; done\nexec '{BINARY}' \"$@\"\n")
        self._done = []
        self._asked = threading.Thread(target=lambda: self._done.append(service.upgrade("--deadline", deadline)))
        self._asked.start()
        self.parent = wait_for(lambda: [pid for pid in descendants(self.proxy.pid) if pid != self.proxy.child], "it is under way")[0]
        os.kill(self.proxy.pid, signal.SIGSTOP)

    def let(self):
        self._go.touch()

    def let_until_ready(self):
        """Gives its serving process."""
        self.let()
        wait_for(lambda: len(re.findall("(?:serving|ready to take over): version", self.proxy.stderr())) == 2, "it could serve")
        return descendants(self.parent)[0]

    def outcome(self):
        """Of the verb."""
        self._asked.join()
        return self._done[0]


@pytest.fixture
def gated(upgrading):
    made = []

    def make(config, deadline="50s", **kwargs):
        made.append(Gated(upgrading(config, **kwargs), deadline))
        return made[-1]

    yield make
    for one in made:
        one.let()
        if one.proxy.process.poll() is None:
            one.proxy.signal(signal.SIGCONT)
        one.outcome()


def test_a_new_parent_that_hangs_when_it_is_ready_is_not_waited_for(gated, connect):
    """The one before serves until the new one has shown that it goes on, and then ends it."""
    one = gated(counted(), deadline="10s")
    child = one.let_until_ready()
    os.kill(one.parent, signal.SIGSTOP)
    one.proxy.signal(signal.SIGCONT)
    done = []
    asked = threading.Thread(target=lambda: done.append(one.outcome()))
    asked.start()
    count = 0
    while asked.is_alive():
        with Client(one.proxy.address) as client:
            assert client.ask().status == 200
        count += 1
    asked.join()
    assert done[0].returncode == 9 and "before the deadline" in done[0].stderr and count > 1
    wait_for(lambda: not is_alive(one.parent) and not is_alive(child), "both are gone")
    assert connect(one.proxy).ask().status == 200


ENDED_EARLY = {  # who: (signal, is it the new parent's, what the verb says)
    "the new parent": (signal.SIGKILL, True, "killed by signal 9"),
    "its serving process": (signal.SIGKILL, False, "its serving process: killed by signal 9"),
    "the new parent, told to": (signal.SIGTERM, True, "it was told to end"),
}


@pytest.mark.parametrize("who", ENDED_EARLY)
def test_who_ends_before_it_is_in_charge_takes_nothing_along(gated, upstream, connect, who):
    """The new program is ready and says so, but nobody hears it: until then all clients are those of the one before."""
    gate = threading.Event()

    def answer(_):
        gate.wait(30)
        return http.response(body=b"done")

    server = upstream(answer=answer)
    upgrade = gated(forward(server))
    proxy, child = upgrade.proxy, upgrade.proxy.child
    fresh = upgrade.let_until_ready()
    assert {upgrade.service.status()["pid"] for _ in range(8)} == {proxy.pid}
    clients = [connect(proxy) for _ in range(40)]
    for client in clients:
        client.send(http.request())
    server.wait_for_requests(len(clients))
    number, is_of_parent, words = ENDED_EARLY[who]
    victim = upgrade.parent if is_of_parent else fresh
    os.kill(victim, number)
    wait_for(lambda: not is_alive(victim), "it has ended")
    wait_for(lambda: is_of_parent or f"(pid {fresh}) killed" in proxy.stderr(), "and this is known")
    gate.set()
    assert [client.read().status for client in clients] == [200] * len(clients)
    proxy.signal(signal.SIGCONT)
    done = upgrade.outcome()
    assert done.returncode == 8 and words in done.stderr, done
    wait_for(lambda: descendants(proxy.pid) == [child], "nobody is left of it")
    assert len({line["boot"] for line in proxy.requests(len(clients))}) == 1 and not proxy.events("takeover")
    upgrade.service.install()
    upgrade.service.upgrade_well()
    assert connect(proxy).ask().status == 200


@pytest.mark.parametrize("accepts", (False, True))
def test_a_serving_process_that_dies_when_it_is_let_go_leaves_nobody_waiting(gated, connect, accepts):
    """The word to accept has left the parent in charge: its death is known before that is handed on, or behind it."""
    upgrade = gated(counted())
    proxy, service, fresh = upgrade.proxy, upgrade.service, upgrade.let_until_ready()
    os.kill(upgrade.parent, signal.SIGSTOP)
    proxy.signal(signal.SIGCONT)
    for _ in range(2):  # behind the second answer it has seen all that there was before the first
        assert "an upgrade is under way" in service.upgrade().stderr
    if accepts:
        proxy.signal(signal.SIGSTOP)
        os.kill(upgrade.parent, signal.SIGCONT)
        wait_for(lambda: service.status()["pid"] == upgrade.parent, "the new one is asked too")
        os.kill(fresh, signal.SIGKILL)
        wait_for(lambda: descendants(upgrade.parent) not in ([], [fresh]), "there is another one")
        proxy.signal(signal.SIGCONT)
    else:
        os.kill(fresh, signal.SIGKILL)
        wait_for(lambda: not is_alive(fresh) and len(os.listdir(f"/proc/{fresh}/task")) == 1, "all of it has ended")
        os.kill(upgrade.parent, signal.SIGCONT)
    done = upgrade.outcome()
    assert done.returncode == 8 and "its serving process: killed by signal 9" in done.stderr, done
    assert [connect(proxy).ask().status for _ in range(16)] == [200] * 16
    service.install()
    service.upgrade_well()
    assert [connect(proxy).ask().status for _ in range(16)] == [200] * 16


@pytest.mark.parametrize("is_ready", (True, False))
def test_the_one_before_is_killed_before_it_hands_over(gated, connect, is_ready):
    """Then who was to wait for its word serves without it, at whatever stage it is."""
    upgrade = gated(counted(store={"type": "memory"}))
    proxy, service = upgrade.proxy, upgrade.service
    assert connect(proxy).ask().status == 200
    if is_ready:
        upgrade.let_until_ready()
    proxy.signal(signal.SIGKILL)
    proxy.process.wait()
    proxy.expected_exit, service.pid = -signal.SIGKILL, upgrade.parent
    upgrade.let()
    assert [connect(proxy).ask().status for _ in range(8)] == [200] * 8
    assert service.status()["pid"] == upgrade.parent
    os.kill(upgrade.parent, signal.SIGTERM)
    wait_for(lambda: not is_alive(upgrade.parent), "it ends")
    service.pid = proxy.pid


def test_descriptors_stay_flat(upgrading):
    service = upgrading(counted(store={"type": "memory"}))
    sizes = []
    for _ in range(3):
        service.upgrade_well()
        child = service.child()
        wait_for(lambda: "has ended" in service.proxy.stderr(), "it is said")
        sizes.append((service.proxy.descriptors(service.pid), service.proxy.descriptors(child)))
    assert len(set(sizes)) == 1, sizes


def test_orders_about_servers_go_along(upgrading, upstream, connect, verb):
    one, two = (upstream(answer=lambda message, name=name: http.response(body=name)) for name in (b"one", b"two"))
    service = upgrading(forward(one, two))
    assert verb("upstreams", "drain", f"app/{two.address}", "-c", service.proxy.file).returncode == 0
    service.upgrade_well()
    assert {connect(service.proxy).ask().body for _ in range(8)} == {b"one"}
    done = verb("upstreams", "ready", f"app/{two.address}", "-c", service.proxy.file)
    assert done.returncode == 0 and "draining -> up" in done.stdout
    assert {connect(service.proxy).ask().body for _ in range(8)} == {b"one", b"two"}
