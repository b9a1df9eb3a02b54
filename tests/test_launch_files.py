"""What launch/ holds for SLURM, Kubernetes and Docker: valid, and of one mind with the code."""

import os
import pathlib
import subprocess
import sys

import kubernetes_validate
import pydantic
import pytest
import yaml
from kubeflow_trainer_api import models

from launch import cluster
from tests.conftest import ROOT
from tests.support.manifests import MANIFESTS, documents, pod_of, workload

BIN = pathlib.Path(sys.executable).parent
SBATCH = ROOT / "launch" / "slurm" / "train.sbatch"
DOCKERFILE = ROOT / "launch" / "docker" / "Dockerfile"
# podReplacementPolicy is served since 1.29 without a feature gate.
OLDEST_KUBERNETES, NEWEST_KUBERNETES = 29, int(kubernetes_validate.latest_version().split(".")[1])
VALIDATORS = {
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


def validate_manifest(manifest, minor):
    """Raises what Kubernetes or Kubeflow Trainer would refuse the file for."""
    for kind, document in documents(manifest).items():
        if kind in ("TrainingRuntime", "TrainJob"):
            made = getattr(models, f"TrainerV1alpha1{kind}").from_dict(document)
            assert made.to_dict() == document, "a field that Trainer does not know is left out"
        else:
            kubernetes_validate.validate(document, f"1.{minor}", strict=True)
    kubernetes_validate.validate(workload(manifest), f"1.{minor}", strict=True)


@pytest.mark.parametrize("minor", range(OLDEST_KUBERNETES, NEWEST_KUBERNETES + 1))
def test_every_kubernetes_takes_the_manifests(minor):
    for manifest in MANIFESTS.values():
        validate_manifest(manifest, minor)


@pytest.mark.parametrize(
    "name, right, wrong, error",
    [
        ("multi-node", "parallelism: 2", "paralelism: 2", kubernetes_validate.ValidationError),
        ("single-node", "[2, 3]", '[2, "3"]', kubernetes_validate.ValidationError),
        ("single-node", "  name: cxr", "  name: cxr\n  name: cxr", yaml.YAMLError),
        ("data-service", "NetworkPolicy", "NetworkPolice", kubernetes_validate.SchemaNotFoundError),
        ("trainjob", "numNodes: 2", "numNode: 2", AssertionError),
        ("trainjob", "completionMode: Indexed", "completionmode: Indexed", AssertionError),
        ("trainjob", "[2, 3]", '[2, "3"]', pydantic.ValidationError),
    ],
)
def test_a_mistake_in_a_manifest_is_found(name, right, wrong, error, tmp_path):
    text = MANIFESTS[name].read_text()
    assert right in text
    (tmp_path / "wrong.yaml").write_text(text.replace(right, wrong, 1))
    with pytest.raises(error):
        validate_manifest(tmp_path / "wrong.yaml", NEWEST_KUBERNETES)


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS)
def test_no_pod_may_be_root_or_write_outside_its_volumes(manifest):
    document = workload(manifest)
    pod = pod_of(document)
    assert pod["securityContext"]["runAsNonRoot"]
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/data", "/tmp"} <= mounts  # noqa: S108
    if document["kind"] == "Job":
        assert {"/runs", "/dev/shm"} <= mounts  # noqa: S108
        assert pod["terminationGracePeriodSeconds"] >= 120


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS)
def test_the_manifests_hold_what_a_server_checks_beyond_its_schemas(manifest):
    """After pkg/apis/batch/validation and pkg/apis/core/validation of Kubernetes."""
    spec = workload(manifest)["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    assert requests.keys() == limits.keys() >= {"cpu", "memory"}
    for name, limit in limits.items():
        asked, most = (int(value.removesuffix("Gi")) for value in (requests[name], limit))
        assert asked == most if "/" in name else asked <= most
    labels = spec["template"]["metadata"]["labels"]
    assert spec.get("selector", {}).get("matchLabels", {}).items() <= labels.items()
    for rule in spec.get("podFailurePolicy", {}).get("rules", ()):
        assert pod["restartPolicy"] == "Never"
        assert spec["podReplacementPolicy"] == "Failed"
        if "onExitCodes" in rule:
            assert rule["onExitCodes"]["containerName"] == container["name"]
            values = rule["onExitCodes"]["values"]
            assert values == sorted(set(values) - {0})


@pytest.mark.parametrize("name", ["multi-node", "trainjob"])
def test_the_pods_of_the_job_find_each_other(name):
    found, job = documents(MANIFESTS[name]), workload(MANIFESTS[name])
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
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["parallelism"] == count
    labels = job["spec"]["template"]["metadata"]["labels"]
    policy = found["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"] == labels
    # JobSet makes a TrainJob's service, of the subdomain's name.
    if service := found.get("Service"):
        assert pod["subdomain"] == service["metadata"]["name"]
        assert service["spec"]["selector"].items() <= labels.items()


def test_a_train_job_differs_from_the_job_in_names_alone():
    job, made = workload(MANIFESTS["multi-node"]), workload(MANIFESTS["trainjob"])
    for one in (job, made):
        one["metadata"] = pod_of(one)["subdomain"] = None
        (container,) = pod_of(one)["containers"]
        container["name"] = container["env"] = None
        container["ports"][0].pop("protocol", None)
        for rule in one["spec"]["podFailurePolicy"]["rules"]:
            rule.get("onExitCodes", {}).pop("containerName", None)
    assert made == job


def test_the_data_hosts_have_the_addresses_that_the_manifest_names():
    found = documents(MANIFESTS["data-service"])
    name, service = found["StatefulSet"]["metadata"]["name"], found["Service"]["metadata"]["name"]
    port = found["Service"]["spec"]["ports"][0]["port"]
    (container,) = pod_of(found["StatefulSet"])["containers"]
    assert f"--port={port}" in container["args"]
    hosts = [
        f"{name}-{i}.{service}:{port}" for i in range(found["StatefulSet"]["spec"]["replicas"])
    ]
    header = MANIFESTS["data-service"].read_text()
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
