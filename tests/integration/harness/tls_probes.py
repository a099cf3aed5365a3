# SPDX-License-Identifier: Apache-2.0
"""What a server on this machine lets a client of TLS do, asked by `openssl s_client` as a scanner asks: each probe gives a few words.
EXPECTED has those of Sluice without any key of TLS but certificate and key.  The server has a certificate for a.example behind an
intermediate, with a key of RSA (with one of ECDSA its own curve would have to be among those that are tried), and at least two workers."""
import re
import socket
import ssl
import subprocess

from .tls import client_context
from .waiting import wait_for

LOW = "@SECLEVEL=0"  # the client's own rules would hide the server's
GROUPS = ("X25519", "X448", "P-256", "P-384", "P-521", "ffdhe2048")
OLD_GROUPS = ("secp192r1", "secp224r1", "secp256k1", "sect283k1", "sect571r1", "brainpoolP256r1", "brainpoolP384r1")
RESUMED = 12  # connections; with two workers all are on the first one's once in 4096
REQUEST = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"


class Prober:
    """port: the server's; ca: the file of the root; folder: for sessions; reload(): the server reads its files again."""

    def __init__(self, port, ca, folder, reload):
        self.port, self.ca, self.folder, self.reload = port, ca, folder, reload

    def command(self, *words, name="a.example"):
        return ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", name, "-CAfile", self.ca, *words]

    def ask(self, *words, data=b"", name="a.example"):
        done = subprocess.run(self.command(*words, name=name), input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False)
        return done.stdout.decode(errors="replace")

    def shakes(self, *words):
        return "Cipher is (NONE)" not in (said := self.ask(*words)) and "Cipher is " in said

    def those_that_shake(self, names, *words):
        return ", ".join(name for name in names if self.shakes(*(word.format(name) for word in words))) or "none"

    def resumed(self, version, session):
        return "Reused, TLSv1" in self.ask(version, "-ign_eof", "-sess_in", session, data=REQUEST)

    def begin_session(self, version):
        session = str(self.folder / f"session{version}")
        self.ask(version, "-ign_eof", "-sess_out", session, data=REQUEST)
        return session


def versions(prober):
    names = {"-tls1": "1.0", "-tls1_1": "1.1", "-tls1_2": "1.2", "-tls1_3": "1.3"}
    return ", ".join(name for word, name in names.items() if prober.shakes(word, "-cipher", f"ALL:{LOW}"))


def ciphers(prober):
    """Of TLS 1.2."""
    listed = subprocess.run(["openssl", "ciphers", "-tls1_2", f"ALL:COMPLEMENTOFALL:{LOW}"], capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.strip().split(":") if not name.startswith("TLS_") and "PSK" not in name and "SRP" not in name]
    good = [name for name in names if prober.shakes("-tls1_2", "-cipher", f"{name}:{LOW}")]
    weak = [name for name in good if not re.match(r"(ECDHE|DHE)-.*(GCM|POLY1305)", name)]
    return f"{len(good)}, {len(weak)} of them without forward secrecy or AEAD"


def order(prober):
    chosen = {re.search(r"Cipher is (\S+)", prober.ask("-tls1_2", "-cipher", words))[1]
              for words in ("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384")}
    return "the server's" if len(chosen) == 1 else "the client's"


def groups(prober):
    return prober.those_that_shake(GROUPS, "-tls1_3", "-groups", "{}")


def old_groups(prober):
    return prober.those_that_shake(OLD_GROUPS, "-tls1_2", "-curves", "{}", "-cipher", f"ECDHE:{LOW}")


def sha1(prober):
    is_taken = prober.shakes("-tls1_2", "-sigalgs", "RSA+SHA1:ECDSA+SHA1", "-cipher", f"ALL:{LOW}")
    return "taken" if is_taken else "refused"


def chain(prober):
    said = prober.ask("-showcerts")
    issuers = re.findall(r"^ *\d s:(.*)\n +i:(.*)$", said, re.MULTILINE)
    in_order = all(issuer == subject for (_, issuer), (subject, _) in zip(issuers, issuers[1:]))
    verdict = "verified" if "Verify return code: 0 (ok)" in said else "not verified"
    return f"{len(issuers)} certificates, {'in order' if in_order else 'out of order'}, {verdict}"


def compression(prober):
    return "none" if "Compression: NONE" in prober.ask("-tls1_2", "-comp") else "offered"


def renegotiation(prober):
    """A second handshake shows the certificate again; who refuses it says so, or hangs up."""
    said = prober.folder / "renegotiation"

    def is_taken():
        return "depth=0" in said.read_text().partition("RENEGOTIATING")[2]

    with open(said, "wb") as output, subprocess.Popen(prober.command("-tls1_2"), stdin=subprocess.PIPE, stdout=output,
                                                      stderr=subprocess.STDOUT) as client:
        client.stdin.write(b"R\n")
        client.stdin.flush()
        wait_for(lambda: client.poll() is not None or is_taken(), "it is taken or refused")
        client.kill()
    text = said.read_text()
    is_known = "Secure Renegotiation IS supported" in text
    assert "RENEGOTIATING" in text, text
    return f"{'RFC 5746 known' if is_known else 'RFC 5746 unknown'}, a client's {'taken' if is_taken() else 'refused'}"


def fallback(prober):
    return "refused" if "inappropriate fallback" in prober.ask("-fallback_scsv", "-no_tls1_3") else "taken"


def master_secret(prober):
    return "yes" if "Extended master secret: yes" in prober.ask("-tls1_2") else "no"


def early_data(prober):
    session = prober.begin_session("-tls1_3")
    return "none" if "Max Early Data: 0" in prober.ask("-tls1_3", "-ign_eof", "-sess_in", session, data=REQUEST) else "offered"


def alpn(prober):
    said = prober.ask("-alpn", "h2,http/1.1")
    return match[1] if (match := re.search(r"ALPN protocol: (\S+)", said)) else "not answered"


def alpn_other(prober):
    return "no_application_protocol" if "no application protocol" in prober.ask("-alpn", "smtp") else "served all the same"


def other_name(prober):
    subject = re.search(r"^ *0 s:(.*)$", prober.ask(name="other.example"), re.MULTILINE)
    return f"the first certificate ({subject[1]})" if subject else "refused"


def resumption(prober):
    """Of a session begun with one worker, with all."""
    found = []
    for word, name in {"-tls1_2": "1.2", "-tls1_3": "1.3"}.items():
        session = prober.begin_session(word)
        found.append(f"{name}: {sum(prober.resumed(word, session) for _ in range(RESUMED))} of {RESUMED}")
    return "; ".join(found)


def resumption_after_reload(prober):
    sessions = {word: prober.begin_session(word) for word in ("-tls1_2", "-tls1_3")}
    prober.reload()
    return "; ".join(f"{word[4:].replace('_', '.')}: {'yes' if prober.resumed(word, session) else 'no'}" for word, session in sessions.items())


def ending(prober):
    """Of a connection that the server ends: said by close_notify, or only by the end of the bytes, which anybody could make."""
    context = client_context()
    with socket.create_connection(("127.0.0.1", prober.port), 10) as sock, \
            context.wrap_socket(sock, server_hostname="a.example", suppress_ragged_eofs=False) as secured:
        secured.sendall(REQUEST)
        try:
            while secured.recv(65536):
                pass
        except ssl.SSLEOFError:
            return "without a word"
    return "close_notify"


PROBES = {
    "versions": versions,
    "ciphers of TLS 1.2": ciphers,
    "whose order of ciphers counts": order,
    "groups (of " + ", ".join(GROUPS) + ")": groups,
    "old curves": old_groups,
    "signatures with SHA-1": sha1,
    "chain": chain,
    "compression": compression,
    "renegotiation": renegotiation,
    "a fall back from 1.3 (RFC 7507)": fallback,
    "extended master secret (RFC 7627)": master_secret,
    "early data": early_data,
    "ALPN h2, http/1.1": alpn,
    "ALPN with nothing in common": alpn_other,
    "a name that nobody has": other_name,
    "sessions resumed, any worker": resumption,
    "sessions resumed behind a reload": resumption_after_reload,
    "a connection's end": ending,
}
EXPECTED = {
    "versions": "1.2, 1.3",
    "ciphers of TLS 1.2": "3, 0 of them without forward secrecy or AEAD",  # with a key of RSA
    "whose order of ciphers counts": "the server's",
    "groups (of " + ", ".join(GROUPS) + ")": "X25519, P-256, P-384",
    "old curves": "none",
    "signatures with SHA-1": "refused",
    "chain": "2 certificates, in order, verified",
    "compression": "none",
    "renegotiation": "RFC 5746 known, a client's refused",
    "a fall back from 1.3 (RFC 7507)": "refused",
    "extended master secret (RFC 7627)": "yes",
    "early data": "none",
    "ALPN h2, http/1.1": "http/1.1",
    "ALPN with nothing in common": "no_application_protocol",
    "a name that nobody has": "the first certificate (CN = a.example)",
    "sessions resumed, any worker": "1.2: 12 of 12; 1.3: 12 of 12",
    "sessions resumed behind a reload": "1.2: yes; 1.3: yes",
    "a connection's end": "close_notify",
}
