# SPDX-License-Identifier: Apache-2.0
"""What `sluice check` says about certificates before a client sees them."""
import json
import pathlib
import re
import subprocess
import types

import pytest
from cryptography import x509
from harness.configs import forward, respond
from harness.tls import Authority, server_context


def Files(certificate, key):
    """A pair that was made elsewhere."""
    return types.SimpleNamespace(certificate=str(certificate), key=str(key))


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "tls")


@pytest.fixture
def check(verb, tmp_path):
    """check(config): exit code and what was said."""
    def run(config, **kwargs):
        file = tmp_path / "sluice.json"
        file.write_text(json.dumps({"listen": [{"address": "127.0.0.1:8080"}], **config}))
        done = verb("check", "-c", file, **kwargs)
        return done.returncode, done.stdout + done.stderr

    return run


def listening(tls, **top):
    return {**respond(**top), "listen": [{"address": "127.0.0.1:8443", "tls": tls}]}


def test_good(check, authority, tmp_path):
    between = Authority(tmp_path / "tls", "Intermediate", authority)
    code, said = check(listening({**between.issue("a.example").config, "client_certificates": {"ca": authority.file}}))
    assert (code, said.count("error"), said.count("warning")) == (0, 0, 0), said


@pytest.mark.parametrize("days, since, words", [
    (-1, -3, "error: /listen/0/tls/certificate: the certificate has expired on 20"),
    (30, 1, "error: /listen/0/tls/certificate: the certificate is not valid before 20"),
    (13, -90, "warning: /listen/0/tls/certificate: the certificate expires soon, on 20"),
    (1, -5, "warning: /listen/0/tls/certificate: the certificate expires soon, on 20")])
def test_ages(check, authority, days, since, words):
    code, said = check(listening(authority.issue("a.example", days=days, since=since).config))
    assert words in said and code == (3 if "error" in words else 0)


@pytest.mark.parametrize("days, since", [(15, -90), (3, -3)])
def test_young_enough(check, authority, days, since):
    code, said = check(listening(authority.issue("a.example", days=days, since=since).config))
    assert code == 0 and "warning" not in said


def test_an_expired_certificate_does_not_keep_a_child_from_coming_back(start, connect, authority):
    """Only who reads the file judges its age."""
    import os
    import signal
    import time
    from harness.ports import take_port
    from harness.tls import client_context
    from harness.waiting import wait_for
    pair = authority.issue("a.example", days=4 / 86400, since=-1)
    proxy = start({**respond(), "listen": [{"address": f"127.0.0.1:{take_port()}", "tls": pair.config}]})
    wait_for(lambda: time.time() > pair.certificate_object.not_valid_after.timestamp() - time.timezone + 1, "it has expired")
    before = proxy.child
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: proxy.child not in (None, before) and len(proxy.events("start")) == 2, "another child serves")
    assert connect(proxy, tls=client_context(), name="a.example").ask().status == 200
    proxy.signal(signal.SIGHUP)
    assert "has expired on" in proxy.wait_for_event("reload_refused")[0]["reason"]


def broken(authority, tmp_path, case):
    """(the tls object, where, what)."""
    pair, other = authority.issue("a.example", password=b"secret" if case == "encrypted" else None), authority.issue("b.example")
    text = tmp_path / "text"
    between = Authority(tmp_path / "tls", "Intermediate", Authority(tmp_path / "tls", "Middle", authority))
    text.write_text("not PEM")
    if case == "torn":
        pathlib.Path(pair.certificate).write_bytes(pathlib.Path(pair.certificate).read_bytes()[:300])
    return {
        "other key": ({**pair.config, "key": other.key}, "key", "it is not the key of the certificate that comes first in the file"),
        "no certificate": ({**pair.config, "certificate": str(text)}, "certificate", "not a certificate in PEM"),
        "torn": (pair.config, "certificate", "not a certificate in PEM"),
        "no key": ({**pair.config, "key": str(text)}, "key", "not a private key in PEM"),
        "encrypted": (pair.config, "key", "the key is encrypted, and there is nobody to ask for its password"),
        "absent": ({**pair.config, "key": "/nowhere/x.key"}, "key", 'the file "/nowhere/x.key" cannot be read'),
        "chain": (between.issue("x", stem="x", reverse=True).config, "certificate",
                  "the chain is out of order: certificate 2 in the file has not signed certificate 1"),
        "short key": (authority.issue("s.example", kind="1024").config, "certificate", "ee key too small"),
        "ciphers": ({**pair.config, "ciphers": "none-such"}, "ciphers", "not a list of ciphers"),
        "client ca": ({**pair.config, "client_certificates": {"ca": str(text)}}, "client_certificates/ca", "not certificates in PEM"),
        "version": ({**pair.config, "min_version": "1.1"}, "min_version", '"1.1"'),
        "no client ca": ({**pair.config, "client_certificates": {}}, "client_certificates", '"ca" is missing'),
        "only a key": ({"key": pair.key}, "", '"certificate" is missing: TLS needs a certificate and its key'),
        "both forms": ({**pair.config, "certificates": [other.config]}, "certificates", '"certificates" stand instead of'),
        "second": ({"certificates": [pair.config, {**other.config, "key": pair.key}]}, "certificates/1/key", "it is not the key"),
    }[case]


@pytest.mark.parametrize("case", ["other key", "no certificate", "torn", "no key", "encrypted", "absent", "chain", "short key", "ciphers",
                                  "client ca", "version", "no client ca", "only a key", "both forms", "second"])
def test_broken(check, authority, tmp_path, case):
    tls, where, what = broken(authority, tmp_path, case)
    code, said = check(listening(tls))
    place = f"error: /listen/0/tls{'/' if where else ''}{where}: "
    assert code == (5 if case == "absent" else 3), said
    assert place in said and what in said[said.index(place):].split("\n")[0], said


@pytest.mark.parametrize("kind", ["ec", "2048"])
def test_a_certificate_that_nobody_gets(check, authority, kind):
    """The first one's names are not all in it, so that another kind of key is no use."""
    pairs = [authority.issue("a.example", "b.example", stem="one", kind=kind), authority.issue("b.example", stem="two")]
    code, said = check(listening({"certificates": [pair.config for pair in pairs]}))
    assert code == 0 and "warning: /listen/0/tls/certificates/1/certificate: no client gets this certificate" in said


def test_ciphers_that_prove_nobody(check, authority):
    code, said = check(listening({**authority.issue("a.example").config, "ciphers": "ADH-AES128-GCM-SHA256:@SECLEVEL=0"}))
    assert code == 0 and "warning: /listen/0/tls/ciphers: ADH-AES128-GCM-SHA256 has no forward secrecy, is no AEAD or proves nobody" in said


def test_a_certificate_that_demands_ocsp(check, authority):
    pair = authority.issue("a.example", more=[x509.TLSFeature([x509.TLSFeatureType.status_request])])
    code, said = check(listening(pair.config))
    assert code == 0 and "warning: /listen/0/tls/certificate: the certificate demands an answer of OCSP along with it" in said
    pair = authority.issue("b.example", more=[x509.TLSFeature([x509.TLSFeatureType.status_request_v2])])
    assert "OCSP" not in check(listening(pair.config))[1]


UNUSED = "ECDHE-ECDSA-AES128-GCM-SHA256"


@pytest.mark.parametrize("tls, where, words", [
    ({"min_version": "1.3", "ciphers": UNUSED}, "ciphers", 'not used: they are those of TLS 1.2, and "min_version" is 1.3; leave them out'),
    ({"session_tickets": False, "session_lifetime": "2h"}, "session_lifetime",
     'not used: with "session_tickets": false no session is resumed; leave it out'),
    ({"ciphers": "ECDHE-RSA-AES128-GCM-SHA256"}, "ciphers",
     "none of them is for the key of certificate 1 (ECDSA), so that nobody gets it over TLS 1.2: add one that is")])
def test_keys_of_a_listener_without_effect(check, authority, tls, where, words):
    code, said = check(listening({**authority.issue("a.example").config, **tls}))
    assert code == 0 and f"warning: /listen/0/tls/{where}: {words}\n" in said and said.count("warning: ") == 1


def test_ciphers_for_one_of_two_kinds_of_keys(check, authority):
    pairs = [authority.issue("a.example", stem="ec").config, authority.issue("a.example", stem="rsa", kind="2048").config]
    tls = {"certificates": pairs, "ciphers": UNUSED}
    code, said = check(listening(tls))
    assert code == 0 and "warning: /listen/0/tls/ciphers: none of them is for the key of certificate 2 (RSA), so" in said
    for good in ({"ciphers": UNUSED + ":ECDHE-RSA-AES128-GCM-SHA256"}, {"min_version": "1.3"}, {}):
        assert "warning" not in check(listening({"certificates": pairs, **good}))[1]


@pytest.mark.parametrize("tls", [
    {"session_tickets": False}, {"session_tickets": False, "session_lifetime": "1h"}, {"session_lifetime": "2h"}, {"min_version": "1.3"},
    {"ciphers": UNUSED}])
def test_keys_of_a_listener_that_have_effect(check, verb, authority, tmp_path, tls):
    """A file that was dumped says no less: what it spells out is what would be."""
    config = listening({**authority.issue("a.example").config, **tls})
    code, said = check(config)
    assert code == 0 and "warning" not in said
    dump = verb("check", "-c", tmp_path / "sluice.json", "--dump").stdout
    assert "warning" not in check(json.loads(dump))[1]


LEAF = "certificate %d in the file is no authority's: nobody is believed by it; give that of who signed it"


def test_a_leaf_among_the_authorities(check, authority, tmp_path):
    pair = authority.issue("a.example")
    code, said = check(listening({**pair.config, "client_certificates": {"ca": pair.certificate}}))
    assert code == 0 and f"warning: /listen/0/tls/client_certificates/ca: {LEAF % 1}" in said
    both = tmp_path / "both.pem"
    both.write_bytes(pathlib.Path(authority.file).read_bytes() + pathlib.Path(pair.certificate).read_bytes())
    config = forward("127.0.0.1:9000")
    config["upstreams"]["app"]["tls"] = {"ca": str(both)}
    code, said = check(config)
    assert code == 0 and f"warning: /upstreams/app/tls/ca: {LEAF % 2}" in said


def test_a_certificate_that_is_its_own_authority(check, start, upstream, connect, tmp_path):
    """Made by `openssl req -x509` it may be given for itself: it is believed."""
    words = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=a.example",
             "-addext", "subjectAltName=DNS:a.example", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(["openssl", "req", *words, "-keyout", tmp_path / "own.key", "-out", tmp_path / "own.crt"], check=True, capture_output=True)
    server = upstream(tls=server_context(Files(tmp_path / "own.crt", tmp_path / "own.key")))
    config = forward(server)
    config["upstreams"]["app"]["tls"] = {"ca": str(tmp_path / "own.crt"), "server_name": "a.example"}
    code, said = check(config)
    assert code == 0 and "warning" not in said
    assert connect(start(config)).ask().status == 200


@pytest.mark.parametrize("name, words", [
    ("a.example:443", "no certificate has a port in its name: give the name alone"),
    ("*.example", "a pattern stands in certificates, and none has this for a name: give the name itself"),
    ("a.example.", "no certificate has a point at the end of its name: leave it out"),
    ("https//a", "no certificate has such a name: letters, digits, points and hyphens stand in one (others as \"xn--\")"),
    ("b\u00fccher.example", "no certificate has such a name: letters"),
    ("a.example", None), ("xn--bcher-kva.example", None), ("a_b", None), ("192.0.2.1", None), ("2001:db8::1", None)])
@pytest.mark.parametrize("kind", ["upstream", "store"])
def test_names_that_nobody_has(check, authority, kind, name, words):
    config = forward("127.0.0.1:9000")
    tls = {"ca": authority.file, "server_name": name}
    if kind == "upstream":
        config["upstreams"]["app"]["tls"], where = tls, "/upstreams/app/tls/server_name"
    else:
        config["store"], where = {"type": "redis", "servers": ["127.0.0.1:6379"], "fleet_size": 1, "tls": tls}, "/store/tls/server_name"
    code, said = check(config)
    assert code == 0
    if words is None:
        assert "warning" not in said
    else:
        assert f"warning: {where}: {words}" in said and said.count("warning: ") == 1


def test_certificates_that_nobody_asks_for(check):
    code, said = check({**respond(quotas={"c": {"key": ["certificate"], "limits": {"minute": 5}}}, subject_secret="s")})
    assert code == 0 and 'warning: /quotas/c: no listener asks for "client_certificates"' in said


@pytest.mark.parametrize("tls, where, what", [
    ({"ca": "absent.pem"}, "ca", "cannot be read"), ({"certificate": "CERT"}, "certificate", "belong together"),
    ({"certificate": "CERT", "key": "OTHER"}, "key", "it is not the key")])
def test_upstreams(check, authority, tls, where, what):
    words = {"CERT": authority.issue("a.example").certificate, "OTHER": authority.issue("b.example").key}
    config = forward("127.0.0.1:9000")
    config["upstreams"]["app"]["tls"] = {key: words.get(value, value) for key, value in {"ca": authority.file, **tls}.items()}
    code, said = check(config)
    assert code in (3, 5) and f"error: /upstreams/app/tls/{where}: " in said and what in said


def test_a_unix_socket_has_no_name(check, authority):
    config = forward("unix:/tmp/x.sock")
    config["upstreams"]["app"]["tls"] = {"ca": authority.file}
    code, said = check(config)
    assert code == 3 and 'give "server_name"' in said
    config["upstreams"]["app"]["tls"]["server_name"] = "a.example"
    assert check(config)[0] == 0


def test_no_list_of_the_system(check):
    config = forward("127.0.0.1:9000")
    config["upstreams"]["app"]["tls"] = {}
    code, said = check(config, env={"SSL_CERT_FILE": "/nowhere"})
    assert code == 3 and "error: /upstreams/app/tls: the system's authorities cannot be read" in said


def test_keys_are_not_shown(check, verb, authority, tmp_path):
    pair = authority.issue("a.example")
    assert check(listening(pair.config))[0] == 0
    dump = verb("check", "-c", tmp_path / "sluice.json", "--dump").stdout
    assert pair.key in dump and "PRIVATE KEY" not in dump


PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "tls.md").read_text()
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_of_the_page(verb, authority, tmp_path, example):
    """They are good as they stand, with the files that they name beside them."""
    pair = authority.issue("a.example", stem="site")
    for name, source in {"site.crt": pair.certificate, "site.key": pair.key, "clients.pem": authority.file, "servers.pem": authority.file}.items():
        (tmp_path / name).write_bytes(pathlib.Path(source).read_bytes())
    (tmp_path / "sluice.json").write_text(example)
    done = verb("check", "-c", tmp_path / "sluice.json", env={"SLUICE_SUBJECT_SECRET": "x" * 32})
    assert (done.returncode, "warning" in done.stdout + done.stderr) == (0, False), done.stderr


def test_there_are_examples():
    assert len(EXAMPLES) == 3


def test_the_page_names_every_reason():
    """The words of the program, and no others."""
    sources = [pathlib.Path(__file__).resolve().parents[2] / "src" / "net" / name for name in ("net_tls_words.c", "net_tls_session.c")]
    text = "".join(source.read_text() for source in sources)
    words = set(re.findall(r'"([a-z_]{4,30})",\s*"', text)) | set(re.findall(r'net_tls_say\(session, "([a-z_]+)"', text))
    table = PAGE.split("| `reason` | meaning |")[1].split("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", table)) == words
