# SPDX-License-Identifier: Apache-2.0
"""The proxies that are measured, each with the same job: one worker, keep-alive on both sides."""
import json
import os
import pathlib
import re
import shutil
import subprocess

# Never reached in a burst, but counted: the price of limiting, not of refusing.
HIGH = 2_000_000_000
CONNECTIONS = {"idle": 9000}  # most scenarios need few: what a proxy reserves for more would be no fair price


def _children(pid):
    return [int(w) for w in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Peer:
    """A proxy program in one scenario.  configure() writes its file and gives its command."""

    name = ""
    has_worker_process = False  # the process that serves is a child of the one we start

    def __init__(self, folder, scenario, port, upstream_port):
        self.folder = folder / f"{self.name}-{scenario}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.scenario, self.port, self.upstream_port = scenario, port, upstream_port
        self.is_limiting = scenario in ("local", "refuse")
        self.connections = CONNECTIONS.get(scenario, 4096)
        self.process = None

    def start(self, cpu, wrapper=()):
        with open(self.folder / "output", "wb") as output:
            self.process = subprocess.Popen(["taskset", "-c", str(cpu), *wrapper, *self.command()], stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=subprocess.STDOUT, cwd=self.folder)

    def worker_pid(self):
        """The process that serves, None while there is none."""
        if not self.has_worker_process:
            return self.process.pid
        children = _children(self.process.pid)
        return children[0] if children else None

    def output(self):
        return (self.folder / "output").read_text(errors="replace")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


class Sluice(Peer):
    name = "sluice"
    has_worker_process = True

    def __init__(self, *args, program):
        super().__init__(*args)
        self.program = program

    @classmethod
    def version(cls, program):
        return subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]

    def command(self):
        route = {"prefix": "/", "upstream": "app"}
        config = {
            "listen": [{"address": f"127.0.0.1:{self.port}"}],
            "workers": 1,
            "limits": {"keepalive": "600s", "connections": self.connections},
            "upstreams": {"app": {"servers": [f"127.0.0.1:{self.upstream_port}"]}},
            "routes": [route],
            "log": {"access": str(self.folder / "access.log") if self.is_limiting else "off",
                    "error": "stderr"},
        }
        if self.is_limiting:
            limits = {"minute": HIGH} if self.scenario == "local" else {"day": 1}
            config["identities"] = {"user": {"from": ["header:X-Api-Key"]}}
            config["quotas"] = {"user": {"key": ["user"], "limits": limits}}
            config["subject_secret"] = "bench"
            route["quotas"] = ["user"]
        file = self.folder / "sluice.json"
        file.write_text(json.dumps(config, indent=2))
        return [str(self.program), "run", "-c", str(file)]


class Nginx(Peer):
    name = "nginx"
    has_worker_process = True

    @classmethod
    def version(cls):
        text = subprocess.run(["/usr/sbin/nginx", "-v"], capture_output=True, text=True, check=True).stderr
        return "nginx " + re.search(r"nginx/(\S+)", text)[1]

    def command(self):
        zone = limit = ""
        log = "access_log off;"
        if self.is_limiting:
            rate = "1000000r/s" if self.scenario == "local" else "1r/m"
            zone = f"limit_req_zone $http_x_api_key zone=user:10m rate={rate}; limit_req_status 429;"
            limit = "limit_req zone=user burst=1000000 nodelay;" if self.scenario == "local" else "limit_req zone=user;"
            log = f"access_log {self.folder}/access.log json buffer=64k flush=1s;"
        file = self.folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""  # so that its worker may write into our folder
        file.write_text(f"""
{user} daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log crit;
events {{ worker_connections {self.connections}; }}
http {{
  log_format json escape=json '{{"ts":"$time_iso8601","id":"$request_id","client_ip":"$remote_addr","method":"$request_method",'
    '"host":"$host","path":"$uri","proto":"$server_protocol","bytes_in":$request_length,"upstream":"$upstream_addr",'
    '"status":$status,"bytes_out":$bytes_sent,"limit":"$limit_req_status","t_total":$request_time,"t_first":"$upstream_header_time"}}';
  {zone}
  keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p; fastcgi_temp_path {self.folder}/f;
  uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
  upstream app {{ server 127.0.0.1:{self.upstream_port}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{self.port} reuseport;
    {log}
    location / {{
      {limit}
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Request-Id $request_id; add_header X-Request-Id $request_id;
    }}
  }}
}}
""")
        return ["/usr/sbin/nginx", "-c", str(file), "-e", str(self.folder / "error.log")]


class Haproxy(Peer):
    name = "haproxy"

    @classmethod
    def version(cls):
        text = subprocess.run(["/usr/sbin/haproxy", "-v"], capture_output=True, text=True, check=True).stdout
        return "haproxy " + re.search(r"version (\d+\.\d+\.\d+)", text)[1]

    def command(self):
        limit = log = target = ""
        if self.is_limiting:
            top = HIGH if self.scenario == "local" else 1
            limit = f"""
  stick-table type string len 64 size 100k expire 10m store http_req_rate(60s)
  http-request track-sc0 req.hdr(x-api-key)
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {top} }}"""
            target = "log stdout format raw local0"
            log = """
  log global
  log-format '{"ts":%Ts,"id":"%ID","client_ip":"%ci","method":"%HM","path":"%HP","proto":"%HV","bytes_in":%U,"upstream":"%b","server":"%s","status":%ST,"bytes_out":%B,"end":"%ts","t_total":%Ta,"t_first":%Tr,"t_connect":%Tc}'"""
        file = self.folder / "haproxy.cfg"
        file.write_text(f"""
global
  nbthread 1
  maxconn {self.connections}
  {target}
defaults
  mode http
  timeout connect 1s
  timeout client 600s
  timeout server 60s
  timeout http-keep-alive 600s
  http-reuse always
  option forwardfor
  unique-id-format %{{+X}}o%ci%cp%Ts%rt%pid
  unique-id-header X-Request-Id
frontend f
  bind 127.0.0.1:{self.port}{log}{limit}
  default_backend app
backend app
  server s1 127.0.0.1:{self.upstream_port} pool-max-conn 512
""")
        return ["/usr/sbin/haproxy", "-f", str(file)]
