# SPDX-License-Identifier: Apache-2.0
"""What a scanner of TLS finds, and that it would find more where there is more to find."""
import pathlib
import re
import signal
import subprocess

import pytest
from harness.configs import respond
from harness.ports import take_port
from harness.tls import Authority
from harness.tls_probes import EXPECTED, PROBES, Prober
from harness.waiting import wait_for

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "tls.md"


@pytest.fixture
def root(tmp_path):
    return Authority(tmp_path / "tls")


@pytest.mark.parametrize("what", PROBES)
def test_what_a_client_may_do(start, root, tmp_path, what):
    pair = Authority(tmp_path / "tls", "Intermediate", root).issue("a.example", kind="2048")
    proxy = start({**respond(), "workers": 2, "listen": [{"address": f"127.0.0.1:{take_port()}", "tls": pair.config}]})

    def reload():
        proxy.signal(signal.SIGHUP)
        proxy.wait_for_event("reload")

    assert PROBES[what](Prober(proxy.ports[0], root.file, tmp_path, reload)) == EXPECTED[what]


LAX = {
    "versions": "1.0, 1.1, 1.2, 1.3",
    "whose order of ciphers counts": "the client's",
    "old curves": "secp224r1, secp256k1, brainpoolP256r1",
    "signatures with SHA-1": "taken",
    "chain": "1 certificates, in order, not verified",
    "renegotiation": "RFC 5746 known, a client's taken",
    "early data": "offered",
    "ALPN h2, http/1.1": "not answered",
    "ALPN with nothing in common": "served all the same",
    "sessions resumed, any worker": "1.2: 0 of 12; 1.3: 0 of 12",
}


@pytest.fixture
def lax(root, tmp_path):
    """A server that lets its clients do what it can."""
    pair, port = Authority(tmp_path / "tls", "Intermediate", root).issue("a.example", kind="2048"), take_port()
    (tmp_path / "leaf.crt").write_bytes(re.match(rb".*?END CERTIFICATE-----\n", pathlib.Path(pair.certificate).read_bytes(), re.DOTALL)[0])
    words = ["-accept", f"127.0.0.1:{port}", "-cert", tmp_path / "leaf.crt", "-key", pair.key, "-cipher", "ALL:@SECLEVEL=0", "-client_renegotiation",
             "-max_early_data", "1000", "-curves", "P-256:secp224r1:secp256k1:brainpoolP256r1:X25519", "-www", "-quiet",
             "-no_ticket", "-no_cache"]
    with subprocess.Popen(["openssl", "s_server", *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as server:
        prober = Prober(port, root.file, tmp_path, lambda: None)
        wait_for(prober.shakes, "it serves")
        yield prober
        server.terminate()


@pytest.mark.parametrize("what", LAX)
def test_what_another_server_lets_them_do(lax, what):
    assert PROBES[what](lax) == LAX[what]


def test_its_ciphers_are_many(lax):
    good, weak = map(int, re.findall(r"\d+", PROBES["ciphers of TLS 1.2"](lax)))
    assert good > weak > 5


def test_the_page_has_the_same_table():
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().split("| asked |")[1].split("\n\n")[0].splitlines()[2:]]
    assert {row[0]: row[1] for row in rows} == EXPECTED
    assert {len(row) for row in rows} == {4}
