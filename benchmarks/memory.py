"""The memory of this process as the operating system counts it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["current", "forget_peak", "peak"]

PROCESS = Path("/proc/self")


def forget_peak() -> bool:
    """Let the peak be what is resident now (proc(5), ``clear_refs``); False where the system does not let us."""
    try:
        (PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def current() -> int:
    """The resident bytes, those of mapped files included."""
    return _status("VmRSS")


def peak() -> int:
    """The most that was resident since the peak was forgotten."""
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = (PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
