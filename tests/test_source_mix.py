"""Training data whose classes come from chosen sources, beside counts by NumPy and splits.csv."""

import csv
import json
import os
import re
import signal

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from benchmarks.marked_phantoms import MarkedPhantoms
from cxr_command.source_mix import SourceMix, draw, parse, size_of_draw
from tests.conftest import ROOT, run_command
from tests.support import small_dataset
from tests.support.processes import wait_until
from tests.support.trainings import assert_same_run, start
from trainer.data.example_stream import read_examples
from trainer.data.examples import count_sources, labels_and_sources, load_split
from trainer.data.opening import open_dataset
from trainer.data.selection import require_apart, select
from trainer.data.source_mix import as_trained_on, mix_of
from trainer.errors import UserError
from trainer.studies import plan

SHARES = (0, 0.25, 0.5, 0.75, 1)


def made_up(number=600):
    """Class a is from x, y and z, b from x alone; two in five share their group with others."""
    rng = np.random.default_rng(7)
    labels = rng.choice(["a", "b"], number, p=[0.7, 0.3])
    sources = np.where(labels == "b", "x", rng.choice(["x", "y", "z"], number, p=[0.6, 0.3, 0.1]))
    groups = np.array([f"g{n}" for n in range(number)])
    for first in range(0, number - 4, 10):
        members = [n for n in range(first, first + 4) if sources[n] == sources[first]]
        groups[members] = groups[first]
    groups[5] = groups[6]  # Which may lie in two sources.
    return labels, sources, groups


@pytest.mark.parametrize("source", ["x", "y", "z"])
def test_a_share_of_the_class_is_from_the_source_and_its_number_stays(source):
    labels, sources, groups = made_up()
    size = size_of_draw("a", source, labels, sources, groups)
    of_class = labels == "a"
    own, other = of_class & (sources == source), of_class & (sources != source)
    in_both = set(groups[own]) & set(groups[other])
    assert size == min(sum(group not in in_both for group in groups[rows]) for rows in (own, other))
    for share in SHARES:
        kept = draw(SourceMix("a", source, share, 3), labels, sources, groups)
        assert kept[~of_class].all()
        assert (kept & of_class).sum() == size
        assert (kept & own).sum() == round(size * share)
        for group in set(groups[of_class]):
            assert len(set(kept[of_class & (groups == group)])) == 1, group
        assert not in_both & set(groups[kept & of_class])


def test_a_seed_always_draws_the_same_and_another_seed_something_else():
    labels, sources, groups = made_up()
    mix = SourceMix("a", "y", 0.5, 3)
    kept = draw(mix, labels, sources, groups)
    shuffled = np.random.default_rng(0).permutation(len(labels))
    again = draw(mix, labels[shuffled], sources[shuffled], groups[shuffled])
    np.testing.assert_array_equal(again, kept[shuffled])
    assert (draw(SourceMix("a", "y", 0.5, 4), labels, sources, groups) != kept).any()


def test_a_larger_share_keeps_what_a_smaller_one_drew():
    labels, sources, _ = made_up()
    alone = np.arange(len(labels)).astype(str)
    drawn = [draw(SourceMix("a", "y", share, 0), labels, sources, alone) for share in SHARES]
    for less, more in zip(drawn, drawn[1:], strict=False):
        assert not (less & ~more & (sources == "y")).any()
        assert not (more & ~less & (sources != "y")).any()


def test_every_example_is_as_likely_to_be_drawn():
    labels, sources = np.full(40, "a"), np.repeat(["x", "y"], 20)
    times = np.zeros(40)
    for seed in range(400):
        times += draw(SourceMix("a", "x", 0.5, seed), labels, sources, np.arange(40).astype(str))
    # Each is drawn 200 times of 400, with a standard deviation of 10.
    assert np.abs(times - 200).max() < 45


def test_groups_are_packed_to_the_number_or_it_is_refused():
    labels, sources = np.full(14, "a"), np.repeat(["x", "y"], 7)
    groups = np.array(list("ppppqqr" + "sstttuu"))
    kept = draw(SourceMix("a", "x", 3 / 7, 0), labels, sources, groups)
    assert sorted(groups[kept & (sources == "x")]) == ["q", "q", "r"]
    assert (kept & (sources == "y")).sum() == 4
    with pytest.raises(ValueError, match="no set of whole groups has 1 of the 7 examples"):
        draw(SourceMix("a", "x", 6 / 7, 0), labels, sources, groups)


def test_the_number_is_the_largest_that_both_have_in_whole_groups():
    labels, sources = np.full(14, "a"), np.repeat(["x", "y"], [8, 6])
    groups = np.array(list("ppppqqqqrstuvw"))
    for source in "xy":
        assert size_of_draw("a", source, labels, sources, groups) == 4
        for share in (0, 1):
            kept = draw(SourceMix("a", source, share, 1), labels, sources, groups)
            assert kept.sum() == 4
            assert (sources[kept] == source).all() == bool(share)


@pytest.mark.parametrize(
    "text", ["", "a", "a:x", "a=1", ":x=1", "a:=1", "a:x=", "a:x=-1", "a:x=1.1", "a:x=nan"]
)
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ValueError, match="expected CLASS:SOURCE=SHARE"):
        parse(text, 0)
    assert parse("a b:site: 1=0.25", 5) == SourceMix("a b", "site: 1", 0.25, 5)


class SourcedImages(small_dataset.SmallImages):
    """Images of pairs; class a is from x and y, the others are from one source each."""

    def _info(self):
        known = {
            "source": tfds.features.ClassLabel(names=["x", "y", "z"]),
            "group": tfds.features.Text(),
        }
        features = dict(super()._info().features) | known
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, split):
        for number, (key, example) in enumerate(super()._generate_examples(split)):
            source = "xyz"[example["label"] % 3] if example["label"] else "xy"[number % 12 == 0]
            group = f"{split}-{number // 24 if number % 24 in (0, 12) else f'alone-{number}'}"
            yield key, example | {"source": source, "group": group}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sourced")
    SourcedImages(data_dir=directory).download_and_prepare()
    return directory


@pytest.fixture(scope="module")
def sourced(place):
    return open_dataset("sourced_images", str(place))


def drawn_of(dataset, text, seed=0):
    return as_trained_on(dataset, {"source_share": text, "seed": seed})


def test_records_are_drawn_and_have_another_digest(sourced):
    labels, sources = labels_and_sources(sourced, "train")
    of_y, of_x = (int(((labels == 0) & (sources == name)).sum()) for name in "yx")
    assert (of_y, of_x) == (8, 16)
    digests = {select(sourced, "train").digest}
    for share, from_y in ((0, 0), (0.5, 4), (1, 8)):
        mixed = drawn_of(sourced, f"a:y={share}")
        counts = count_sources(mixed, "train")
        assert counts["a"] == {name: n for name, n in (("x", 8 - from_y), ("y", from_y)) if n}
        assert [sum(counts[name].values()) for name in "bcd"] == [24] * 3
        records = select(mixed, "train")
        digests.add(records.digest)
        stream = read_examples(mixed, "train", cache="off", shuffle_seed=0)
        np.testing.assert_array_equal(stream.labels, records.index["label"])
        (batch,) = stream.in_file_order().one_pass(stream.size)
        np.testing.assert_array_equal(batch["id"].numpy(), records.index["id"])
        require_apart(mixed, "train", "validation")
    digests.add(select(drawn_of(sourced, "a:y=0.5", seed=1), "train").digest)
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("e:y=1", r"there is no class 'e' among a \(24\), b \(24\)"),
        ("a:w=1", r"the sources of a are x \(16\), y \(8\); a share needs examples from w and"),
        ("b:y=1", r"the sources of b are y \(24\); a share needs .* and from another source"),
        (
            "a:y=0.125",
            "in train of sourced_images:1.0.0 no set of whole groups has 1 of the 8 examples",
        ),
        ("half", "--source_share=half: expected CLASS:SOURCE=SHARE"),
    ],
)
def test_what_the_data_cannot_give_is_refused(sourced, text, said):
    with pytest.raises(UserError, match=said):
        select(drawn_of(sourced, text), "train")


def test_the_audit_draws_what_the_training_draws(dataset, data_dir):
    """The rule is one; what it is given comes from the records there, from splits.csv here."""
    (path,) = data_dir.glob("covid19_radiography/224x224/*/splits.csv")
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    table = (np.array([row[name] for row in rows]) for name in ("label", "source", "group"))
    kept = draw(SourceMix("COVID", "bimcv", 0.5, 2), *table)
    ours = select(drawn_of(dataset, "COVID:bimcv=0.5", seed=2), "train").index["id"]
    assert sorted(ours.tolist()) == sorted(
        row["id"].encode() for row, is_kept in zip(rows, kept, strict=True) if is_kept
    )
    assert len(ours) < len(rows)


def test_data_hosts_load_the_examples_that_were_drawn(sourced):
    mixed = drawn_of(sourced, "a:y=0.5")
    here, there = (
        read_examples(mixed, "train", cache="off", shuffle_seed=0, on_hosts=on_hosts)
        for on_hosts in (False, True)
    )
    positions = tf.range(here.size, dtype=tf.int64)
    for name, value in here.load(positions).items():
        np.testing.assert_array_equal(value, there.load(positions)[name])


@pytest.fixture(scope="module")
def training(place):
    """The flags of a training on a share, the run's directory, and what was said."""
    flags = [
        *small_dataset.flags(place, "sourced_images"), "--epochs=2", "--source_share=a:y=1",
        "--seed=5",
    ]  # fmt: skip
    run = place / "undisturbed"
    return flags, run, run_command("trainer.main", *flags, f"--workdir={run}")


def test_a_training_tells_and_keeps_what_it_drew(training, place, sourced):
    flags, run, said = training
    assert "a:y=1 draws, of a in train, 0 of 16 from x, 8 of 8 from y" in said
    content = json.loads((run / "config.json").read_text())
    assert content["config"]["source_share"] == "a:y=1"
    assert content["dataset"]["train_examples"] == 8 + 72
    found = content["dataset"]["sources"]
    assert found["train"] == {"a": {"y": 8}, "b": {"y": 24}, "c": {"z": 24}, "d": {"x": 24}}
    _, sources = labels_and_sources(sourced, "validation")
    labels = select(sourced, "validation").index["label"]
    assert found["validation"]["a"] == {"y": int(((labels == 0) & (sources == "y")).sum())}
    other = [flag.replace("a:y=1", "a:y=0") for flag in flags]
    said = run_command("trainer.main", *other, f"--workdir={run}", code=2)
    assert "--source_share: 'a:y=1' in the run, 'a:y=0' now" in said


@pytest.mark.slow
def test_a_killed_run_goes_on_with_what_it_drew(training, tmp_path):
    flags, undisturbed, _ = training
    flags = [*flags, f"--workdir={tmp_path / 'run'}"]
    process = start(*flags)
    wait_until(lambda: list((tmp_path / "run/checkpoints").glob("epoch-*")), process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert "resuming after epoch" in run_command("trainer.main", *flags)
    assert_same_run(tmp_path / "run", undisturbed)


def test_a_report_shows_each_class_in_each_source_and_what_the_run_was_trained_on(
    training, tmp_path
):
    _, run, _ = training
    run_command(
        "trainer.evaluate", f"--workdir={run}", "--split=train", "--resamples=100",
        f"--output_dir={tmp_path}",
    )  # fmt: skip
    report = json.loads((tmp_path / "report.json").read_text())
    # Without the draw a, which is from x and y, would be as frequent in x as d is.
    assert report["source_alone"]["says"] == {"x": "d", "y": "b", "z": "c"}
    features = json.loads((run / "training_features.json").read_text())
    assert features["train_examples"] == 80
    page = (tmp_path / "report.html").read_text()
    assert "was trained on 80 examples" not in page
    table = page.partition("Sensitivity by source and class</h3>")[2].partition("</table>")[0]
    (row,) = re.findall(r'<tr><th scope="row">y</th>(.*?)</tr>', table, re.DOTALL)
    cells = [cell.strip() for cell in re.findall(r"<td>([^<]*)", row)]
    of_y = report["by_source"]["y"]["per_class"]
    assert cells == [f"{of_y['a']['sensitivity']:.3f}", f"{of_y['b']['sensitivity']:.3f}", "", ""]


def test_the_plan_trains_with_three_shares():
    swept = plan.parse((ROOT / "docs/plans/source_share.txt").read_text())
    shares = [one.values["source_share"] for one in swept.configurations]
    assert [mix_of({"source_share": share}).share for share in shares] == [0, 0.5, 1]


def test_marked_phantoms_are_of_two_sources(tmp_path):
    MarkedPhantoms(data_dir=tmp_path, images_per_class=20).download_and_prepare()
    marked = open_dataset("marked_phantoms", str(tmp_path))
    assert count_sources(marked, "train")["Normal"] == {"a": 5, "b": 5}
    examples = load_split(marked, "test")
    assert len(examples.ids) == 4 * 8
    corners = examples.images[:, 6:24, 6:24].min(axis=(1, 2, 3))
    np.testing.assert_array_equal(corners == 255, examples.sources == "b")
