"""DICOM files of many kinds beside an independent reading by the standard's formulas."""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from cxr_command.radiograph import reading
from cxr_command.radiograph.refusal import NotARadiograph
from tests.support.dicom_file import write

pydicom = pytest.importorskip("pydicom")

Y, X = np.mgrid[:40, :48]
SHARE = (X + Y) / (X + Y).max()  # From 0 to 1.


def table(bits, data=None, first=0, count=4096):
    """A VOI or modality table of a rising curve."""
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [count % 65536, first, bits])
    if data is not None:
        item.add_new("LUTData", "OW" if isinstance(data, bytes) else "US", data)
    return [item]


def curve(bits, count=4096):
    return np.round((2**bits - 1) * np.linspace(0, 1, count) ** 2).astype(int)


def window(values, center, width, function="LINEAR"):
    """PS3.3, C.11.2.1.2.1 and C.11.2.1.3."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    return np.clip((values - center) / max(width, 1e-9) + 0.5, 0, 1)


def stretched(values, of=None):
    of = values if of is None else of
    return (values - of.min()) / (of.max() - of.min())


TWELVE = np.round(4095 * SHARE).astype(np.uint16)
FOURTEEN = np.round(16383 * SHARE).astype(np.uint16)
SIGNED = (TWELVE.astype(np.int16) - 2048).astype(np.int16)
IS_SIGNED = {"PixelRepresentation": 1}
PADDED = np.where(X < 6, 0, TWELVE // 2 + 1000).astype(np.uint16)
HIGH = np.where(X < 6, 65535, TWELVE // 2 + 1000).astype(np.uint16)
INSIDE = X >= 6
SIXTEEN = {"BitsStored": 16, "HighBit": 15}

VARIANTS = {
    "whole range": (TWELVE, {}, stretched(TWELVE)),
    "a part of the range": (TWELVE // 3 + 200, {}, stretched(TWELVE // 3 + 200)),
    "14 bits": (FOURTEEN, {"BitsStored": 14, "HighBit": 13}, SHARE),
    "16 bits": ((4 * FOURTEEN).astype(np.uint16), SIXTEEN, SHARE),
    "8 bits in 8": (TWELVE // 16, {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}, SHARE),
    "8 bits in 16": (TWELVE // 16, {"BitsStored": 8, "HighBit": 7}, SHARE),
    "10 bits": (TWELVE // 4, {"BitsStored": 10, "HighBit": 9}, SHARE),
    "MONOCHROME1": (TWELVE, {"photometric": "MONOCHROME1"}, 1 - SHARE),
    "signed": (SIGNED, IS_SIGNED, SHARE),
    "signed, sign not extended": (SIGNED.view(np.uint16) & 4095, IS_SIGNED, SHARE),
    "overlay above the stored bits": (TWELVE | ((X % 2) << 15).astype(np.uint16), {}, SHARE),
    "rescaled": (TWELVE, {"RescaleSlope": 0.5, "RescaleIntercept": -100}, SHARE),
    "rescaled downwards": (TWELVE, {"RescaleSlope": -1, "RescaleIntercept": 4095}, 1 - SHARE),
    "slope without intercept": (TWELVE, {"RescaleSlope": 2}, SHARE),
    "modality table of 8 bits": (
        TWELVE, {"ModalityLUTSequence": table(8, curve(8).tolist())}, stretched(curve(8)[TWELVE]),
    ),
    "modality table of 12 bits": (
        TWELVE, {"ModalityLUTSequence": table(12, curve(12).tolist())}, SHARE**2,
    ),
    "modality table of 16 bits and a window": (
        TWELVE,
        {"ModalityLUTSequence": table(16, curve(16).tolist()), "WindowCenter": 30000,
         "WindowWidth": 40000},
        window(curve(16)[TWELVE], 30000, 40000),
    ),
    "VOI table without data, and a window": (
        TWELVE, {"VOILUTSequence": table(12), "WindowCenter": 900, "WindowWidth": 600},
        window(TWELVE, 900.0, 600),
    ),
    "VOI table of words": (
        TWELVE, {"VOILUTSequence": table(12, curve(12).astype("<u2").tobytes())}, SHARE**2,
    ),
    "VOI table of bytes": (
        TWELVE, {"VOILUTSequence": table(8, curve(8).astype("u1").tobytes())}, SHARE**2,
    ),
    "VOI table goes before a window": (
        TWELVE,
        {"VOILUTSequence": table(12, curve(12).tolist()), "WindowCenter": 9, "WindowWidth": 9},
        SHARE**2,
    ),
    "VOI table from 1000 on": (
        TWELVE, {"VOILUTSequence": table(10, curve(10, 2048).tolist(), 1000, 2048)},
        curve(10, 2048)[np.clip(TWELVE.astype(int) - 1000, 0, 2047)] / 1023,
    ),
    "VOI table from -2048 on": (
        SIGNED, IS_SIGNED | {"VOILUTSequence": table(12, curve(12).tolist(), -2048)}, SHARE**2,
    ),
    "VOI table and MONOCHROME1": (
        TWELVE,
        {"VOILUTSequence": table(12, curve(12).tolist()), "photometric": "MONOCHROME1"},
        1 - SHARE**2,
    ),
    "first of several windows": (
        TWELVE, {"WindowCenter": [900, 2000], "WindowWidth": [600, 4000]}, window(TWELVE, 900, 600),
    ),
    "window and MONOCHROME1": (
        TWELVE, {"WindowCenter": 900, "WindowWidth": 600, "photometric": "MONOCHROME1"},
        1 - window(TWELVE, 900, 600),
    ),
    "window after rescaling": (
        TWELVE,
        {"WindowCenter": 0, "WindowWidth": 900, "RescaleSlope": 0.5, "RescaleIntercept": -1024},
        window(TWELVE / 2 - 1024, 0, 900),
    ),
    "window above the values": (
        TWELVE, {"WindowCenter": 9000, "WindowWidth": 100}, np.zeros(TWELVE.shape),
    ),
    "window below the values": (
        TWELVE, {"WindowCenter": -900, "WindowWidth": 100}, np.ones(TWELVE.shape),
    ),
    "window of width 1": (
        TWELVE, {"WindowCenter": 2000, "WindowWidth": 1}, (TWELVE > 1999.5).astype(float),
    ),
    "window on signed values": (
        SIGNED, IS_SIGNED | {"WindowCenter": -500, "WindowWidth": 2000}, window(SIGNED, -500, 2000),
    ),
    "padding of 0": (PADDED, {"PixelPaddingValue": 0}, SHARE),
    "padding of 65535": (HIGH, SIXTEEN | {"PixelPaddingValue": 65535}, SHARE),
    "padding in more bits than are stored": (
        np.where(X < 6, 4095, TWELVE // 2 + 1000), {"PixelPaddingValue": 65535}, SHARE,
    ),
    "padding below zero": (
        np.where(X < 6, -2000, TWELVE // 2).astype(np.int16),
        IS_SIGNED | {"PixelPaddingValue": -2000}, SHARE,
    ),
    "padding of a range": (
        np.where(X < 3, 5, PADDED).astype(np.uint16),
        {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 9}, SHARE,
    ),
    "padding and MONOCHROME1": (
        PADDED, {"PixelPaddingValue": 0, "photometric": "MONOCHROME1"}, SHARE,
    ),
    "padding and a window": (
        HIGH, SIXTEEN | {"PixelPaddingValue": 65535, "WindowCenter": 1800, "WindowWidth": 900},
        window(HIGH, 1800, 900),
    ),
    **{
        f"VOI table of {bits} bits": (
            TWELVE, {"VOILUTSequence": table(bits, curve(bits).tolist())}, SHARE**2,
        )
        for bits in range(8, 17)
    },
    **{
        f"{function} window": (
            TWELVE,
            {"WindowCenter": 1500, "WindowWidth": 900, "VOILUTFunction": function},
            window(TWELVE, 1500.0, 900, function),
        )
        for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_shown_as_the_standard_says(name, tmp_path):
    pixels, tags, expected = VARIANTS[name]
    kind = np.uint8 if tags.get("BitsAllocated") == 8 else np.uint16
    pixels = pixels if pixels.dtype == np.int16 else pixels.astype(kind)
    path = write(tmp_path / "IM0001", pixels, **tags)
    if name.startswith("padding"):
        inside = stretched(pixels, pixels[INSIDE]) if "window" not in name else expected
        inside = 1 - inside if "MONOCHROME1" in name else inside
        expected = np.where(INSIDE, inside, 0)
    np.testing.assert_allclose(reading.read(path).pixels, 255 * expected, atol=1)


@pytest.mark.parametrize(
    "syntax",
    [pydicom.uid.RLELossless, pydicom.uid.JPEG2000Lossless],
    ids=lambda syntax: syntax.keyword,
)
@pytest.mark.parametrize("pixels", [TWELVE, TWELVE // 4 + 100], ids=["whole", "part"])
def test_compressed_pixels_are_those_stored(syntax, pixels, tmp_path):
    pytest.importorskip("openjpeg")
    path = write(tmp_path / "a", pixels)
    dicom = pydicom.dcmread(path)
    dicom.compress(syntax)
    dicom.save_as(path, enforce_file_format=True)
    np.testing.assert_allclose(reading.read(path).pixels, 255 * stretched(pixels), atol=1)


def jpeg_lossless(pixels, bits):
    """ITU-T T.81, process 14, predictor 1, with one table of 17 codes of 5 bits each."""
    height, width = pixels.shape
    head = b"\xff\xd8\xff\xc4" + (36).to_bytes(2, "big")
    head += bytes([0] * 5 + [17] + [0] * 11) + bytes(range(17))
    head += b"\xff\xc3" + (11).to_bytes(2, "big") + bytes([bits])
    head += height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([1, 1, 17, 0])
    head += b"\xff\xda" + (8).to_bytes(2, "big") + bytes([1, 1, 0, 1, 0, 0])
    values = pixels.astype(int)
    guesses = np.empty_like(values)
    guesses[:, 1:], guesses[1:, 0] = values[:, :-1], values[:-1, 0]
    guesses[0, 0] = 2 ** (bits - 1)
    text = ""
    for difference in (values - guesses).flat:
        size = abs(int(difference)).bit_length()
        code = difference if difference > 0 else difference + 2**size - 1
        text += f"{size:05b}" + (f"{code:0{size}b}" if size else "")
    text += "1" * (-len(text) % 8)
    body = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
    return head + body + b"\xff\xd9"


def test_jpeg_lossless_is_read(tmp_path):
    pytest.importorskip("libjpeg")
    path = encapsulated(tmp_path, pydicom.uid.JPEGLosslessSV1, jpeg_lossless(TWELVE, 12))
    np.testing.assert_allclose(reading.read(path).pixels, 255 * SHARE, atol=1)


def test_jpeg_baseline_is_read(tmp_path):
    pytest.importorskip("libjpeg")
    eight = (TWELVE // 16).astype(np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(eight).save(jpeg, "jpeg", quality=95)
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    syntax = pydicom.uid.JPEGBaseline8Bit
    path = encapsulated(tmp_path, syntax, jpeg.getvalue(), eight, **bits)
    expected = stretched(np.asarray(Image.open(jpeg)).astype(int))
    np.testing.assert_allclose(reading.read(path).pixels, 255 * expected, atol=2)


def test_jpeg_ls_is_read():
    pytest.importorskip("libjpeg")
    folder = pathlib.Path(pydicom.__file__).parent / "data/test_files"
    encoded, plain = folder / "MR_small_jpeg_ls_lossless.dcm", folder / "MR_small.dcm"
    assert pydicom.dcmread(encoded).file_meta.TransferSyntaxUID == pydicom.uid.JPEGLSLossless
    stored = pydicom.dcmread(plain)
    shown = pydicom.pixels.apply_windowing(stored.pixel_array, stored)
    shown = (shown + 2**15) / (2**16 - 1)  # Its own depth, of signed values.
    np.testing.assert_allclose(reading.read(encoded).pixels, 255 * shown, atol=1)


def encapsulated(tmp_path, syntax, frame, pixels=TWELVE, **tags):
    path = write(tmp_path / "a", pixels, **tags)
    dicom = pydicom.dcmread(path)
    dicom.file_meta.TransferSyntaxUID = syntax
    dicom.PixelData = pydicom.encaps.encapsulate([frame])
    dicom["PixelData"].VR, dicom["PixelData"].is_undefined_length = "OB", True
    dicom.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"NumberOfFrames": 3, "PixelData": 3 * TWELVE.tobytes()}, "of 3 frames; expected one"),
        ({"PhotometricInterpretation": None}, "without PhotometricInterpretation"),
        ({"photometric": "PALETTE COLOR"}, "in colour .PhotometricInterpretation PALETTE COLOR."),
        ({"WindowCenter": 9, "WindowWidth": 0.5}, "window 0.5 wide; a LINEAR window is at least 1"),
        ({"WindowWidth": 4096}, "with WindowWidth but without WindowCenter"),
        ({"WindowCenter": 100}, "with WindowCenter but without WindowWidth"),
        ({"WindowWidth": 4096, "WindowCenter": ""}, "with WindowWidth but without WindowCenter"),
        ({"VOILUTSequence": table(12)}, "VOI table without LUTDescriptor or LUTData"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "zero or infinite RescaleSlope"),
        ({"VOILUTSequence": table(12, [1, 2])}, "a table of 4 entries .* says 4096"),
        ({"HighBit": 15}, "12 stored bits end at bit 15"),
        ({"ViewPosition": "LL"}, r"lateral view \(ViewPosition LL\); expected a frontal view"),
        ({"ViewPosition": "LATERAL"}, "lateral view"),
        ({"BodyPartExamined": "HAND"}, r"another body part \(BodyPartExamined HAND\)"),
    ],
)
def test_what_cannot_be_shown_says_why(tags, reason, tmp_path):
    with pytest.raises(NotARadiograph, match=reason):
        reading.read(write(tmp_path / "a", TWELVE, **tags))


@pytest.mark.parametrize("tags", [{"ViewPosition": "LL"}, {"BodyPartExamined": "HAND"}])
def test_other_views_are_read_if_asked_for(tags, tmp_path):
    radiograph = reading.read(write(tmp_path / "a", TWELVE, **tags), any_view=True)
    assert list(tags.values())[0] in radiograph.remarks[0]
    for part in ("CHEST", "Thorax", "PORT CHEST"):
        path = write(tmp_path / "b", TWELVE, BodyPartExamined=part, ViewPosition="PA")
        assert reading.read(path).remarks == ()


def test_files_that_are_no_image_files_say_why(tmp_path, monkeypatch):
    whole = write(tmp_path / "a", TWELVE).read_bytes()
    mpeg = encapsulated(tmp_path, pydicom.uid.MPEG4HP41, b"no film")
    with pytest.raises(NotARadiograph, match="pydicom does not decode .MPEG-4"):
        reading.read(mpeg)
    data = pydicom.dcmread(write(tmp_path / "a", TWELVE, Modality="DX"))
    with (tmp_path / "bare").open("wb") as file:
        bare = pydicom.filebase.DicomFileLike(file)
        bare.is_little_endian = bare.is_implicit_VR = True
        pydicom.filewriter.write_dataset(bare, pydicom.Dataset(data))
    with pytest.raises(NotARadiograph, match="without the prefix DICM after 128 bytes"):
        reading.read(tmp_path / "bare")
    with pytest.raises(NotARadiograph, match="damaged DICOM file"):
        reading.decode(whole[:-40])
    lossless = encapsulated(tmp_path, pydicom.uid.JPEGLosslessSV1, b"no image")
    monkeypatch.setattr(pydicom.pixels.decoders.base.Decoder, "is_available", False)
    with pytest.raises(NotARadiograph, match="JPEG Lossless.* needs pip install 'cxr-trainer"):
        reading.read(lossless)
