# SPDX-License-Identifier: Apache-2.0
"""Who gets the processor while something is measured: everything that takes part before everything that does not, or a proxy no more
than a share.  Both need a privileged user; what cannot be had is said by None, and the page tells it."""
import contextlib
import os
import pathlib
import uuid

RUN_FIRST = ("chrt", "-f", "1")  # the load generator's command behind these
QUOTA_US = 1000  # the least that the kernel takes: the shorter the turns, the more a share is like a slower processor
CGROUPS = pathlib.Path("/sys/fs/cgroup")


def threads(pids):
    """But those of which their program itself says that they give way to its others: it would mean so here, too."""
    tasks = [int(task.name) for pid in pids for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    return [task for task in tasks if os.sched_getscheduler(task) != os.SCHED_BATCH]


@contextlib.contextmanager
def first(pids):
    """Their threads run as soon as they can: no slice of another process, nor of each other, adds to a latency.  Yields the words to
    put before a command that takes part; none where this may not be done."""
    raised = threads(pids)
    try:
        for thread in raised:
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield ()
        return
    try:
        yield RUN_FIRST
    finally:
        for thread in raised:
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def limited_group(root, limits):
    """The folder of a new control group below root; None where such limits are not to be had."""
    if not (root / "cgroup.procs").exists():  # a folder for the groups of others
        return None
    folder = root / f"bench-{uuid.uuid4().hex[:12]}"
    try:
        folder.mkdir()
    except OSError:
        return None
    try:
        for name, value in limits.items():
            (folder / name).write_text(str(value))
        return folder
    except OSError:
        folder.rmdir()
        return None


class Share:
    """A control group, of the first or the second version, whose processes have a share of a processor between them, as those of a
    container with a limit.  Owner: the caller, who closes it."""

    def __init__(self, share):
        period_us = round(QUOTA_US / share)
        self.pids, self.folder = [], None
        for root, limits in ((CGROUPS / "cpu", {"cpu.cfs_period_us": period_us, "cpu.cfs_quota_us": QUOTA_US}),
                             (CGROUPS, {"cpu.max": f"{QUOTA_US} {period_us}"})):
            self.root, self.folder = root, limited_group(root, limits)
            if self.folder:
                break

    def is_had(self):
        return self.folder is not None

    def take(self, pids):
        for pid in pids:
            (self.folder / "cgroup.procs").write_text(str(pid))
            self.pids.append(pid)

    def close(self):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                (self.root / "cgroup.procs").write_text(str(pid))
        if self.folder:
            self.folder.rmdir()
