"""A port to listen on."""

import socket

import pytest

from trainer.errors import PortInUse
from trainer.port import require_port


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_one_that_is_in_use_is_named(host):
    with socket.socket() as listener:
        listener.bind((host, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(PortInUse, match=f"^port {port} .* in use .*: try another") as refusal:
            require_port(port, "try another")
        assert refusal.value.exit_code == 76
    require_port(port, "try another")


def test_one_that_was_just_served_is_free():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        served, _ = listener.accept()
        served.close()  # First, so that the port's own end waits for stragglers.
        client.recv(1)
    listener.close()
    require_port(port, "try another")
