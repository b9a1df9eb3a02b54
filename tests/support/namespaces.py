"""Network namespaces with their own addresses, joined by a bridge, as machines for a test."""

import contextlib
import os
import shutil
import subprocess

import pytest

# Unique to this process, so that tests may run in parallel; at most 15 characters.
_TAG = f"cxr{os.getpid()}"
_BRIDGE = f"{_TAG}br"


def _ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True)  # noqa: S603, S607


def _must(*words):
    done = _ip(*words)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


class Network(contextlib.AbstractContextManager):
    """A number of namespaces; skips the test if they cannot be created."""

    def __init__(self, count):
        self.names = [f"{_TAG}host{index}" for index in range(count)]
        self.hosts = [f"10.77.0.{index + 1}" for index in range(count)]
        # Prefix of a command that runs it in a namespace.
        self.prefixes = [["ip", "netns", "exec", name] for name in self.names]

    def __enter__(self):
        if not shutil.which("ip"):
            pytest.skip("network namespaces need `ip` of the package iproute2")
        self._remove()
        if _ip("link", "add", _BRIDGE, "type", "bridge").returncode:
            pytest.skip("network namespaces need the privilege to make network devices")
        _must("link", "set", _BRIDGE, "up")
        for index, (name, host) in enumerate(zip(self.names, self.hosts, strict=True)):
            inner = f"{_TAG}in{index}"
            _must("netns", "add", name)
            _must("link", "add", self._cable(index), "type", "veth", "peer", "name", inner)
            _must("link", "set", inner, "netns", name)
            _must("link", "set", self._cable(index), "master", _BRIDGE, "up")
            _must("-n", name, "address", "add", f"{host}/24", "dev", inner)
            _must("-n", name, "link", "set", inner, "up")
            _must("-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *exception):
        self._remove()

    def cut(self, index):
        _must("link", "set", self._cable(index), "down")

    def mend(self, index):
        _must("link", "set", self._cable(index), "up")

    def _cable(self, index):
        return f"{_TAG}out{index}"

    def _remove(self):
        for index, name in enumerate(self.names):
            _ip("link", "delete", self._cable(index))
            _ip("netns", "delete", name)
        _ip("link", "delete", _BRIDGE)
