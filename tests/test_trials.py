"""The trainings of a study; short processes stand for trainer.main."""

import signal
import sys
import time

import pytest

from trainer.errors import Damaged, UserError
from trainer.processes import child
from trainer.processes.stopping import Asked
from trainer.studies.progress import StudyProgress
from trainer.studies.trials import Listed, Trial, train


class ShortTrial(Trial):
    """Runs a script, which knows its GPU, in the place of trainer.main."""

    def start(self, gpu):
        self.directory.mkdir(exist_ok=True)
        with self.log.open("a") as log:
            script = [sys.executable, "-uc", self.flags["script"]]
            return child.start(script, {"GPU": gpu or "none"}, stdout=log)


class Refused(Trial):
    """One whose directory cannot be written to."""

    def start(self, gpu):
        raise UserError("there is no room")


def trial(folder, name, script):
    return ShortTrial(folder / name, {"script": script})


def test_each_has_the_code_it_ended_with_and_no_failure_stops_the_others(tmp_path, capsys):
    trials = [
        trial(tmp_path, "bad", "import sys; sys.exit(2)"),
        Refused(tmp_path / "refused", {}),
        trial(tmp_path, "good", "print('trained')"),
    ]
    assert train(Listed(trials), [None], Asked(), StudyProgress(3, 0, 1)) == {
        "bad": 2,
        "refused": 2,
        "good": 0,
    }
    assert (tmp_path / "good" / "log.txt").read_text() == "trained\n"
    said = capsys.readouterr().err
    assert "refused: there is no room" in said
    assert "bad: ended with code 2" in said and "good: done" in said


def test_a_gpu_trains_one_at_a_time(tmp_path):
    script = (
        f"import os, pathlib; busy = pathlib.Path({str(tmp_path)!r}, 'busy' + os.environ['GPU']);"
        "busy.mkdir(); import time; time.sleep(0.3); busy.rmdir(); print(os.environ['GPU'])"
    )
    trials = [trial(tmp_path, f"trial{index}", script) for index in range(5)]
    codes = train(Listed(trials), ["3", "5"], Asked(), StudyProgress(5, 0, 2))
    assert set(codes.values()) == {0}
    assert {one.log.read_text() for one in trials} == {"3\n", "5\n"}


def test_a_signal_stops_what_runs_and_begins_no_more(tmp_path):
    script = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75));"
        "print('ready'); time.sleep(100)"
    )
    runs, waits = trial(tmp_path, "runs", script), trial(tmp_path, "waits", "print('begun')")

    class AskedOnceItRuns(Asked):
        """Meets the signal when the training has set its handler."""

        def pass_on(self, processes):
            if runs.log.exists() and runs.log.read_text() and not self.to_stop:
                self.note(signal.SIGTERM, None)
            super().pass_on(processes)

    began = time.monotonic()
    assert train(Listed([runs, waits]), [None], AskedOnceItRuns(), StudyProgress(2, 0, 1)) == {
        "runs": 75
    }
    assert not waits.directory.exists()
    assert time.monotonic() - began < 60


def test_a_damaged_status_is_said_and_left_alone(tmp_path):
    (tmp_path / "status.json").write_text("{")
    with pytest.raises(Damaged, match="status.json is damaged"):
        Trial(tmp_path, {}).is_done()
    assert (tmp_path / "status.json").read_text() == "{"


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/run could not be written \(Not a directory\)"):
        Trial(tmp_path / "file" / "run", {}).start(None)
