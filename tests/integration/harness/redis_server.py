# SPDX-License-Identifier: Apache-2.0
"""A redis-server of one's own, on a Unix socket and a TCP port, ended by its process id."""
import os
import signal
import subprocess

import redis

from .ports import take_port
from .waiting import wait_for


class Stoppable:
    """What tests do to a server's process; `process` and `client` are for who derives from it."""

    process = client = None

    def pause(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.resume()
            self.kill()
        self.client.close()


class RedisServer(Stoppable):
    def __init__(self, folder, *options, env=None):
        self.folder, self.options, self.env = folder, options, env
        self.port = take_port()
        self.socket_path = str(folder / "redis.sock")
        self.process = None
        self.client = redis.Redis(unix_socket_path=self.socket_path, socket_timeout=20)
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        with open(self.folder / "redis.log", "ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.socket_path,
                 "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", str(self.folder),
                 "--maxmemory-policy", "noeviction", *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(self.env or {})})
        wait_for(self._answers, "redis-server answers")

    def _answers(self):
        try:
            self.client.connection_pool.disconnect()
            return self.client.ping()
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False

    def client_of(self, **options):
        """Another client: with a password, or of another database."""
        return redis.Redis(unix_socket_path=self.socket_path, socket_timeout=20, **options)
