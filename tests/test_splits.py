import subprocess
import sys
from collections import Counter

import pytest

from cxr_tfds.covid19_radiography import splits

DATABASE = {"COVID": 3616, "Lung_Opacity": 6012, "Normal": 10192, "Viral Pneumonia": 1345}


def labels_of(sizes):
    return {f"{label}-{n}": label for label, size in sizes.items() for n in range(1, size + 1)}


def test_the_whole_database_is_split_in_the_sizes_of_the_original():
    labels = labels_of(DATABASE)
    split_of = splits.assign(labels)
    assert Counter(split_of.values()) == {"train": 16932, "validation": 2116, "test": 2117}
    test = Counter(labels[i] for i, split in split_of.items() if split == "test")
    assert test == {"COVID": 362, "Lung_Opacity": 602, "Normal": 1019, "Viral Pneumonia": 134}


@pytest.mark.parametrize("sizes", [(10, 10, 10, 10), (700, 31, 5, 64), (3, 3, 3, 3), (1, 2, 2, 1)])
def test_every_class_is_split_in_the_same_proportions(sizes):
    labels = labels_of(dict(zip(DATABASE, sizes, strict=True)))
    split_of = splits.assign(labels)
    assert split_of.keys() == labels.keys()
    for split, share in {"train": 0.8, "validation": 0.1, "test": 0.1}.items():
        found = Counter(labels[i] for i, s in split_of.items() if s == split)
        assert found, f"{split} is empty"
        for label, size in zip(DATABASE, sizes, strict=True):
            assert abs(found[label] - share * size) < 2


def test_the_order_of_the_files_does_not_matter():
    items = list(labels_of({"COVID": 50, "Normal": 70}).items())
    shuffled = sorted(items, key=lambda item: item[0][::-1])
    assert splits.assign(dict(items)) == splits.assign(dict(shuffled))


def test_the_split_is_the_same_in_every_process():
    program = (
        "from cxr_tfds.covid19_radiography import splits;"
        "ids = {f'COVID-{n}' for n in range(200)};"
        "print(sorted(splits.assign(dict.fromkeys(ids, 'COVID')).items()))"
    )
    outputs = {
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_ids_are_drawn_not_taken_from_the_front():
    split_of = splits.assign(labels_of({"COVID": 1000}))
    numbers = [int(i.split("-")[1]) for i, split in split_of.items() if split == "test"]
    assert 400 < sum(numbers) / len(numbers) < 600


def test_too_few_radiographs_are_refused():
    with pytest.raises(ValueError, match="Found 5 radiographs.*at least 6"):
        splits.assign(labels_of({"COVID": 2, "Normal": 3}))


@pytest.mark.parametrize("seats", [0, 1, 17, 250, 1000])
def test_apportion_gives_each_class_its_quota_rounded_up_or_down(seats):
    shares = splits.apportion(seats, DATABASE)
    assert sum(shares.values()) == seats
    for label, size in DATABASE.items():
        assert abs(shares[label] - seats * size / sum(DATABASE.values())) < 1
