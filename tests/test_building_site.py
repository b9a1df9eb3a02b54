import pytest
from etils import epath

from cxr_tfds.covid19_radiography import building_site, scratch


@pytest.fixture
def folder(tmp_path):
    return epath.Path(tmp_path) / "full" / "1.0.0"


def living(monkeypatch, *names):
    monkeypatch.setattr(scratch, "sweep", lambda *_: dict.fromkeys(names, "process 7 on host"))


def test_a_free_place_is_free(folder):
    building_site.clear(folder, is_built=False)
    building_site.clear(epath.Path("gs://bucket/full/1.0.0"), is_built=False)


def test_a_living_build_of_the_same_version_is_stood_back_from(folder, monkeypatch):
    living(monkeypatch, "incomplete.AAAAAA_1.0.0", "incomplete.BBBBBB_2.0.0")
    with pytest.raises(building_site.OccupiedError, match="process 7 on host builds .*full/1.0.0"):
        building_site.clear(folder, is_built=False)
    building_site.clear(folder, is_built=True)  # It is not built again.


def test_a_living_build_of_another_version_is_no_hindrance(folder, monkeypatch):
    living(monkeypatch, "incomplete.BBBBBB_2.0.0")
    building_site.clear(folder, is_built=False)


def test_something_else_in_the_place_is_left_alone(folder):
    folder.mkdir(parents=True)
    with pytest.raises(building_site.OccupiedError, match="not a complete dataset"):
        building_site.clear(folder, is_built=False)
    assert folder.exists()


def test_names_that_tensorflow_would_read_otherwise_are_refused():
    for name in ("/data", "/däta [1]", "gs://bucket/data"):
        building_site.check_name(epath.Path(name), on_beam=False)
    with pytest.raises(building_site.PathError, match=r"'/d\\udce4ta' as UTF-8.*choose another"):
        building_site.check_name(epath.Path("/d\udce4ta"), on_beam=False)


@pytest.mark.parametrize("letter", "[]*?")
def test_patterns_are_refused_where_beam_would_take_them_for_such(letter):
    building_site.check_name(epath.Path(f"/data{letter}"), on_beam=False)
    with pytest.raises(building_site.PathError, match="for a pattern"):
        building_site.check_name(epath.Path(f"/data{letter}"), on_beam=True)
