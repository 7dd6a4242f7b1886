"""The cores that this process may use, whatever the machine has."""

import os
from pathlib import Path, PurePosixPath

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def available_cores(root: Path = _CONTROL_GROUPS, own: Path = _OWN_GROUPS) -> int:
    """The cores that this process may use: its affinity, and its control groups' least quota, rounded up.

    A container's quota is time, not cores: a thread more than it pays for is stopped for a part of each period.

    Parameters
    ----------
    root : where control groups are mounted, of version 2 or 1
    own : the kernel's list of this process's own, ``hierarchy:controllers:path`` a line
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(-(-limit // period) for limit, period in _quotas(root, own))]))


def _quotas(root: Path, own: Path) -> list[tuple[int, int]]:
    """(limit, period) in microseconds of each group that this process is in and that has a limit."""
    found = []
    for folder in _folders(root, own):
        text = (
            _read(folder / "cpu.max") or f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}"
        )
        match text.split():
            case [limit, period] if limit.isdigit() and period.isdigit() and int(period):  # no limit: "max", or -1
                found.append((int(limit), int(period)))
    return found


def _folders(root: Path, own: Path) -> list[Path]:
    """The folders of this process's groups and of all above them, whose limits hold too.

    Within a container its own group is usually mounted as the root, so that the path is not to be found below it.
    """
    tops = {root, root / "cpu"}  # version 2; version 1, in which each controller has a tree
    folders = list(tops)
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            steps = PurePosixPath(path.lstrip("/"))
            folders += [top / step for top in tops for step in (steps, *steps.parents)]
    return folders


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        return ""
