"""Where the first process of a job is reached by the others."""

from __future__ import annotations

import contextlib
import socket

from carnyx.errors import ProcessError


def addresses_of(host: str | None) -> list[str]:
    """This host's, best first."""
    found = [host] if host else []
    name = socket.gethostname()
    with contextlib.suppress(OSError):
        infos = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        found += [str(info[4][0]) for info in infos]
    with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; chooses the way out
        found.append(probe.getsockname()[0])
    return list(dict.fromkeys([*found, socket.getfqdn(), name]))[:8]


def is_address(text: str) -> bool:
    """Whether it is a host and a port: `node0:4321`, `[::1]:4321`."""
    host, _, port = text.strip().rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65536


def connected(addresses: list[tuple[str, int]], index: int) -> socket.socket:
    """A line to the first of these addresses that answers.

    Raises:
        ProcessError: when none does.
    """
    tried = []
    for address in addresses:
        try:
            line = socket.create_connection(address, timeout=5)
        except OSError as error:
            tried.append(f"{address[0]}:{address[1]} ({error})")
            continue
        line.settimeout(None)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return line
    raise ProcessError(
        f"Process {index} cannot reach process 0 at {', '.join(tried)}. A port of that "
        "host has to be open to the others; CARNYX_JOB_PORT chooses which."
    )
