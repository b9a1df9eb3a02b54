import subprocess
from types import SimpleNamespace

import pytest

from tests.conftest import run_command
from tests.support.recorded_machines import BROKEN, H100, LIMITED, WHOLE, machine
from trainer import doctor, hardware
from trainer.diagnosis import facts, folders, gpus, trial
from trainer.diagnosis.finding import Verdict
from trainer.errors import UserError
from trainer.placement import Placement


def findings_of(facts_of_machine):
    return [*gpus.find(facts_of_machine), *gpus.cores_and_memory(facts_of_machine)]


@pytest.mark.parametrize("name", BROKEN)
def test_the_first_fault_of_a_broken_machine_is_named_with_its_remedy(name):
    changes, (subject, found, remedy) = BROKEN[name]
    faults = [one for one in findings_of(machine(changes)) if one.verdict == Verdict.FAULT]
    assert faults[0].subject == subject
    assert found in faults[0].found and remedy in faults[0].remedy
    assert faults[0].sentence == f"{subject}: {faults[0].found}; {faults[0].remedy}"


@pytest.mark.parametrize("name", LIMITED)
def test_what_limits_a_machine_is_a_note(name):
    changes, (subject, found, remedy) = LIMITED[name]
    findings = findings_of(machine(changes))
    assert all(one.verdict != Verdict.FAULT for one in findings)
    (told,) = [one for one in findings if one.verdict == Verdict.NOTE and found in one.found]
    assert told.subject == subject and remedy in told.remedy


def test_a_whole_machine_has_nothing_to_mend():
    findings = findings_of(WHOLE)
    assert {one.verdict for one in findings} == {Verdict.OK}
    told = {one.subject: one.found for one in findings}
    assert told["cuDNN"] == "9.24" and told["NCCL"] == "2.27" and told["CUDA driver"] == "12.4"


def test_a_machine_on_which_everything_ran_has_nothing_to_mend():
    assert {one.verdict for one in findings_of(machine(H100))} == {Verdict.OK}


def test_config_json_tells_gpus_driver_and_libraries():
    assert gpus.describe(WHOLE) == {
        "names": ["NVIDIA A100-SXM4-80GB"] * 2,
        "driver": "550.54.15",
        "libraries": {
            "CUDA driver": "12.4", "CUDA runtime": "12.5", "cuDNN": "9.24", "NCCL": "2.27",
        },
    }  # fmt: skip
    nothing, _ = BROKEN["no GPU"]
    assert gpus.describe(machine(nothing))["driver"] is None


def test_nvidia_smi_is_asked_and_its_failure_told(monkeypatch):
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 9, "No\n", "x")
    )
    assert facts._nvidia_smi("--query-gpu=name") == (None, "No x")

    def slow(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", slow)
    assert "did not answer" in facts._nvidia_smi("--query-gpu=name")[1]


def test_warnings_of_nvidia_smi_are_no_gpus(monkeypatch):
    said = "NVIDIA A100, 550.54\nWARNING: infoROM is corrupted at gpu 0000:00:1E.0\n"
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, said, "")
    )
    query = "--query-gpu=name,driver_version"
    assert facts._nvidia_smi(query) == ([["NVIDIA A100", "550.54"]], "")


def test_a_library_that_does_not_load_is_told_in_the_loaders_words():
    library = facts._load("libnone.so.9", None)
    assert library.version is None and library.error.startswith("libnone.so.9: cannot open")
    assert facts._load("libc.so.6", None) == facts.Library(0)


def test_a_folder_is_tried_and_left_as_it_was(tmp_path, monkeypatch):
    found = folders.try_folder("cache", tmp_path / "new", "CXR_CACHE_DIR")
    assert "maps, locks and renames files" in found.found
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patched:
        patched.setattr(folders.psutil, "disk_partitions", lambda **_: [])
        found = folders.try_folder("cache", tmp_path, "CXR_CACHE_DIR")
    assert found.found.startswith(f"{tmp_path} (file system not known)")

    def refuse(*_, **__):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(folders.fcntl, "flock", refuse)
    found = folders.try_folder("cache", tmp_path, "CXR_CACHE_DIR")
    assert found.verdict == Verdict.NOTE and "does not lock files" in found.found
    monkeypatch.setattr(folders.tempfile, "TemporaryDirectory", refuse)
    found = folders.try_folder("cache", tmp_path, "CXR_CACHE_DIR")
    assert found.verdict == Verdict.NOTE and "cannot be written to" in found.found


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("xla", [False, True])
def test_a_convolution_that_is_right_passes(precision, xla):
    assert trial.try_convolution("/cpu:0", precision, xla).verdict == Verdict.OK


def test_a_convolution_that_is_wrong_or_fails_is_a_fault(monkeypatch):
    right = trial._by_numpy
    monkeypatch.setattr(trial, "_by_numpy", lambda *both: [2 * part for part in right(*both)])
    assert "off by" in trial.try_convolution("/cpu:0", "float32", xla=False).found

    def refuse(*_):
        raise trial.tf.errors.InternalError(None, None, "Autotuner could not find any\nsecond line")

    monkeypatch.setattr(trial.tf, "function", lambda **_: lambda _: refuse)
    found = trial.try_convolution("/cpu:0", "float32", xla=False)
    assert found.verdict == Verdict.FAULT and found.found.endswith("Autotuner could not find any")


def test_the_sum_over_devices_is_that_of_numpy():
    assert trial.try_reduction(["/cpu:0"]).verdict == Verdict.OK


def test_without_a_gpu_the_table_says_so_and_the_rest_is_looked_at(data_dir, tmp_path):
    said = run_command("trainer.doctor", f"--data_dir={data_dir}", f"--workdir={tmp_path}", code=2)
    for subject in ("NVIDIA driver", "host", "cache", "run directory", "dataset"):
        assert f"\n{subject} " in f"\n{said}"
    assert "Training on GPUs is not possible: NVIDIA driver: no driver" in said


def test_without_data_dir_the_dataset_is_looked_for_where_tfds_puts_it(monkeypatch, tmp_path):
    flags = SimpleNamespace(dataset="mnist", data_dir=None, workdir=str(tmp_path))
    monkeypatch.setattr(doctor, "FLAGS", flags)
    monkeypatch.setattr(doctor, "default_data_dir", lambda: str(tmp_path / "nothing"))
    found = {finding.subject: finding.found for finding in doctor._places()}
    assert f"the data directory {tmp_path}/nothing does not exist" in found["dataset"]


def test_a_training_that_needs_a_gpu_ends_where_there_is_none(monkeypatch):
    with pytest.raises(UserError, match="^--require_gpu: no GPU was found. NVIDIA driver: no"):
        hardware.resolve(Placement(require_gpu=True))
    changes, _ = BROKEN["cuDNN missing"]
    monkeypatch.setattr(facts, "gather", lambda: machine(changes))
    with pytest.raises(UserError, match="cuDNN: libcudnn.so.9 does not load"):
        hardware.resolve(Placement(require_gpu=True))


def test_the_table_is_wrapped_to_the_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    changes, _ = BROKEN["cuDNN missing"]
    doctor._print(gpus.find(machine(changes)))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("cuDNN                 FAULT libcudnn.so.9") for line in lines)
