import numpy as np
import pytest

from cxr_command.radiograph import reading
from cxr_command.radiograph.refusal import NotARadiograph
from tests.support import radiograph_file
from tests.support.dicom_file import PIXELS, write

pydicom = pytest.importorskip("pydicom")


def shown(path):
    return reading.read(path).pixels


def windowed(values, centre, width):
    """DICOM PS3.3 C.11.2.1.2.1, pixel by pixel."""
    gray = np.empty(values.shape)
    for place, value in np.ndenumerate(values.astype(float)):
        if value <= centre - 0.5 - (width - 1) / 2:
            gray[place] = 0
        elif value > centre - 0.5 + (width - 1) / 2:
            gray[place] = 1
        else:
            gray[place] = (value - (centre - 0.5)) / (width - 1) + 0.5
    return 255 * gray


@pytest.mark.parametrize("empty", [{}, {"WindowWidth": None, "WindowCenter": None}])
def test_without_a_window_the_whole_range_is_shown(empty, tmp_path):
    read = shown(write(tmp_path / "a.dcm", PIXELS // 2 + 100, **empty))
    values = (PIXELS // 2).astype(float)
    assert read.dtype == np.uint8
    np.testing.assert_allclose(read, 255 * values / values.max(), atol=0.51)


@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": 2, "RescaleIntercept": -1000}])
def test_the_window_is_applied_after_the_rescaling(rescale, tmp_path):
    path = write(tmp_path / "a.dcm", WindowCenter=1500, WindowWidth=1000, **rescale)
    values = PIXELS * 2.0 - 1000 if rescale else PIXELS
    np.testing.assert_allclose(shown(path), windowed(values, 1500, 1000), atol=0.51)


def test_a_window_that_no_pixel_fills_does_not_stretch_the_range(tmp_path):
    path = write(tmp_path / "a.dcm", PIXELS // 4, WindowCenter=2048, WindowWidth=4096)
    expected = windowed(PIXELS // 4, 2048, 4096)
    np.testing.assert_allclose(shown(path), expected, atol=0.51)
    assert shown(path).max() < 70


def test_monochrome1_is_turned_round(tmp_path):
    upright = shown(write(tmp_path / "a.dcm")).astype(int)
    turned = shown(write(tmp_path / "b.dcm", photometric="MONOCHROME1")).astype(int)
    np.testing.assert_allclose(turned, 255 - upright, atol=1)


def test_a_dicom_file_is_resized_as_any_other(tmp_path):
    read = radiograph_file.read(write(tmp_path / "a.dcm"), (3, 4, 1))
    assert (read.shape, read.dtype) == ((3, 4, 1), np.uint8)


def test_more_pixels_than_may_be_decoded_are_refused_by_the_header(tmp_path):
    path = write(tmp_path / "large.dcm", Rows=40_000, Columns=40_000)
    with pytest.raises(NotARadiograph, match="40000 rows.* at most 25,000,000 pixels"):
        shown(path)
    with pytest.raises(NotARadiograph, match="10000000 frames"):
        shown(write(tmp_path / "frames.dcm", NumberOfFrames=10_000_000))


def test_what_would_inflate_to_anything_is_not_inflated(tmp_path, monkeypatch):
    path = write(tmp_path / "a.dcm")
    dicom = pydicom.dcmread(path)
    dicom.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dicom.save_as(tmp_path / "deflated.dcm", enforce_file_format=True)

    def inflate(*arguments):
        raise MemoryError

    monkeypatch.setattr("pydicom.filereader.zlib.decompress", inflate)
    with pytest.raises(NotARadiograph, match="deflated transfer syntax"):
        shown(tmp_path / "deflated.dcm")


def test_what_is_no_gray_dicom_image_is_named_and_no_patient_is(tmp_path):
    (tmp_path / "bad.dcm").write_bytes(b"no image")
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(write(tmp_path / "a.dcm").read_bytes()[:-20])
    colour = write(tmp_path / "colour.dcm", photometric="PALETTE COLOR")
    for path in (tmp_path / "bad.dcm", cut, colour, tmp_path / "missing.dcm"):
        with pytest.raises(NotARadiograph) as error:
            shown(path)
        assert "Doe" not in str(error.value) and "4711" not in str(error.value)
