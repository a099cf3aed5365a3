# SPDX-License-Identifier: Apache-2.0
"""TLS towards clients beside nginx and HAProxy: what a request on a connection that lives costs, and what a handshake does.

One worker each, the same certificate (ECDSA P-256), a limit on addresses and (HAProxy: without) a line in the log for every request.
The load is wrk, which speaks TLS 1.3 and resumes nothing.  Told is the CPU time of the proxy per request, of the system too.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from harness.ports import take_port
from harness.tls import Authority
from measure import cpu_time, wait_until
from peers import HAPROXY, NGINX, children

CONNECTIONS, ANSWER_BYTES = 64, 128
JOBS = {"requests on 64 connections": [], "a handshake for each request": ["-H", "Connection: close"]}
NGINX_CONF = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 4096; }}
http {{
  access_log {folder}/nginx.log; keepalive_requests 1000000000; limit_req_zone $binary_remote_addr zone=z:10m rate=100000r/s;
  upstream back {{ server 127.0.0.1:{back}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {pair.certificate}; ssl_certificate_key {pair.key};
    ssl_protocols TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers on;
    location / {{ limit_req zone=z burst=100000 nodelay; proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
HAPROXY_CFG = """
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
frontend front
  bind 127.0.0.1:{port} ssl crt {folder}/both.pem
  stick-table type ip size 100k expire 1m store http_req_rate(1m)
  http-request track-sc0 src
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 2000000000 }}
  default_backend back
backend back
  http-reuse always
  server one 127.0.0.1:{back}
"""


def sluice_config(port, back, pair, folder):
    return {"listen": [{"address": f"127.0.0.1:{port}", "tls": pair.config}], "workers": 1, "log": {"access": str(folder / "sluice.log")},
            "upstreams": {"app": {"servers": [f"127.0.0.1:{back}"]}}, "quotas": {"ip": {"key": ["ip"], "limits": {"minute": 2_000_000_000}}},
            "routes": [{"prefix": "/", "upstream": "app", "quotas": ["ip"]}]}


def commands(folder, ports, back, pair, build):
    """{name: how it is started}; their configurations are written."""
    words = {"folder": folder, "back": back, "pair": pair}
    (folder / "sluice.json").write_text(json.dumps(sluice_config(ports["sluice"], back, pair, folder)))
    (folder / "nginx.conf").write_text(NGINX_CONF.format(port=ports["nginx"], **words))
    (folder / "haproxy.cfg").write_text(HAPROXY_CFG.format(port=ports["haproxy"], **words))
    (folder / "both.pem").write_bytes(pathlib.Path(pair.certificate).read_bytes() + pathlib.Path(pair.key).read_bytes())
    return {"sluice": [build / "sluice", "run", "-c", folder / "sluice.json"], "nginx": [NGINX, "-p", folder, "-c", folder / "nginx.conf"],
            "haproxy": [HAPROXY, "-f", folder / "haproxy.cfg"]}


def burst(process, port, words, seconds):
    """(requests, microseconds of CPU time for each)"""
    pids = [process.pid, *children(process.pid)]
    before = cpu_time(pids)[0]
    said = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *words, f"https://127.0.0.1:{port}/v1/x"],
                          capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(f"bench: not every request succeeded:\n{said}")
    requests = int(re.search(r"(\d+) requests in", said)[1])
    return requests, (cpu_time(pids)[0] - before) / requests


def is_served(port, folder):
    return subprocess.run(["curl", "-s", "-k", "-o", str(folder / "answer"), f"https://127.0.0.1:{port}/"], check=False).returncode == 0


def table(build, rounds, seconds):
    """Markdown: the least CPU time of each, and its ratio to Sluice's within a round (the median)."""
    rows = ["| job | proxy | CPU time, us a request | against Sluice |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        folder, back = pathlib.Path(name), take_port()
        pair = Authority(folder).issue("bench.example", "127.0.0.1")
        ports = {name: take_port() for name in ("sluice", "nginx", "haproxy")}
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        running = [subprocess.Popen([build / "bench_upstream", str(back), str(ANSWER_BYTES)], **quiet)]
        started = {name: subprocess.Popen(list(map(str, words)), **quiet) for name, words in commands(folder, ports, back, pair, build).items()}
        try:
            for proxy, port in ports.items():
                wait_until(lambda p=port: is_served(p, folder), lambda p=proxy: f"{p} serves")
            for job, words in JOBS.items():
                found = [{proxy: burst(process, ports[proxy], words, seconds)[1] for proxy, process in started.items()} for _ in range(rounds)]
                for proxy in started:
                    ratios = sorted(row[proxy] / row["sluice"] for row in found)
                    rows.append(f"| {job} | {proxy} | {min(row[proxy] for row in found):.1f} | {ratios[len(ratios) // 2]:.2f} |")
        finally:
            for process in [*started.values(), *running]:
                process.terminate()
            time.sleep(0.5)  # their files go with the folder
    return "\n".join(rows)
