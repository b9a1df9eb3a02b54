"""Processes started by a test: waiting for them, and free ports."""

import socket
import time

import psutil


def wait_until(holds, process=None, seconds=240):
    """Waits until a condition holds, and returns its value; fails if the process ends before."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        if process is not None:
            assert process.poll() is None, f"it ended early: {process.stderr.read()}"
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.02)
    return found


def is_alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE  # If nobody reaps orphans.
    except psutil.NoSuchProcess:
        return False


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
