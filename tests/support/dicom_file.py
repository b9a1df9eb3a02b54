"""DICOM files, written by pydicom; tests that need one are skipped without it."""

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

PIXELS = np.linspace(0, 4095, 48, dtype=np.uint16).reshape(6, 8)


def write(path, pixels=PIXELS, photometric="MONOCHROME2", **tags):
    """Writes a DICOM file like a 12-bit detector."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dicom = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dicom.PatientName, dicom.PatientID = "Doe^Jane", "4711"
    dicom.Rows, dicom.Columns = pixels.shape
    dicom.SamplesPerPixel, dicom.PhotometricInterpretation = 1, photometric
    dicom.BitsAllocated, dicom.BitsStored, dicom.HighBit, dicom.PixelRepresentation = 16, 12, 11, 0
    dicom.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(dicom, name, value)
    dicom.save_as(path, enforce_file_format=True)
    return path
