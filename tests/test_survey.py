import shutil

import numpy as np
import pytest
from etils import epath
from PIL import Image

from cxr_tfds import phantom
from cxr_tfds.covid19_radiography import decode, faults, source, spool, survey


@pytest.fixture
def database(tmp_path):
    return epath.Path(phantom.write_database(tmp_path, 3))


def take(database, inspect_all, *, keeps_files):
    found = survey.Collection(database, *source.find_radiographs(database))
    return survey.take(found, inspect_all, keeps_files=keeps_files)


def deepen(database, label, number, factor):
    """Stores a radiograph in 16 bits; returns the gray values that it had."""
    path = database / label / "images" / f"{label}-{number}.png"
    gray = np.asarray(Image.open(path).convert("L"))
    Image.fromarray(gray.astype(np.uint16) * factor).save(path)
    return gray


def test_16_bit_files_are_scaled_by_the_depth_that_all_use(database, tmp_path):
    grays = {f"COVID-{n}": deepen(database, "COVID", n, 16) for n in (1, 2)}
    grays["COVID-3"] = deepen(database, "COVID", 3, 8) // 2
    with spool.Spool(tmp_path) as kept:
        taken = take(database, lambda some: survey.inspect_here(some, kept), keeps_files=False)
        depths = {one.radiograph.id: one.radiograph.depth for one in taken}
        assert {name for name, depth in depths.items() if depth == 12} == set(grays)
        assert set(depths.values()) == {12, None}
        for name, gray in grays.items():
            np.testing.assert_array_equal(kept.read(name)[0], decode.resize(gray))


def test_files_stored_as_they_are_must_use_their_16_bits(database):
    deepen(database, "COVID", 1, 16)
    with pytest.raises(faults.DatabaseError, match="COVID/images/COVID-1.png: 12 bits"):
        take(database, survey.inspect_here, keeps_files=True)


def test_a_file_that_the_depth_of_others_makes_black_stops_the_build(database):
    deepen(database, "COVID", 1, 257)
    deepen(database, "COVID", 2, 16)
    for keeps_files in (False, True):
        with pytest.raises(
            faults.DatabaseError, match="almost black .1.:\n    COVID/images/COVID-2"
        ):
            take(database, survey.inspect_here, keeps_files=keeps_files)


def test_a_picture_in_two_classes_is_told(database, caplog):
    shutil.copy(database / "COVID/images/COVID-1.png", database / "Normal/images/Normal-2.png")
    taken = take(database, survey.inspect_here, keeps_files=False)
    said = "duplicated under another class: 1, such as COVID-1 (COVID) and Normal-2 (Normal)."
    assert said in caplog.text
    of_group = {one.radiograph.id: (one.group, one.split) for one in taken}
    assert of_group["COVID-1"] == of_group["Normal-2"]
