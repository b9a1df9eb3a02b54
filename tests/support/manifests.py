"""The manifests of launch/kubernetes/, parsed as strictly as by an API server."""

import copy
import pathlib

import yaml

from tests.conftest import ROOT

MANIFESTS = {path.stem: path for path in sorted((ROOT / "launch" / "kubernetes").glob("*.yaml"))}


class Loader(yaml.SafeLoader):
    """Rejects duplicate keys, like the API server with fieldValidation=Strict."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key} is there twice", problem_mark=node.start_mark
                )
        return super().construct_mapping(node, deep)


def documents(manifest: pathlib.Path) -> dict[str, dict]:
    """Returns a manifest's documents by kind."""
    found = list(yaml.load_all(manifest.read_text(), Loader))
    by_kind = {one["kind"]: one for one in found}
    assert len(by_kind) == len(found), f"{manifest.name} has two documents of a kind"
    return by_kind


def workload(manifest: pathlib.Path) -> dict:
    """Returns what creates a manifest's pods: a StatefulSet, a Job, or Trainer's Job."""
    found = documents(manifest)
    if "TrainJob" in found:
        return job_of_trainer(found["TrainingRuntime"], found["TrainJob"])
    return found.get("Job") or found["StatefulSet"]


def job_of_trainer(runtime: dict, train_job: dict) -> dict:
    """Returns the Job created by Kubeflow Trainer 2.3 and JobSet 0.12.

    Trainer (pkg/runtime/core/trainingruntime.go, pkg/runtime/framework/plugins/jobset) puts
    arguments and variables into the container `node` of the labelled job, and the number of nodes
    into completions and parallelism. JobSet (pkg/controllers/jobset_controller.go) names the job
    and makes its own name, which is the TrainJob's, the subdomain.
    """
    (replicated,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    job, trainer = copy.deepcopy(replicated["template"]), train_job["spec"]["trainer"]
    name, labels = train_job["metadata"]["name"], job["metadata"]["labels"]
    assert labels["trainer.kubeflow.org/trainjob-ancestor-step"] == "trainer"
    assert train_job["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    job["metadata"]["name"] = f"{name}-{replicated['name']}-0"
    job["spec"] |= {"completions": trainer["numNodes"], "parallelism": trainer["numNodes"]}
    pod_of(job)["subdomain"] = name
    (container,) = (one for one in pod_of(job)["containers"] if one["name"] == "node")
    container |= {"args": trainer["args"], "env": trainer["env"]}
    return {"apiVersion": "batch/v1", "kind": "Job"} | job


def pod_of(document: dict) -> dict:
    return document["spec"]["template"]["spec"]
