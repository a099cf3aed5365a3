# SPDX-License-Identifier: Apache-2.0
"""The accepted requests again, to real servers behind Sluice: each must count the same requests and bodies as the access log.  A backend
appends a line to its record for every request that it read whole: id, method, target, bytes of the body."""
import asyncio
import collections
import os
import pathlib
import subprocess
import sys

import case as cases
import log_check
import proxies
import suite
import wire
from harness.ports import take_port

HERE = pathlib.Path(__file__).resolve().parent


class Backend:
    name = program = ""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder) / f"backend-{self.name}"
        self.folder.mkdir(parents=True)
        self.port = take_port()
        self.record = self.folder / "record"
        self.record.touch()
        self.process = None

    @classmethod
    def is_there(cls):
        return any(os.access(os.path.join(p, cls.program), os.X_OK) for p in (*os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin"))

    def start(self):
        with open(self.folder / "output", "wb") as output:
            self.process = subprocess.Popen(self.command(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        proxies.wait_for_listeners(self.name, self.process, [self.port], lambda: (self.folder / "output").read_text(errors="replace"))

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def counted(self):
        """{id: (method, target, bytes of the body)}."""
        rows = [line.split("\t") for line in self.record.read_text(encoding="latin-1").splitlines()]
        assert len({row[0] for row in rows}) == len(rows), "an id occurs twice in the record"
        return {row[0].split("-")[0]: (row[1], row[2], int(row[3].strip("-") or 0)) for row in rows}


class Node(Backend):
    name, program = "node", "node"

    def command(self):
        return ["node", str(HERE / "backend_node.js"), str(self.port), str(self.record)]


class Python(Backend):
    name, program = "python", "python3"

    def command(self):
        return [sys.executable, str(HERE / "backend_python.py"), str(self.port), str(self.record)]


class NginxOrigin(Backend):
    """nginx reads the body whole to give it to itself with a Content-Length; the inner server writes that down."""

    name, program = "nginx", "nginx"

    def command(self):
        f, inner = self.folder, take_port()
        (f / "nginx.conf").write_text(f"""
{"user root;" if os.geteuid() == 0 else ""} daemon off; worker_processes 1; pid {f}/pid; error_log {f}/error.log;
events {{ worker_connections 1024; }}
http {{
  log_format seen "$http_x_request_id\\t$request_method\\t$http_x_target\\t$http_content_length"; access_log off;
  client_body_temp_path {f}/b; proxy_temp_path {f}/p; fastcgi_temp_path {f}/f; uwsgi_temp_path {f}/u; scgi_temp_path {f}/s;
  server {{
    listen 127.0.0.1:{self.port};
    location / {{ proxy_pass http://127.0.0.1:{inner}/; proxy_set_header X-Target $request_uri; proxy_set_header Expect ""; }}
  }}
  server {{
    listen 127.0.0.1:{inner};
    location / {{ access_log {self.record} seen; return 200 "seen\\n"; }}
  }}
}}
""")
        return ["/usr/sbin/nginx", "-c", str(f / "nginx.conf"), "-e", str(f / "error.log")]


ALL = (NginxOrigin, Node, Python)


def accepted():
    """Request cases that can only be forwarded, whole, and leave the connection alive."""
    return [c for c in suite.REQUESTS if not c.ends and len(c.raw) < 100_000 and all(o.refused is None and o.keep is True for o in c.allow)]


async def _exchange(front, case, answers):
    link = await wire.Link.open(front)
    methods = [m for m, _, _ in case.allow[0].seen] + (["GET"] if case.follow else [])
    until = asyncio.get_running_loop().time() + 20
    try:
        await wire.send(link.transport, case.bytes, wire.WHOLE)
        for method in methods:
            message = await link.response(lambda _, m=method: m, until)
            if message is None:
                break
            answers.append(message)
    finally:
        link.close()


async def _replay(front, chosen):
    got = [[] for _ in chosen]
    places = list(range(len(chosen)))

    async def work():
        while places:
            at = places.pop()
            await _exchange(front, chosen[at], got[at])

    await asyncio.gather(*(work() for _ in range(8)))
    return got


def _case_faults(case, answers, by_id, counted):
    """The backend's answers against the log and its own record, in the order of the requests."""
    sent = [*case.allow[0].seen, *((cases.AFTER_SEEN,) if case.follow else ())]
    for (method, target, body), message in zip(sent, answers):
        id_ = message.one("X-request-id").split(b"-")[0].decode()
        lines, row = by_id.get(id_, []), counted.get(id_)
        if [line["status"] for line in lines] != [message.status]:
            yield f"{case.name}: {method} {target} was answered {message.status}, the log says {[line['status'] for line in lines]}"
        elif message.status == 200 and row is None:
            yield f"{case.name}: {method} {target} was answered 200, the backend has not counted it"
        elif row is not None and (row[0] != method or log_check.logged_path(row[1]) != log_check.logged_path(target) or row[2] != len(body)):
            yield f"{case.name}: sent {method} {target} {len(body)}, the backend counted {row}"
    if len(answers) < len(sent) and all(m.status == 200 and m.keeps for m in answers):
        yield f"{case.name}: {len(answers)} answers to {len(sent)} requests"


def compare(kind, folder, chosen):
    """(disagreements, requests that the backend counted, requests that it refused)."""
    backend = kind(folder)
    backend.start()
    proxy = proxies.Sluice(pathlib.Path(folder) / kind.name, [backend.port])
    proxy.start()
    try:
        answers = asyncio.run(_replay(("127.0.0.1", proxy.ports[0]), chosen))
    finally:
        code = proxy.stop()
        backend.stop()
    counted, by_id = backend.counted(), log_check.read(proxy.access_log)
    faults = [] if code == 0 else [f"sluice ended with {code}"]
    for case, messages in zip(chosen, answers):
        faults += _case_faults(case, messages, by_id, counted)
    faults += [f"the backend counted {row}, the log has no such request" for id_, row in counted.items() if len(by_id.get(id_, [])) != 1]
    statuses = collections.Counter(m.status for messages in answers for m in messages)
    return faults, len(counted), sum(n for status, n in statuses.items() if status != 200)
