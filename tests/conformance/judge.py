# SPDX-License-Identifier: Apache-2.0
"""Says whether a Result is one of a case's right outcomes.  Gives None, or the level that is broken and why in one line."""
import case as cases
from run import echo_fault, is_origin


def fault_of(result):
    """(level, reason) or None.  To write what is no HTTP, or to give a client another one's answer, breaks a MUST whatever the
    case was about (RFC 9110 section 2.2)."""
    general = _general_fault(result)
    if general:
        return cases.MUST, f"{general}; {result.text()}"
    if any(m.has_controls for m in (*result.responses, *(s.message for s in result.all_seen))):
        return cases.HARDENING, f"control bytes were forwarded; {result.text()}"
    match = _request_fault if isinstance(result.case, cases.RequestCase) else _response_fault
    reasons = [match(result, outcome) for outcome in result.case.allow]
    if None in reasons:
        return None
    return result.case.level, f"{' / '.join(dict.fromkeys(reasons))}; {result.text()}"


def _general_fault(result):
    """Wrong whatever the case is."""
    if result.faults:
        return "the upstream got bytes that are no request"
    if result.malformed and not result.is_0_9:
        return "the client got bytes that are no response"
    if result.next != "ok":
        return "the next client was not served right"
    if result.last not in (None, "ok") and not result.hangs:
        return "the connection was not served right afterwards"
    return None


# ---- requests ----


def _head_fault(result, outcome):
    heads = [s.message for s in result.all_seen]
    for name in outcome.absent:
        if any(head.all(name) for head in heads):
            return f"{name} was forwarded"
    for name, value in outcome.present:
        if heads[0].all(name) != [value]:
            return f"{name} is {heads[0].all(name)!r}, not {value!r}"
    return None


def _answers_fault(result, count):
    """The first `count` responses tell of the first `count` requests."""
    if len(result.responses) < count:
        return f"{len(result.responses)} answers, not {count}"
    for message, seen in zip(result.responses[:count], result.seen):
        fault = echo_fault(message, seen) if is_origin(message) else f"{message.status} by the proxy"
        if fault:
            return fault
    return None


def _refusal_fault(result, outcome):
    count = len(outcome.seen)
    rest = result.seen[count:]
    goes_on = outcome.keep is None and rest == [cases.AFTER_SEEN]
    if result.seen[:count] != list(outcome.seen) or (rest and not goes_on):
        return "should be refused"
    if not result.closed and not goes_on and not (outcome.keep is None and not result.case.follow):
        return "the connection is not closed"
    if result.closed and len(result.responses) == count and result.silent:
        return _answers_fault(result, count) if outcome.silent else "closed without an answer"
    if len(result.responses) != count + 1 + (1 if goes_on else 0):
        return f"{len(result.responses)} answers"
    refusal = result.responses[count]
    if is_origin(refusal) or refusal.status not in outcome.refused:
        return f"refused with {refusal.status}" if not is_origin(refusal) else "forwarded"
    return _answers_fault(result, count)


def _forward_fault(result, outcome):
    seen = list(outcome.seen)
    if result.case.follow and result.seen == seen + [cases.AFTER_SEEN] and outcome.keep is not False:
        seen.append(cases.AFTER_SEEN)
    if result.seen != seen or not seen:
        return "should be forwarded as it is meant"
    if len(result.responses) != len(seen):
        return f"{len(result.responses)} answers to {len(seen)} requests"
    if outcome.keep is False and not result.closed:
        return "the connection must not live on"
    if outcome.keep is True and result.case.follow and cases.AFTER_SEEN not in seen:
        return "the request behind it was not served"
    if outcome.keep is True and not result.case.ends and result.closed:
        return "the connection should live on"
    return _answers_fault(result, len(seen)) or _head_fault(result, outcome)


def _request_fault(result, outcome):
    if result.is_0_9:
        return "answered in HTTP/0.9"
    if result.hangs:
        return "no outcome in time"
    return _forward_fault(result, outcome) if outcome.refused is None else _refusal_fault(result, outcome)


# ---- responses ----


def _discard_fault(result):
    if result.reused:
        return "the upstream connection was used again"
    if result.left_open:
        return "the upstream connection was kept open"
    return None


def _relay_fault(result, want):
    if not result.responses:
        return "should be forwarded"
    message = result.responses[0]
    if not message.complete or message.status != want.status or message.body != want.body:
        return f"should be forwarded ({message.status}, {len(message.body)} bytes came)"
    if want.reason is not None and message.reason != want.reason:
        return f"the reason is {message.reason!r}"
    for name in want.absent:
        if message.all(name):
            return f"{name} was forwarded"
    for name, value in want.present:
        if message.all(name) != [value]:
            return f"{name} is {message.all(name)!r}, not {value!r}"
    if want.trailers is not None and tuple(message.trailers) not in (want.trailers, ()):
        return f"the trailers are {message.trailers!r}"
    if want.interim is not None and tuple(m.status for m in message.interim) != want.interim:
        return f"the interim responses are {[m.status for m in message.interim]}"
    if want.keep is True and result.last != "ok":
        return "the connection should live on"
    if want.keep is False and result.last == "ok":
        return "the connection must not live on"
    if want.reused is True and not result.reused:
        return "the upstream connection was not used again"
    return _discard_fault(result) if want.reused is False else None


def _bad_fault(result, want):
    if not result.responses:
        return _discard_fault(result) if result.silent and want.silent else "should be a 502"
    message = result.responses[0]
    if not message.complete or not 500 <= message.status <= 504 or message.all("X-Case"):
        return f"should be a 502 ({message.status} came)"
    return _discard_fault(result)


def _broken_fault(result, want):
    if not result.responses:
        return "should break visibly"
    message = result.responses[0]
    if message.complete or message.status != want.status or not want.body.startswith(message.body):
        return f"should break visibly ({message.status} {'whole' if message.complete else 'cut short'} came)"
    return _discard_fault(result)


def _response_fault(result, want):
    if result.hangs:
        return "no outcome in time"
    if isinstance(want, cases.Relay):
        return _relay_fault(result, want)
    return _bad_fault(result, want) if isinstance(want, cases.Bad) else _broken_fault(result, want)
