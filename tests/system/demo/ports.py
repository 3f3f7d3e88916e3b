"""Ports for servers that a test or the demo starts."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on, below those that Linux gives to connections.

    A port that the system picks may become some connection's before the server that it is meant for has started.

    Raises:
        OSError: There are not so many.
    """
    with ExitStack() as stack:
        found: list[int] = []
        for port in random.SystemRandom().sample(range(20_000, 32_000), 1000):
            with suppress(OSError):
                stack.enter_context(socket.create_server((HOST, port)))
                found.append(port)
            if len(found) == count:
                return found
    raise OSError(f"there are no {count} free ports")
