"""`trainer.api` does what the commands do, several times in one process, and cleans up after."""

import json
import shlex
import signal
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from tensorflow.python.framework.config import is_op_determinism_enabled

from tests.conftest import ROOT, run_command
from tests.support.trainings import assert_same_run
from trainer import api
from trainer.data.examples import load_split
from trainer.errors import Preempted, UserError
from trainer.evaluation import options as of_evaluation
from trainer.explain import options as of_explanation
from trainer.training.observers.epoch_log import EpochLog

SETTINGS = {"strategy": "one_device", "deterministic": True, "epochs": 2}
FIRST = SETTINGS | {"seed": 1, "xla": "off", "global_batch_size": 19}
SECOND = SETTINGS | {"seed": 2, "global_batch_size": 16}


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """Two runs that were trained one after the other in this process."""
    folder = tmp_path_factory.mktemp("trained")
    return [
        api.train("lenet", data_dir=data_dir, workdir=folder / name, **settings)
        for name, settings in (("first", FIRST), ("second", SECOND))
    ]


@pytest.mark.parametrize("number, settings", list(enumerate([FIRST, SECOND])))
def test_two_trainings_in_one_process_equal_two_processes(
    number, settings, trained, data_dir, tmp_path
):
    flags = [f"--{name}={value}" for name, value in settings.items()]
    alone = tmp_path / "run"
    run_command(
        "trainer.main", "--model=lenet", f"--data_dir={data_dir}", f"--workdir={alone}", *flags
    )
    assert_same_run(trained[number].path, alone)
    assert not is_op_determinism_enabled()  # It was for these trainings alone.
    assert trained[number].read_config() == json.loads((alone / "config.json").read_text())


def test_an_interrupted_training_goes_on_where_it_was(trained, data_dir, tmp_path, monkeypatch):
    def train():
        return api.train("lenet", data_dir=data_dir, workdir=tmp_path / "run", **SECOND)

    def interrupt(log, metrics):
        if metrics.epoch == 1:
            signal.raise_signal(signal.SIGINT)

    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = list(map(signal.getsignal, handled))
    with monkeypatch.context() as patched:
        patched.setattr(EpochLog, "finish_epoch", interrupt)
        with pytest.raises(Preempted, match="epoch 2, as requested"):
            train()
    assert list(map(signal.getsignal, handled)) == before
    assert signal.set_wakeup_fd(-1) == -1
    # Outside the main thread, where no signal can be handled.
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert_same_run(tmp_path / "run", trained[1].path)


def test_an_evaluation_is_what_the_command_that_it_names_reports(trained, tmp_path):
    evaluation = api.evaluate(
        trained, output_dir=tmp_path / "ours", resamples=100, ensemble=True, prevalence=[0.1]
    )
    written = json.loads((tmp_path / "ours" / "report.json").read_text())
    _, _, module, *flags = shlex.split(written["command"])
    run_command(module, *flags, f"--output_dir={tmp_path / 'theirs'}")
    theirs = json.loads((tmp_path / "theirs" / "report.json").read_text())
    for report in (written, theirs):
        del report["command"], report["created"]
    assert written == theirs
    accuracy = evaluation.report.models["second"].statistics.values["accuracy"]
    table = evaluation.table("second")
    assert accuracy == (table["label"] == table["predicted"]).mean()
    with pytest.raises(UserError, match="no model 'third' .*expected first, second, ensemble"):
        evaluation.table("third")
    pd.testing.assert_frame_equal(
        evaluation.table(), pd.read_csv(tmp_path / "theirs" / "predictions.csv")
    )


def test_explanations_are_those_of_the_command_that_the_gallery_names(trained, tmp_path):
    explanations = api.explain(
        trained[1].path, output_dir=tmp_path / "ours", split="test", method="hirescam",
        classes=["COVID", "Normal"], max_images=2, curves=False,
    )  # fmt: skip
    command = json.loads((tmp_path / "ours" / "summary.json").read_text())["command"]
    _, _, module, *flags = shlex.split(command)
    run_command(module, *flags, f"--output_dir={tmp_path / 'theirs'}")
    index = pd.read_csv(tmp_path / "theirs" / "index.csv")
    assert index["id"].tolist() == [one.example.id for one in explanations]
    for file, one in zip(index["heatmap"], explanations, strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / "theirs" / file), one.heatmap)
        assert one.heat.shape == one.example.image.shape[:2]


def test_batches_are_the_examples_of_a_split(data_dir):
    data = api.open_dataset(data_dir)
    assert sum(data.sizes.values()) == 48
    examples = load_split(data, "train")
    batches = list(api.batches(data, "train", batch_size=7).as_numpy_iterator())
    assert {len(batch["id"]) for batch in batches[:-1]} == {7}
    for name, expected in (
        ("image", examples.images),
        ("label", examples.labels),
        ("id", examples.ids.astype(bytes)),
    ):
        found = np.concatenate([batch[name] for batch in batches])
        np.testing.assert_array_equal(found, expected)


class PathOf:
    """A path whose `__fspath__` returns any object."""

    def __init__(self, given):
        self.given = given

    def __fspath__(self):
        return self.given


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: api.train("lenet", epoch=3), "no setting 'epoch': epochs"),
        (lambda: api.train("lenet", data_dir="nowhere"), "nowhere does not exist"),
        (lambda: api.evaluate([]), "no run to evaluate"),
        (lambda: api.evaluate("run", output="report"), "no setting 'output'"),
        (lambda: api.evaluate("run", tta="flop"), "--tta=flop: expected one of none, flip"),
        (lambda: api.evaluate("run", ensemble=True), "give --workdir more than once"),
        (lambda: api.explain("run", split="test", per_class=0), "--per_class=0: expected 1 or"),
        (lambda: api.explain("run", split="test", classes="COVID"), "--classes='COVID': expected"),
        (lambda: api.explain("run", split="test", ids=[7]), r"--ids=\[7\]: 7 in it is of another"),
        (lambda: api.explain("run"), "either --split=SPLIT or --images=GLOB"),
        (lambda: api.open_dataset("nowhere"), "nowhere does not exist"),
        (lambda: api.open_dataset(5), "--data_dir=5: expected text"),
        (lambda: api.open_dataset("nowhere", None), "--dataset=None: expected text"),
        (lambda: api.train("lenet", workdir="a\0b"), "expected text without a null character"),
        (lambda: api.train("lenet", compile_cache_dir=5), "--compile_cache_dir=5: expected text"),
        (lambda: api.train("lenet", compile_cache_dir=[]), r"--compile_cache_dir=\[\]: expected"),
        (
            lambda: api.train("lenet", learning_rate=10**400),
            "--learning_rate=1000.*a number",
        ),
        (lambda: api.train("lenet", fold=5), "--fold=5: expected text"),
        (lambda: api.open_dataset(0), "--data_dir=0: expected text"),
        (lambda: api.evaluate("run", output_dir=0), "--output_dir=0: expected text"),
        (lambda: api.evaluate(None), "--workdir=None: expected text"),
        (lambda: api.evaluate(b"run"), "--workdir=b'run': expected text"),
        (lambda: api.evaluate("run", output_dir=5), "--output_dir=5: expected text"),
        (lambda: api.explain(["run"]), r"--workdir=\['run'\]: expected text"),
        (lambda: api.explain("run", images=[None]), "--images=None: expected text"),
        (lambda: api.open_dataset(np.array([1, 2])), r"--data_dir=array.*: expected text"),
        (lambda: api.train("lenet", workdir=PathOf(3)), r"expected text \(expected .*not int"),
        (lambda: api.train("lenet", workdir="\ud800"), r"--workdir='.ud800': expected text"),
        (lambda: api.train("lenet", global_batch_size=np.ones(2)), "expected a whole number"),
        (lambda: api.train("lenet", compile_cache_dir=np.ones(2)), "--compile_cache_dir=.*text"),
        (lambda: api.evaluate("run", output_dir=np.ones(2)), "--output_dir=.*: expected text"),
        (lambda: api.build_model("lenet", None), "None is no architecture"),
        (lambda: api.build_model(np.ones(2)), "--model=array.*: expected text"),
        (lambda: api.build_model("lenet", image_shape=3), "--image_shape=3: expected a list"),
        (lambda: api.build_model("lenet", image_shape=(224, 224)), "expected height, width and"),
        (lambda: api.build_model("lenet", image_shape=(9, -1, 1)), "expected height, width and"),
    ],
)
def test_mistakes_are_told_in_words(call, said):
    with pytest.raises(UserError, match=said):
        call()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (lambda _: (None, "test"), "None is no dataset"),
        (lambda _: ("run", "test"), "'run' is no dataset"),
        (lambda dataset: (dataset, None), "--split=None: expected text"),
        (lambda dataset: (dataset, "test", 0), "--batch_size=0: expected 1 or more"),
        (lambda dataset: (dataset, "test", 2.5), "--batch_size=2.5: expected a whole number"),
        (lambda dataset: (dataset, "test", True), "--batch_size=True: expected a whole number"),
    ],
)
def test_batches_of_what_is_no_split_are_refused(arguments, said, dataset):
    with pytest.raises(UserError, match=said):
        api.batches(*arguments(dataset))


@pytest.mark.parametrize("name", ["n" * 300, "a\ud800", "a b", "[*]"])
def test_a_dataset_of_a_name_that_none_can_have_is_not_there(name, data_dir):
    with pytest.raises(UserError, match="has no built dataset|expected text"):
        api.open_dataset(data_dir, name)


@pytest.mark.parametrize("options", [of_evaluation.Options, of_explanation.Options])
def test_none_stands_for_the_default(options):
    assert api._options(options, {"seed": None, "note": None}) == options()


def test_the_package_alone_imports_no_tensorflow():
    code = "import sys, trainer; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)  # noqa: S603
