# SPDX-License-Identifier: Apache-2.0
"""Without memory, or with a kernel that refuses, OpenSSL's calls end one connection and never the process."""
import os
import pathlib
import ssl
import sys

import pytest
from harness import http
from harness.client import Client
from harness.configs import forward
from harness.ports import take_port
from harness.proxy import BINARY
from harness.tls import Authority, client_context, server_context
from harness.waiting import wait_for

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "fault"))
from state import FaultState, mask  # noqa: E402

PRELOAD = pathlib.Path(BINARY).resolve().parent / "libfault_preload.so"
STEP = int(os.environ.get("SLUICE_FAULT_STEP", "9"))  # 1: every call, which takes minutes


@pytest.mark.skipif(bool(os.environ.get("SLUICE_SANITIZE")), reason="the preload stands before the sanitizer's runtime in scripts/faults only")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", ["alloc", "net"])
def test_each_call_fails_once(start, upstream, tmp_path, kind, version):
    authority, state = Authority(tmp_path / "tls"), FaultState(tmp_path / "state.fault")
    server = upstream(answer=lambda message: http.response(fields=[("Connection", "close")], body=message.body),
                      tls=server_context(authority.issue("127.0.0.1", stem="back"), version=version))
    config = {**forward(server), "workers": 1,
              "listen": [{"address": f"127.0.0.1:{take_port()}",
                          "tls": {**authority.issue("a.example").config, "client_certificates": {"verify": "optional", "ca": authority.file}}}]}
    config["upstreams"]["app"].update({"tls": {"ca": authority.file}, "timeouts": {"connect": "5s"}})
    proxy = start(config, env={"LD_PRELOAD": str(PRELOAD), "FAULT_STATE": str(state.path)})
    context = client_context(authority, authority.issue("caller"), version=version)
    body = os.urandom(30000)

    def life():
        """One connection with one request; None when it ended on the way."""
        try:
            with Client(proxy.address, tls=context, name="a.example", timeout=10) as client:
                client.send(http.request("POST", "/", body=body))
                reply = client.read()
        except (OSError, http.Ended):
            return None
        assert reply.status in (200, 500, 502, 503) and (reply.status != 200 or reply.body == body)
        return reply.status

    child = proxy.child
    assert life() == 200
    results, nth = [], 1
    while True:
        state.set(calls=0, fired=0, nth=nth, class_mask=mask(kind), seed=nth, is_armed=1)
        results.append(life())
        calls, fired = state.calls, state.fired
        state.set(is_armed=0, nth=0)
        assert proxy.child == child, f"the serving process died of call {nth}"
        if not fired and calls < nth:
            break
        nth += STEP if kind == "alloc" and nth >= 60 else 1
    assert results[-1] == 200 and len(results) > 10
    assert set(results) - {200}, "no failure was seen from outside"
    assert wait_for(lambda: life() == 200, "it serves as before")
