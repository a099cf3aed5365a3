# SPDX-License-Identifier: Apache-2.0
"""Redis servers that speak TLS, and nothing else, on their port."""
from .redis_server import RedisServer


class Tls:
    """What servers of one authority are started with, and what talks to them."""

    def __init__(self, authority, pair, clients=False):
        self.authority, self.pair, self.clients = authority, pair, clients

    def options(self, port):
        """Behind "--port N": the later one wins."""
        return ["--port", "0", "--tls-port", str(port), *self._files(), "--tls-replication", "yes", "--tls-cluster", "yes"]

    def sentinel_options(self, port):
        return ["--port", "0", "--tls-port", str(port), *self._files(), "--tls-replication", "yes"]

    def _files(self):
        return ["--tls-cert-file", self.pair.certificate, "--tls-key-file", self.pair.key, "--tls-ca-cert-file", self.authority.file,
                "--tls-auth-clients", "yes" if self.clients else "no"]

    @property
    def client(self):
        """For redis.Redis."""
        return {"ssl": True, "ssl_ca_certs": self.authority.file}

    @property
    def cli(self):
        return ["--tls", "--cacert", self.authority.file]


class TlsServer(RedisServer):
    def __init__(self, folder, tls, *options):
        self.tls, self.more = tls, options
        folder.mkdir(exist_ok=True)
        super().__init__(folder)

    def start(self):
        self.options = (*self.tls.options(self.port), *self.more)
        super().start()
