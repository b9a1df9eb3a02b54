"""Hosts that gRPC reaches without a proxy; tests/test_replicas.py trains two workers behind one."""

import os

import pytest

from trainer.direct_connections import connect_directly


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "a,10.0.0.2"),
        ({"no_proxy": "x.org,a"}, "x.org,a,10.0.0.2"),
        ({"no_proxy": "x.org", "no_grpc_proxy": "y.org"}, "y.org,a,10.0.0.2"),
    ],
)
def test_the_workers_are_added_to_the_hosts_without_a_proxy(variables, expected, monkeypatch):
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    connect_directly(["a:1", "10.0.0.2:22", "a:3"])
    assert os.environ["no_grpc_proxy"] == expected
