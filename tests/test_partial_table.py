import os

import pytest

from trainer.errors import Preempted, UserError
from trainer.prediction.batches import whole_batches
from trainer.prediction.partial_table import PartialTable

HEADER = ["path", "predicted"]
ASKED = {"models": ["abc"], "images": "def"}
CHOSEN = {
    "temperature": 1.25, "threshold": 0.1, "depth": None, "quantiles": {"a": 0.123456789, "b": None}
}  # fmt: skip
ROWS = [["a.png", 0.5], ['b "x".png', 1e-7], ["c\nd\r.png", ""], ["=e,é.png", "ü"], ["", "-1"]]
TEXTS = [[str(cell) for cell in row] for row in ROWS]
PATHS = [row[0] for row in TEXTS]


@pytest.fixture
def table(tmp_path):
    """An unfinished table of all rows."""
    table = PartialTable(tmp_path / "p.csv")
    with table.held():
        table.begin(ASKED, CHOSEN)
        with table.appending(HEADER, 0) as append:
            append(ROWS[:2])
            append(ROWS[2:])
    return table


def test_a_table_is_moved_to_its_place_when_it_is_finished(table):
    content = (table.folder / "rows.csv").read_bytes()
    assert not table.output.exists()
    with table.held():
        table.finish()
    assert table.output.read_bytes() == content
    assert not table.folder.exists()


def test_what_is_whole_is_kept_wherever_the_file_ends(table):
    file = table.folder / "rows.csv"
    content = file.read_bytes()
    ends = [end for _, end in table.kept(HEADER, PATHS)]
    assert ends[-1] == len(content)
    for size in range(len(content) + 1):
        file.write_bytes(content[:size])
        kept = list(table.kept(HEADER, PATHS))
        assert [row for row, _ in kept] == TEXTS[: sum(end <= size for end in ends)]


def test_nothing_is_kept_behind_a_row_of_another_file_or_of_garbage(table):
    file = table.folder / "rows.csv"
    other = [*PATHS[:2], "z.png", *PATHS[3:]]
    assert [row for row, _ in table.kept(HEADER, other)] == TEXTS[:2]
    assert list(table.kept([*HEADER, "decision"], PATHS)) == []
    content = file.read_bytes()
    file.write_bytes(content[:30] + bytes(len(content) - 30))
    assert len(list(table.kept(HEADER, PATHS))) == 1
    file.write_bytes(b"\xff" * 100 + b"\n")
    assert list(table.kept(HEADER, PATHS)) == []


def test_rows_are_appended_behind_those_that_are_kept(table):
    file = table.folder / "rows.csv"
    content = file.read_bytes()
    (_, _, (_, end), *_) = table.kept(HEADER, PATHS)
    with table.held(), table.appending(HEADER, end) as append:
        append(ROWS[3:])
    assert file.read_bytes() == content


def test_only_the_same_command_goes_on(table):
    with table.held():
        assert table.chosen_before(ASKED) == CHOSEN
        with pytest.raises(UserError, match="an interrupted table of other images: run that"):
            table.chosen_before(ASKED | {"images": "other"})
    (table.folder / "settings.json").write_text('{"asked": {}, "chosen": {}}')
    with table.held(), pytest.raises(UserError, match="remove .* to start over"):
        table.chosen_before(ASKED)


@pytest.mark.parametrize("quantiles", [{"quantiles": None}, {}])
def test_a_table_without_sets_goes_on(table, quantiles):
    """Nothing could be chosen, or an earlier version began it."""
    chosen = {"temperature": None, "threshold": None, "depth": None} | quantiles
    with table.held():
        table.begin(ASKED, chosen)
        assert table.chosen_before(ASKED) == chosen


def test_one_process_at_a_time_writes_and_a_signal_keeps_the_rows(table):
    with table.held(), pytest.raises(UserError, match="is in use by process"):
        with PartialTable(table.output).held():
            pass
    with pytest.raises(Preempted, match="the same command continues"), table.held():
        os.kill(os.getpid(), 15)
    assert len(list(table.kept(HEADER, PATHS))) == len(ROWS)


def test_batches_are_the_same_from_the_end_of_any_of_them():
    items = [number % 3 > 0 and number < 200 for number in range(3000)]
    batches = list(whole_batches(items, bool))
    assert [item for batch, _ in batches for item in batch] == items
    assert [is_whole for _, is_whole in batches] == [True] * (len(batches) - 1) + [False]
    assert max(sum(batch) for batch, _ in batches) == 32
    assert max(len(batch) for batch, _ in batches) == 1024
    done = 0
    for number, (batch, _) in enumerate(batches):
        assert list(whole_batches(items[done:], bool)) == batches[number:]
        done += len(batch)
