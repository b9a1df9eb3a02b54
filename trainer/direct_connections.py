"""Connections to other workers and data hosts that bypass the environment's proxy."""

import os
from collections.abc import Iterable

_VARIABLE = "no_grpc_proxy"


def connect_directly(addresses: Iterable[str]) -> None:
    """Keeps gRPC from using https_proxy or http_proxy, which cannot reach the workers.

    With such a variable set, as is common behind a hospital's firewall, TensorFlow's workers would
    wait for each other forever. gRPC reads `no_grpc_proxy` instead of `no_proxy` if both are set,
    so the hosts of `no_proxy` are copied.

    Args:
        addresses: `HOST:PORT` of each worker or data host.
    """
    known = os.environ.get(_VARIABLE) or os.environ.get("no_proxy", "")
    hosts = [*filter(None, known.split(",")), *(one.rpartition(":")[0] for one in addresses)]
    os.environ[_VARIABLE] = ",".join(dict.fromkeys(hosts))
