"""`--help` of every command: complete, with defaults, wrapped, and as what a script is called."""

import dataclasses
import functools
import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys

import pytest

from cxr_command import usage
from tests.conftest import ROOT
from tests.support import generated_docs
from tests.support.commands import COMMANDS
from trainer import recipes
from trainer.evaluation import options as evaluation_options
from trainer.explain import options as explanation_options
from trainer.training import config

BIN = pathlib.Path(sys.executable).parent
SHARED = {
    "cxr_tfds/dataset_flags.py": r"dataset_flags\.define\(\)",
    "benchmarks/built_dataset.py": (
        r"\b(radiographs\.define|define_radiographs|define_dataset)_flags\(\)"
    ),
    "benchmarks/radiographs.py": r"\b(radiographs\.define|define_radiographs)_flags\(\)",
}
# The sections whose settings are flags beside those that stand in the source.
SECTIONS = {
    "trainer.evaluate": [evaluation_options.Options],
    "trainer.export_gradcam": [explanation_options.Options],
}


@pytest.fixture(scope="module")
def help_of(forks):
    """Asks a command for its help."""

    @functools.cache
    def ask(module, asked="--help", columns=80):
        ended = forks.run(module, [asked], ROOT, {"COLUMNS": str(columns)})
        assert ended.code == 0, ended.said
        return ended.said

    return ask


def defined_by(module):
    """The names of a command's flags, read from the sources."""
    path = module.replace(".", "/") + ".py"
    source = (ROOT / path).read_text()
    for shared, call in SHARED.items():
        if re.search(call, source):
            source += (ROOT / shared).read_text()
    names = re.findall(r'(?:flags\.DEFINE_\w+|\bdefine_choice)\(\s*"(\w+)"', source)
    for options in SECTIONS.get(module, ()):
        names += [field.name for field in dataclasses.fields(options)]
    return names + list(config.defaults() if "configuration.define_flags()" in source else ())


@pytest.mark.parametrize("module", COMMANDS)
def test_help_names_every_flag_once_with_its_default(module, help_of):
    said = help_of(module)
    entries = re.split(r"^  --", said, flags=re.MULTILINE)[1:]
    names = [re.match(r"(?:\[no\])?(\w+)", entry)[1] for entry in entries]
    assert sorted(names) == sorted(defined_by(module))
    for entry in entries:
        text = " ".join(entry.split("\n\n")[0].split())
        assert "default: " in text or "(required)" in text, entry
    assert f"python -m {module}" in said.split("\n  --")[0]
    prose = [line for line in said.splitlines() if not line.startswith("   ")]
    assert max(map(len, prose)) <= 80


@pytest.mark.parametrize("module", COMMANDS)
def test_the_reference_shows_the_help(module, help_of):
    """If not: make reference."""
    (name,) = [name for name, listed in generated_docs.HELP.items() if module in listed]
    page = (generated_docs.REFERENCE / f"{name}.md").read_text()
    assert generated_docs.help_section(module, help_of(module).strip()) in page


@pytest.mark.parametrize("name", generated_docs.HELP)
def test_the_reference_shows_no_other_command(name):
    page = (generated_docs.REFERENCE / f"{name}.md").read_text()
    assert re.findall(r"^## (.+)", page, re.MULTILINE) == generated_docs.HELP[name]


def test_help_is_by_subject(help_of):
    said = help_of("trainer.main", "-h", columns=70)
    titles = re.findall(r"^([A-Z][\w ]+):\n  --", said, re.MULTILINE)
    assert titles == [
        "What to train", "Data", "Hardware", "Network", "Optimisation", "Batches", "Phases", "Loss",
        "Augmentation", "Checkpoints and logs",
    ]  # fmt: skip
    assert "--feature_cache=auto|on|off\n" in said
    assert "(default: seed 16, strong 32)" in " ".join(said.split())
    assert "verbosity" not in said


def test_helpfull_also_has_the_flags_of_the_libraries(help_of):
    said = help_of("cxr_tfds.folds", "--helpfull")
    assert "--verbosity" in said
    assert "--folds" in said


def test_a_recipes_value_is_told_once_if_the_models_share_it():
    assert recipes.describe("global_batch_size", 16) == "seed 16, strong 32"
    assert (
        recipes.describe("unfreeze_from", "") == "seed none, strong none or conv4_block1 or block4"
    )


def test_what_another_command_is_asked_is_not_answered():
    asked = ["launch.cluster", "--", "python", "-m", "trainer.main", "--help"]
    usage.show_if_asked(asked, test_help_is_by_subject)
    with pytest.raises(SystemExit):
        usage.show_if_asked(asked[:1] + asked[-1:], test_help_is_by_subject)


# Console scripts -----------------------------------------------------------------------------


def run_script(*words, **environment):
    return subprocess.run(  # noqa: S603
        words, cwd=ROOT, capture_output=True, text=True, env=os.environ | environment
    )


@pytest.mark.parametrize(
    "script, module", [("cxr-phantom", "cxr_tfds.phantom"), ("cxr-evaluate", "trainer.evaluate")]
)
def test_a_script_answers_as_its_module(script, module, help_of):
    asked = run_script(BIN / script, "--help", COLUMNS="80")
    assert (asked.returncode, asked.stdout) == (0, help_of(module))


def test_a_script_ends_with_its_commands_exit_code():
    mistaken = run_script(BIN / "cxr-phantom", "--images_per_class=0")
    assert mistaken.returncode == 2
    assert mistaken.stderr.startswith("cxr_tfds.phantom: ")


def test_every_script_starts_a_command():
    scripts = importlib.metadata.distribution("cxr-trainer").entry_points
    assert {script.name: script.value for script in scripts} == {
        "cxr-phantom": "cxr_tfds.phantom:start",
        "cxr-train": "trainer.main:start",
        "cxr-evaluate": "trainer.evaluate:start",
        "cxr-gradcam": "trainer.export_gradcam:start",
        "cxr-export": "trainer.export_model:start",
        "cxr-predict": "trainer.predict:start",
        "cxr-runs": "trainer.runs:start",
        "cxr-doctor": "trainer.doctor:start",
        "cxr-study": "trainer.study:start",
    }
    for script in scripts:
        assert script.module in COMMANDS


def test_a_script_shows_the_commands_own_log():
    """A script is no file beside the command's, by which its log was once told from others'."""
    start = "from launch import cluster; cluster.command.run(cluster.main, starts_another=True)"
    job = {
        "JOB_COMPLETION_INDEX": "0", "LAUNCH_JOB": "job", "LAUNCH_SERVICE": "service",
        "LAUNCH_WORKERS": "1",
    }  # fmt: skip
    done = run_script(sys.executable, "-c", start, "--", "true", **job)
    assert done.returncode == 0, done.stderr
    assert "worker 1 of 1: job-0.service" in done.stderr
