r"""Starts several workers of one command on this machine, like SLURM or Kubernetes on many.

    python -m launch.local --num_workers=2 -- python -m trainer.main --model=lenet \
        --strategy=multi_worker --data_dir=DATA --workdir=RUN

TF_CONFIG and free ports are set, and the lines of each worker's log begin with its number. The
first failure stops all workers, and its exit code becomes this command's. With --max_restarts, all
workers are restarted and resume from the last checkpoint, unless a restart would fail in the same
way. SIGTERM, SIGHUP and Ctrl-C are forwarded: the workers save a checkpoint and stop with exit code
75.
"""

import contextlib
import socket
import sys

from absl import flags, logging

from cxr_command.exit_codes import FINAL, ExitCode
from launch.cluster import Cluster
from launch.workers import Workers
from trainer import command
from trainer.processes import stopping
from trainer.processes.child import python_module

flags.DEFINE_integer("num_workers", 2, "Number of workers.", lower_bound=1)
flags.DEFINE_integer(
    "gpus_per_worker", 0, "GPUs per worker; 0: every worker sees all GPUs.", lower_bound=0
)
flags.DEFINE_integer("max_restarts", 0, "Maximum number of restarts after failures.", lower_bound=0)
flags.DEFINE_integer(
    "data_service_workers",
    0,
    "Data service hosts to start; the command receives their addresses as --data_service.",
    lower_bound=0,
)
flags.DEFINE_float(
    "grace_seconds", 30.0, "Seconds between SIGTERM and SIGKILL for a worker.", lower_bound=0
)

FLAGS = flags.FLAGS

# A restart would end in the same way, or was not requested.
_FINAL = (*FINAL, ExitCode.PREEMPTED, ExitCode.INTERRUPTED)


def main(arguments: list[str]) -> None:
    """Starts the workers and waits for them."""
    if FLAGS.gpus_per_worker:
        _require_gpus(FLAGS.num_workers, FLAGS.gpus_per_worker)
    restarts = 0
    with stopping.noted() as asked:
        while True:
            workers = Workers(FLAGS.grace_seconds, asked)
            _start(workers, arguments)
            code, said = workers.wait()
            if code:
                logging.error("%s", said)
            if code in _FINAL or asked.to_stop or restarts == FLAGS.max_restarts:
                sys.exit(code)
            restarts += 1
            logging.warning("restart %d of at most %d", restarts, FLAGS.max_restarts)


def _require_gpus(num_workers: int, share: int) -> None:
    # Imports TensorFlow, which takes seconds, only if GPUs are shared out.
    from trainer.processes.gpus import require_gpus

    asked = f"--num_workers={num_workers} with --gpus_per_worker={share}"
    require_gpus(set(range(num_workers * share)), asked)


def _start(workers: Workers, arguments: list[str]) -> None:
    """Starts data hosts and workers on currently free ports."""
    hosts = [f"127.0.0.1:{port}" for port in free_ports(FLAGS.data_service_workers)]
    for index, address in enumerate(hosts):
        port = address.rpartition(":")[2]
        serve = [*python_module("launch.data_service"), "--host=127.0.0.1", f"--port={port}"]
        workers.start(f"data host {index}", serve, {}, serves=True)
    if hosts:
        arguments = [*arguments, f"--data_service={','.join(hosts)}"]
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(FLAGS.num_workers))
    share = FLAGS.gpus_per_worker
    for index in range(FLAGS.num_workers):
        gpus = tuple(str(share * index + gpu) for gpu in range(share)) if share else None
        environment = Cluster(addresses, index, gpus).environment()
        workers.start(f"worker {index}", arguments, environment)


def free_ports(count: int) -> list[int]:
    """Returns unused TCP ports of this machine."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    command.run(main, starts_another=True)
