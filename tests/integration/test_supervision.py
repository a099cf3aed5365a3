# SPDX-License-Identifier: Apache-2.0
"""Parent and child: who is left when one of them dies, hangs or will not start, and what stays behind."""
import copy
import json
import os
import signal
import socket
import stat
import subprocess
import time

from harness import http
from harness.configs import forward, respond
from harness.ports import take_port
from harness.processes import is_alive
from harness.proxy import BINARY, environment
from harness.replies import trio_of
from harness.waiting import wait_for, wait_for_room


def reload_to(proxy, config, count):
    proxy.write_config(config)
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload", count)


def test_killed_parent_leaves_nobody(start):
    proxy = start(respond())
    child = proxy.child
    os.kill(proxy.pid, signal.SIGKILL)
    proxy.process.wait()
    wait_for(lambda: not is_alive(child), "the child is gone with its parent")
    proxy.is_stopped = True
    # And nothing is in the way of the next one.
    again = start({**proxy.config, "log": {}})
    assert again.ports == proxy.ports


def test_signals_to_the_child_change_nothing(start, connect):
    """Ctrl-C goes to the whole group; only the parent may act on it."""
    proxy = start(respond())
    child = proxy.child
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        os.kill(child, number)
    assert connect(proxy).ask().status == 200
    assert proxy.child == child


def test_a_child_that_dies_again_and_again_is_backed_off(start, connect):
    proxy = start(respond())
    for turn in range(4):
        child = wait_for(lambda: proxy.child, "there is a child")
        wait_for(lambda n=turn: len(proxy.events("start")) > n, "it has begun")
        os.kill(child, signal.SIGKILL)
        wait_for(lambda n=turn: proxy.stderr().count("killed by signal 9") > n or len(proxy.events("child_restart")) > n,
                 "its death is told")
    wait_for(lambda: len(proxy.events("start")) == 5, "the fifth serves")
    assert connect(proxy).ask().status == 200
    restarts = proxy.events("child_restart")
    assert [event["restarts"] for event in restarts] == [1, 2, 3, 4]
    waits = [int(line.rsplit(" ", 2)[1]) for line in proxy.stderr().splitlines() if "restart in" in line]
    assert waits == [0, 100, 200, 400]
    starts = proxy.events("start")
    assert all("previous_boot" in event for event in starts[1:]) and "previous_boot" not in starts[0]


def test_a_child_that_hangs_during_a_reload_is_replaced(start, connect):
    """Nothing but a restart helps; here only that the reload of a stopped child waits and ends well."""
    proxy = start(respond())
    child = proxy.child
    os.kill(child, signal.SIGSTOP)
    proxy.signal(signal.SIGHUP)
    proxy.signal(signal.SIGUSR1)
    time.sleep(0.3)
    os.kill(child, signal.SIGCONT)
    proxy.wait_for_event("reload", 1)
    assert proxy.child == child and connect(proxy).ask().status == 200


def test_reload_while_the_child_is_dead_is_used_by_the_next(start, connect):
    proxy = start(respond())
    for turn in range(3):  # from the third death on it is away for 100 ms and more
        child = wait_for(lambda: proxy.child, "there is a child")
        wait_for(lambda n=turn: len(proxy.events("start")) > n, "it has begun")
        if turn == 2:
            os.kill(child, signal.SIGSTOP)
            proxy.write_config({**proxy.config, "routes": [{"name": "new", "prefix": "/", "respond": {"status": 200, "text": "new"}}]})
            proxy.signal(signal.SIGHUP)
            time.sleep(0.2)
        os.kill(child, signal.SIGKILL)
        wait_for(lambda old=child: proxy.child != old, "it is gone")
    wait_for(lambda: len(proxy.events("start")) == 4, "the fourth serves")
    # It died with the reload in its hands, so the old one stayed in force; asking again gives the new one.
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload", 1)
    assert connect(proxy).ask().body == b"new"


def test_descriptors_and_children_stay_flat(start, connect):
    proxy = start(respond(admin={"metrics": f"127.0.0.1:{take_port()}"}))
    assert connect(proxy).ask().status == 200
    extra = [{"address": f"127.0.0.1:{take_port()}"}, {"address": f"unix:{proxy.folder}/extra.sock"}]
    bigger = copy.deepcopy(proxy.config)
    bigger["listen"] += extra
    broken = json.loads(json.dumps(proxy.config).replace('"prefix"', '"perfix"'))
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    busy = copy.deepcopy(proxy.config)
    busy["listen"] += [extra[0], {"address": f"127.0.0.1:{taken.getsockname()[1]}"}]
    sizes = []
    for turn in range(5):
        reload_to(proxy, bigger, 2 * turn + 1)
        assert (proxy.folder / "extra.sock").exists()
        for config in (broken, busy):
            refused = len(proxy.events("reload_refused"))
            proxy.write_config(config)
            proxy.signal(signal.SIGHUP)
            proxy.wait_for_event("reload_refused", refused + 1)
        reload_to(proxy, proxy.config, 2 * turn + 2)
        wait_for(lambda: not (proxy.folder / "extra.sock").exists(), "the file of the removed socket goes")
        sizes.append((proxy.descriptors(), proxy.descriptors(proxy.pid)))
        if turn > 1:
            # The parent looks at the configuration's file once a second, which is open meanwhile.
            wait_for(lambda: proxy.descriptors() == sizes[1][0] and proxy.descriptors(proxy.pid) <= sizes[1][1], f"flat beside {sizes}")
    taken.close()
    assert connect(proxy).ask().status == 200


def test_unix_sockets(start, connect, tmp_path):
    path = tmp_path / "http.sock"
    config = respond(listen=[{"address": f"127.0.0.1:{take_port()}"}, {"address": f"unix:{path}"}],
                     admin={"address": f"unix:{tmp_path}/admin.sock"})
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()  # its file stays, and nobody answers
    proxy = start(config)
    assert connect(str(path)).ask().status == 200
    assert stat.S_IMODE(os.stat(tmp_path / "admin.sock").st_mode) == 0o660
    os.kill(proxy.child, signal.SIGKILL)
    wait_for(lambda: len(proxy.events("start")) == 2, "the next child serves")
    assert connect(str(path)).ask().status == 200
    proxy.stop()
    assert not path.exists() and not (tmp_path / "admin.sock").exists()


def test_a_unix_socket_in_use_or_a_file_in_its_place(verb, start, tmp_path):
    path = tmp_path / "http.sock"
    first = start(respond(listen=[{"address": f"127.0.0.1:{take_port()}"}, {"address": f"unix:{path}"}]))
    file = tmp_path / "c.json"
    file.write_text(json.dumps(respond(listen=[{"address": f"unix:{path}"}], log={"access": "off"})))
    done = verb("run", "-c", file)
    assert done.returncode == 4 and str(path) in done.stderr
    first.stop()
    path.write_text("precious")
    done = verb("run", "-c", file)
    assert done.returncode == 4 and path.read_text() == "precious"
    file.write_text(json.dumps(respond(listen=[{"address": f"unix:{tmp_path}/none/x.sock"}], log={"access": "off"})))
    done = verb("run", "-c", file)
    assert done.returncode == 4 and "folder" in done.stderr


def test_state_file(verb, start, connect, tmp_path):
    """Counters outlive the service; what cannot be kept is said at start."""
    config = respond(store={"type": "memory", "state_file": str(tmp_path / "state"), "state_interval": "100ms"},
                     quotas={"ip": {"key": ["ip"], "limits": {"day": 10}}})
    config["routes"][0]["quotas"] = ["ip"]
    wait_for_room(86400, 60)
    proxy = start(config)
    assert [trio_of(connect(proxy).ask())[1] for _ in range(3)] == [9, 8, 7]
    proxy.stop()
    again = start({**proxy.config, "log": {}})
    assert trio_of(connect(again).ask())[1] == 6
    # Both processes at once: at most the last interval is lost.
    time.sleep(0.4)
    os.kill(again.pid, signal.SIGKILL)
    again.process.wait()
    again.is_stopped = True
    third = start({**proxy.config, "log": {}})
    assert trio_of(connect(third).ask())[1] == 5
    third.stop()
    (tmp_path / "state").write_bytes(b"nonsense" * 100)
    fourth = start({**proxy.config, "log": {}})
    assert (tmp_path / "state.damaged").exists()
    assert "state" in fourth.stderr() and trio_of(connect(fourth).ask())[1] == 9
    fourth.stop()
    file = tmp_path / "c.json"
    file.write_text(json.dumps({**config, "listen": proxy.config["listen"], "log": {"access": "off"},
                                "store": {"type": "memory", "state_file": str(tmp_path / "none/state")}}))
    done = verb("run", "-c", file)
    assert done.returncode == 5 and "none/state" in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_log_or_a_secret_that_cannot_be_had(verb, tmp_path):
    file = tmp_path / "c.json"
    port = take_port()
    file.write_text(json.dumps(respond(listen=[{"address": f"127.0.0.1:{port}"}], log={"access": str(tmp_path / "none/a.log")})))
    done = verb("run", "-c", file)
    assert done.returncode == 5 and "none" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert "none" in verb("check", "-c", file).stderr
    file.write_text(json.dumps(respond(listen=[{"address": f"127.0.0.1:{port}"}], log={"access": "off"},
                                       subject_secret={"file": "no-such-secret"})))
    for word in ("run", "check"):
        done = verb(word, "-c", file)
        assert done.returncode == 5 and "no-such-secret" in done.stderr, done
    done = verb("run", "-c", tmp_path / "missing.json")
    assert done.returncode == 3 and "missing.json" in done.stderr


def run_with_stdout(config, folder, stdout):
    file = folder / "stdout.json"
    file.write_text(json.dumps(config))
    return subprocess.Popen([BINARY, "run", "-c", str(file)], cwd=folder, env=environment(folder),
                            stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL)


def test_stdout_that_is_not_read_or_is_closed(connect, tmp_path):
    """The service goes on without its log; what was lost is said when the reader comes back."""
    address = ("127.0.0.1", take_port())
    reader, writer = os.pipe()
    process = run_with_stdout(respond(listen=[{"address": f"127.0.0.1:{address[1]}"}], log={"access": "stdout"}), tmp_path, writer)
    os.close(writer)
    try:
        def asks():
            try:
                return connect(address).ask().status == 200
            except OSError:
                return False
        wait_for(asks, "it serves")
        client = connect(address)
        request = http.request() * 50
        for _ in range(130):  # some MiB of lines against a pipe of 64 KiB and rings of 1 MiB
            client.send(request)
            for _ in range(50):
                assert client.read().status == 200
        client.close()
        os.set_blocking(reader, False)
        text = b""

        def told():
            nonlocal text
            try:
                text += os.read(reader, 1 << 20)
            except BlockingIOError:
                pass
            return b'"event":"dropped"' in text or (text.count(b"\n") >= 6500)
        wait_for(told, "what was written arrives")
        for line in text[:text.rfind(b"\n")].splitlines():
            json.loads(line)
        os.close(reader)
        for _ in range(200):
            assert connect(address).ask().status == 200
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_idle_askers_do_not_lock_the_admin_socket(start, connect, upstream, verb, tmp_path):
    port = take_port()
    proxy = start(forward(upstream(), admin={"address": f"unix:{tmp_path}/admin.sock", "metrics": f"127.0.0.1:{port}"}))
    idle = [connect(("127.0.0.1", port)) for _ in range(100)]
    assert connect(("127.0.0.1", port)).ask("GET", "/metrics").status == 200
    idle += [connect(str(tmp_path / "admin.sock")) for _ in range(100)]
    assert verb("status", "-c", proxy.file).returncode == 0
    for client in idle:
        client.close()


def test_verbs_without_an_instance(verb, tmp_path):
    file = tmp_path / "c.json"
    file.write_text(json.dumps(respond(admin={"address": f"unix:{tmp_path}/admin.sock"})))
    for word in ("status", "reload"):
        done = verb(word, "-c", file)
        assert done.returncode == 6 and "admin.sock" in done.stderr
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "admin.sock"))
    assert verb("status", "-c", file).returncode == 6  # bound, but nobody listens
    listener.close()
    for words in ((), ("stats",), ("run", "--jsn"), ("status", "extra"), ("check", "-c")):
        assert verb(*words).returncode == 2, words
    assert '"status"' in verb("stats").stderr
    for words in (("help",), ("--help",), ("run", "--help"), ("help", "reload"), ("version",), ("--version",)):
        done = verb(*words)
        assert done.returncode == 0 and done.stdout and not done.stderr
