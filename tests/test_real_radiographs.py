"""What only real radiographs can show. They are read where they lie, and skipped if there are none.

CXR_REAL_DATABASE names the folder that holds COVID-19_Radiography_Dataset; without it, the folder
`shared/real_cxr` beside the repository is looked for.
"""

import hashlib
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from cxr_command import split_table
from cxr_tfds.covid19_radiography import source

BESIDE = Path(__file__).parents[2] / "shared" / "real_cxr"
MANUAL_DIR = Path(os.environ.get("CXR_REAL_DATABASE", BESIDE))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (MANUAL_DIR / source.DATABASE).is_dir(),
        reason=f"no real radiographs in {MANUAL_DIR}; CXR_REAL_DATABASE can name another folder",
    ),
]

BUILD = (
    "import sys, cxr_tfds; import tensorflow_datasets as tfds; from etils import epath;"
    "listed = epath.gpath.PosixGPath.glob;"
    "backwards = sys.argv[3] == 'backwards';"
    "epath.gpath.PosixGPath.glob = lambda *args: sorted(listed(*args), reverse=backwards);"
    "config = tfds.download.DownloadConfig(manual_dir=sys.argv[1]);"
    "builder = tfds.builder('covid19_radiography/224x224', data_dir=sys.argv[2]);"
    "builder.download_and_prepare(download_config=config)"
)


def build(data_dir, order):
    command = [sys.executable, "-c", BUILD, str(MANUAL_DIR), str(data_dir), order]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603
    return data_dir / "covid19_radiography" / "224x224" / "1.0.0"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("real"), "forwards")


def members(rows, name):
    groups = defaultdict(list)
    for row in rows:
        groups[getattr(row, name)].append(row)
    return [group for group in groups.values() if len(group) > 1]


def test_identical_files_are_found_as_sha256_finds_them_and_lie_in_one_split(built):
    rows = split_table.read(built)
    by_hash = defaultdict(set)
    for path in (MANUAL_DIR / source.DATABASE).glob("*/images/*.png"):
        by_hash[hashlib.sha256(path.read_bytes()).hexdigest()].add(path.stem)
    expected = {frozenset(names) for names in by_hash.values() if len(names) > 1}
    found = {frozenset(row.id for row in group) for group in members(rows, "sha256")}
    assert found == expected
    for group in members(rows, "sha256") + members(rows, "group"):
        assert len({row.split for row in group}) == 1
        assert len({row.group for row in group}) == 1


def test_copies_that_were_scaled_or_compressed_anew_share_a_group(built):
    group_of = {row.id: row.group for row in split_table.read(built)}
    # Seen to be one chest each: another compression, contrast, scale and crop.
    for one, other in [
        ("COVID-71", "COVID-532"),
        ("COVID-232", "COVID-428"),
        ("COVID-141", "COVID-339"),
        ("COVID-433", "COVID-512"),
    ]:
        assert group_of[one] == group_of[other]
    # Seen to be two children each, though posed alike.
    for one, other in [("Normal-76", "Normal-467"), ("Viral Pneumonia-276", "Normal-467")]:
        assert group_of[one] != group_of[other]


def test_every_class_is_split_80_10_10(built):
    counts = Counter((row.label, row.split) for row in split_table.read(built))
    for label in source.CLASSES:
        size = sum(counts[label, split] for split in ("train", "validation", "test"))
        assert abs(counts[label, "validation"] - size / 10) <= 1
        assert abs(counts[label, "test"] - size / 10) <= 1


def test_the_audit_prints(built):
    data_dir = built.parents[2]
    command = [sys.executable, "-m", "cxr_tfds.audit", f"--data_dir={data_dir}"]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert "Groups in more than one split: none." in done.stdout


def test_another_order_of_the_folders_gives_the_same_bytes(built, tmp_path):
    again = build(tmp_path, "backwards")
    assert sorted(p.name for p in again.iterdir()) == sorted(p.name for p in built.iterdir())
    for path in again.iterdir():
        assert path.read_bytes() == (built / path.name).read_bytes(), path.name
