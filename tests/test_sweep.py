import json

import pytest

from launch import sweep
from tests.conftest import run_command
from trainer.errors import UserError

TEXT = """
# A comment.
model = lenet
learning_rate = 1e-3, 2e-3  # Another.
dropout = 0.2,0.4
"""


def test_every_combination_of_the_values_is_a_run_named_after_them():
    runs = sweep.combinations(sweep.parse(TEXT))
    assert runs == {
        f"learning_rate={rate},dropout={share}": {
            "model": "lenet", "learning_rate": rate, "dropout": share,
        }
        for rate in ("1e-3", "2e-3") for share in ("0.2", "0.4")
    }  # fmt: skip


def test_names_of_directories_hold_no_slash():
    (one, two) = sweep.combinations(sweep.parse("dataset = a/b, a/c"))
    assert "/" not in one + two and one != two


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model lenet", "line 1.*'model lenet'.*expected flag = value"),
        ("\nmodel =", "line 2"),
        ("workdir = x", "line 1.*workdir"),
        ("seed = 1\nseed = 2", "line 2.*seed"),
        ("# nothing", "empty"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(text, said):
    with pytest.raises(UserError, match=said):
        sweep.parse(text)


@pytest.mark.slow
def test_a_sweep_trains_all_goes_on_and_says_what_failed(data_dir, tmp_path):
    file, runs = tmp_path / "sweep.txt", tmp_path / "runs"
    file.write_text(f"model = lenet\ndata_dir = {data_dir}\nepochs = 2\nlearning_rate = 1e-3, -1\n")
    arguments = (f"--file={file}", f"--runs_dir={runs}")
    said = run_command("launch.sweep", *arguments, code=2)
    assert "1 of 2 runs failed" in said and "learning_rate=-1/log.txt" in said
    assert "--learning_rate=-1.0" in (runs / "learning_rate=-1" / "log.txt").read_text()
    status = json.loads((runs / "learning_rate=1e-3" / "status.json").read_text())
    assert status["status"] == "done"
    file.write_text(file.read_text().replace(", -1", ", 2e-3"))
    assert "learning_rate=1e-3: done before" in run_command("launch.sweep", *arguments)
