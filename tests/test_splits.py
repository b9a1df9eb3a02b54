import subprocess
import sys
from collections import Counter

import pytest

from cxr_tfds.covid19_radiography import splits

DATABASE = {"COVID": 3616, "Lung_Opacity": 6012, "Normal": 10192, "Viral Pneumonia": 1345}
ORIGINAL_TEST = {"COVID": 362, "Lung_Opacity": 602, "Normal": 1019, "Viral Pneumonia": 134}


def labels_of(sizes):
    return {f"{label}-{n}": label for label, size in sizes.items() for n in range(1, size + 1)}


def alone(labels):
    return {radiograph_id: radiograph_id for radiograph_id in labels}


def pairs(labels, every):
    """Every n-th radiograph of a class is a copy of the one before it."""
    groups = alone(labels)
    for radiograph_id in labels:
        label, number = radiograph_id.rsplit("-", 1)
        if int(number) % every == 0:
            groups[radiograph_id] = f"{label}-{int(number) - 1}"
    return groups


@pytest.mark.parametrize("every", [None, 300, 4, 2])
def test_the_whole_database_is_split_in_the_sizes_of_the_original(every):
    labels = labels_of(DATABASE)
    groups = pairs(labels, every) if every else alone(labels)
    split_of = splits.assign(labels, groups)
    sizes = Counter(split_of.values())
    test = Counter(labels[i] for i, split in split_of.items() if split == "test")
    if every != 2:
        assert sizes == {"train": 16932, "validation": 2116, "test": 2117}
        assert test == ORIGINAL_TEST
    else:  # Nothing but pairs: no class can be more than one pair off.
        assert sum(sizes.values()) == 21165
        for label, count in ORIGINAL_TEST.items():
            assert abs(test[label] - count) <= 2


@pytest.mark.parametrize("sizes", [(10, 10, 10, 10), (700, 31, 5, 64), (3, 3, 3, 3), (1, 2, 2, 1)])
def test_every_class_is_split_in_the_same_proportions(sizes):
    labels = labels_of(dict(zip(DATABASE, sizes, strict=True)))
    split_of = splits.assign(labels, alone(labels))
    assert split_of.keys() == labels.keys()
    for split, share in {"train": 0.8, "validation": 0.1, "test": 0.1}.items():
        found = Counter(labels[i] for i, s in split_of.items() if s == split)
        assert found, f"{split} is empty"
        for label, size in zip(DATABASE, sizes, strict=True):
            assert abs(found[label] - share * size) < 2


def test_a_group_never_straddles_and_large_groups_go_everywhere():
    labels = labels_of({"COVID": 600, "Normal": 600})
    # Groups of 1 to 8, and every tenth group holds both classes.
    groups, names = {}, list(labels)
    for number, radiograph_id in enumerate(names):
        groups[radiograph_id] = f"group-{(number % 600) // 8}"
        if number % 7 == 0:
            groups[radiograph_id] = radiograph_id
    split_of = splits.assign(labels, groups)
    homes = {}
    for radiograph_id, group in groups.items():
        homes.setdefault(group, set()).add(split_of[radiograph_id])
    assert all(len(home) == 1 for home in homes.values())
    large = Counter(next(iter(home)) for group, home in homes.items() if "group" in group)
    assert all(large[split] >= 5 for split in ("train", "validation", "test"))
    counts = Counter((labels[i], split) for i, split in split_of.items())
    for label in ("COVID", "Normal"):
        assert abs(counts[label, "train"] - 480) <= 8
        assert abs(counts[label, "test"] - 60) <= 8


def test_the_order_of_the_files_does_not_matter():
    items = list(labels_of({"COVID": 50, "Normal": 70}).items())
    shuffled = dict(sorted(items, key=lambda item: item[0][::-1]))
    groups = pairs(dict(items), 5)
    backwards = {radiograph_id: groups[radiograph_id] for radiograph_id in shuffled}
    assert splits.assign(dict(items), groups) == splits.assign(shuffled, backwards)


def test_names_do_not_matter_if_the_content_is_the_same():
    labels = labels_of({"COVID": 50, "Normal": 70})
    content = {radiograph_id: f"hash of {radiograph_id}" for radiograph_id in labels}
    renamed = {f"{radiograph_id}9": label for radiograph_id, label in labels.items()}
    by_name = splits.assign(labels, content)
    by_new_name = splits.assign(renamed, {f"{i}9": content[i] for i in labels})
    assert {f"{i}9": split for i, split in by_name.items()} == by_new_name


def test_the_split_is_the_same_in_every_process():
    program = (
        "from cxr_tfds.covid19_radiography import splits;"
        "ids = {f'COVID-{n}' for n in range(200)};"
        "groups = {i: i[:8] for i in ids};"
        "print(sorted(splits.assign(dict.fromkeys(ids, 'COVID'), groups).items()))"
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
    labels = labels_of({"COVID": 1000})
    split_of = splits.assign(labels, alone(labels))
    numbers = [int(i.split("-")[1]) for i, split in split_of.items() if split == "test"]
    assert 400 < sum(numbers) / len(numbers) < 600


def test_too_few_radiographs_are_refused():
    labels = labels_of({"COVID": 2, "Normal": 3})
    with pytest.raises(ValueError, match="Found 5 radiographs.*at least 6"):
        splits.assign(labels, alone(labels))


def test_too_few_groups_are_refused():
    labels = labels_of({"COVID": 20})
    with pytest.raises(ValueError, match="1 groups of duplicates: too few for test and"):
        splits.assign(labels, dict.fromkeys(labels, "one picture"))


@pytest.mark.parametrize("seats", [0, 1, 17, 250, 1000])
def test_apportion_gives_each_class_its_quota_rounded_up_or_down(seats):
    shares = splits.apportion(seats, DATABASE)
    assert sum(shares.values()) == seats
    for label, size in DATABASE.items():
        assert abs(shares[label] - seats * size / sum(DATABASE.values())) < 1
