"""Monitoring of the other workers: waits for them, watches them, and names lost ones.

TensorFlow's coordination service sends heartbeats and breaks the collectives of all workers once
one worker's heartbeats stop; its timeout is set here. This module adds what the service lacks: an
error message that names the missing worker, and an end for a process whose collective never
returns. The timeout of `CommunicationOptions` is not used because it keeps a thread alive for every
reduction of the last minutes.
"""

import concurrent.futures
import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator

import tensorflow as tf

# There is no public API for the coordination service's timeouts or a peer's health.
from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
from tensorflow.python.eager import context

from cxr_command.foreign_text import first_line
from cxr_command.stop_signals import Terminated
from trainer.errors import Preempted, WorkerLost

# Limit for all workers to start, generous because schedulers and image pulls take their time.
JOIN_SECONDS = 600.0
_SECONDS_BETWEEN_ROUNDS = 1.0
_ANSWER_SECONDS = 5.0
# A worker that has reported a lost one stays up, so that the others do not report it as well.
_LINGER = 3.0
# Grace period for the main thread to finish writing and exit once a worker is lost.
_GRACE = 30.0
# Errors raised by a broken connection, heartbeat or collective.
_BROKEN = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


# TensorFlow's message, in an error without a type of its own, if this worker's port is in use.
_NO_SERVER = "Could not start gRPC server"


class Peers:
    """The other workers of this training; none for a single worker."""

    def __init__(self, workers: dict[str, str], worker: int, timeout: float) -> None:
        """Stores the addresses; contacts no worker yet.

        Args:
            workers: `HOST:PORT` of every worker by its task, `/job:worker/replica:0/task:0`.
            worker: index of this process among them.
            timeout: seconds without an answer after which a worker counts as lost.
        """
        self._tasks, self._timeout = list(workers), timeout
        self._names = {
            task: f"worker {index} ({address})"
            for index, (task, address) in enumerate(workers.items())
            if index != worker
        }
        self._addresses, self._worker = workers, worker
        # Time of each peer's last answer to the watching thread.
        self._answered: dict[str, float] = {}
        self._ended = threading.Event()

    @contextlib.contextmanager
    def joining(self) -> Iterator[None]:
        """Waits for the workers to connect while the context is open.

        Raises:
            WorkerLost: a worker did not connect within `JOIN_SECONDS` or left at once, or another
                process uses this worker's port.
        """
        if self._names:
            self._configure_heartbeats()
        try:
            yield
        except _BROKEN as error:
            absent = [task for task in self._names if not self._listens(task)]
            raise WorkerLost(
                f"{self._say(absent) or 'a worker'} did not join ({first_line(error)}): look at "
                "its log, then start the same command on all workers"
            ) from error
        except tf.errors.UnknownError as error:
            if _NO_SERVER not in error.message:
                raise
            raise WorkerLost(
                f"{self._say_own()} cannot listen at its port: another process uses it, or the "
                "address is not this machine's. End that process or change TF_CONFIG, then start "
                "the same command on all workers"
            ) from error

    @contextlib.contextmanager
    def watched(self, strategy: tf.distribute.Strategy) -> Iterator[None]:
        """Watches the workers while they train; all of them leave together unless one fails.

        Args:
            strategy: the strategy shared by the workers.

        Raises:
            WorkerLost: a worker did not answer within the timeout, or its connection broke.
        """
        if not self._names:
            yield
            return
        self._answered = dict.fromkeys(self._names, time.monotonic())
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            with _loss_before_signal(), self._loss_named():
                try:
                    yield
                except Preempted:
                    _wait_for_all(strategy)
                    raise
                _wait_for_all(strategy)
        finally:
            self._ended.set()

    @contextlib.contextmanager
    def _loss_named(self) -> Iterator[None]:
        try:
            yield
        except _BROKEN as error:
            lost = self._find_lost()
            if not lost:
                raise
            time.sleep(_LINGER)
            raise self._loss(lost) from error

    def _configure_heartbeats(self) -> None:
        jobs = [task.split("/")[1].removeprefix("job:") for task in self._tasks]
        context.context().configure_coordination_service(
            service_type="standalone",
            service_leader=self._tasks[0],
            coordinated_jobs=[
                CoordinatedJob(name=job, num_tasks=jobs.count(job)) for job in dict.fromkeys(jobs)
            ],
            cluster_register_timeout_in_ms=int(JOIN_SECONDS * 1000),
            heartbeat_timeout_in_ms=int(self._timeout * 1000),
        )

    def _watch(self) -> None:
        """Polls every peer once a second; ends the process if the main thread does not exit."""
        silent = []
        while not silent:
            if self._ended.wait(_SECONDS_BETWEEN_ROUNDS):
                return
            unanswered = self._unanswered()
            now = time.monotonic()
            self._answered |= {task: now for task in self._names if task not in unanswered}
            silent = [task for task in unanswered if now - self._answered[task] > self._timeout]
        if not self._ended.wait(_GRACE):
            print(f"error: {self._loss(silent)}", file=sys.stderr, flush=True)
            os._exit(WorkerLost.exit_code)

    def _find_lost(self) -> list[str]:
        """Asks all peers, for up to the timeout, until one does not answer.

        A peer that answered longer than another has exited because of that one.
        """
        until = time.monotonic() + self._timeout
        while not (lost := self._unanswered()) and time.monotonic() < until:
            time.sleep(_SECONDS_BETWEEN_ROUNDS)
        first = min((self._answered[task] for task in lost), default=0.0)
        return [task for task in lost if self._answered[task] < first + _LINGER / 2]

    def _unanswered(self) -> list[str]:
        """Returns the peers that do not answer now; all are asked in parallel."""
        with concurrent.futures.ThreadPoolExecutor(len(self._names)) as pool:
            answers = pool.map(self._answers, self._names)
            return [task for task, answer in zip(self._names, answers, strict=True) if not answer]

    def _answers(self, task: str) -> bool:
        try:
            context.context().check_collective_ops_peer_health(
                task, timeout_in_ms=int(min(self._timeout / 2, _ANSWER_SECONDS) * 1000)
            )
        except tf.errors.OpError:
            return False
        return True

    def _listens(self, task: str) -> bool:
        host, _, port = self._addresses[task].rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
        except OSError:
            return False
        return True

    def _loss(self, lost: list[str]) -> WorkerLost:
        return WorkerLost(
            f"lost {self._say(lost)}: its connection broke, or it gave no sign of life for "
            f"{self._timeout:g} s. The same command on all workers resumes from the last checkpoint"
        )

    def _say(self, tasks: list[str]) -> str:
        return " and ".join(self._names[task] for task in tasks)

    def _say_own(self) -> str:
        return f"worker {self._worker} ({self._addresses[self._tasks[self._worker]]})"


@contextlib.contextmanager
def _loss_before_signal() -> Iterator[None]:
    """Keeps a launcher's signal, sent after a worker was lost, from hiding which worker it was."""
    try:
        yield
    except Terminated as end:
        cause: BaseException | None = end
        while cause and not isinstance(cause, _BROKEN):
            cause = cause.__context__
        if not cause:
            raise
        raise WorkerLost(
            f"lost another worker, whose connection broke; then this one was ended {end}. The same "
            "command on all workers goes on from the last checkpoint"
        ) from end


def _wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Keeps a finished worker alive until all have finished, as the chief may still be writing."""

    def meet() -> tf.Tensor:
        return tf.distribute.get_replica_context().all_reduce("sum", tf.constant(1.0))

    strategy.run(meet)
