# SPDX-License-Identifier: Apache-2.0
"""The proxies that are measured, each with the same job: as many workers, keep-alive on both sides, the same limits, and a line in
the access log about the same things."""
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess

from harness.tls import Authority
from scenarios import PERIODS_S, SOURCES, HIGH

NGINX, HAPROXY = "/usr/sbin/nginx", "/usr/sbin/haproxy"
MODULES = "/usr/lib/nginx/modules"


def children(pid):
    return [int(w) for w in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Peer:
    """A proxy program in one scenario.  command() writes its configuration and says how to start it."""

    name = ""
    has_worker_process = False  # the processes that serve are children of the one we start
    log_name = "access.log"
    log_loss_max = 0  # share of its lines; more is no round that counts

    def __init__(self, folder, scenario, port, upstream_port, redis_port=0, program=None):
        self.folder = folder / f"{self.name}-{scenario.name}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.scenario, self.port, self.upstream_port, self.redis_port = scenario, port, upstream_port, redis_port
        self.program = program
        self.process = None
        self.log_offset = 0
        self.pair = Authority(self.folder).issue("bench", "127.0.0.1") if scenario.tls else None  # ECDSA, P-256

    def start(self, cpus, wrapper=()):
        pin = ["taskset", "-c", str(cpus)] if cpus is not None else []
        with open(self.folder / "output", "ab") as output:
            self.process = subprocess.Popen([*pin, *wrapper, *self.command()], stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT, cwd=self.folder)

    def worker_pids(self):
        """The processes that serve, none while there are none."""
        return children(self.process.pid) if self.has_worker_process else [self.process.pid]

    def new_log_lines(self):
        """Lines of the access log since the last call."""
        count = 0
        with open(self.folder / self.log_name, "rb") as log:
            log.seek(self.log_offset)
            while part := log.read(1 << 20):
                count += part.count(b"\n")
                self.log_offset += len(part)
        return count

    def output(self):
        return (self.folder / "output").read_text(errors="replace")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        (self.folder / self.log_name).unlink(missing_ok=True)


class Sluice(Peer):
    name = "sluice"
    has_worker_process = True

    def version(self):
        return subprocess.run([self.program, "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]

    def understands(self, key):
        schema = subprocess.run([self.program, "schema"], capture_output=True, text=True, check=False).stdout
        return f'"{key}"' in schema

    def store(self):
        if self.scenario.store == "memory":
            return {"type": "memory", "subjects": self.scenario.subjects}
        return {"type": "redis", "servers": [f"127.0.0.1:{self.redis_port}"], "prefix": f"bench-{self.port}",
                "decision_timeout": "5s", "command_timeout": "5s"}

    def command(self):
        scenario, route = self.scenario, {"prefix": "/", "upstream": "app"}
        config = {
            "listen": [{"address": f"127.0.0.1:{self.port}", **({"tls": self.pair.config} if self.pair else {})}],
            "workers": scenario.workers,
            "limits": {"keepalive": "600s", "connections": scenario.max_connections, "requests_per_connection": "unlimited"},
            "upstreams": {"app": {"servers": [f"127.0.0.1:{self.upstream_port}"]}},
            "routes": [route],
            "log": {"access": str(self.folder / "access.log") if scenario.has_log else "off", "error": "stderr"},
        }
        if scenario.quotas:
            config |= {"identities": {}, "quotas": {}, "store": self.store(), "subject_secret": "bench"}
            for quota in scenario.quotas:
                if SOURCES[quota.source]:
                    config["identities"][quota.source] = {"from": [f"header:{SOURCES[quota.source]}"]}
                config["quotas"][quota.source] = {"key": [quota.source], "limits": {window: quota.limit for window in quota.windows}}
                if scenario.store == "redis" and self.understands("accuracy"):
                    config["quotas"][quota.source]["accuracy"] = "leased" if scenario.is_leased else "exact"
            route["quotas"] = list(config["quotas"])
        file = self.folder / "sluice.json"
        file.write_text(json.dumps(config, indent=2))
        return [str(self.program), "run", "-c", str(file)]


class SluiceWithoutSandbox(Sluice):
    """What the filter of system calls costs."""
    name = "unboxed"

    def version(self):
        return super().version() + ", --sandbox=off"

    def command(self):
        return [*super().command(), "--sandbox=off"]


class SluiceOneWorker(Sluice):
    name = "sluice1"

    def __init__(self, folder, scenario, *args, **more):
        super().__init__(folder, dataclasses.replace(scenario, workers=1), *args, **more)

    def version(self):
        return super().version() + ", one worker"


class SluiceForwarding(Sluice):
    """What the same rounds cost without limits and log."""
    name = "forward"

    def __init__(self, folder, scenario, *args, **more):
        super().__init__(folder, dataclasses.replace(scenario, quotas=(), has_log=False), *args, **more)

    def version(self):
        return super().version() + ", neither limit nor log"


class SluiceEmbedded(Sluice):
    """The same job with the embedded store."""
    name = "memory"

    def __init__(self, folder, scenario, *args, **more):
        super().__init__(folder, dataclasses.replace(scenario, store="memory"), *args, **more)

    def version(self):
        return super().version() + ", embedded store"


class Nginx(Peer):
    name = "nginx"
    has_worker_process = True
    modules = ""

    def version(self):
        text = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True).stderr
        return "nginx " + re.search(r"nginx/(\S+)", text)[1]

    def worker_pids(self):
        pids = super().worker_pids()
        return pids if len(pids) == self.scenario.workers else []

    def limits(self):
        """(what stands in http, what stands in location)"""
        zones, limits = [], []
        size = f"{max(10, self.scenario.subjects // 5500)}m"
        for quota in self.scenario.quotas:
            key = f"$http_{SOURCES[quota.source].lower().replace('-', '_')}" if SOURCES[quota.source] else "$binary_remote_addr"
            for window in quota.windows:
                zone = f"{quota.source}_{window}"
                is_high = quota.limit == HIGH
                zones.append(f"limit_req_zone {key} zone={zone}:{size} rate={'1000000r/s' if is_high else '1r/m'};")
                limits.append(f"limit_req zone={zone}{' burst=1000000 nodelay' if is_high else ''};")
        return " ".join(zones) + (" limit_req_status 429;" if zones else ""), " ".join(limits)

    def command(self):
        zones, limits = self.limits()
        log = f"access_log {self.folder}/access.log json buffer=64k flush=100ms;" if self.scenario.has_log else "access_log off;"
        # Bodies: passed on as they come, never by way of a file; larger buffers than the default, which suit it better.
        bodies = ("client_max_body_size 0; proxy_request_buffering off; proxy_max_temp_file_size 0; proxy_buffers 16 64k; "
                  "proxy_buffer_size 64k; proxy_busy_buffers_size 128k; client_body_buffer_size 64k;" if self.scenario.per_mib else "")
        # Its other settings are those that the load leaves no choice of, or the same as the others' defaults: tickets, no cache.
        secured = f"ssl_certificate {self.pair.certificate}; ssl_certificate_key {self.pair.key}; ssl_protocols TLSv1.2 TLSv1.3;" if self.pair else ""
        file = self.folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""  # so that its workers may write into our folder
        file.write_text(f"""
{self.modules}
{user} daemon off; worker_processes {self.scenario.workers}; pid {self.folder}/pid; error_log {self.folder}/error.log crit;
events {{ worker_connections {self.scenario.max_connections}; }}
http {{
  log_format json escape=json '{{"ts":"$time_iso8601","id":"$request_id","client_ip":"$remote_addr","method":"$request_method",'
    '"host":"$host","path":"$uri","proto":"$server_protocol","bytes_in":$request_length,"upstream":"$upstream_addr",'
    '"status":$status,"bytes_out":$bytes_sent,"limit":"$limit_req_status","t_total":$request_time,"t_first":"$upstream_header_time"}}';
  {zones}
  keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p; fastcgi_temp_path {self.folder}/f;
  uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
  upstream app {{ server 127.0.0.1:{self.upstream_port}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{self.port} reuseport{' ssl' if self.pair else ''};
    {secured}
    {log}
    {bodies}
    location / {{
      {limits}
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Request-Id $request_id; add_header X-Request-Id $request_id;
    }}
  }}
}}
""")
        return [NGINX, "-c", str(file), "-e", str(self.folder / "error.log")]


class NginxLua(Nginx):
    """Counts in Redis: a script there, so that counting and its end are one step; pooled connections."""
    name = "lua"
    modules = f"load_module {MODULES}/ndk_http_module.so; load_module {MODULES}/ngx_http_lua_module.so;"

    def version(self):
        return super().version() + " + Lua + nginx-redis"

    def limits(self):
        (quota,) = self.scenario.quotas
        (window,) = quota.windows
        header = SOURCES[quota.source].lower().replace("-", "_")
        (self.folder / "limit.lua").write_text(f"""
local redis = require "nginx.redis"
local script = [[
local used = redis.call("INCR", KEYS[1])
if used == 1 then redis.call("EXPIRE", KEYS[1], ARGV[1]) end
return used]]
local sha
local limit = {{}}

function limit.access()
  local red = redis:new()
  red:set_timeout(1000)
  local ok = red:connect("127.0.0.1", {self.redis_port})
  if not ok then return ngx.exit(503) end
  local key = "lua:" .. ngx.var.http_{header} .. ":" .. math.floor(ngx.time() / {PERIODS_S[window]})
  if not sha then sha = red:script("load", script) end
  local used, err = red:evalsha(sha, 1, key, {PERIODS_S[window]})
  if not used and err and err:find("NOSCRIPT", 1, true) then used = red:eval(script, 1, key, {PERIODS_S[window]}) end
  if not used then return ngx.exit(503) end
  red:set_keepalive(60000, 512)
  if used > {quota.limit} then return ngx.exit(429) end
end

return limit
""")
        return (f'lua_package_path "{self.folder}/?.lua;/usr/share/lua/5.1/?.lua;;"; init_by_lua_block {{ require "limit" }}',
                'access_by_lua_block { require("limit").access() }')


class Haproxy(Peer):
    """Its threads write their lines one at a time, and give a line up after 200 looks at the lock (fd_write_frag_line): with more than
    one a few are lost, which its rows tell."""
    name = "haproxy"
    log_name = "output"
    log_loss_max = 0.001
    options = ""

    def version(self):
        text = subprocess.run([HAPROXY, "-v"], capture_output=True, text=True, check=True).stdout
        return "haproxy " + re.search(r"version (\d+\.\d+\.\d+)", text)[1]

    def limits(self):
        """(what stands in the frontend, further sections): a table per kind of caller, a counter of it per window"""
        rules, tables = [], []
        counters = ("http_req_rate", "gpc0_rate", "gpc1_rate")
        for index, quota in enumerate(self.scenario.quotas):
            table = f"by_{quota.source}"
            key, kind = {"user": ("req.hdr(x-api-key)", "string len 64"), "ip": ("src", "ip"),
                         "token": ("req.hdr(x-auth-token),sha1", "binary len 20")}[quota.source]
            used = list(zip(counters, quota.windows))
            stored = ",".join(f"{'gpc0,' if c == 'gpc0_rate' else 'gpc1,' if c == 'gpc1_rate' else ''}{c}({PERIODS_S[w]}s)" for c, w in used)
            tables.append(f"backend {table}\n  stick-table type {kind} size {self.scenario.subjects} expire 10m store {stored}\n")
            rules.append(f"  http-request track-sc{index} {key} table {table}")
            rules += [f"  http-request sc-inc-gpc{n}({index})" for n in range(len(used) - 1)]
            rules += [f"  http-request deny deny_status 429 if {{ sc{index}_{c} gt {quota.limit} }}" for c, _ in used]
        return "\n".join(rules), "".join(tables)

    def command(self):
        rules, tables = self.limits()
        log = target = ""
        if self.scenario.has_log:
            target = "log stdout format raw local0"
            log = """
  log global
  log-format '{"ts":%Ts,"id":"%ID","client_ip":"%ci","method":"%HM","path":"%HP","proto":"%HV","bytes_in":%U,"upstream":"%b","server":"%s","status":%ST,"bytes_out":%B,"end":"%ts","t_total":%Ta,"t_first":%Tr,"t_connect":%Tc}'"""
        secured = ""
        if self.pair:
            both = self.folder / "both.pem"
            both.write_bytes(pathlib.Path(self.pair.certificate).read_bytes() + pathlib.Path(self.pair.key).read_bytes())
            secured = f" ssl crt {both}"
        file = self.folder / "haproxy.cfg"
        file.write_text(f"""
global
  nbthread {self.scenario.workers}
  maxconn {self.scenario.max_connections}
  {target}
defaults
  mode http
  timeout connect 1s
  timeout client 600s
  timeout server 60s
  timeout http-keep-alive 600s
  http-reuse always
  option forwardfor
  {self.options}
  unique-id-format %{{+X}}o%ci%cp%Ts%rt%pid
  unique-id-header X-Request-Id
frontend f
  bind 127.0.0.1:{self.port}{secured}{log}
{rules}
  default_backend app
backend app
  server s1 127.0.0.1:{self.upstream_port} pool-max-conn 512
{tables}""")
        return [HAPROXY, "-f", str(file)]


class HaproxySplice(Haproxy):
    name = "splice"
    options = "option splice-response"

    def version(self):
        return super().version() + ", splice"


class Relay(Peer):
    """No proxy: the kernel's own price of passing bytes on."""
    name = "relay"

    def version(self):
        return "do-nothing relay (the floor)"

    def command(self):
        return [str(self.program.parent / "bench_relay"), str(self.port), str(self.upstream_port)]


KINDS = {kind.name: kind for kind in (Sluice, SluiceWithoutSandbox, SluiceOneWorker, SluiceForwarding, SluiceEmbedded, Nginx, NginxLua, Haproxy, HaproxySplice, Relay)}
