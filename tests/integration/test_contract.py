# SPDX-License-Identifier: Apache-2.0
"""docs/contract.md is true: each row of its table of documents, the shipped configuration and the wire are the same."""
import json
import pathlib
import re

import pytest
from harness import http
from harness.replies import REQUEST_ID, throttled
from harness.waiting import wait_for_room

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/contract.md").read_text()
TABLE = re.search(r"<!-- sources: .*? -->\n(.*?)<!-- end of sources -->", PAGE, re.DOTALL)[1]
COLUMNS = ("document", "headers", "body", "code", "id", "configuration", "test")
ROWS = [dict(zip(COLUMNS, (cell.strip() for cell in line.strip("|").split(" | ")))) for line in TABLE.splitlines()[2:]]
NAMES = {"image-recognition": "image recognition (IVA)", "modelarts": "ModelArts", "auto-scaling": "Auto Scaling",
         "auto-scaling-otc": "Auto Scaling, second edition", "vpc": "VPC, with codes of IMS"}
PATHS = {"image-recognition": "/v1.0/image/tagging", "modelarts": "/v1/project/models", "vpc": "/v1/vpcs"}
LIMIT_FIELD = re.compile(r"(?i)(x-)?ratelimit|x-apig-ratelimit|retry-after")


def test_the_table_is_whole():
    assert {row["document"] for row in ROWS} == set(NAMES.values()) and len(ROWS) == len(NAMES)
    for row in ROWS:
        assert list(row) == list(COLUMNS)


def served_here(verb, path, upstream):
    """The shipped configuration with its addresses made this test's."""
    done = verb("check", "-c", path, "--dump")
    assert done.returncode == 0 and "warning" not in done.stdout + done.stderr, done
    shipped = json.loads(done.stdout)
    config = {key: shipped[key] for key in ("identities", "quotas", "routes", "headers", "errors")}
    config["upstreams"] = {"service": {"servers": [upstream.address]}}
    return config


@pytest.mark.parametrize("name", NAMES)
def test_source_document(start, upstream, connect, verb, name):
    row = next(row for row in ROWS if row["document"] == NAMES[name])
    assert row["configuration"] == f"`conf/{name}.json`" and row["test"] == f"`test_source_document[{name}]`"
    server = upstream(answer=lambda _: http.response(body=b'{"ok":true}'))
    config = served_here(verb, ROOT / f"conf/{name}.json", server)
    proxy = start(config)
    path = PATHS.get(name, "/autoscaling-api/v1/project/scaling_group")
    window, limit = next(iter(config["quotas"]["user"]["limits"].items()))
    wait_for_room({"minute": 60, "hour": 3600, "5 minutes": 300}[window], 15)
    client = connect(proxy)
    signed = [("Authorization", "SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=host;x-sdk-date, Signature=00")]
    for _ in range(limit):
        reply = client.ask("GET", path, signed)
        assert reply.status == 200 and reply.body == b'{"ok":true}' and reply["Retry-After"] is None
    reply = client.ask("GET", path, signed)

    assert (reply.status, reply.reason) == (429, "Too Many Requests")
    assert reply["Content-Type"] == "application/json; charset=UTF-8"
    assert [field for field, _ in reply.fields if LIMIT_FIELD.match(field)] == re.findall(r"`(.*?)`", row["headers"])
    own_id = reply["X-request-id"]
    if row["id"] == "documented":
        own_id = REQUEST_ID.fullmatch(own_id)[1]
    assert re.fullmatch(r"[0-9a-f]{32}", own_id)
    count, unit = re.fullmatch(r"(?:(\d+) )?(minute|hour|day)s?", window).groups()
    code = row["code"].strip("`")
    values = {"error_msg": throttled("user", limit, count or 1, unit), "error_code": code, "request_id": own_id}
    values["error_message"] = values["error_msg"]
    assert code.endswith(".0308")
    expected = re.sub(r'"(\w+)":"…"', lambda member: f'"{member[1]}":"{values[member[1]]}"', row["body"].strip("`"))
    assert reply.body.decode() == expected
    lost = client.ask("GET", "/elsewhere")
    members = json.loads(lost.body)
    assert lost.status == 404 and members["error_code"] == code.replace("0308", "0101")
    assert members["error_msg"] == "The API does not exist or has not been published in the environment."
    assert proxy.line_of(reply)["id"] == own_id
    assert len(server.requests) == limit


def test_every_error_is_documented():
    """The table of errors holds the rows of src/reply/reply_errors.def."""
    table = PAGE.split("| when | status | number | message |")[1].split("\n\n")[0]
    found = re.findall(r'REPLY_ERROR\(\w+, (\d+), "(\d+)", "(.*)"\)', (ROOT / "src/reply/reply_errors.def").read_text())
    assert len(found) > 15
    for status, number, message in found:
        if status in ("405", "417", "501", "505"):
            status = "400"  # the same number and sentence
        lines = [line for line in table.splitlines() if status in line and f"| {number} |" in line]
        assert any(message.rstrip(".") in line for line in lines), (status, number, message)


def test_every_dialect_is_documented():
    for file, pattern in (("reply_dialects.def", r'DIALECT\(\w+, "([\w-]+)"'), ("reply_variables.def", r'VARIABLE\(\w+, "(\w+)"')):
        names = re.findall(pattern, (ROOT / "src/reply" / file).read_text())
        assert len(names) > 8
        for name in names:
            assert f"`{name}`" in PAGE or f"`${{{name}}}`" in PAGE, name
