# SPDX-License-Identifier: Apache-2.0
"""Several redis-servers that belong together, on loopback: a master with replicas and sentinels, or a cluster."""
import socket
import subprocess

import redis

from .ports import take_port
from .redis_server import RedisServer, Stoppable
from .waiting import wait_for


def take_cluster_port():
    """A port whose bus port (10000 above) is free too."""
    while True:
        port = take_port()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port + 10000))
                return port
            except OSError:
                pass


class Node(Stoppable):
    """One redis-server (or sentinel) process, ended by its process id."""

    def __init__(self, folder, port, *options, config=None, tls=None):
        self.folder, self.port, self.config = folder, port, config
        secured = () if tls is None else tls.sentinel_options(port) if config else tls.options(port)
        self.options = (*options, *secured)
        folder.mkdir(exist_ok=True)
        self.process = None
        self.client = redis.Redis(port=port, socket_timeout=10, **(tls.client if tls else {}))
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        command = ["redis-sentinel", self.config] if self.config else [
            "redis-server", "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port), "--bind", "127.0.0.1", "--daemonize", "no", "--dir", str(self.folder),
                 *self.options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.answers, "redis answers")

    def answers(self):
        try:
            self.client.connection_pool.disconnect()
            return self.client.ping()
        except redis.RedisError:
            return False

    def role(self):
        """"master", "slave" or None: a server that changes its role closes its connections."""
        try:
            return self.client.role()[0].decode()
        except redis.RedisError:
            return None

    def subscribers(self, channel):
        return self.client.pubsub_numsub(channel)[0][1]


def cluster_info(client):
    info = client.execute_command("CLUSTER INFO")
    return info if isinstance(info, dict) else dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)


def lone_cluster(folder):
    """A cluster of one node, which has all slots."""
    server = RedisServer(folder, "--cluster-enabled", "yes", "--cluster-port", str(take_port()))
    server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    wait_for(lambda: cluster_info(server.client)["cluster_state"] == "ok", "the cluster is well")
    return server


class SentinelFleet:
    """One master, two replicas, three sentinels."""

    NAME = "counts"

    def __init__(self, folder, tls=None, plain_sentinels=False, down_after_ms=500):
        self.servers, self.sentinels, self.down_after_ms = [], [], down_after_ms
        try:
            self.servers.append(Node(folder / "server0", take_port(), tls=tls))
            for i in (1, 2):
                self.servers.append(Node(folder / f"server{i}", take_port(), "--replicaof", f"127.0.0.1 {self.servers[0].port}", tls=tls))
            for i in range(3):
                self._add_sentinel(folder / f"sentinel{i}", tls, plain_sentinels)
            wait_for(self._is_ready, "the sentinels know the fleet", 20)
        except BaseException:
            self.stop()
            raise

    def _add_sentinel(self, folder, tls, is_plain):
        folder.mkdir()
        config = folder / "sentinel.conf"
        config.write_text(
            f"sentinel monitor {self.NAME} 127.0.0.1 {self.servers[0].port} 2\n"
            f"sentinel down-after-milliseconds {self.NAME} {self.down_after_ms}\n"
            f"sentinel failover-timeout {self.NAME} 3000\n", encoding="ascii")
        if tls and is_plain:  # it speaks TLS to the servers all the same
            with open(config, "a", encoding="ascii") as file:
                file.write(f"tls-replication yes\ntls-cert-file {tls.pair.certificate}\ntls-key-file {tls.pair.key}\n"
                           f"tls-ca-cert-file {tls.authority.file}\n")
        self.sentinels.append(Node(folder, take_port(), config=str(config), tls=None if is_plain else tls))

    def _is_ready(self):
        for sentinel in self.sentinels:
            state = sentinel.client.sentinel_master(self.NAME)
            if state["num-slaves"] != 2 or state["num-other-sentinels"] != 2:
                return False
        return all(node.client.info("replication").get("master_link_status") == "up" for node in self.servers[1:])

    def master(self):
        """The running server that is master, or None."""
        for node in self.servers:
            if node.process.poll() is None and node.role() == "master":
                return node
        return None

    @property
    def addresses(self):
        return [sentinel.address for sentinel in self.sentinels]

    def stop(self):
        for node in self.sentinels + self.servers:
            node.stop()


class ClusterFleet:
    """Three masters with a replica each."""

    def __init__(self, folder, tls=None):
        self.nodes = []
        try:
            for i in range(6):
                port = take_cluster_port()
                self.nodes.append(Node(folder / f"node{i}", port, "--cluster-enabled", "yes", "--cluster-node-timeout", "1500",
                                       "--cluster-require-full-coverage", "no", tls=tls))
            made = subprocess.run(
                ["redis-cli", *(tls.cli if tls else []), "--cluster", "create", *[node.address for node in self.nodes], "--cluster-replicas", "1", "--cluster-yes"],
                capture_output=True, text=True, timeout=60, check=False)
            assert made.returncode == 0, made.stdout + made.stderr
            wait_for(self._is_ready, "the cluster is well", 20)
        except BaseException:
            self.stop()
            raise

    def _is_ready(self):
        for node in self.nodes:
            text = cluster_info(node.client)
            if text["cluster_state"] != "ok" or int(text["cluster_known_nodes"]) != 6:
                return False
        replicas = [node for node in self.nodes if node.role() == "slave"]
        return len(replicas) == 3 and all(
            node.client.info("replication")["master_link_status"] == "up" for node in replicas)

    def running(self):
        return [node for node in self.nodes if node.process.poll() is None]

    def masters(self):
        return [node for node in self.running() if node.role() == "master"]

    def id_of(self, node):
        return node.client.execute_command("CLUSTER MYID").decode()

    def owner_of(self, key):
        """The running master that has the key's slot."""
        any_node = self.running()[0].client
        slot = int(any_node.execute_command("CLUSTER KEYSLOT", key))
        for node in self.masters():
            for begin, end, *servers in self.raw_slots(node):
                if begin <= slot <= end and int(servers[0][1]) == node.port:
                    return slot, node
        raise AssertionError(f"nobody has slot {slot}")

    @staticmethod
    def raw_slots(node):
        """CLUSTER SLOTS as it is: the client would make something else of it."""
        connection = node.client.connection_pool.get_connection("CLUSTER")
        try:
            connection.send_command("CLUSTER", "SLOTS")
            return connection.read_response()
        finally:
            node.client.connection_pool.release(connection)

    def keys(self, pattern):
        return {key: node for node in self.masters() for key in node.client.scan_iter(pattern)}

    def stop(self):
        for node in self.nodes:
            node.stop()
