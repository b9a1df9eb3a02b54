r"""Runs a data host, which loads batches for trainers whose own cores are too slow.

    python -m launch.data_service --port=5050
    python -m trainer.main --data_service=HOST1:5050,HOST2:5050 ...

It reads the built dataset from the same path as the trainer.
`python -m launch.local --data_service_workers=N` starts N of them beside the workers.
"""

import errno
import socket
import time

import tensorflow as tf
from absl import flags, logging

from cxr_command.foreign_text import first_line
from trainer import command
from trainer.direct_connections import connect_directly
from trainer.errors import UserError, WorkerLost
from trainer.processes import stopping

flags.DEFINE_integer("port", 5050, "TCP port of the service.", lower_bound=1, upper_bound=65535)
flags.DEFINE_string(
    "host", None, "Host name under which trainers reach it; default: this machine's."
)

FLAGS = flags.FLAGS


_POLL_SECONDS = 0.2


def main() -> None:
    """Serves until SIGTERM, SIGHUP or Ctrl-C."""
    with stopping.noted() as asked:
        host = FLAGS.host or socket.gethostname()
        _require_port(FLAGS.port)
        own = f"localhost:{FLAGS.port}"
        connect_directly([own])
        service = tf.data.experimental.service
        try:
            dispatcher = service.DispatchServer(service.DispatcherConfig(port=FLAGS.port))
        except (tf.errors.OpError, RuntimeError) as error:
            raise _not_served(first_line(error)) from error
        # The trainer is told the worker's address; its port is any free one.
        worker = service.WorkerServer(
            service.WorkerConfig(dispatcher_address=own, worker_address=f"{host}:%port%")
        )
        logging.info("--data_service=%s:%d", host, FLAGS.port)
        while not asked.to_stop:
            time.sleep(_POLL_SECONDS)
        worker._stop()
        dispatcher._stop()


def _require_port(port: int) -> None:
    """Binds a port and releases it, as TensorFlow does not say why a port is unavailable.

    Raises:
        WorkerLost: another process uses the port, possibly only until a scheduler's retry.
        UserError: this process is not allowed to use the port.
    """
    with socket.socket() as probe:
        # Recently closed connections do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
            probe.listen()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise _not_served(error.strerror or str(error)) from error
            raise WorkerLost(
                f"--port={port} is in use by another process: stop it, or choose another port"
            ) from error


def _not_served(reason: str) -> UserError:
    return UserError(f"--port={FLAGS.port} cannot be used ({reason}): choose another port")


if __name__ == "__main__":
    command.run(main)
