# SPDX-License-Identifier: Apache-2.0
"""What docs/configuration.md shows can be copied: each example is accepted, and the whole ones serve.  docs/logs.md tells every field that is written."""
import json
import pathlib
import re

import pytest
from harness import http
from harness.in_flight import Gate, in_redis, let_go, wait_until_up_open
from harness.replies import trio_of
from harness.waiting import wait_for

PAGE_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs"
PAGE = (PAGE_FOLDER / "configuration.md").read_text()
SECTIONS = {text.splitlines()[0]: text for text in PAGE.split("\n## ")[1:]}
EXAMPLES = [(title, block) for title, text in SECTIONS.items() for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


def parsed(block):
    """A whole object, or members of one."""
    return json.loads(block if block.lstrip().startswith("{") else "{" + block + "}")


def completed(example):
    """The least configuration around a part of one; routes that name no quota of the example lead to all of them."""
    if "prefix" in example:
        example = {"routes": [example]}
    quotas = example.get("quotas", {"ip": {"key": ["ip"], "limits": {"minute": 100}}})
    routes = example.get("routes", [{"prefix": "/", "upstream": "app", "quotas": list(quotas)}])
    named = {name for quota in quotas.values() for name in quota["key"]} - {"ip"}
    return {
        "listen": [{"address": "127.0.0.1:8080"}],
        "upstreams": {route["upstream"]: {"servers": ["127.0.0.1:9000"]} for route in routes},
        "subject_secret": "only for this test",
        "identities": {name: {"from": ["access_key"]} for name in named},
        **example, "quotas": quotas, "routes": routes,
    }


@pytest.mark.parametrize("title, block", EXAMPLES, ids=[f"{title}-{n}" for n, (title, _) in enumerate(EXAMPLES)])
def test_examples_are_accepted(verb, tmp_path, title, block):
    config = completed(parsed(block))
    for key in [key for identity in config["identities"].values() for key in identity.get("keys", [])]:
        key.update({"algorithm": "HS256", "key": "0" * 32})  # the reader's own
    (tmp_path / "sluice.json").write_text(json.dumps(config))
    done = verb("check", "-c", tmp_path / "sluice.json", env={"SLUICE_SUBJECT_SECRET": "x" * 32})
    assert done.returncode == 0, (title, done.stderr)
    if "listen" in parsed(block) and "routes" in parsed(block):
        assert "warning" not in done.stdout + done.stderr, (title, done.stderr)


def test_there_are_examples():
    assert len(EXAMPLES) >= 10 and sum({"listen", "routes"} <= set(parsed(block)) for _, block in EXAMPLES) == 1
    assert "listen" in parsed(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1]), "the smallest useful file stands first"


def rows_of(name, pattern):
    return re.findall(pattern, (PAGE_FOLDER.parent / "src" / "plan" / name).read_text())


def test_what_headers_may_name_and_not_name_is_told():
    text = SECTIONS["Other headers for servers and clients"]
    variables = rows_of("plan_rewrite_variables.def", r'VARIABLE\(\w+, "(\w+)", \d+, \w+, "(.*)"\)')
    assert len(variables) >= 10 and all(f"| `{name}` | {what}" in text for name, what in variables)
    told = {}
    for names, where in re.findall(r"^\| (`.*`) \| (both|requests|responses) \|", text, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", names):
            told[name.lower().rstrip("*")] = (where != "responses", where != "requests")
    refused = {name: (request == "true", response == "true") for name, request, response in
               rows_of("plan_rewrite_refused.def", r'REFUSED\("([^"]+)", (\w+), (\w+),')}
    assert refused == told


def test_forwarded_paths(start, upstream, connect):
    """The table of "Another path for the server", with the example above it."""
    section = SECTIONS["Another path for the server"]
    server = upstream()
    route = parsed(re.search(r"```json\n(.*?)```", section, re.DOTALL)[1])
    proxy = start({"upstreams": {"app": {"servers": [server.address]}}, "routes": [route]})
    rows = [(asked, forwarded) for asked, forwarded in re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", section, re.MULTILINE)]
    for asked, _ in rows:
        client = connect(proxy)
        client.send(f"GET {asked} HTTP/1.1\r\nHost: host\r\n\r\n".encode())
        assert client.read().status == 200
    assert [seen.target for seen in server.requests] == [forwarded for _, forwarded in rows] and len(rows) == 3


def test_members_in_redis_from_nothing(start, upstream, connect, redis):
    """The whole example of "Members in Redis", as it stands but for addresses: tiers with windows and requests in flight."""
    config = parsed(re.search(r"```json\n(.*?)```", SECTIONS["Members in Redis"], re.DOTALL)[1])
    gate = Gate()
    del config["listen"]
    config["upstreams"]["app"]["servers"] = [upstream(gate.serve).address]
    config["store"].update(in_redis(redis))
    config["subject_secret"] = "test"
    proxy = start(config)
    key = [("Authorization", "SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=host, Signature=ab12")]
    wait_until_up_open(connect, gate, proxy)
    clients = [connect(proxy) for _ in range(2)]
    for number, client in enumerate(clients, 1):
        client.send(http.request("GET", "/", key))
        gate.wait_for(number)
    refused = connect(proxy).ask("GET", "/", key)
    assert refused.status == 429 and proxy.line_of(refused)["refused_by"] == ["user/in_flight"]
    assert [trio_of(reply)[0] for reply in let_go(gate, clients)] == [60, 60]
    gate.is_open.set()
    redis.client.hset("sluice:members:user", "AKEXAMPLE", "pro")
    wait_for(lambda: trio_of(connect(proxy).ask("GET", "/", key))[0] == 600, "the tier of Redis", 10)


# -- what docs/logs.md says of a line

SOURCE_FOLDER = PAGE_FOLDER.parent / "src"
LINE = (PAGE_FOLDER / "logs.md").read_text().split("\n## What a line says\n")[1].split("\n## ")[0]
MEMBER = r'\\"(\w+)\\":'
ENTRY_WRITERS = {"put_window_begin", "put_window_limit", "put_window_end", "put_window_skipped", "put_slot"}  # of "quotas"


def source(name):
    return (SOURCE_FOLDER / name).read_text()


def cells_of(title):
    """The rows of the table that begins with this cell, as lists of cells."""
    rows = LINE.split(f"\n| {title} |")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def names_of(title):
    return [name for cells in cells_of(title) for name in re.findall(r"`(\w+)`", cells[0])]


def once(names):
    assert len(names) == len(set(names)), "each is told once"
    return set(names)


def members_written(*files):
    """{member: {functions that write it}} of the literals in these files; a table counts to the function behind it."""
    found = {}
    for part in (part for name in files for part in source(name).split("\n}\n")):
        heads = re.findall(r"^[a-z][^;={}]*?(\w+)\([^;{}]*\)\n\{", part, re.MULTILINE)
        for name in re.findall(MEMBER, part):
            found.setdefault(name, set()).add(heads[-1] if heads else "")
    return found


def test_every_field_of_a_line_is_told():
    written = members_written("record/record_access.c", "record/record_usual.c", "record/record_usual.h", "record/record_query.h")
    for name in re.findall(r'RECORD_PUT_TIME\(out, "(\w+)"', source("record/record_usual.h")):
        written.setdefault(name, set()).add("record_usual_write")
    of_windows = {name for name, functions in written.items() if functions & ENTRY_WRITERS}
    of_lines = {name for name, functions in written.items() if functions - ENTRY_WRITERS}
    assert once(names_of("in `quotas`")) == of_windows and len(of_windows) >= 12
    begin = once(re.findall(MEMBER, "".join(re.findall(r"#define LOOP_LOG_PREFIX .*|FMT_LIT\(at \+ LOOP_LOG_BOOT_ID, .*",
                                                       source("loop/loop_log_last.h") + source("loop/loop_log_writer.c")))))
    assert begin == {"v", "boot", "seq"}
    told = once(names_of("field of every line") + names_of("field"))
    assert told == begin | of_lines | set(members_written("net/net_tls_session.c")) and len(told) >= 45
    decisions = {cells[0].strip("`") for cells in cells_of("decision")}
    assert decisions == set(re.findall(r'VERDICT\("(\w+)"\)', source("record/record_access.c")))
    sources = next(cells[1] for cells in cells_of("in `quotas`") if cells[0] == "`source`")
    assert set(re.findall(r"`(\w+)`", sources)) == set(re.findall(r'\\"source\\":\\"(\w+)\\"', source("record/record_access.c")))


def test_every_ending_is_told():
    endings = re.findall(r'^ENDING\(\w+, "(\w+)", \w+, \w+, "(.*)"\)$', source("exchange/endings.def"), re.MULTILINE)
    assert [tuple(cells) for cells in cells_of("end")] == [(f"`{name}`", sentence) for name, sentence in endings] and len(endings) >= 40


# Where events are written: how each file names them, and the members that it gives them.
EVENTS = {
    "loop/loop_log_writer.c": (r'FMT_LIT\(at, "(\w+)\\",\\"\w+\\":', MEMBER),
    "main/main_child.c": (r'\\"event\\":\\"(\w+)\\"', MEMBER),
    "main/main_supervise.c": (r'\\"event\\":\\"(\w+)\\"', MEMBER),
    "main/main_upgrade.c": (r'\\"event\\":\\"(\w+)\\"', r'\\"(to_pid|version)\\":'),  # the others are the answer's
    "main/main_succeed.c": (r'\\"event\\":\\"(\w+)\\"', MEMBER),
    "lease/lease_shadow.c": (r'\\"event\\":\\"(\w+)\\"', MEMBER),
    "upstream/upstream_check.c": (r'\[UPSTREAM_CHANGE_\w+\] = "(\w+)"', MEMBER),
    "store/store_redis_peer.c": (r'tell\(redis, "(\w+)"', MEMBER + r'|\(struct member\)\{"(\w+)"'),
    "admin/admin_audit.c": (r'"event", "(\w+)"', r'config_json_set\(&json, "(\w+)"|"(verb)"'),
    "admin/admin_subject.c": (r'\[STORE_ORDER_(?!SHOW)\w+\] = "(\w+)"', None),
}


def test_every_event_is_told():
    callers = {str(path.relative_to(SOURCE_FOLDER)) for path in SOURCE_FOLDER.rglob("*.c")
               if re.search(r"loop_log_event\(|->on_event\(|pass_numbered\(pass, \(struct", path.read_text())}
    assert callers - {"loop/loop_log.c"} == set(EVENTS), "another place that writes events"
    table = {name: set(re.findall(r"`(\w+)`", cells[1])) for cells in cells_of("event") for name in re.findall(r"`(\w+)`", cells[0])}
    begin = {"v", "boot", "seq", "ts", "event"}
    written = {}
    for file, (names, members) in EVENTS.items():
        text = source(file)
        if members is None:
            part = text.split("static void log_order(")[1].split("\n}\n")[0]
            words = set(re.findall(r'"(\w+)"', part)) - {"s"}
        else:
            words = {word for pair in re.findall(members, text) for word in ([pair] if isinstance(pair, str) else pair) if word}
        events = set(re.findall(names, text))
        assert events, file
        written.update({event: file for event in events})
        assert set().union(*(table[event] for event in events)) == words - begin, file
    assert set(written) == set(table) and len(table) >= 16
