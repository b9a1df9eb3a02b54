r"""Runs one worker of a scheduler's job, with the addresses of all workers in TF_CONFIG.

In a job step of SLURM, and in the pods of an Indexed Job of Kubernetes, every task runs

    python -m launch.cluster -- python -m trainer.main --strategy=multi_worker --workdir=RUN ...

`launch/slurm/` and `launch/kubernetes/` hold complete jobs. The command replaces this process, so
it receives the scheduler's signals, and its exit code is the task's.
"""

import dataclasses
import json
import os
import re
from collections.abc import Mapping

from absl import logging

from trainer import command
from trainer.errors import UserError

# Port of the first worker on a node. Ports differ between SLURM jobs, as two may share a node.
_PORT, _PORTS_SPREAD = 20_000, 10_000


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a job, and the index of this process.

    Attributes:
        workers: `HOST:PORT` of each worker, the chief first.
        index: index of this process among them.
        gpus: indices of the node's GPUs for this worker; None: all visible ones.
    """

    workers: tuple[str, ...]
    index: int
    gpus: tuple[str, ...] | None = None

    def environment(self) -> dict[str, str]:
        """Returns a worker's variables: TF_CONFIG, and CUDA_VISIBLE_DEVICES if GPUs are split."""
        task = {"type": "worker", "index": self.index}
        config = {"cluster": {"worker": list(self.workers)}, "task": task}
        gpus = {} if self.gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)}
        return {"TF_CONFIG": json.dumps(config)} | gpus


def read(environment: Mapping[str, str]) -> Cluster:
    """Detects the cluster from the environment variables of the launcher.

    Args:
        environment: the process' environment variables.

    Returns:
        The cluster.

    Raises:
        UserError: the variables of both schedulers are missing, or are invalid.
    """
    for variable, reader in {
        "SLURM_PROCID": read_slurm,
        "JOB_COMPLETION_INDEX": read_kubernetes,
    }.items():
        if variable in environment:
            return reader(environment)
    raise UserError(
        "found no job: expected SLURM_PROCID, which srun sets, or JOB_COMPLETION_INDEX, which an "
        "Indexed Job of Kubernetes sets. On one machine: python -m launch.local"
    )


def read_slurm(environment: Mapping[str, str]) -> Cluster:
    """Reads the cluster of a SLURM job step: one worker per task, in rank order.

    TensorFlow's own resolver is not used because it sorts the nodes by name, while SLURM ranks them
    in list order (node9, node10), and because it needs nvidia-smi.

    Args:
        environment: the variables of one task, as srun sets them.

    Returns:
        The cluster; if several tasks of a node see all of its GPUs, each gets a share.

    Raises:
        UserError: a variable is missing, or the ranks are not assigned node by node.
    """
    nodes = expand_nodes(_get(environment, "SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"))
    tasks = _expand_counts(_get(environment, "SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"))
    if len(tasks) != len(nodes):
        raise UserError(f"SLURM names {len(nodes)} nodes and tasks for {len(tasks)}: {nodes}")
    port = _PORT + int(_get(environment, "SLURM_JOB_ID")) % _PORTS_SPREAD
    places = [
        (node, slot) for node, count in zip(nodes, tasks, strict=True) for slot in range(count)
    ]
    rank, slot = int(_get(environment, "SLURM_PROCID")), int(_get(environment, "SLURM_LOCALID"))
    node = nodes[int(_get(environment, "SLURM_NODEID"))]
    if rank >= len(places) or places[rank] != (node, slot):
        raise UserError(
            f"rank {rank} is task {slot} of {node}: expected the ranks node by node; "
            "start the step with srun --distribution=block"
        )
    workers = tuple(f"{node}:{port + slot}" for node, slot in places)
    return Cluster(workers, rank, _share_of_gpus(environment, slot, tasks[nodes.index(node)]))


def read_kubernetes(environment: Mapping[str, str]) -> Cluster:
    """Reads the cluster of an Indexed Job: one worker per pod, in index order.

    Args:
        environment: `JOB_COMPLETION_INDEX`, set by Kubernetes, and the variables set by the
            manifest: `LAUNCH_JOB`, the job's name, `LAUNCH_SERVICE`, its headless service, which is
            the pods' subdomain, and `LAUNCH_WORKERS`, the number of pods.

    Returns:
        The cluster.

    Raises:
        UserError: a variable is missing, or the index is not a worker's.
    """
    job, service = _get(environment, "LAUNCH_JOB"), _get(environment, "LAUNCH_SERVICE")
    count, index = (
        int(_get(environment, "LAUNCH_WORKERS")),
        int(environment["JOB_COMPLETION_INDEX"]),
    )
    if not 0 <= index < count:
        raise UserError(
            f"JOB_COMPLETION_INDEX={index} with LAUNCH_WORKERS={count}: expected the job's "
            "completions, its parallelism and LAUNCH_WORKERS to be the same number"
        )
    workers = tuple(f"{job}-{worker}.{service}:{_PORT}" for worker in range(count))
    return Cluster(workers, index)


def expand_nodes(text: str) -> list[str]:
    """Expands SLURM's compact node list, in order.

    Args:
        text: such as `login,gpu[08-10,12],rack[1-2]n[1-2]`.

    Returns:
        Such as `login, gpu08, gpu09, gpu10, gpu12, rack1n1, rack1n2, rack2n1, rack2n2`.

    Raises:
        UserError: the text is not a node list.
    """
    items = re.findall(r"(?:[^,\[\]]|\[[\d,-]+\])+", text)
    if not items or ",".join(items) != text:
        raise UserError(f"{text!r} is not a node list such as gpu[08-10,12],login")
    return [node for item in items for node in _expand_item(item)]


def _expand_item(item: str) -> list[str]:
    found = re.search(r"\[([^]]*)\]", item)
    if not found:
        return [item]
    before, after = item[: found.start()], item[found.end() :]
    numbers = []
    for part in found[1].split(","):
        first, _, last = part.partition("-")
        numbers += [f"{n:0{len(first)}}" for n in range(int(first), int(last or first) + 1)]
    return [f"{before}{number}{rest}" for number in numbers for rest in _expand_item(after)]


def _expand_counts(text: str) -> list[int]:
    """Expands `2(x3),1` to 2, 2, 2, 1."""
    counts = []
    for count, repeats in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(count)] * int(repeats or 1)
    return counts


def _share_of_gpus(environment: Mapping[str, str], slot: int, tasks: int) -> tuple[str, ...] | None:
    """Returns a task's share of its node's visible GPUs; None if SLURM has split them."""
    seen = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
    on_node = int(environment.get("SLURM_GPUS_ON_NODE", 0))
    if tasks == 1 or on_node == 0 or len(seen) < on_node:
        return None
    if on_node % tasks:
        raise UserError(
            f"{on_node} GPUs on a node do not divide by its {tasks} tasks; "
            "change --gpus-per-node or --ntasks-per-node"
        )
    share = on_node // tasks
    return tuple(seen[slot * share : (slot + 1) * share])


def _get(environment: Mapping[str, str], *names: str) -> str:
    for name in names:
        if name in environment:
            return environment[name]
    raise UserError(f"{names[0]} is not set in the environment of this task of the job")


def main(arguments: list[str]) -> None:
    """Replaces this process by the command, with TF_CONFIG in its environment."""
    cluster = read(os.environ)
    logging.info(
        "worker %d of %d: %s", cluster.index + 1, len(cluster.workers), ", ".join(cluster.workers)
    )
    try:
        os.execvpe(arguments[0], arguments, os.environ | cluster.environment())  # noqa: S606
    except OSError as error:
        raise UserError(f"{arguments[0]} could not be started: {error.strerror}") from error


if __name__ == "__main__":
    command.run(main, starts_another=True)
