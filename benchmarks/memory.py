"""The memory of this process, as the operating system counts it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["current", "forget_peak", "peak"]

PROCESS = Path("/proc/self")


def forget_peak() -> bool:
    """Reset the peak to what is resident now (proc(5), ``clear_refs``); return False if the system forbids it."""
    try:
        (PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def current() -> int:
    """Return the resident bytes, with those of mapped files."""
    return _status("VmRSS")


def peak() -> int:
    """Return the most bytes that were resident since the last reset."""
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = (PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
