"""docs/notebook.ipynb runs from top to bottom in a kernel of its own, on a few phantoms."""

import json
import os

import matplotlib as mpl
import nbformat
import pytest
from ipykernel.kernelspec import write_kernel_spec
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
SETTINGS = "IMAGES_PER_CLASS, EPOCHS, RESAMPLES = 12, 2, 100"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel of this Python, whatever a user has registered."""
    folder = tmp_path_factory.mktemp("kernels")
    write_kernel_spec(str(folder / "phantom"))
    return AsyncKernelManager(
        kernel_name="phantom",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(folder)]),
        connection_file=str(folder / "connection.json"),
    )


@pytest.fixture(scope="module")
def executed(kernel, tmp_path_factory):
    """The notebook with its outputs, and the folder that it wrote to."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = next(i for i, cell in enumerate(notebook.cells) if "EPOCHS = " in cell.source)
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(SETTINGS))
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1", "HOME": str(folder),
        "IPYTHONDIR": str(folder), "CXR_CACHE_DIR": str(folder / "cache"),
        "MPLCONFIGDIR": mpl.get_cachedir(),  # Its list of fonts takes seconds to make.
    }  # fmt: skip
    client = NotebookClient(
        notebook, km=kernel, timeout=600, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=environment)
    return notebook, folder / "phantom_tutorial"


def outputs(notebook, kind):
    """What cells showed of a kind, such as `text/html`."""
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [output["data"][kind] for output in shown if kind in output.get("data", ())]


def test_the_notebook_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)


def test_it_trains_evaluates_and_explains(executed):
    notebook, folder = executed
    assert json.loads((folder / "run" / "status.json").read_text())["status"] == "done"
    report = json.loads((folder / "report" / "report.json").read_text())
    (table,) = (text for text in outputs(notebook, "text/plain") if "accuracy" in text)
    accuracy = next(line.split() for line in table.splitlines() if line.startswith("accuracy"))
    expected = [report["accuracy"], *report["intervals"]["accuracy"]]
    assert [float(cell) for cell in accuracy[1:]] == pytest.approx(expected, abs=1e-5)
    assert len(outputs(notebook, "image/png")) == 3
    assert (folder / "heatmaps" / "index.html").exists()


def test_it_shows_the_log_of_the_training_once(executed):
    notebook, _ = executed
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    (cell,) = (cell for cell in code if "api.train" in cell.source)
    said = "".join(output["text"] for output in cell.outputs if output.output_type == "stream")
    for epoch in ("epoch 1/2", "epoch 2/2"):
        assert sum(f" {epoch}  loss" in line for line in said.split("\n")) == 1
    assert "flag parsing" not in said and "Traceback" not in said
