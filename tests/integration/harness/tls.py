# SPDX-License-Identifier: Apache-2.0
"""Certificates of every kind, made when a test needs them, and secured sockets of clients and servers."""
import contextlib
import datetime
import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .ports import take_port

_DAY = datetime.timedelta(days=1)


def _name(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(*certificates):
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


class Pair:
    """A certificate with its chain, and its key, in two files; the key is encrypted when there is a password."""

    def __init__(self, folder, stem, chain, key, password=None):
        self.certificate_object = chain[0]
        self.certificate, self.key = str(folder / f"{stem}.crt"), str(folder / f"{stem}.key")
        self.der = chain[0].public_bytes(serialization.Encoding.DER)
        self.serial = chain[0].serial_number
        with open(self.certificate, "wb") as file:
            file.write(_pem(*chain))
        with open(self.key, "wb") as file:
            file.write(key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)))

    @property
    def config(self):
        return {"certificate": self.certificate, "key": self.key}

    @property
    def fingerprint(self):
        return self.certificate_object.fingerprint(hashes.SHA256()).hex()


class Authority:
    """Signs; with an intermediate one that does the signing when asked for."""

    def __init__(self, folder, common="Test CA", parent=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.parent = folder, parent
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.common = common
        self.certificate = self._build(common, self.key.public_key(), _name(common), parent, True, [], 3650, -1)
        self.file = str(folder / f"{common.replace(' ', '_')}.pem")
        with open(self.file, "wb") as file:
            file.write(_pem(self.certificate))

    def _build(self, common, public, issuer, signer, is_ca, names, days, since, more=()):
        now = datetime.datetime.utcnow()
        signing_key = signer.key if signer else self.key
        builder = (x509.CertificateBuilder().subject_name(_name(common))
                   .issuer_name(_name(signer.common) if signer else issuer).public_key(public)
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now + since * _DAY).not_valid_after(now + days * _DAY)
                   .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if not is_ca:
            usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        for extension in more:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(signing_key, hashes.SHA256())

    def issue(self, *names, stem=None, days=365, since=-1, kind="ec", common=None, reverse=False, password=None, more=()):
        """A pair for these names ("127.0.0.1" becomes an address); since and days: from when to when, in days from today; more:
        extensions."""
        key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, int(kind))
        alternatives = []
        for name in names:
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                alternatives.append(x509.DNSName(name))
        common = common or (names[0] if names else "nobody")
        leaf = self._build(common, key.public_key(), None, self, False, alternatives, days, since, more)
        chain, signer = [leaf], self
        while signer.parent is not None:
            chain.append(signer.certificate)
            signer = signer.parent
        if reverse:
            chain = chain[:1] + chain[:0:-1]
        return Pair(self.folder, stem or common.replace("*", "any"), chain, key, password)


def client_context(authority=None, pair=None, version=None, alpn=None, ciphers=None):
    """For a client that verifies by this authority, or believes anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(authority.file)
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context


def server_context(pair, authority=None, version=None):
    """For a server with this certificate; with an authority it insists on certificates of clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if authority is not None:
        context.load_verify_locations(authority.file)
        context.verify_mode = ssl.CERT_REQUIRED
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


class Ending:
    """A secured socket whose two sides end apart, which those of ssl cannot: end_output() says close_notify, and reading goes
    on; an end of the peer without one is a reset.  One thread may send while another receives."""

    def __init__(self, sock, context, **kwargs):
        self._sock, self._lock, self._is_reset = sock, threading.Lock(), False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, **kwargs)
        self._until_read(self._ssl.do_handshake)

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def _say(self, step, *args):
        """What a step gives; what it has to say to the peer is sent."""
        with self._lock:
            try:
                return step(*args)
            finally:
                if self._outgoing.pending:
                    self._sock.sendall(self._outgoing.read())

    def _until_read(self, step, *args):
        while True:
            try:
                return self._say(step, *args)
            except ssl.SSLWantReadError:
                data = self._sock.recv(65536)
                if not data:
                    raise ConnectionResetError("the peer has ended without a word") from None
                self._incoming.write(data)

    def recv(self, size):
        try:
            return self._until_read(self._ssl.read, size)
        except ssl.SSLZeroReturnError:
            return b""

    def sendall(self, data):
        for at in range(0, len(data), 16384):
            self._say(self._ssl.write, data[at:at + 16384])

    def end_output(self):
        with contextlib.suppress(ssl.SSLWantReadError):  # the peer's own end is not there yet
            self._say(self._ssl.unwrap)

    def setsockopt(self, level, option, value):
        self._is_reset = self._is_reset or option == socket.SO_LINGER
        self._sock.setsockopt(level, option, value)

    def close(self):
        """A reset is no end: then nothing is said."""
        if not self._is_reset:
            with contextlib.suppress(OSError):  # ssl.SSLError is one
                self.end_output()
        self._sock.close()


class EndingContext:
    """In place of a context of ssl: its sockets are of class Ending."""

    def __init__(self, context):
        self._context = context

    def wrap_socket(self, sock, server_side=False, server_hostname=None, **_):
        return Ending(sock, self._context, server_side=server_side, server_hostname=server_hostname)


class Everywhere:
    """One authority, and what it takes to secure every connection of a test.  wrap: see EndingContext."""

    def __init__(self, folder, wrap=lambda context: context):
        self.authority = Authority(folder)
        self.pair = self.authority.issue("test.local", "127.0.0.1", "localhost", stem="site")
        self.client, self.server = wrap(client_context(self.authority)), wrap(server_context(self.pair))

    def secure(self, config):
        config = {"listen": [{"address": f"127.0.0.1:{take_port()}"}], **config}
        config["listen"] = [{**listener, "tls": self.pair.config} for listener in config["listen"]]
        if "upstreams" in config:
            tls = {"ca": self.authority.file, "server_name": "localhost"}
            config["upstreams"] = {name: {**upstream, "tls": tls, "timeouts": {"connect": "20s", **upstream.get("timeouts", {})}}
                                   for name, upstream in config["upstreams"].items()}  # many handshakes at once are slow in Python
        return config


def _heard(client, said, until):
    """What it has said by the time that `until` holds, or that it has ended."""
    while not until(said):
        more = os.read(client.stdout.fileno(), 65536)
        if not more:
            break
        said += more
    return said


def key_updates(port, count, then, stopped=None):
    """What a client of TLS 1.3 is told that asks for new keys so often, and then for more; the process named is stopped meanwhile, so that all come together."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        said = b""
        for number in range(1, count + 1):
            client.stdin.write(b"K\n")  # one at a time: of what it reads at once it looks at the first letter only
            client.stdin.flush()
            said = _heard(client, said, lambda text, number=number: text.count(b"KEYUPDATE") == number)
            if stopped is not None and number in (1, count):
                os.kill(stopped, signal.SIGSTOP if number == 1 else signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            client.stdin.write(then)
            client.stdin.flush()
        said = _heard(client, said, lambda _: False)
        with contextlib.suppress(BrokenPipeError):
            client.stdin.close()  # not before: it ends with its input, whatever is still to come
        return said
