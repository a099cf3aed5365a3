# SPDX-License-Identifier: Apache-2.0
"""Callers named by a claim of a signed token: only what a key of the identity signed, with that key's algorithm, while it is valid."""
import base64
import hashlib
import hmac
import json
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from harness.configs import forward
from harness.replies import check_error, trio_of
from harness.waiting import wait_for

SECRET = "a secret of at least 32 bytes, really"
LATER = int(time.time()) + 10000


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value):
    return b64(value if isinstance(value, bytes) else json.dumps(value).encode())


def pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


RSA, OTHER_RSA, SMALL_RSA = (rsa.generate_private_key(65537, bits) for bits in (2048, 2048, 1024))
EC, OTHER_EC, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())


def sign(alg, key, text):
    if alg == "HS256":
        return hmac.new(key if isinstance(key, bytes) else key.encode(), text, hashlib.sha256).digest()
    if alg == "RS256":
        return key.sign(text, padding.PKCS1v15(), hashes.SHA256())
    r, s = decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def token(claims, alg="HS256", key=SECRET, header=None, says=None):
    head = {"alg": says or alg, "typ": "JWT", **(header or {})}
    payload = {"exp": LATER, **claims} if isinstance(claims, dict) else claims
    text = f"{part(head)}.{part(payload)}"
    return f"{text}.{b64(sign(alg, key, text.encode()))}"


def bearer(text):
    return {"fields": [("Authorization", f"Bearer {text}")]}


KEYS = [{"algorithm": "HS256", "key": SECRET}, {"algorithm": "RS256", "key": pem(RSA), "kid": "rsa"}, {"algorithm": "ES256", "key": pem(EC), "kid": "ec"}]


def config(server="127.0.0.1:9000", claim="sub", keys=None, missing="refuse", **more):
    return forward(server, subject_secret="test", quotas={"q": {"key": ["who"], "limits": {"hour": 100}}},
                   identities={"who": {"from": [f"jwt:{claim}"], "missing": missing, "keys": KEYS if keys is None else keys, **more}})


def used(reply):
    assert reply.status == 200, reply
    limit, left, _ = trio_of(reply)
    return limit - left


def test_a_subject_is_the_claim_whoever_signed_it(start, upstream, connect):
    proxy = start(config(upstream()))
    client = connect(proxy)
    for count, (alg, key, header) in enumerate([("HS256", SECRET, {}), ("RS256", RSA, {"kid": "rsa"}), ("ES256", EC, {"kid": "ec"}),
                                                ("RS256", RSA, {}), ("ES256", EC, {}), ("HS256", SECRET, {"kid": "whatever"})], 1):
        assert used(client.ask(**bearer(token({"sub": "alice", "n": count}, alg, key, header)))) == count
    assert used(client.ask(**bearer(token({"sub": "bob"})))) == 1
    assert used(client.ask(**bearer(token({"sub": 4711})))) == used(client.ask(**bearer(token({"sub": "4711"})))) - 1
    assert used(client.ask(**bearer(token({"sub": "al\u00efce \u0001"})))) == 1
    shown = {line["subjects"]["who"] for line in proxy.requests(10)}
    assert all(len(text) == 22 for text in shown) and "alice" not in proxy.access_log.read_text()


def alg_twice(payload):
    text = part(b'{"alg":"none","alg":"HS256"}') + "." + payload
    return text + "." + b64(sign("HS256", SECRET, text.encode()))


def forged():
    """Tokens that prove nothing, by what is wrong with them."""
    good = token({"sub": "alice"})
    head, payload, signature = good.split(".")
    now = int(time.time())
    changed = part({"exp": LATER, "sub": "root"})
    none = f"{part({'alg': 'none'})}.{payload}."
    confused = token({"sub": "alice"}, "HS256", pem(RSA))
    return {
        "none": none, "none with signature": none + signature, "None": f"{part({'alg': 'None'})}.{payload}.", "no alg": f"{part({})}.{payload}.{signature}",
        "another payload": f"{head}.{changed}.{signature}", "another header": f"{part({'alg': 'HS256', 'x': 1})}.{payload}.{signature}",
        "public key as secret": confused, "public key as secret, with kid": token({"sub": "alice"}, "HS256", pem(RSA), {"kid": "rsa"}),
        "RS256 said, HMAC made": token({"sub": "alice"}, "HS256", pem(RSA), {"kid": "rsa"}, says="RS256"),
        "another secret": token({"sub": "alice"}, key=SECRET + "x"), "another RSA key": token({"sub": "alice"}, "RS256", OTHER_RSA, {"kid": "rsa"}),
        "another EC key": token({"sub": "alice"}, "ES256", OTHER_EC, {"kid": "ec"}), "kid of another key": token({"sub": "alice"}, "RS256", RSA, {"kid": "ec"}),
        "unknown kid": token({"sub": "alice"}, "ES256", EC, {"kid": "old"}), "kid that is no text": token({"sub": "alice"}, "RS256", RSA, {"kid": 1}),
        "HS384 said": token({"sub": "alice"}, says="HS384"), "crit": token({"sub": "alice"}, header={"crit": ["exp"]}),
        "alg twice": alg_twice(payload),
        "expired": token({"sub": "alice", "exp": now - 61}), "not yet": token({"sub": "alice", "nbf": now + 120}),
        "no exp": token({"sub": "alice", "exp": None}), "exp as text": token({"sub": "alice", "exp": str(LATER)}),
        "exp before all": token({"sub": "alice", "exp": -1}), "exp too large": token({"sub": "alice", "exp": 1e30}),
        "nbf as text": token({"sub": "alice", "nbf": "0"}), "no claim": token({"name": "alice"}), "empty claim": token({"sub": ""}),
        "claim is a list": token({"sub": ["alice"]}), "claim is true": token({"sub": True}), "claim is a fraction": token({"sub": 1.5}),
        "claim too long": token({"sub": "a" * 1025}), "payload is a list": token(b'["sub"]'), "payload is no JSON": token(b"{"),
        "sub twice": token(b'{"exp":%d,"sub":"alice","sub":"bob"}' % LATER), "NUL in the claim": token(b'{"exp":%d,"sub":"a\\u0000b"}' % LATER),
        "padding": good + "=", "two parts": f"{head}.{payload}", "four parts": good + ".x", "empty": "..", "no signature": f"{head}.{payload}.",
        "short signature": good[:-4], "space": f"{head}. {payload}.{signature}", "junk": "a.b.c", "stray bits": good[:-1] + chr(ord(good[-1]) + 1),
        "too long": token({"sub": "alice", "x": "y" * 16384}), "ES256 as DER": None,
    }


def test_whatever_is_wrong_the_token_is_missing(start, upstream, connect):
    server = upstream()
    proxy = start(config(server))
    client = connect(proxy)
    head, payload, _ = token({"sub": "alice"}, "ES256", EC).split(".")
    tokens = forged()
    tokens["ES256 as DER"] = f"{head}.{payload}.{b64(EC.sign(f'{head}.{payload}'.encode(), ec.ECDSA(hashes.SHA256())))}"
    for turn in range(2):  # the second time a memory of the first must not let it through
        for name, text in tokens.items():
            reply = client.ask(**bearer(text))
            assert reply.status == 401, (name, turn, reply)
            check_error(reply, 401, "0305", "Incorrect authentication information.")
    assert not server.requests
    assert used(client.ask(**bearer(token({"sub": "alice"})))) == 1


def test_a_missing_token_is_counted_by_address(start, upstream, connect):
    client = connect(start(config(upstream(), missing="ip")))
    assert used(client.ask()) == 1
    assert used(client.ask(**bearer(token({"sub": "127.0.0.1"})))) == 1, "a claim is no address"
    assert used(client.ask(**bearer("x.y.z"))) == 2
    assert client.ask(fields=[("Authorization", "Bearer a"), ("Authorization", "Bearer b")]).status == 400


def test_a_token_ends_while_it_is_remembered(start, upstream, connect):
    client = connect(start(config(upstream(), leeway="0s")))
    text = token({"sub": "alice", "exp": int(time.time()) + 3})
    assert used(client.ask(**bearer(text))) == 1 and used(client.ask(**bearer(text))) == 2
    wait_for(lambda: client.ask(**bearer(text)).status == 401, "the token ends")


def test_leeway(start, upstream, connect):
    client = connect(start(config(upstream(), leeway="1h")))
    now = int(time.time())
    assert used(client.ask(**bearer(token({"sub": "a", "exp": now - 3000})))) == 1
    assert used(client.ask(**bearer(token({"sub": "a", "nbf": now + 3000.5})))) == 2
    assert client.ask(**bearer(token({"sub": "a", "exp": now - 3700}))).status == 401
    assert client.ask(**bearer(token({"sub": "a", "nbf": now + 3700}))).status == 401


def test_issuer_and_audience(start, upstream, connect):
    """A key with terms proves the tokens that meet them; to the others it is no key."""
    keys = [{"algorithm": "HS256", "key": SECRET, "issuer": "https://login.example/", "audience": ["api", "images"]},
            {"algorithm": "RS256", "key": pem(RSA), "issuer": "other"}]
    client = connect(start(config(upstream(), keys=keys)))
    good = {"sub": "alice", "iss": "https://login.example/", "aud": "images"}
    assert used(client.ask(**bearer(token(good)))) == 1
    assert used(client.ask(**bearer(token({**good, "aud": ["x", "api"]})))) == 2
    assert used(client.ask(**bearer(token({"sub": "alice", "iss": "other", "aud": "whoever"}, "RS256", RSA)))) == 3
    for wrong in ({"iss": None}, {"iss": "other"}, {"iss": "https://login.example"}, {"aud": None}, {"aud": []}, {"aud": "ap"}, {"aud": ["x"]},
                  {"aud": {"api": 1}}, {"iss": ["https://login.example/"]}):
        check_error(client.ask(**bearer(token({**good, **wrong}))), 401, "0305", "Incorrect authentication information.")
    assert client.ask(**bearer(token(good, "RS256", RSA))).status == 401, "the other key's issuer is another"


def test_other_keys_after_a_reload_forget_what_was_proven(start, upstream, connect, verb, tmp_path):
    made = config(upstream())
    made["admin"] = {"address": f"unix:{tmp_path}/admin.sock"}
    proxy = start(made)
    client = connect(proxy)
    text = token({"sub": "alice", "name": "bob"})
    assert used(client.ask(**bearer(text))) == 1
    for change, status in ((KEYS[1:], 401), (KEYS, 200)):
        proxy.config["identities"]["who"]["keys"] = change
        proxy.write_config(proxy.config)
        done = verb("reload", "-c", proxy.file)
        assert done.returncode == 0 and SECRET not in done.stdout
        assert client.ask(**bearer(text)).status == status
    proxy.config["identities"]["who"]["from"] = ["jwt:name"]
    proxy.write_config(proxy.config)
    assert verb("reload", "-c", proxy.file).returncode == 0
    assert used(client.ask(**bearer(text))) == 1, "another claim of the same token"


def test_two_claims_of_one_token(start, upstream, connect):
    made = config(upstream())
    made["identities"]["org"] = {"from": ["jwt:org"], "keys": KEYS}
    made["quotas"]["o"] = {"key": ["org"], "limits": {"hour": 10}}
    made["routes"][0]["quotas"] = ["q", "o"]
    client = connect(start(made))
    assert used(client.ask(**bearer(token({"sub": "a", "org": "acme"})))) == 1
    assert trio_of(client.ask(**bearer(token({"sub": "b", "org": "acme"})))) == (10, 8, "hour")


def test_keys_from_files(start, upstream, connect, tmp_path):
    (tmp_path / "rsa.pem").write_text(pem(RSA))
    (tmp_path / "secret").write_text(SECRET + "\n")
    keys = [{"algorithm": "RS256", "key": {"file": "rsa.pem"}}, {"algorithm": "HS256", "key": {"file": "secret"}}]
    client = connect(start(config(upstream(), keys=keys)))
    assert used(client.ask(**bearer(token({"sub": "a"}, "RS256", RSA)))) == 1
    assert used(client.ask(**bearer(token({"sub": "a"})))) == 2


BROKEN = [
    ([{"algorithm": "HS256", "key": "short"}], "/identities/who/keys/0: a secret for HS256 has at least 32 bytes"),
    ([{"algorithm": "HS256", "key": pem(RSA)}], "/identities/who/keys/0: a key in PEM is no secret"),
    ([{"algorithm": "RS256", "key": SECRET}], "/identities/who/keys/0: not a public key in PEM"),
    ([{"algorithm": "RS256", "key": pem(EC)}], "/identities/who/keys/0: not an RSA key"),
    ([{"algorithm": "RS256", "key": pem(SMALL_RSA)}], "/identities/who/keys/0: an RSA key has at least 2048 bits"),
    ([{"algorithm": "ES256", "key": pem(P384)}], "/identities/who/keys/0: not a key on the curve P-256"),
    ([{"algorithm": "ES256", "key": pem(RSA)}], "/identities/who/keys/0: not a key on the curve P-256"),
    ([{"algorithm": "none", "key": SECRET}], "/identities/who/keys/0/algorithm: expected \"HS256\", \"RS256\" or \"ES256\""),
    ([{"key": SECRET}], '/identities/who/keys/0: "algorithm" is missing'),
    ([{"algorithm": "HS256", "key": SECRET, "issuer": ""}], "/identities/who/keys/0/issuer: must not be empty"),
    ([{"algorithm": "HS256", "key": SECRET, "audience": []}], "/identities/who/keys/0/audience: "),
    ([{"algorithm": "HS256", "key": SECRET, "audience": "api"}], "/identities/who/keys/0/audience: expected a list of strings"),
    ([{"algorithm": "HS256", "key": SECRET, "audience": ["api", ""]}], "/identities/who/keys/0/audience/1: "),
    ([{"algorithm": "HS256", "key": SECRET, "audience": ["api", "API", "api"]}], "/identities/who/keys/0/audience/2: \"api\": listed twice"),
    ([], '/identities/who: "keys" are missing'),
]


@pytest.mark.parametrize("keys, words", BROKEN, ids=[row[1][:70] for row in BROKEN])
def test_what_is_refused(verb, tmp_path, keys, words):
    made = config(keys=keys)
    made["listen"] = [{"address": "127.0.0.1:18080"}]
    (tmp_path / "c.json").write_text(json.dumps(made))
    done = verb("check", "-c", tmp_path / "c.json")
    assert done.returncode == 3 and words in done.stderr, done.stderr


def test_keys_and_tokens_belong_together(verb, tmp_path):
    for change, words in ((lambda c: c["identities"]["who"].update({"from": ["bearer"]}), '"keys" only with a source "jwt:CLAIM"'),
                          (lambda c: c["quotas"]["q"].update(key=["jwt:sub"]), 'a token needs an identity with "keys"')):
        made = config()
        made["listen"] = [{"address": "127.0.0.1:18080"}]
        change(made)
        (tmp_path / "c.json").write_text(json.dumps(made))
        done = verb("check", "-c", tmp_path / "c.json")
        assert done.returncode == 3 and words in done.stderr, done.stderr
    made = config()
    made["listen"] = [{"address": "127.0.0.1:18080"}]
    (tmp_path / "c.json").write_text(json.dumps(made))
    assert "can make up" not in verb("check", "-c", tmp_path / "c.json").stderr, "a proven claim cannot be made up"
    dump = verb("check", "--dump", "-c", tmp_path / "c.json").stdout
    assert SECRET not in dump and '"***"' in dump
