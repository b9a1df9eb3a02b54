"""TF_CONFIG from recorded environments of SLURM and Kubernetes."""

import json
import os
import subprocess
import sys

import pytest

from launch import cluster
from tests.conftest import ROOT
from trainer.errors import UserError

# What `srun env` shows to one task of `sbatch --nodes=2 --ntasks-per-node=1 --gpus-per-node=4`.
SLURM = {
    "CUDA_VISIBLE_DEVICES": "0,1,2,3",
    "SLURM_GPUS_ON_NODE": "4",
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NODELIST": "gpu[9-10]",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "1",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_STEP_NODELIST": "gpu[9-10]",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
    "SLURM_TASKS_PER_NODE": "1(x2)",
}
# The same with --ntasks-per-node=2: the third of four tasks, which sees the GPUs of all.
SLURM_SHARED = SLURM | {
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "1",
    "SLURM_PROCID": "2",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
}
# A pod of launch/kubernetes/base.
KUBERNETES = {
    "HOSTNAME": "cxr-train-1",
    "JOB_COMPLETION_INDEX": "1",
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "LAUNCH_JOB": "cxr-train",
    "LAUNCH_SERVICE": "cxr-workers",
    "LAUNCH_WORKERS": "2",
}


def tf_config(environment):
    return json.loads(cluster.read(environment).environment()["TF_CONFIG"])


def test_slurm_ranks_the_nodes_in_the_order_of_its_list():
    assert tf_config(SLURM) == {
        "cluster": {"worker": ["gpu9:24711", "gpu10:24711"]},
        "task": {"type": "worker", "index": 1},
    }
    assert "CUDA_VISIBLE_DEVICES" not in cluster.read(SLURM).environment()


def test_tasks_of_a_node_have_ports_and_gpus_of_their_own():
    shared = cluster.read(SLURM_SHARED)
    assert shared.workers == ("gpu9:24711", "gpu9:24712", "gpu10:24711", "gpu10:24712")
    assert shared.environment()["CUDA_VISIBLE_DEVICES"] == "0,1"
    last = SLURM_SHARED | {"SLURM_LOCALID": "1", "SLURM_PROCID": "3"}
    assert cluster.read(last).environment()["CUDA_VISIBLE_DEVICES"] == "2,3"
    # With --gpus-per-task SLURM has split them: a task sees its own.
    split = cluster.read(last | {"CUDA_VISIBLE_DEVICES": "2"})
    assert split.gpus is None


@pytest.mark.parametrize(
    "text, nodes",
    [
        ("node7", ["node7"]),
        ("gpu[08-10,12],login", ["gpu08", "gpu09", "gpu10", "gpu12", "login"]),
        ("r[1-2]n[1,3]-ib", ["r1n1-ib", "r1n3-ib", "r2n1-ib", "r2n3-ib"]),
        ("a-1,b[2]", ["a-1", "b2"]),
    ],
)
def test_lists_of_nodes_are_expanded(text, nodes):
    assert cluster.expand_nodes(text) == nodes


def test_kubernetes_names_the_pods_by_their_indices():
    assert tf_config(KUBERNETES) == {
        "cluster": {"worker": ["cxr-train-0.cxr-workers:20000", "cxr-train-1.cxr-workers:20000"]},
        "task": {"type": "worker", "index": 1},
    }


@pytest.mark.parametrize(
    "environment, said",
    [
        ({}, "expected SLURM_PROCID"),
        ({"SLURM_PROCID": "0"}, "SLURM_STEP_NODELIST is not set"),
        (SLURM | {"SLURM_STEP_NODELIST": "gpu[9-"}, "not a node list"),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "1"}, "2 nodes and tasks for 1"),
        (SLURM_SHARED | {"SLURM_PROCID": "1"}, "srun --distribution=block"),
        (SLURM_SHARED | {"SLURM_GPUS_ON_NODE": "3"}, "do not divide by its 2 tasks"),
        (KUBERNETES | {"JOB_COMPLETION_INDEX": "2"}, "expected the job's completions"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(environment, said):
    with pytest.raises(UserError, match=said):
        cluster.read(environment)


def test_the_command_takes_the_place_of_the_launcher():
    shown = "import os; print(os.getpid(), os.environ['TF_CONFIG'])"
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "launch.cluster", "--", sys.executable, "-c", shown],
        cwd=ROOT, env=os.environ | KUBERNETES, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    pid, _, config = process.communicate(timeout=60)[0].partition(" ")
    assert process.returncode == 0
    assert int(pid) == process.pid
    assert json.loads(config) == tf_config(KUBERNETES)
