import os
import shutil

import numpy as np
import PIL.Image
import pytest

from cxr_command.radiograph import listing

CLASSES = ("COVID", "Normal")
GRAY = np.add.outer(np.arange(40), np.arange(40)).astype(np.uint8) * 3


def draw(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(GRAY).save(path, "png")


def names(directory):
    found, left_out = listing.find_by_class(directory, CLASSES)
    files = {
        name: [path.relative_to(directory).as_posix() for path in of] for name, of in found.items()
    }
    return files, {path.relative_to(directory).as_posix(): reason for path, reason in left_out}


def test_what_is_read_is_told_by_suffix_or_content_and_the_rest_is_left_out(tmp_path):
    for name in ("a.png", "B.PNG", "deep/c.tif", "d.bmp", "e.gif", "f.webp", "no_suffix", "g.txt"):
        draw(tmp_path / name)
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "scan.ima").touch()
    (tmp_path / "notes.txt").write_text("no image")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "deep")
    for name in ("._a.png", ".DS_Store", "Thumbs.db", "__MACOSX/._a.png", "__MACOSX/b.png"):
        draw(tmp_path / name)
    found = listing.find(tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in found.files} == {
        "a.png", "B.PNG", "deep/c.tif", "d.bmp", "e.gif", "f.webp", "no_suffix", "g.txt",
        "IM0001", "scan.ima",
    }  # fmt: skip
    assert {path.name: reason for path, reason in found.left_out} == {
        "notes.txt": "no PNG, JPEG, TIFF, BMP, WebP or GIF image and no DICOM file",
        "pipe": "a link to a folder, or not a file",
        "link": "a link to a folder, or not a file",
    }


def test_the_databases_own_layout_is_read_and_its_masks_are_left_out(tmp_path):
    for name in ("COVID/images/COVID-1.png", "COVID/masks/COVID-1.png", "Normal/images/N-1.png"):
        draw(tmp_path / name)
    (tmp_path / "COVID.metadata.xlsx").write_bytes(b"PK")
    files, left_out = names(tmp_path)
    assert files == {"COVID": ["COVID/images/COVID-1.png"], "Normal": ["Normal/images/N-1.png"]}
    assert left_out["COVID/masks/COVID-1.png"] == "in a masks folder"
    assert set(left_out) == {"COVID/masks/COVID-1.png", "COVID.metadata.xlsx"}


def test_whatever_lies_below_a_class_is_of_it_and_what_lies_beside_is_left_out(tmp_path):
    for name in ("COVID/a.png", "COVID/more/b.png", "c.png", "Normal/d.dcm", "__MACOSX/e.png"):
        draw(tmp_path / name)
    files, left_out = names(tmp_path)
    assert files == {"COVID": ["COVID/a.png", "COVID/more/b.png"], "Normal": ["Normal/d.dcm"]}
    assert left_out == {"c.png": "not in a class folder"}
    assert list(listing.find_by_class(tmp_path)[0]) == ["COVID", "Normal"]


def test_another_layout_is_refused_with_what_to_do(tmp_path):
    draw(tmp_path / "flat/a.png")
    with pytest.raises(listing.LayoutError, match="1 not in a class folder .*: COVID, Nor"):
        names(tmp_path / "flat")
    draw(tmp_path / "outer/base/COVID/images/a.png")
    with pytest.raises(listing.LayoutError, match=f": give {tmp_path}/outer/base"):
        names(tmp_path / "outer")
    with pytest.raises(listing.LayoutError, match=f"'images', .*: give {tmp_path}/outer/base"):
        names(tmp_path / "outer/base/COVID")
    shutil.copytree(tmp_path / "outer/base/COVID", tmp_path / "outer/base/Covid")
    with pytest.raises(listing.LayoutError, match="sub-folder 'Covid', which is not a class"):
        names(tmp_path / "outer/base")


def test_the_account_names_every_reason_with_examples(tmp_path):
    left_out = [(tmp_path / f"{n}.txt", "no image") for n in range(5)] + [(tmp_path / "a\n", "b")]
    told = listing.told(1200, left_out)
    assert told == (
        f"1,200 radiographs read, 6 files left out: 5 no image ({tmp_path}/0.txt, "
        f"{tmp_path}/1.txt, {tmp_path}/2.txt, ...); 1 b ({tmp_path}/a\\n)"
    )
    assert listing.told(1, []) == "1 radiograph read, 0 files left out"
    damaged = [(tmp_path / str(n), f"damaged at byte {n}") for n in range(9)]
    assert listing.told(0, damaged).endswith(
        f"damaged at byte 4 ({tmp_path}/4); 4 for other reasons"
    )
