"""What launch/ holds for SLURM, Kubernetes and Docker: valid, and of one mind with the code."""

import os
import pathlib
import subprocess
import sys

import pytest
import yaml

from launch import cluster
from tests.conftest import ROOT

BIN = pathlib.Path(sys.executable).parent
MANIFESTS = sorted((ROOT / "launch" / "kubernetes").glob("*.yaml"))
SBATCH = ROOT / "launch" / "slurm" / "train.sbatch"
DOCKERFILE = ROOT / "launch" / "docker" / "Dockerfile"
VALIDATORS = {
    "kubernetes-validate": ["--strict", "--quiet", *map(str, MANIFESTS)],
    "shellcheck": [str(SBATCH)],
    "hadolint": [str(DOCKERFILE)],
}


def validate(tool, arguments):
    command = [BIN / tool, *arguments]
    return subprocess.run(command, capture_output=True, text=True)  # noqa: S603


@pytest.mark.parametrize("tool", VALIDATORS)
def test_the_validators_find_nothing(tool):
    done = validate(tool, VALIDATORS[tool])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "tool, file, right, wrong",
    [
        ("kubernetes-validate", MANIFESTS[1], "parallelism: 2", "paralelism: 2"),
        ("shellcheck", SBATCH, '"$@"', "$@"),
        ("hadolint", DOCKERFILE, "FROM python:3.11.14-slim-bookworm", "FROM python"),
    ],
)
def test_the_validators_find_a_mistake(tool, file, right, wrong, tmp_path):
    text = file.read_text()
    assert right in text
    (tmp_path / file.name).write_text(text.replace(right, wrong))
    options = [word for word in VALIDATORS[tool] if word.startswith("--")]
    assert validate(tool, [*options, str(tmp_path / file.name)]).returncode


def documents(name):
    text = (ROOT / "launch" / "kubernetes" / f"{name}.yaml").read_text()
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def pod_of(document):
    return document["spec"]["template"]["spec"]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_no_pod_may_be_root_or_write_outside_its_volumes(manifest):
    for document in yaml.safe_load_all(manifest.read_text()):
        if document["kind"] not in ("Job", "StatefulSet"):
            continue
        pod = pod_of(document)
        assert pod["securityContext"]["runAsNonRoot"]
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/data", "/tmp"} <= mounts  # noqa: S108
        if document["kind"] == "Job":
            assert {"/runs", "/dev/shm"} <= mounts  # noqa: S108
            assert pod["terminationGracePeriodSeconds"] >= 120


def test_the_pods_of_the_job_find_each_other():
    found = documents("multi-node")
    job, service, policy = found["Job"], found["Service"], found["NetworkPolicy"]
    pod, count = pod_of(job), job["spec"]["completions"]
    (container,) = pod["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    for index in range(count):
        made = cluster.read(environment | {"JOB_COMPLETION_INDEX": str(index)})
        # https://kubernetes.io/docs/concepts/workloads/controllers/job: $(job-name)-$(index).
        port = container["ports"][0]["containerPort"]
        names = [f"{job['metadata']['name']}-{one}.{pod['subdomain']}" for one in range(count)]
        assert made.workers == tuple(f"{name}:{port}" for name in names)
        assert made.index == index
    assert job["spec"]["parallelism"] == count
    assert pod["subdomain"] == service["metadata"]["name"]
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"] == labels


def test_the_data_hosts_have_the_addresses_that_the_manifest_names():
    found = documents("data-service")
    name, service = found["StatefulSet"]["metadata"]["name"], found["Service"]["metadata"]["name"]
    port = found["Service"]["spec"]["ports"][0]["port"]
    (container,) = pod_of(found["StatefulSet"])["containers"]
    assert f"--port={port}" in container["args"]
    hosts = [
        f"{name}-{i}.{service}:{port}" for i in range(found["StatefulSet"]["spec"]["replicas"])
    ]
    header = (ROOT / "launch" / "kubernetes" / "data-service.yaml").read_text()
    assert f"--data_service={','.join(hosts)}\n" in header
    assert container["args"][-1] == f"--host=$(POD_NAME).{service}"


@pytest.mark.parametrize(
    "failure, queued", [(0, False), (2, False), (3, False), (75, True), (137, True)]
)
def test_the_slurm_job_queues_itself_again_where_that_helps(failure, queued, tmp_path):
    for name, script in {
        "srun": f'echo "$@" > {tmp_path}/srun.txt; exit {failure}',
        "scontrol": f'echo "$@" > {tmp_path}/scontrol.txt',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    command = ["bash", str(SBATCH), "--model=lenet", "--workdir=a b"]
    done = subprocess.run(command, env=environment, capture_output=True)  # noqa: S603
    assert done.returncode == failure
    assert (
        (tmp_path / "srun.txt")
        .read_text()
        .endswith(
            "python -m launch.cluster -- python -m trainer.main --strategy=multi_worker "
            "--model=lenet --workdir=a b\n"
        )
    )
    assert (tmp_path / "scontrol.txt").exists() == queued
    environment["SLURM_RESTART_COUNT"] = "20"
    (tmp_path / "scontrol.txt").unlink(missing_ok=True)
    subprocess.run(command, env=environment, capture_output=True)  # noqa: S603
    assert not (tmp_path / "scontrol.txt").exists()
