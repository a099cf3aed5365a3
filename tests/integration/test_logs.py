# SPDX-License-Identifier: Apache-2.0
"""`sluice verify`, `report` and `replay` on the access logs of real proxies: clean ones are proved, what is wrong is found and named, sums are those
of the lines, and another policy does what was foretold."""
import base64
import html.parser
import json
import pathlib
import random
import re
import resource
import signal
import threading
import time

import pytest
from harness import http
from harness.client import Client
from harness.configs import forward
from harness.waiting import wait_for, wait_for_room

USERS = ["alice", "bob", "carol"]
LIMIT = 40


def config_of(server, redis, accuracy="leased"):
    store = {"type": "memory"} if redis is None else {"type": "redis", "servers": [redis.address], "decision_timeout": "200ms", "fleet_size": 2}
    quotas = {"user": {"key": ["user"], "limits": {"minute": LIMIT, "day": 100000}, "accuracy": accuracy},
              "all": {"key": ["route"], "limits": {"hour": 1000000}, "charge": {"on": ["2xx"]}},
              "next": {"key": ["user"], "limits": {"hour": 30}, "mode": "shadow"}}
    return forward(server, quotas=quotas, store=store, subject_secret="of the fleet",
                   identities={"user": {"from": ["basic_user"]}})


def ask(client, user):
    return client.ask("GET", "/", [("Authorization", "Basic " + base64.b64encode(f"{user}:x".encode()).decode())])


def load(connect, proxies, each=70):
    def run(proxy, seed):
        rng, client = random.Random(seed), connect(proxy)
        for _ in range(each):
            ask(client, rng.choice(USERS))

    threads = [threading.Thread(target=run, args=(proxy, f"{n} {proxy.name}")) for proxy in proxies for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def wait_until_in_store(connect, proxies):
    def counts(proxy):
        line = proxy.line_of(ask(connect(proxy), "probe"))
        return all(entry.get("source") in ("store", "lease") for entry in line["quotas"] if entry.get("mode") != "shadow")

    for proxy in proxies:
        for _ in range(4):  # whichever worker is asked
            wait_for(lambda: counts(proxy), "the proxy counts in its store")


@pytest.fixture(name="fleet", params=["exact", "leased"])
def fleet_of(request, start, upstream, connect, redis):
    server = upstream()
    proxies = [start(config_of(server, redis, request.param), name=name) for name in ("a", "b")]
    wait_until_in_store(connect, proxies)
    wait_for_room(60, 15)
    load(connect, proxies)
    for proxy in proxies:
        proxy.stop()
    return proxies


def lines_of(proxy):
    return proxy.access_log.read_text().splitlines(keepends=True)


def judged(verb, *words, exit_code=0):
    done = verb("verify", "--json", *words)
    assert done.returncode == exit_code, done
    return json.loads(done.stdout)


def quota_of(told, quota, window):
    return next(row for row in told["quotas"] if (row["quota"], row["window"]) == (quota, window))


def admitted_by(proxies, quota, window):
    """By subject and start, what the lines say: an independent sum."""
    sums = {}
    for line in (json.loads(text) for proxy in proxies for text in lines_of(proxy)):
        for entry in line.get("quotas", []):
            if (entry["q"], entry["w"]) == (quota, window) and entry["charged"]:
                key = (line["subjects"]["user" if quota == "user" else "route"], entry["start"])
                sums[key] = sums.get(key, 0) + entry["charged"] - entry.get("refunded", 0)
    return sums


def test_a_fleet_is_proved(fleet, verb, tmp_path):
    logs = [proxy.access_log for proxy in fleet]
    told = judged(verb, "-c", fleet[0].file, *logs)
    assert told["verdict"] == "clean" and told["excess"] == [] and told["missing"]["lines"] == 0 and told["unreadable"]["lines"] == 0
    assert told["lines"] == sum(len(lines_of(proxy)) for proxy in fleet) and told["files"] == 2
    minute = quota_of(told, "user", "minute")
    sums = admitted_by(fleet, "user", "minute")
    assert minute["windows"] == len(sums) and minute["fullest"]["limit"] == LIMIT
    assert minute["fullest"]["admitted"] == max(sums.values()) >= LIMIT - 5, "the load is above the limit"
    assert quota_of(told, "all", "hour")["fullest"]["admitted"] == max(admitted_by(fleet, "all", "hour").values())
    assert "shadow" in quota_of(told, "next", "hour")["not_judged"]

    # Rotated, in any order, and once more: the same.
    pieces = []
    for proxy in fleet:
        lines = lines_of(proxy)
        cuts = [0, len(lines) // 3, len(lines) // 2, len(lines)]
        for n, (begin, end) in enumerate(zip(cuts, cuts[1:])):
            pieces.append(tmp_path / f"{proxy.name}.{n}")
            pieces[-1].write_text("".join(lines[begin:end]))
    random.Random(7).shuffle(pieces)
    again = judged(verb, "-c", fleet[0].file, *pieces, pieces[0])
    assert again["duplicates"] == len(pieces[0].read_text().splitlines()) and again["verdict"] == "clean"
    assert again["quotas"] and sorted(again["quotas"], key=str) == sorted(told["quotas"], key=str)

    # A line is lost in the middle.
    lines = lines_of(fleet[0])
    gone = json.loads(lines.pop(len(lines) // 2))
    (tmp_path / "short").write_text("".join(lines))
    told = judged(verb, "-c", fleet[0].file, tmp_path / "short", logs[1], exit_code=1)
    assert told["verdict"] == "incomplete"
    assert told["missing"] == {"lines": 1, "count": 1, "gaps": [{"boot": gone["boot"], "from_seq": gone["seq"], "to_seq": gone["seq"]}]}

    # One request more than the limit.
    (user, begin), most = max(sums.items(), key=lambda item: item[1])
    lines = lines_of(fleet[1])
    last = json.loads(lines[-1])
    planted = next(line for line in map(json.loads, lines_of(fleet[0]) + lines)
                   if line.get("subjects", {}).get("user") == user and line["decision"] == "allow" and line["quotas"][0]["start"] == begin)
    for n in range(LIMIT - most + 1):
        # Of this quota alone: another may be at its limit already.
        lines.append(json.dumps({**planted, "quotas": planted["quotas"][:1], "boot": last["boot"], "seq": last["seq"] + 1 + n}) + "\n")
    (tmp_path / "planted").write_text("".join(lines))
    told = judged(verb, "-c", fleet[0].file, logs[0], tmp_path / "planted", exit_code=1)
    assert told["verdict"] == "excess" and told["excess"] == [
        {"quota": "user", "window": "minute", "start": begin, "subject": user, "admitted": LIMIT + 1, "limit": LIMIT, "over": 1}]
    done = verb("verify", "-c", fleet[0].file, logs[0], tmp_path / "planted")
    assert done.returncode == 1 and f": {user} was admitted {LIMIT + 1} of {LIMIT}: 1 too many\n" in done.stdout
    assert done.stdout.endswith("excess: more was admitted than the limit\n")


def test_two_memories_are_two_books(start, upstream, connect, verb):
    """Each of two proxies that count in memory admits the limit; as one fleet that would be twice as many."""
    server = upstream()
    proxies = [start(config_of(server, None), name=name) for name in ("a", "b")]
    wait_for_room(60, 15)
    for proxy in proxies:
        client = connect(proxy)
        assert [ask(client, "alice").status for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]
        proxy.stop()
    logs = [proxy.access_log for proxy in proxies]
    assert quota_of(judged(verb, "-c", proxies[0].file, *logs), "user", "minute")["fullest"]["admitted"] == LIMIT
    told = judged(verb, *logs, exit_code=1)
    assert told["excess"][0]["over"] == LIMIT and "key" in quota_of(told, "user", "minute")["not_judged"]


@pytest.mark.parametrize("keeps", [False, True])
def test_a_restart_with_a_state_file_goes_on_in_one_book(keeps, start, upstream, connect, verb, tmp_path):
    config = config_of(upstream(), None)
    config["store"] |= {"state_file": str(tmp_path / "state")} if keeps else {}
    wait_for_room(60, 20)
    first = start(config)
    assert [ask(connect(first), "alice").status for _ in range(3)] == [200] * 3
    first.stop()
    again = start({**first.config, "log": first.config["log"]}, name="again")
    client = connect(again)
    assert [ask(client, "alice").status for _ in range(LIMIT)] == ([200] * (LIMIT - 3) + [429] * 3 if keeps else [200] * LIMIT)
    again.stop()
    minute = quota_of(judged(verb, "-c", first.file, first.access_log), "user", "minute")
    assert (minute["windows"], minute["fullest"]["admitted"]) == ((1, LIMIT) if keeps else (2, LIMIT))


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_a_bucket_is_as_large_as_was_granted(kind, start, upstream, connect, redis, verb, tmp_path):
    """What a log says of its limit is the rate alone."""
    config = config_of(upstream(), redis if kind == "redis" else None)
    config["quotas"] = {"user": {"key": ["user"], "limits": {"hour": 3}, "algorithm": "token_bucket"}}
    config["routes"][0]["quotas"] = ["user"]
    config["admin"] = {"address": f"unix:{tmp_path}/admin.sock"}
    proxy = start(config)
    if kind == "redis":
        wait_until_in_store(connect, [proxy])
    wait_for_room(3600, 30)
    client = connect(proxy)
    assert [ask(client, "alice").status for _ in range(4)] == [200] * 3 + [429]
    assert verb("grant", "alice", "+10", "--for", "1h", "-c", proxy.file).returncode == 0
    assert [ask(client, "alice").status for _ in range(11)] == [200] * 10 + [429]
    assert verb("reset", "alice", "-c", proxy.file).returncode == 0
    assert [ask(client, "alice").status for _ in range(14)] == [200] * 13 + [429]
    proxy.stop()
    told = judged(verb, "-c", proxy.file, proxy.access_log)
    hour = quota_of(told, "user", "hour")
    assert told["verdict"] == "clean" and hour["fullest"]["admitted"] == 26 and hour["fullest"]["limit"] == 3


def test_whatever_stands_in_a_log(verb, tmp_path):
    """Lines that are none are counted, with their place, and move no terminal."""
    good = ('{"v":1,"boot":"00000001","seq":%d,"ts":"2026-11-29T01:00:00.000Z","gen":1,"decision":"allow","subjects":{"ip":"a\\u001b[2J"},'
            '"quotas":[{"q":"ip","w":"minute","start":1795914000,"charged":%d,"used":1,"limit":3,"reset_s":60,"source":"store"}]}\n')
    log = tmp_path / "log"
    log.write_bytes((good % (1, 2)).encode() + b"\x00\xff{\n" + b"x" * 3_000_000 + b"\n{}\n" + (good % (2, 2)).encode() + b'{"v":1,"boot":')
    done = verb("verify", log)
    assert done.returncode == 1 and "\x1b" not in done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("unreadable")] == [
        f"unreadable: {log}:2: it is no JSON object with the fields of an access log",
        f"unreadable: {log}:3: it is too long for a line of Sluice",
        f"unreadable: {log}:4: \"boot\", \"seq\" or \"ts\" is missing",
        f"unreadable: {log}:6: it is no JSON object with the fields of an access log"]
    assert "excess: ip/minute from 2026-11-29T01:00:00Z: a\\x1b[2J was admitted 4 of 3: 1 too many" in done.stdout


def test_what_cannot_be_read(verb, tmp_path):
    done = verb("verify")
    assert done.returncode == 2 and "name the access logs" in done.stderr
    done = verb("verify", tmp_path / "none")
    assert done.returncode == 5 and "No such file" in done.stderr
    (tmp_path / "log.gz").write_bytes(b"\x1f\x8b\x08\x00rest")
    done = verb("verify", tmp_path / "log.gz")
    assert done.returncode == 5 and "zcat" in done.stderr
    done = verb("verify", "-")
    assert done.returncode == 1 and done.stdout == "1 file, 0 lines\nnothing: there is no line to judge\n"
    (tmp_path / "empty").write_text("")
    assert judged(verb, tmp_path / "empty", exit_code=1)["verdict"] == "nothing"


def event_line(seq, **members):
    return json.dumps({"v": 1, "boot": "0000000a", "seq": seq, "ts": "2026-11-29T01:00:00.000Z", **members}) + "\n"


def test_a_log_that_tells_of_its_own_loss(verb, tmp_path):
    """What the writer of a log says that it has dropped is missing, whether or not anything stands before it, and is counted once."""
    dropped = event_line(500, event="dropped", n=400, from_seq=100)
    for name, text in (("begun", dropped), ("whole", event_line(99, event="reload", gen=2) + dropped)):
        (tmp_path / name).write_text(text)
        told = judged(verb, tmp_path / name, exit_code=1)
        assert told["verdict"] == "incomplete" and told["told_lost"] == 400
        assert told["missing"] == {"lines": 400, "count": 1, "gaps": [{"boot": "0000000a", "from_seq": 100, "to_seq": 499}]}
        assert verb("verify", tmp_path / name).stdout.splitlines()[1:] == [
            "lost: boot 0000000a: seq 100 to 499 (400 lines)",
            "dropped: the log says that 400 lines were not written: they are among the lost ones",
            "incomplete: no window in these lines admitted more than its limit, but lines or charges are missing"]
    (tmp_path / "odd").write_text(event_line(1, event="dropped", n=3))
    assert verb("verify", tmp_path / "odd").stdout.splitlines()[1] == "dropped: the log says that 3 lines were not written"


def test_one_odd_line_does_not_raise_a_limit(verb, tmp_path):
    """A quota that the configuration has as fixed stays so, whatever a line says of where its window began."""
    config = file_of(tmp_path, "sluice.json", config_of("127.0.0.1:9000", None))
    lines = [json.loads(example_line("0000000a", n + 1, n, "alice", n + 1)) for n in range(5)]
    lines[4]["quotas"][0]["start"] += 1
    (tmp_path / "log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = judged(verb, "-c", config, tmp_path / "log", exit_code=1)
    assert [(row["window"], row["admitted"], row["limit"]) for row in told["excess"]] == [("minute", 4, 3)]
    assert quota_of(told, "user", "minute")["not_judged"] == {"start": 1}
    assert "note: user/minute: 1 charges began within a window" in verb("verify", "-c", config, tmp_path / "log").stdout
    bucket = config_of("127.0.0.1:9000", None)
    bucket["quotas"]["user"].update(limits={"minute": 3}, algorithm="token_bucket", burst=3)
    told = judged(verb, "-c", file_of(tmp_path, "bucket.json", bucket), tmp_path / "log")
    assert quota_of(told, "user", "minute")["fullest"]["admitted"] == 5

    # A window that was not read has no start: a charge of it is none.
    lines[4]["quotas"] = [{"q": "user", "w": "minute", "charged": 0, "added": 1}]
    (tmp_path / "log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = judged(verb, tmp_path / "log", exit_code=1)
    assert told["verdict"] == "excess" and told["excess"][0]["admitted"] == 4 and told["unreadable"]["lines"] == 1


def test_lines_that_are_cut(start, upstream, connect, verb):
    """A line says whether all that was charged stands in it: what a client writes is cut without harm, charges are not."""
    few = start(config_of(upstream(), None), name="few")
    assert connect(few).ask("GET", "/" + "x" * 3000 + "?" + "y" * 300).status == 200
    wide = {"key": ["ip"], "limits": {"second": 1000, "minute": 1000, "hour": 1000, "day": 1000}}
    many = start(forward(upstream(), quotas={f"quota-{n}-" + "x" * 50: wide for n in range(8)}), name="many")
    assert connect(many).ask("GET", "/" + "x" * 3000 + "?" + "y" * 300).status == 200
    for proxy, whole in ((few, True), (many, None)):
        proxy.stop()
        line = next(line for line in map(json.loads, lines_of(proxy)) if "event" not in line)
        assert line["cut"] is True and line.get("charges_whole") is whole
    told = judged(verb, few.access_log)
    assert told["verdict"] == "clean" and told["cut"] == 0
    told = judged(verb, many.access_log, exit_code=1)
    assert told["verdict"] == "incomplete" and told["cut"] == 1 and told["missing"]["lines"] == 0
    assert "cut: 1 lines may have had no room for all that was charged, and to whom\n" in verb("verify", many.access_log).stdout


def test_what_turns_text_round_is_escaped(verb, tmp_path):
    line = json.loads(example_line("0000000a", 1, 0, "a\u202ebc\u2066d", 1))
    (tmp_path / "log").write_text(json.dumps(line) + "\n")
    assert "a\\xe2\\x80\\xaebc\\xe2\\x81\\xa6d\n" in verb("verify", tmp_path / "log").stdout


def test_a_report_counts_what_the_lines_say(fleet, verb):
    lines = [line for proxy in fleet for line in map(json.loads, lines_of(proxy)) if "event" not in line]
    logs = [proxy.access_log for proxy in fleet]
    done = verb("report", "--json", "-c", fleet[0].file, *logs)
    assert done.returncode == 0, done
    told = json.loads(done.stdout)
    refused = [line for line in lines if line["decision"] == "refuse"]
    assert refused and told["requests"] == len(lines) and told["decisions"]["refuse"] == len(refused)
    assert told["statuses"]["4xx"] == len(refused) and told["missing"]["lines"] == 0
    assert [(row["name"], row["requests"], row["refused"]) for row in told["routes"]] == [("all", len(lines), len(refused))]
    windows = {row["name"]: row["refused"] for row in told["windows"]}
    assert windows["user/minute"] == len(refused) and windows["user/day"] == windows["all/hour"] == 0
    assert windows["next/hour"] == sum(entry.get("refused", False) for line in lines for entry in line["quotas"])
    by_user = {user: sum(line["subjects"]["user"] == user for line in refused) for user in USERS}
    top = next(quota for quota in told["quotas"] if quota["quota"] == "user")["top"]
    assert {row["subject"]: row["refused"] for row in top if row["refused"]} == {user: n for user, n in by_user.items() if n}
    assert [row["refused"] for row in top] == sorted((row["refused"] for row in top), reverse=True)
    assert {row["name"]: row["requests"] for row in told["ends"]} == {"ok": len(lines) - len(refused), "limited": len(refused)}
    slowest = max(line["t_total"] for line in lines)
    assert told["times"]["t_total"]["max_us"] == slowest and sum(count for _, count in told["histogram"]) == len(lines)
    text = verb("report", "-c", fleet[0].file, *logs).stdout
    assert f"{len(lines)} requests: allow {len(lines) - len(refused)} refuse {len(refused)}; status 2xx" in text
    assert "quota user" in text and "user/minute" in text and "how long requests took" in text


def policy(server, limits, quota=None, **more):
    return forward(server, quotas={"user": {"key": ["user"], "limits": limits, **(quota or {})}}, subject_secret="of the fleet",
                   identities={"user": {"from": ["basic_user"]}, "key": {"from": ["header:X-Key"]}}, **more)


def replayed(verb, old, new, *logs, exit_code=0):
    done = verb("replay", "--json", "-c", old, "--policy", new, *logs)
    assert done.returncode == exit_code, done
    return json.loads(done.stdout)


def file_of(folder, name, config):
    path = folder / name
    path.write_text(json.dumps({"listen": [{"address": "127.0.0.1:8080"}], **config}))
    return path


def test_a_replay_foretells_what_another_policy_does(start, upstream, connect, verb, tmp_path):
    """The same requests to a proxy that has the other policy are answered as the replay of the first one's log said."""
    server = upstream()
    asked = random.Random(11).choices(USERS, weights=[5, 3, 1], k=90)
    configs = {"old": policy(server, {"minute": 30, "day": 1000}), "new": policy(server, {"minute": 12})}
    proxies, statuses = {}, {}
    wait_for_room(60, 20)
    for name, config in configs.items():
        proxies[name] = start(config, name=name)
        client = connect(proxies[name])
        statuses[name] = [ask(client, user).status for user in asked]
        proxies[name].stop()
    old, new, log = proxies["old"].file, proxies["new"].file, proxies["old"].access_log
    told = replayed(verb, old, new, log)
    assert told["proved"] and told["compared"] == told["as_logged"] == len(asked) and told["not_judged"] == {}
    lost = [user for user, was, then in zip(asked, statuses["old"], statuses["new"]) if (was, then) == (200, 429)]
    assert len(set(lost)) >= 2
    assert told["new"] == {
        "judged": len(asked), "refused": statuses["new"].count(429), "refused_by_old": statuses["old"].count(429),
        "newly_refused": len(lost), "newly_admitted": 0, "quotas": {"user": statuses["new"].count(429)},
        "subjects": [{"quota": "user", "subject": user, "newly_refused": lost.count(user), "newly_admitted": 0}
                     for user in sorted(set(lost), key=lambda user: -lost.count(user))]}
    text = verb("replay", "-c", old, "--policy", new, log).stdout
    assert f"{len(asked)} of {len(asked)} decisions as logged (100.000 %)" in text and f"{len(lost)} newly refused, 0 newly admitted" in text

    # Of a log that begins in the middle of a window it is known what that had used before.
    lines = [line for line in log.read_text().splitlines(keepends=True) if '"event"' not in line]
    (tmp_path / "rest").write_text("".join(lines[45:]))
    told = replayed(verb, old, new, tmp_path / "rest")
    assert told["as_logged"] == told["compared"] == 45
    assert told["new"]["refused"] == statuses["new"][45:].count(429)

    # More for somebody by a tier, nothing for the others by an address that all share.
    tiers = {"tiers": {"free": {"minute": 12}, "pro": {"minute": 1000}}}
    more = file_of(tmp_path, "more.json", policy(server, "tier", {"default_tier": "free", "members": {"pro": ["alice"]}}, **tiers))
    told = replayed(verb, old, more, log)["new"]
    gained = [user for user, was in zip(asked, statuses["old"]) if (user, was) == ("alice", 429)]
    assert gained and told["newly_admitted"] == len(gained) and told["newly_refused"] == sum(user != "alice" for user in lost)
    by_address = file_of(tmp_path, "ip.json", forward(server, quotas={"ip": {"key": ["ip"], "limits": {"minute": 50}}}))
    told = replayed(verb, old, by_address, log)["new"]
    assert told["refused"] == 40 and told["quotas"] == {"ip": 40} and told["subjects"][0]["subject"] == "127.0.0.1"

    # What was not logged is not judged, and a policy that did not serve is found out.
    by_key = file_of(tmp_path, "key.json", policy(server, {"minute": 12}, {"key": ["key"]}))
    told = replayed(verb, old, by_key, log)
    assert told["identities_not_logged"] == {"key": len(asked)} and told["not_judged"] == {"identity": len(asked)} and told["new"]["judged"] == 0
    told = replayed(verb, new, old, log, exit_code=1)
    assert not told["proved"] and "new" not in told and told["as_logged"] == sum(a == b for a, b in zip(statuses["old"], statuses["new"]))
    assert "no answer: " in verb("replay", "-c", new, "--policy", old, log).stdout


def test_a_replay_gives_back_what_responses_did(start, upstream, connect, verb):
    """Refunds by status, and costs that a response tells, happen when they did."""
    def serve(link):
        while (message := link.read_request()) is not None:
            number = int(message.target.rsplit("/", 1)[1])
            time.sleep(0.003)  # a line's time is a whole millisecond
            link.send(http.response(status=500 if number % 3 == 0 else 200, fields=[("X-Cost", str(number % 4))], body=b"ok\n"))

    quota = {"charge": {"on": ["2xx"]}}
    route = {"cost": {"response_header": "X-Cost", "estimate": 2, "max": 9}}
    proxy = start(policy(upstream(serve), {"minute": 25}, quota, route=route))
    client = connect(proxy)
    wait_for_room(60, 10)
    user = [("Authorization", "Basic " + base64.b64encode(b"alice:x").decode())]
    statuses = [client.ask("GET", f"/{number}", user).status for number in range(40)]
    assert statuses.count(429) > 3 and statuses.count(500) > 3
    proxy.stop()
    told = replayed(verb, proxy.file, proxy.file, proxy.access_log)
    assert told["compared"] == told["as_logged"] == 40 and told["new"]["refused"] == statuses.count(429)


def test_what_had_been_used_tells_which_was_first(start, upstream, connect, verb, tmp_path):
    """Two proxies' clocks differ by milliseconds: the refused one seems to have come before the one that filled the window."""
    proxy = start(forward(upstream(), quotas={"ip": {"key": ["ip"], "limits": {"minute": 5}}}))
    client = connect(proxy)
    wait_for_room(60, 10)
    assert [client.ask().status for _ in range(7)] == [200] * 5 + [429] * 2
    proxy.stop()
    lines = [json.loads(text) for text in proxy.access_log.read_text().splitlines()]
    asked = [line for line in lines if "method" in line]
    second = asked[0]["ts"][:20]
    for line, ms in zip(asked, (100, 101, 103, 105, 104, 102, 102)):
        line.update(ts=f"{second}{ms}Z", t_header=0, t_store=0, t_total=100)
    (tmp_path / "log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = replayed(verb, proxy.file, proxy.file, tmp_path / "log")
    assert (told["compared"], told["as_logged"]) == (7, 7), told


def test_a_replay_tries_the_first_quota_of_a_route(start, upstream, connect, verb, tmp_path):
    """What a server answered was past all quotas, whatever its status, and is judged by those of the other policy."""
    def serve(link):
        while link.read_request() is not None:
            link.send(http.response(status=404, body=b"no\n"))

    server = upstream(serve)
    proxy = start(forward(server, quotas={"ip": {"key": ["ip"], "limits": {"hour": 1000}}}))
    client = connect(proxy)
    wait_for_room(60, 5)
    assert [client.ask("GET", f"/{n}").status for n in range(9)] == [404] * 9
    proxy.stop()
    lines = [json.loads(line) for line in proxy.access_log.read_text().splitlines()]
    for line in lines[len(lines) // 2:]:  # as of a route without quotas
        if "event" not in line:
            line["decision"] = "none"
            del line["subjects"], line["quotas"]
    (tmp_path / "log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    new = file_of(tmp_path, "new.json", forward(server, quotas={"all": {"key": ["ip"], "limits": {"minute": 4}}}))
    told = replayed(verb, proxy.file, new, tmp_path / "log")
    assert 0 < told["compared"] == told["as_logged"] < 9 and told["not_judged"] == {}
    assert told["new"]["judged"] == 9 and told["new"]["newly_refused"] == 5


def test_a_replay_without_memory_says_so(start, upstream, connect, verb):
    """What fails behind the reading is told as well as what fails within it: here no store can be made, whose memory is a file."""
    proxy = start(policy(upstream(), {"minute": 30}))
    ask(connect(proxy), "alice")
    proxy.stop()

    def in_small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))

    done = verb("replay", "-c", proxy.file, "--policy", proxy.file, proxy.access_log, limits=in_small_files)
    assert (done.returncode, done.stdout, done.stderr) == (10, "", "sluice: out of memory\n")


def test_words_of_replay(verb, tmp_path):
    done = verb("replay", "x.log")
    assert done.returncode == 2 and "--policy" in done.stderr
    done = verb("replay", "--policy", "x.json")
    assert done.returncode == 2 and "name the access logs" in done.stderr
    done = verb("replay", "-c", tmp_path / "none.json", "--policy", tmp_path / "none.json", "x.log")
    assert done.returncode == 3 and "none.json" in done.stderr


def test_a_replay_of_a_fleet(fleet, verb):
    """Two proxies and their store are replayed as one.  What was decided within the same millisecond may come out in another order,
    and a replay knows nothing of requests that a lease kept for the other proxy."""
    done = verb("replay", "--json", "-c", fleet[0].file, "--policy", fleet[0].file, *[proxy.access_log for proxy in fleet])
    told = json.loads(done.stdout)
    lines = [line for proxy in fleet for line in map(json.loads, lines_of(proxy)) if "event" not in line]
    assert told["compared"] == len(lines) and told["not_judged"] == {}
    if fleet[0].config["quotas"]["user"]["accuracy"] == "exact":
        assert told["as_logged"] >= 0.9 * len(lines)
    assert ("new" in told) == told["proved"]
    if told["proved"]:  # the same policy decides as the old one did, so that only what came out otherwise can differ
        assert told["new"]["judged"] == len(lines)
        assert told["new"]["newly_refused"] + told["new"]["newly_admitted"] == told["compared"] - told["as_logged"]
    assert done.returncode == (0 if told["proved"] else 1) and told["proved"] == (told["as_logged"] >= 0.999 * told["compared"])


def run_of_four(start, server, redis, prefix, limits, asked):
    """Four proxies of one store are asked in turn, with a time of its own for each request; gives them, stopped, and the statuses."""
    store = {"type": "redis", "servers": [redis.address], "decision_timeout": "200ms", "fleet_size": 4, "prefix": prefix}
    proxies = [start(policy(server, limits, {"accuracy": "exact"}, store=store, workers=1), name=f"{prefix}{n}") for n in range(4)]
    clients = [Client(proxy.address) for proxy in proxies]

    def counts(n):
        line = proxies[n].line_of(ask(clients[n], "probe"))
        return all(entry.get("source") == "store" for entry in line["quotas"])

    for n in range(4):
        wait_for(lambda n=n: counts(n), "the proxy counts in its store")
    wait_for_room(60, 20)
    statuses = []
    for turn, user in enumerate(asked):
        statuses.append(ask(clients[turn % 4], user).status)
        time.sleep(0.002)  # a line's time is a whole millisecond
    for client in clients:
        client.close()
    for proxy in proxies:
        proxy.stop()
    return proxies, statuses


def test_four_proxies_are_replayed_and_proved(start, upstream, redis, verb, tmp_path):
    """The logs of four proxies, replayed, are what was decided; what another policy would do is what four proxies with it do; and one charge
    too many in one of the logs is found."""
    server = upstream()
    asked = random.Random(5).choices(USERS, weights=[5, 3, 1], k=200)
    old, was = run_of_four(start, server, redis, "old", {"minute": 60, "day": 1000}, asked)
    new, then = run_of_four(start, server, redis, "new", {"minute": 25}, asked)
    logs = [proxy.access_log for proxy in old]
    told = replayed(verb, old[0].file, new[0].file, *logs)
    probes = told["compared"] - len(asked)
    assert told["proved"] and told["as_logged"] == told["compared"] and 4 <= probes and told["not_judged"] == {}
    refused = then.count(429)
    assert was.count(429) > 10 and refused > 2 * was.count(429)
    assert abs(told["new"]["refused"] - refused) <= 0.01 * refused and told["new"]["refused_by_old"] == was.count(429)

    proved = judged(verb, "-c", old[0].file, *logs)
    assert proved["verdict"] == "clean" and quota_of(proved, "user", "minute")["fullest"] == {
        **quota_of(proved, "user", "minute")["fullest"], "admitted": 60, "limit": 60, "subject": "alice"}
    lines = [json.loads(line) for line in lines_of(old[2])]
    planted = next(line for line in lines if line.get("decision") == "allow" and line["subjects"] == {"user": "alice"})
    (tmp_path / "planted").write_text("".join(lines_of(old[2])) + json.dumps({**planted, "seq": lines[-1]["seq"] + 1}) + "\n")
    found = judged(verb, "-c", old[0].file, logs[0], logs[1], tmp_path / "planted", logs[3], exit_code=1)
    assert found["verdict"] == "excess"
    assert [(row["subject"], row["window"], row["admitted"], row["limit"], row["over"]) for row in found["excess"]] == [("alice", "minute", 61, 60, 1)]


class Elements(html.parser.HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page):
        super().__init__()
        self.open, self.names, self.attributes, self.texts, self.comments = [], set(), set(), [], []
        self.feed(page)
        self.close()
        assert self.open == [], "an element is left open"

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "line", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        self.comments.append(data)


EVIL = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='x", "&lt;b&gt;&amp;", "</title></style></svg><script>", "<!--", "--><svg/onload=x>", "$ $", "%s%n",
        "]]>", "\u202ea", "a\u009b31m", "javascript:x"]


def test_a_page_of_hostile_names(verb, tmp_path):
    """Whatever stands in a log, the page has the elements of a page of harmless names, and shows the names."""
    def page_of(names, file):
        lines = []
        for n in range(200):
            name = names[n % len(names)]
            windows = [{"q": name, "w": "minute", "start": 1795914000, "charged": 1 - n % 2, "used": 50, "limit": 60, "reset_s": 9, "source": "store"}]
            lines.append(json.dumps({"v": 1, "boot": name[:8] if n > 190 else "0badcafe", "seq": n + 1 + (n > 100), "ts": f"2026-11-29T01:{n // 60:02}:{n % 60:02}.000Z", "gen": 1,
                                     "method": name, "host": name, "path": name, "route": name, "decision": "refuse" if n % 2 else "allow", "refused_by": [f"{name}/minute"],
                                     "tier": name, "near": True, "cost": 1, "subjects": {name: name}, "quotas": windows, "status": 200, "end": name, "t_total": 100 + n * n}) + "\n")
        (tmp_path / file).write_text("".join(lines))
        done = verb("report", "--html", tmp_path / file)
        assert done.returncode == 0 and done.stderr == ""
        return done.stdout

    page = page_of(EVIL, "evil")
    evil, tame = Elements(page), Elements(page_of([f"name{n}" for n in range(len(EVIL))], "tame"))
    assert evil.names == tame.names and evil.attributes == tame.attributes and evil.comments == []
    assert not {"script", "img", "link", "iframe", "object"} & evil.names and not {"src", "href", "onerror", "onload", "style"} & evil.attributes
    assert page.isascii() or "\u202e" not in page and "\u009b" not in page
    for name in EVIL:
        if name.isprintable():
            assert name in evil.texts, name
    text = " ".join(evil.texts)
    assert "lines are missing" in text and "200 lines of 1 file," in text and "p99" in text and "took half of them" in text


def test_a_page_in_a_file(verb, tmp_path):
    (tmp_path / "log").write_text(example_line("0000000a", 1, 0, "alice", 1))
    done = verb("report", "--html", "--output", tmp_path / "page.html", tmp_path / "log")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and "No line is missing" in page and page.endswith("</html>\n")
    assert "http" not in page.replace("http-equiv", ""), "it names no other place"
    done = verb("report", "--html", "--output", tmp_path / "none" / "page.html", tmp_path / "log")
    assert done.returncode == 5 and "page.html cannot be written: No such file" in done.stderr
    done = verb("report", "--html", "--json", tmp_path / "log")
    assert done.returncode == 2 and "not both" in done.stderr
    (tmp_path / "empty").write_text("")
    assert "There is no line" in verb("report", "--html", tmp_path / "empty").stdout
    told = json.loads(verb("report", "--json", tmp_path / "log").stdout)
    assert told["over_time"] == {"step_s": 1, "steps": [[1795914000, 1, 0]]}


PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "logs.md").read_text()


def example_line(boot, seq, second, user, used):
    windows = [{"q": "user", "w": w, "start": start, "charged": 1, "used": used, "limit": limit, "reset_s": 9, "source": "store"}
               for w, start, limit in (("minute", 1795914000, 3), ("day", 1795910400, 100))]
    return json.dumps({"v": 1, "boot": boot, "seq": seq, "ts": f"2026-11-29T01:00:{second:02}.000Z", "gen": 1, "decision": "allow",
                       "cost": 1, "subjects": {"user": user}, "quotas": windows, "status": 200, "end": "ok"}) + "\n"


def test_the_example_of_the_page(verb, tmp_path):
    """Two logs that yield what docs/logs.md shows of verify."""
    a = [example_line("0000000a", n + 1, n, "alice", n + 1) for n in range(3)] + [example_line("0000000a", 4, 3, "bob", 1)]
    b = [example_line("0000000b", n + 1, n, "bob", n + 2) for n in range(2)] + [example_line("0000000b", 3, 4, "alice", 4)]
    b += [json.dumps({"v": 1, "boot": "0000000b", "seq": n, "ts": "2026-11-29T01:00:05.000Z", "event": "reload", "gen": 2}) + "\n" for n in range(5, 10)]
    (tmp_path / "a.log").write_text("".join(a))
    (tmp_path / "b.log").write_text("".join(b))
    config = {**config_of("127.0.0.1:9000", None), "store": {"type": "redis", "servers": ["127.0.0.1:6379"], "fleet_size": 2}}
    file_of(tmp_path, "sluice.json", config)
    block = re.search(r"```\n\$ sluice (verify -c sluice.json a.log b.log)\n(.*?)```", PAGE, re.DOTALL)
    done = verb(*(tmp_path / word if "." in word else word for word in block[1].split()))
    assert done.stdout == block[2] and done.returncode == 1
