"""A TCP port of this machine that a server is to listen on."""

import errno
import socket

from trainer.errors import PortInUse, UserError


def require_port(port: int, advice: str) -> None:
    """Asks the system for a port, and gives it back: TensorFlow does not say why it has none.

    Args:
        port: its number.
        advice: what the user can do if it cannot be had, a clause.

    Raises:
        PortInUse: another process listens there, and may be gone when a scheduler tries again.
        UserError: this process may not listen there.
    """
    with socket.socket() as probe:
        # Connections that have just ended are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
            probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(
                    f"port {port} of this machine is in use by another process: {advice}"
                ) from error
            raise UserError(
                f"port {port} of this machine cannot be served ({error.strerror}): {advice}"
            ) from error
