import re

from etils import epath

from cxr_tfds.covid19_radiography import datasheet, published, source, survey

HOSTILE = "North | <b>_x_</b>\n# y"


def example(number, label="Normal", site="North", split="train", group=None, mask=None, sha=None):
    path = epath.Path(f"{number}.png")
    radiograph = source.Radiograph(f"r{number}", label, site, path, mask and path)
    return survey.Example(radiograph, group or f"r{number}", split, sha or str(number), 8, 6)


EXAMPLES = [
    example(1, mask=True),
    example(2, group="r1", sha="1"),
    example(3, label="COVID", split="validation"),
    example(4, label="COVID", site=HOSTILE, split="test"),
    example(5, site="unknown", split="test"),
]


def write(folder, told, description="Gray."):
    datasheet.write(epath.Path(folder), "own/224x224/1.0.0", description, EXAMPLES, told)
    text = (folder / "datasheet.md").read_text()
    return text, dict(re.findall(r"^\| ([^|]+\?) \| (.*) \|$", text, re.MULTILINE))


def questions():
    return {key: asked for of_section in datasheet.QUESTIONS.values()
            for key, asked in of_section.items()}  # fmt: skip


def test_every_question_is_answered_once_or_left_to_the_collector(tmp_path):
    text, answers = write(tmp_path, {})
    assert sorted(answers) == sorted(questions().values())
    left = {key for key, asked in questions().items() if "To be written" in answers[asked]}
    assert {"purpose", "creators", "ethics", "consent", "license", "contact"} <= left
    assert not left & {"number", "missing", "relations", "splits", "errors", "not_for"}
    assert "Kaggle" not in text


def test_what_was_built_is_counted(tmp_path):
    text, answers = write(tmp_path, {})
    told = {key: answers[asked] for key, asked in questions().items()}
    assert told["number"].startswith("5 radiographs, 1 of them with a lung mask")
    assert told["missing"].startswith("4 radiographs have no lung mask, 1 no known source")
    assert told["relations"].startswith("1 group of 2 radiographs")
    assert told["errors"].startswith("1 files have the same bytes")
    assert told["splits"].startswith("train 2, validation 1, test 2; ")
    assert "| COVID | 0 | 1 | 1 |" in text and "| North | 1 | 2 |" in text


def test_names_that_others_chose_are_text(tmp_path):
    text, answers = write(tmp_path, {}, f"Gray. Test sites: {HOSTILE}.")
    assert r"North \| " in answers["What was done to the data?"]
    assert "<b>" not in text and "\n# y" not in text
    rows = [line for line in text.splitlines() if line.startswith("| North")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [4, 4]


def test_what_is_told_of_the_database_answers_known_questions(tmp_path):
    _, answers = write(tmp_path, published.ANSWERS)
    assert published.ANSWERS.keys() - questions().keys() == {datasheet.UNKNOWN}
    assert not any("To be written" in answer for answer in answers.values())
