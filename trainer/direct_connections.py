"""Connections to other workers and data hosts, past the proxy of the environment."""

import os
from collections.abc import Iterable

_VARIABLE = "no_grpc_proxy"


def connect_directly(addresses: Iterable[str]) -> None:
    """Keeps gRPC from going through https_proxy or http_proxy, which do not lead to workers.

    With such a variable set, as behind many a hospital's firewall, TensorFlow's workers otherwise
    wait for each other for ever. gRPC reads `no_grpc_proxy` before `no_proxy`, whose hosts are
    therefore kept.

    Args:
        addresses: `HOST:PORT` of each worker or data host.
    """
    known = os.environ.get(_VARIABLE) or os.environ.get("no_proxy", "")
    hosts = [*filter(None, known.split(",")), *(one.rpartition(":")[0] for one in addresses)]
    os.environ[_VARIABLE] = ",".join(dict.fromkeys(hosts))
