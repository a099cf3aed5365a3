# SPDX-License-Identifier: Apache-2.0
"""The proxies, each as a plain reverse proxy with its own defaults and kept-alive upstream connections.  A proxy has as many doors as
there are lanes; door N leads to upstream N alone."""
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from harness.ports import take_port  # noqa: E402
from harness.proxy import BINARY, environment, listening_ports  # noqa: E402
from harness.waiting import wait_for  # noqa: E402


def wait_for_listeners(name, process, ports, output):
    """Until the program listens on all of them; what it said stands in the failure."""

    def listens():
        assert process.poll() is None, f"{name} ended"
        return set(ports) <= listening_ports()

    try:
        wait_for(listens, f"{name} listens")
    except AssertionError as fault:
        raise AssertionError(f"{fault}\n{output()}") from fault


class Proxy:
    name = ""
    program = ""

    def __init__(self, folder, upstreams):
        self.folder = pathlib.Path(folder) / self.name
        self.folder.mkdir(parents=True)
        self.upstreams = upstreams
        self.ports = [take_port() for _ in upstreams]
        self.process = None

    @classmethod
    def version(cls):
        """None where it is not installed."""
        if not os.access(cls.program, os.X_OK):
            return None
        return cls._version()

    def start(self):
        with open(self.folder / "output", "wb") as output:
            self.process = subprocess.Popen(self.command(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT, env=self.environment())
        wait_for_listeners(self.name, self.process, self.ports, self.output)

    def environment(self):
        return {**os.environ, "HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}

    def output(self):
        return (self.folder / "output").read_text(errors="replace")

    def stop(self):
        """The exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def pairs(self):
        return list(enumerate(zip(self.ports, self.upstreams)))

    @staticmethod
    def _said(*words):
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return (done.stdout + done.stderr).strip()


class Sluice(Proxy):
    name = "sluice"
    program = BINARY

    @classmethod
    def _version(cls):
        return cls._said(BINARY, "version").split("\n")[0]

    @property
    def access_log(self):
        return self.folder / "access.log"

    def environment(self):
        return environment(self.folder)

    def command(self):
        file = self.folder / "sluice.json"
        file.write_text(json.dumps({
            "listen": [{"name": f"door{n}", "address": f"127.0.0.1:{port}"} for n, (port, _) in self.pairs()],
            "upstreams": {f"up{n}": {"servers": [f"127.0.0.1:{up}"], "timeouts": {"pool_idle": "20s"}} for n, (_, up) in self.pairs()},
            "routes": [{"name": f"to{n}", "listener": f"door{n}", "upstream": f"up{n}"} for n, _ in self.pairs()],
            "workers": 1,
            "log": {"access": str(self.access_log), "error": "stderr"},
        }, indent=1))
        return [BINARY, "run", "-c", str(file)]


class Nginx(Proxy):
    name = "nginx"
    program = "/usr/sbin/nginx"

    @classmethod
    def _version(cls):
        return cls._said(cls.program, "-v").split("version: ")[1].replace("/", " ")

    def command(self):
        f = self.folder
        pools = "".join(f"  upstream up{n} {{ server 127.0.0.1:{up}; keepalive 8; }}\n" for n, (_, up) in self.pairs())
        servers = "".join(f"""  server {{
    listen 127.0.0.1:{port}; server_name a.test;
    location / {{ proxy_pass http://up{n}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }}
  }}\n""" for n, (port, _) in self.pairs())
        (f / "nginx.conf").write_text(f"""
{"user root;" if os.geteuid() == 0 else ""} daemon off; worker_processes 1; pid {f}/pid; error_log {f}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {f}/b; proxy_temp_path {f}/p; fastcgi_temp_path {f}/f; uwsgi_temp_path {f}/u; scgi_temp_path {f}/s;
{pools}{servers}}}
""")
        return [self.program, "-c", str(f / "nginx.conf"), "-e", str(f / "error.log")]


class Haproxy(Proxy):
    name = "haproxy"
    program = "/usr/sbin/haproxy"

    @classmethod
    def _version(cls):
        return "haproxy " + cls._said(cls.program, "-v").split("version ")[1].split()[0]

    def command(self):
        fronts = "".join(f"frontend f{n}\n  bind 127.0.0.1:{port}\n  default_backend b{n}\n"
                         f"backend b{n}\n  server s 127.0.0.1:{up}\n" for n, (port, up) in self.pairs())
        (self.folder / "haproxy.cfg").write_text(f"""global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 50s
  timeout server 50s
{fronts}""")
        return [self.program, "-f", str(self.folder / "haproxy.cfg")]


class Caddy(Proxy):
    name = "caddy"
    program = "/usr/bin/caddy"

    @classmethod
    def _version(cls):
        return "caddy " + cls._said(cls.program, "version").split()[0]

    def command(self):
        sites = "".join(f"http://:{port} {{\n  bind 127.0.0.1\n  reverse_proxy 127.0.0.1:{up}\n}}\n" for _, (port, up) in self.pairs())
        (self.folder / "Caddyfile").write_text("{\n  admin off\n  auto_https off\n}\n" + sites)
        return [self.program, "run", "--adapter", "caddyfile", "--config", str(self.folder / "Caddyfile")]


ALL = (Sluice, Nginx, Haproxy, Caddy)
