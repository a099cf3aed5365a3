# SPDX-License-Identifier: Apache-2.0
"""What the chaos tests and the soak stand on: proxies with long logs, load, a backend, Redis, and judging.

The servers and clients are those of the integration tests; here logs are too long to be held in memory, so they
are read once, line by line.
"""
import collections
import datetime
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from harness import access_log, stored  # noqa: E402
from harness.client import Client, is_refused  # noqa: E402
from harness.ports import take_port  # noqa: E402
from harness.metrics import scrape  # noqa: E402
from harness.proxy import BINARY, Sluice, listening_ports  # noqa: E402,F401  pylint: disable=unused-import
from harness.redis_server import RedisServer  # noqa: E402
from harness.waiting import wait_for  # noqa: E402

BUILD = pathlib.Path(BINARY).parent
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

# Who asks is in a header that the load generator writes; the secret keeps `check` from warning.
USERS = {"identities": {"user": {"from": ["header:X-User"]}}, "subject_secret": {"env": "CHAOS_SECRET"}}
SECRETS = {"CHAOS_SECRET": "chaos"}

Row = collections.namedtuple("Row", "sent_us latency_us port conn nth status limit used window retry_after id user")


# -- programs

class Load:
    """The load generator (load.c) at work; its rows can be read when it has ended."""

    def __init__(self, folder, name, ports, *options):
        self.file = folder / f"{name}.tsv"
        self.process = subprocess.Popen([str(BUILD / "chaos_load"), "-o", str(self.file), *map(str, options), *map(str, ports)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def wait(self, seconds=None):
        """The totals, when its time is over."""
        out, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, f"the load generator ended with {self.process.returncode}"
        return json.loads(out)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait(30)

    def rows(self):
        with open(self.file, encoding="ascii") as file:
            for line in file:
                yield Row._make(line.rstrip("\n").split("\t"))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Backend:
    """The server behind the proxies (backend.c, with its options); may be killed and started again on its port."""

    def __init__(self, *options, host="127.0.0.1", port=None):
        self.host, self.port = host, port or take_port()
        self.options = list(map(str, options))
        self.process = None
        self.start()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def start(self):
        self.process = subprocess.Popen([str(BUILD / "chaos_backend"), "-l", self.host, *self.options, str(self.port)], stdin=subprocess.DEVNULL)
        wait_for(lambda: not is_refused((self.host, self.port)), "the backend listens")

    def stop(self):
        """Its lists are whole then."""
        self.process.terminate()
        assert self.process.wait(20) == 0, "the backend could not write its list"

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Proxy(Sluice):
    """A Sluice whose log may be long: events are picked out while it grows."""

    def __init__(self, *args, **kwargs):
        self._seen, self._offset, self._inode = [], 0, None
        super().__init__(*args, **kwargs)

    def events(self, name):
        try:
            with open(self.access_log, "rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode != self._inode:
                    self._inode, self._offset = inode, 0
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return access_log.events_of(self._seen, name)
        data = data[:data.rfind(b"\n") + 1]
        self._offset += len(data)
        self._seen += [access_log.parse_line(line) for line in data.splitlines(keepends=True) if b'"event":"' in line]
        return access_log.events_of(self._seen, name)

    def stop(self):
        """TERM, exit code and sanitizer reports; the log is the scenario's to judge."""
        if self.is_stopped:
            return
        self.is_stopped = True
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            code = self.wait_exit(60)
        finally:
            self.kill()
        self.assert_no_report()
        assert code == 0, f"exit code {code}, stderr:\n{self.stderr()[-4000:]}"

    def ask(self, user="probe", timeout=10):
        client = Client(self.address, timeout=timeout)
        try:
            return client.ask("GET", "/", [("X-User", user)])
        finally:
            client.close()

    def metrics(self):
        """With admin.metrics in its configuration."""
        return scrape(int(self.config["admin"]["metrics"].rsplit(":", 1)[1]))

    def wait_until_settled(self):
        """All that it opens is open, and what it says when it starts is said."""
        wait_for(lambda: "main: serving" in self.stderr(), "it says that it serves")

    def descriptors_soon(self, expected, seconds):
        """How many there are when there are as many as expected, or after so long: the file of the configuration is open for a moment every second."""
        deadline = time.monotonic() + seconds
        while (count := self.descriptors()) != expected and time.monotonic() < deadline:
            time.sleep(0.05)
        return count

    def processes(self):
        """(parent, child); None for one that has ended."""
        return self.pid if self.process.poll() is None else None, self.child

    def cpu_s(self):
        words = pathlib.Path(f"/proc/{self.child}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / TICKS_PER_S


class World:
    """Everything a scenario made, put away at its end.  Owner: the scenario's runner."""

    def __init__(self, name, is_short=False):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"sluice-{name}-"))
        self.is_short = is_short
        self._made = []

    def _keep(self, thing, end):
        self._made.append((thing, end))
        return thing

    def scaled(self, number):
        """Of a time or a count: a tenth of it in a short run."""
        return max(1, number // 10) if self.is_short else number

    def redis(self, *options, env=None):
        return self._keep(RedisServer(self.folder, *options, env=env), RedisServer.stop)

    def backend(self, *options, **kwargs):
        return self._keep(Backend(*options, **kwargs), Backend.kill)

    def proxy(self, config, name="sluice", env=None, kind=Proxy, **kwargs):
        return self._keep(kind(self.folder, config, name, env={**SECRETS, **(env or {})}, **kwargs), kind.kill)

    def load(self, name, ports, *options):
        return self._keep(Load(self.folder, name, ports, *options), Load.kill)

    def keep(self, thing, end):
        return self._keep(thing, end)

    def forget(self, thing):
        """It has ended already."""
        self._made = [row for row in self._made if row[0] is not thing]

    def end(self, keep_files):
        for thing, end in reversed(self._made):
            end(thing)
        if not keep_files:
            shutil.rmtree(self.folder, ignore_errors=True)


# -- logs

class LogReader:
    """Reads access logs once, in order; judges what every log must keep to.  Feed rotated parts one after the other."""

    def __init__(self):
        self.events = []
        self.lines = 0
        self.boots = {}    # boot -> last seq
        self.missing = 0   # numbers skipped
        self.dropped = 0   # lines that were said to be dropped
        self.faults = []
        self._dropped_by_boot = collections.Counter()

    def read(self, path):
        """Yields the request lines of a file."""
        with open(path, "rb") as file:
            for line in file:
                record = access_log.parse_line(line)
                self.lines += 1
                self._count(record)
                if "event" not in record:
                    yield record

    def _count(self, record):
        boot, seq = record["boot"], record["seq"]
        last = self.boots.get(boot, 0)
        if seq <= last:
            self.faults.append(f"seq {seq} after {last} in boot {boot}")
        self.missing += seq - last - 1
        self.boots[boot] = seq
        if "event" in record:
            self.events.append(record)
            if record["event"] == "dropped":
                self.dropped += record["n"]

    @property
    def is_gapless(self):
        return not self.faults and self.missing == self.dropped


def window_of(record, quota, window):
    """The entry of one window in a request line, None without it."""
    return next((e for e in record.get("quotas", ()) if e["q"] == quota and e["w"] == window), None)


# -- Redis

def stored_windows(redis, prefix="sluice"):
    """{key: {period_s: (start_s, used)}} of every value."""
    return {key.decode(): value.windows for key, value in stored.values(redis, prefix).items()}


def operations(redis):
    """What the proxies asked of Redis; a heartbeat is one ZADD, and not counted."""
    stats = redis.client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
    return calls.get("evalsha", 0) + calls.get("eval", 0) + calls.get("publish", 0) - calls.get("zadd", 0)


def keys_without_ttl(redis):
    """Keys that never expire; a key that went between the two questions (-2) does not count."""
    return [key.decode() for key in redis.client.scan_iter() if redis.client.ttl(key) == -1]


def counts_in_redis(proxy):
    """The proxy's last answer came from the store: asked with a fresh subject, of whom nothing is leased."""
    proxy.ask(f"probe-{time.monotonic_ns()}")
    return _last_source(proxy) == "store"


def _last_source(proxy):
    with open(proxy.access_log, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
        lines = [line for line in file.read().splitlines()[1:] if b'"source":' in line]
    return json.loads(lines[-1])["quotas"][0]["source"] if lines else None


# -- judging

class Judge:
    """What a scenario found: rows of a table, each with its bound."""

    def __init__(self, name):
        self.name = name
        self.rows = []   # (what, measured, bound, is_kept)
        self.notes = []
        self.plots = {}  # name of the file: SVG
        self.began = time.time()

    def check(self, what, measured, bound, is_kept):
        self.rows.append((what, str(measured), bound, bool(is_kept)))

    def at_most(self, what, value, limit, unit="", digits=0):
        self.check(what, f"{value:,.{digits}f}{unit}", f"≤ {limit:,.{digits}f}{unit}", value <= limit)

    def at_least(self, what, value, limit, unit=""):
        self.check(what, f"{value:,.0f}{unit}", f"≥ {limit:,}{unit}", value >= limit)

    def equal(self, what, value, expected):
        self.check(what, text_of(value), text_of(expected), value == expected)

    def tell(self, what, measured):
        """Without a bound."""
        self.rows.append((what, str(measured), "", True))

    def note(self, sentence):
        self.notes.append(sentence)

    def judge_log(self, reader, may_drop=False):
        """may_drop: flat out, with more lines than the writer can take; then each of them must be said."""
        self.check("log lines, numbers skipped, said to be dropped",
                   f"{reader.lines:,}, {reader.missing}, {reader.dropped}",
                   "seq gapless" + ("" if may_drop else ", none dropped"),
                   reader.is_gapless and (may_drop or reader.dropped == 0))
        for fault in reader.faults[:5]:
            self.note(f"Log: {fault}.")

    @property
    def is_kept(self):
        return all(row[3] for row in self.rows)


def judge_generations(proxy, since, deadline_s, judge):
    """Behind the last reload, since when (monotonic): soon nothing uses a configuration but the one in force."""
    while (alive := proxy.metrics().get("sluice_generations_alive")) not in (1, None) and time.monotonic() < since + deadline_s:
        time.sleep(0.05)
    seconds = time.monotonic() - since
    told = "no such metric" if alive is None else int(alive)
    judge.check("sluice_generations_alive after the last reload, and how soon", f"{told}, {seconds:.1f} s", f"1, ≤ {deadline_s} s",
                alive == 1 and seconds <= deadline_s)


def text_of(value):
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v:,}" for k, v in sorted(value.items(), key=lambda item: str(item[0]))) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(text_of(v) for v in value) or "none"
    return str(value)


def ended_s(row):
    """When a row of the load was over, in wall time."""
    return (int(row.sent_us) + int(row.latency_us)) / 1e6


def time_of(line):
    """Of a line of the log, in wall time."""
    return datetime.datetime.fromisoformat(line["ts"].replace("Z", "+00:00")).timestamp()


def percentile(values, share):
    """Of a sorted list."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0
