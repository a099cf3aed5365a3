# SPDX-License-Identifier: Apache-2.0
"""What Sluice says by itself, checked to the byte."""
import json
import re

TRIO = ("X-ratelimit", "X-ratelimit-used", "X-ratelimit-window")
REQUEST_ID = re.compile(r"([0-9a-f]{32})-(\d{13})-([A-Za-z0-9._-]{1,64})")


def request_id_of(reply):
    """The first part of X-request-id, which has the documented form and occurs once."""
    match = REQUEST_ID.fullmatch(reply["X-request-id"])
    assert match, reply["X-request-id"]
    return match[1]


def check_error(reply, status, number, message, reason=None):
    """An error of our own: media type, members in their order, and the id that the header carries."""
    assert reply.status == status, reply
    assert reply["Content-Type"] == "application/json; charset=UTF-8"
    expected = {"error_code": f"APIG.{number}", "error_msg": message, "request_id": request_id_of(reply)}
    body = json.dumps(expected, separators=(",", ":"), ensure_ascii=False).encode()
    assert reply.body == body, reply.body
    assert reply["Content-Length"] == str(len(body))
    assert reply.reason == reason if reason else reply.reason
    return expected["request_id"]


def trio_of(reply):
    """(limit, used, window), or None when there is none; never a part of it."""
    values = tuple(reply[name] for name in TRIO)
    if values == (None, None, None):
        return None
    assert None not in values, values
    return int(values[0]), int(values[1]), values[2]


def throttled(policy, limit, count, unit):
    return f"The throttling threshold has been reached: policy {policy} over ratelimit,limit:{limit},time:{count} {unit}"
