import dataclasses
import hashlib
import os
import random
import struct
import zlib

import numpy as np
import pytest
from etils import epath
from PIL import Image

from cxr_command.radiograph import fingerprints
from cxr_tfds import phantom
from cxr_tfds.covid19_radiography import inspection, source
from cxr_tfds.covid19_radiography.faults import Kind


@pytest.fixture(scope="module")
def drawn():
    return phantom.draw("COVID", 1)


@pytest.fixture
def radiograph(tmp_path, drawn):
    """One radiograph with its mask, on disk where the database would have it."""
    image = epath.Path(tmp_path) / "database/COVID/images/COVID-1.png"
    mask = epath.Path(tmp_path) / "database/COVID/masks/COVID-1.png"
    for path, pixels in ((image, drawn.image), (mask, drawn.lungs.view(np.uint8) * 255)):
        path.parent.mkdir(parents=True)
        Image.fromarray(pixels).save(path)
    return source.Radiograph("COVID-1", "COVID", "bimcv", image, mask)


def kinds(radiograph):
    return [fault.kind for fault in inspection.inspect(radiograph).faults]


def header_only(width, height, depth=8):
    """The first bytes of a PNG file that claims a size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk


def test_a_sound_radiograph_is_described(radiograph, drawn):
    found = inspection.inspect(radiograph)
    encoded = radiograph.image.read_bytes()
    assert found.faults == ()
    assert found.sha256 == hashlib.sha256(encoded).hexdigest()
    assert bytes.fromhex(found.fingerprint) == fingerprints.fingerprint(drawn.image)
    assert (found.height, found.width) == (299, 299)


def test_pixels_decide_and_not_the_encoding(radiograph, drawn):
    before = inspection.inspect(radiograph)
    Image.fromarray(np.stack([drawn.image] * 3, axis=-1)).save(radiograph.image, compress_level=0)
    after = inspection.inspect(radiograph)
    assert after.sha256 != before.sha256
    assert after.pixels == before.pixels


def test_the_shape_belongs_to_the_pixels(radiograph):
    hashes = set()
    for shape in ((64, 128), (128, 64)):
        pixels = np.arange(64 * 128, dtype=np.uint16).astype(np.uint8)
        Image.fromarray(pixels.reshape(shape)).save(radiograph.image)
        hashes.add(inspection.inspect(source.Radiograph(*_without_mask(radiograph))).pixels)
    assert len(hashes) == 2


def _without_mask(radiograph):
    return radiograph.id, radiograph.label, radiograph.source, radiograph.image, None


def test_a_radiograph_without_a_mask_is_sound(radiograph):
    assert kinds(source.Radiograph(*_without_mask(radiograph))) == []


@pytest.mark.parametrize("which", ["image", "mask"])
@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda whole: b"", Kind.EMPTY),
        (lambda whole: whole[: len(whole) // 2], Kind.DAMAGED),
        (lambda whole: whole[:-13], Kind.DAMAGED),
        (lambda whole: whole[:20], Kind.DAMAGED),
        (lambda whole: whole[:400] + b"\x55\xaa\x55" + whole[403:], Kind.DAMAGED),
        (lambda whole: b"\xff\xd8\xff\xe0 and so on", Kind.JPEG),
        (lambda whole: b"no picture at all", Kind.NOT_PNG),
        (lambda whole: header_only(100_000, 100_000) + whole, Kind.ENORMOUS),
        (lambda whole: header_only(1, 1) + whole, Kind.TINY),
    ],
)
def test_each_kind_of_damage_is_told_apart(radiograph, which, damage, kind):
    path = getattr(radiograph, which)
    path.write_bytes(damage(path.read_bytes()))
    (fault,) = inspection.inspect(radiograph).faults
    assert (fault.path, fault.kind) == (f"COVID/{which}s/COVID-1.png", kind)
    assert fault.kind.stops


def test_a_real_jpeg_is_refused_although_tensorflow_would_decode_it(radiograph, drawn):
    with radiograph.image.open("wb") as file:
        Image.fromarray(drawn.image).save(file, "JPEG")
    assert kinds(radiograph) == [Kind.JPEG]


def test_a_bomb_is_not_decoded(radiograph, monkeypatch):
    def decode(*_, **__):
        raise AssertionError("a bomb was decoded")

    monkeypatch.setattr(inspection.reading, "decode", decode)
    no_mask = source.Radiograph(*_without_mask(radiograph))
    radiograph.image.write_bytes(header_only(60_000, 60_000))
    assert kinds(no_mask) == [Kind.ENORMOUS]


def test_the_largest_detectors_are_not_enormous(radiograph):
    radiograph.image.write_bytes(header_only(4_300, 4_300))
    assert kinds(source.Radiograph(*_without_mask(radiograph))) == [Kind.DAMAGED]


@pytest.mark.parametrize("value", [0, 7, 255])
def test_an_image_of_one_value_is_refused(radiograph, value):
    Image.new("L", (299, 299), value).save(radiograph.image)
    (fault,) = inspection.inspect(radiograph).faults
    assert (fault.kind, fault.found) == (Kind.ONE_VALUE, str(value))


def test_sixteen_bits_are_kept_and_reported(radiograph, drawn):
    Image.fromarray(drawn.image.astype(np.uint16) * 257).save(radiograph.image)
    found = inspection.inspect(radiograph)
    assert [fault.kind for fault in found.faults] == [Kind.SIXTEEN_BITS]
    assert bytes.fromhex(found.fingerprint) == fingerprints.fingerprint(drawn.image)


@pytest.mark.parametrize(
    ("size", "kind"), [((299, 299), Kind.MASK_SIZE), ((256, 200), Kind.MASK_SHAPE)]
)
def test_a_mask_of_another_size_is_resized_or_refused(radiograph, size, kind):
    Image.open(radiograph.mask).resize(size).save(radiograph.mask)
    (fault,) = inspection.inspect(radiograph).faults
    assert fault.kind == kind
    assert kind.stops == (kind == Kind.MASK_SHAPE)


def test_an_empty_mask_is_reported(radiograph):
    Image.new("L", (256, 256)).save(radiograph.mask)
    assert kinds(radiograph) == [Kind.MASK_EMPTY]


def test_what_cannot_be_read_is_refused(radiograph):
    radiograph.image.unlink()
    radiograph.image.mkdir()
    assert kinds(radiograph) == [Kind.UNREADABLE]


def test_a_pipe_is_not_waited_for(radiograph):
    radiograph.mask.unlink()
    os.mkfifo(radiograph.mask)
    assert kinds(radiograph) == [Kind.EMPTY]


def test_a_file_of_gigabytes_is_not_read(radiograph):
    os.truncate(radiograph.image, 10 << 30)
    (fault,) = inspection.inspect(radiograph).faults
    assert (fault.kind, fault.found) == (
        Kind.ENORMOUS,
        "10,737,418,240 bytes, at most 200,000,000",
    )


@pytest.mark.parametrize(
    ("number", "words"), [(13, "Permission denied"), (5, "Input/output error")]
)
def test_what_the_system_does_not_read_is_told_in_its_words(radiograph, monkeypatch, number, words):
    def refuse(_):
        raise OSError(number, words)

    monkeypatch.setattr(type(radiograph.image), "read_bytes", refuse)
    faults = inspection.inspect(radiograph).faults
    assert [(fault.kind, fault.found) for fault in faults] == [(Kind.UNREADABLE, words)] * 2


def test_links_may_stay_inside_and_not_leave(radiograph, tmp_path):
    inside = radiograph.image.parent / "COVID-2.png"
    radiograph.image.rename(inside)
    os.symlink(inside, radiograph.image)
    assert kinds(radiograph) == []
    inside.rename(tmp_path / "outside.png")
    radiograph.image.unlink()
    os.symlink(tmp_path / "outside.png", radiograph.image)
    assert kinds(radiograph) == [Kind.LEAVES_FOLDER]


def test_an_inspection_survives_json(radiograph):
    Image.new("L", (256, 256)).save(radiograph.mask)
    found = inspection.inspect(radiograph)
    assert found.faults and found.fingerprint
    assert inspection.Inspection.from_json(found.to_json()) == found


@pytest.mark.parametrize("seed", range(4))
def test_a_file_of_changed_bytes_is_described_or_refused(radiograph, seed):
    rng = random.Random(seed)  # noqa: S311
    whole = radiograph.image.read_bytes()
    for _ in range(50):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(rng.choice([60, len(content)]))] = rng.randrange(256)
        radiograph.image.write_bytes(content[: rng.choice([None, rng.randrange(len(whole))])])
        found = inspection.inspect(radiograph)
        assert bool(found.sha256) != any(fault.kind.stops for fault in found.faults)


def test_almost_black_is_refused(radiograph, drawn):
    Image.fromarray(drawn.image // 8).save(radiograph.image)
    assert kinds(radiograph) == [Kind.ALMOST_BLACK]


def test_the_depth_of_the_database_decides_the_scale(radiograph, drawn):
    Image.fromarray(drawn.image.astype(np.uint16) * 16).save(radiograph.image)
    found, gray, _ = inspection.look(radiograph)
    assert found.depth == 12
    np.testing.assert_array_equal(gray, drawn.image)
    of_13_bits = dataclasses.replace(radiograph, depth=13)
    np.testing.assert_array_equal(inspection.look(of_13_bits)[1], drawn.image // 2)


def test_a_file_of_a_deep_folder_is_named_from_the_manual_directory_on(tmp_path):
    path = epath.Path(tmp_path) / "own/Normal/P1/study/IM1"
    path.parent.mkdir(parents=True)
    path.touch()
    own = source.Radiograph(
        "Normal/P1/study/IM1", "Normal", "unknown", path, None, is_published=False
    )
    assert [fault.path for fault in inspection.inspect(own).faults] == ["Normal/P1/study/IM1"]
