# SPDX-License-Identifier: Apache-2.0
"""Instructions of a request, the user's and the kernel's, where the machine itself counts none.

A proxy, its load and its backend run in a small emulated machine (QEMU without hardware help, Debian's own kernel) whose clock goes on
by one nanosecond with each instruction.  There the CPU time that the kernel books for a process, /proc/PID/schedstat, is the number of
instructions that were carried out for it.  The machine has one processor and nothing else to do, so the figures hardly vary from run to run
and do not depend on what the host is doing.  With one processor for all, a proxy that has used less of it than its load would be woken by each
event, and one that has used more would find them in batches: that is switched off (NO_WAKEUP_PREEMPTION), so that all find batches,
as they do on a processor of their own.  Takes: peers as peers.py makes them.  Never measures time.

An instruction that moves a block (rep movs) counts once per word here, but once in all on hardware: what copies much looks dearer."""
import gzip
import os
import pathlib
import re
import shlex
import shutil
import subprocess

import counted
import measure
import peers

PACKAGE = "linux-image-cloud-amd64"
MEMORY_MIB = 2048
# Requests before, and while, it is counted: so many that what a proxy does by the second, in the two of silence too, weighs as at 6,000 requests a second.
WARM, COUNTED = 640, 12800
WARM_HANDSHAKES, COUNTED_HANDSHAKES = 64, 512  # each is millions of instructions
LIMIT_S = 900
CPU = "max,-erms,-fsrm"
MARK = "counted:"
DATA = ("/usr/share/lua/5.1", "/usr/share/luajit-2.1", "/etc/nginx", peers.MODULES)
# CPU time of all threads of the processes that serve; {pids} prints their numbers.
INIT = """#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t devtmpfs devtmpfs /dev; mount -t tmpfs tmpfs /tmp
mount -t debugfs debugfs /debug; echo NO_WAKEUP_PREEMPTION > /debug/sched/features || poweroff -f
ifconfig lo 127.0.0.1 up
ulimit -n 65536
cd {folder}
spent() {{ sum=0; for pid in $({pids}); do for task in /proc/$pid/task/*; do read us rest < $task/schedstat; sum=$((sum + us)); done; done; echo $sum; }}
listens() {{ tries=0; until grep -q ":$(printf %04X $1) 00000000:0000 0A" /proc/net/tcp || [ $((tries += 1)) -gt 600 ]; do sleep 0.1; done; }}
{upstream} >/dev/null & listens {upstream_port}
{redis}
{command} >output 2>&1 & started=$!
listens {port}
tries=0; until {load} -n {warm} >/dev/null 2>&1 || [ $((tries += 1)) -gt 20 ]; do :; done  # the first may be below the limit
if [ $tries -le 20 ]; then
  sleep 1; before=$(spent)
  {load} -n {counted} >/dev/null && sleep 1 && echo {mark} $(($(spent) - before))
fi
tail -n 5 output
poweroff -f
"""


def is_possible(scenario):
    """Not for what needs two processors, nor for megabytes (see rep movs)."""
    return os.uname().machine == "x86_64" and scenario.workers == 1 and not scenario.per_mib and scenario.users == 1


def kernel(folder):
    """Debian's kernel image, fetched as a package and unpacked into the folder; nothing is installed."""
    found = sorted(folder.glob("boot/vmlinuz-*"))
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        depends = subprocess.run(["apt-cache", "depends", PACKAGE], capture_output=True, text=True, check=True).stdout
        package = re.search(r"Depends: (linux-image-\S+)", depends)[1]
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (archive,) = folder.glob(f"{package}_*.deb")
        subprocess.run(["dpkg", "-x", archive, folder], check=True)
        archive.unlink()
        found = sorted(folder.glob("boot/vmlinuz-*"))
    return found[-1]


def add(root, path):
    """A file or a folder of this machine, at the same place in the other."""
    target = root / str(path).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.isdir(path):
        shutil.copytree(path, target, dirs_exist_ok=True, ignore_dangling_symlinks=True)
    else:
        shutil.copy2(path, target)


def fill(root, folder, programs):
    """The other machine's files: programs with their libraries, a shell, the proxy's configuration."""
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "proc", "dev", "debug", "tmp", "var/log/nginx", "var/lib/nginx", "run"):
        (root / name).mkdir(parents=True)
    shutil.copy2("/bin/busybox", root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    modules = [os.path.realpath(module) for module in pathlib.Path(peers.MODULES).glob("*.so")]
    for path in {*programs, *(library for program in (*programs, *modules) for library in counted.libraries(program))}:
        add(root, path)
    for path in (*DATA, folder, "/etc/passwd", "/etc/group"):
        if os.path.exists(path):
            add(root, path)


def pack(root, image):
    names = b"\0".join(os.fsencode(os.path.relpath(os.path.join(at, name), root))
                       for at, folders, files in os.walk(root) for name in (*folders, *files))
    archive = subprocess.run(["cpio", "--null", "--create", "--format=newc", "--quiet", "--owner=0:0"], cwd=root, input=names,
                             stdout=subprocess.PIPE, check=True).stdout
    image.write_bytes(gzip.compress(archive, 1))


def instructions(place, name, scenario):
    """Instructions of a request, user and kernel together.  The same programs in the same scenario are counted once: it takes a minute."""
    return counted.once(place, name, scenario, "emulated", (__file__,), lambda peer: count(place, peer))


def count(place, peer):
    scenario = peer.scenario
    warm, requests = (WARM_HANDSHAKES, COUNTED_HANDSHAKES) if scenario.is_handshakes() else (WARM, COUNTED)
    command = [str(word) for word in peer.command()]
    upstream = [place.build / "bench_upstream", place.port, scenario.answer_bytes, scenario.body_bytes]
    redis = ["redis-server", "--port", place.redis_port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/tmp"]
    has_redis = scenario.store == "redis"
    programs = {shutil.which(str(words[0])) for words in (command, upstream, place.load_command(peer), *([redis] if has_redis else []))}
    folder = place.folder / "emulated"
    shutil.copy2(place.folder / "request", peer.folder / "request")
    load = [*place.load_command(peer)]
    load[load.index(place.folder / "request")] = peer.folder / "request"

    def words(parts):
        return shlex.join(str(part) for part in parts)

    root = folder / "root"
    fill(root, peer.folder, programs)
    (root / "init").write_text(INIT.format(
        folder=peer.folder, upstream=words(upstream), upstream_port=place.port, command=words(command), port=peer.port, load=words(load),
        redis=f"{words(redis)} >/dev/null & listens {place.redis_port}" if has_redis else "",
        pids="cat /proc/$started/task/$started/children" if peer.has_worker_process else "echo $started",
        warm=warm, counted=requests, mark=MARK))
    (root / "init").chmod(0o755)
    pack(root, folder / "image.gz")
    told = run(kernel(folder / "kernel"), folder / "image.gz")
    match = re.search(rf"{MARK} (\d+)", told)
    if not match:
        raise measure.Void(f"the emulated {peer.name} told no figure: {told[-1500:]}")
    return int(match[1]) / requests


def run(image, files):
    """What the machine says until it switches itself off."""
    command = ["qemu-system-x86_64", "-accel", "tcg", "-icount", "shift=0,sleep=off", "-cpu", CPU, "-smp", "1", "-m", str(MEMORY_MIB),
               "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio", "-kernel", str(image), "-initrd", str(files),
               "-append", "console=ttyS0 quiet panic=-1 tsc=reliable rdinit=/init"]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=LIMIT_S, check=False).stdout
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace")
