"""Published peak performance of GPUs, the reference of model FLOP utilisation.

TFLOP/s of dense matrix products, accumulated in float32 as TensorFlow does, from NVIDIA's data
sheets (A100, A30, A40, A10, H100, H200, L4, L40, L40S, V100, T4) and white papers (RTX 3090 and RTX
A6000: "NVIDIA Ampere GA102 GPU Architecture"; RTX 4090 and RTX 6000 Ada: "NVIDIA Ada GPU
Architecture"). If a data sheet only gives the rate with sparsity, half of it is used.
"""

import re
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from trainer.hardware import Hardware


class _Peak(NamedTuple):
    """TFLOP/s by precision; None: not supported by its tensor cores, and computed as float32."""

    float16: float
    bfloat16: float | None
    tensorfloat32: float | None
    float32: float


# By the driver's name of the GPU. A slice of a GPU (MIG) has another name and no entry here.
_PEAKS = {
    r"H200( SXM)?|H100 80GB HBM3|H100 SXM.*": _Peak(989.5, 989.5, 494.7, 67.0),
    r"H200 NVL|H100 NVL": _Peak(835.5, 835.5, 417.5, 60.0),
    r"H100 PCIe": _Peak(756.5, 756.5, 378.0, 51.0),
    r"A100[ -](SXM4-|PCIE-|SXM-)?\d+GB( PCIe)?": _Peak(312.0, 312.0, 156.0, 19.5),
    r"A30": _Peak(165.0, 165.0, 82.0, 10.3),
    r"A40": _Peak(149.7, 149.7, 74.8, 37.4),
    r"A10": _Peak(125.0, 125.0, 62.5, 31.2),
    r"L40S": _Peak(362.05, 362.05, 183.0, 91.6),
    r"L40": _Peak(181.05, 181.05, 90.5, 90.5),
    r"L4": _Peak(121.0, 121.0, 60.0, 30.3),
    r"V100-SXM2-\d+GB": _Peak(125.0, None, None, 15.7),
    r"V100-PCIE-\d+GB": _Peak(112.0, None, None, 14.0),
    r"T4": _Peak(65.0, None, None, 8.1),
    r"RTX A6000": _Peak(154.8, 154.8, 77.4, 38.7),
    r"RTX 6000 Ada Generation": _Peak(364.2, 364.2, 182.1, 91.1),
    r"GeForce RTX 3090": _Peak(71.0, 71.0, 35.6, 35.6),
    r"GeForce RTX 4090": _Peak(165.2, 165.2, 82.6, 82.6),
}


def peak_of_gpu(name: str, precision: str, *, tensorfloat32: bool = True) -> float | None:
    """Returns the peak of a GPU.

    Args:
        name: name given by TensorFlow and the driver, such as `NVIDIA A100-SXM4-80GB`.
        precision: a Keras dtype policy.
        tensorfloat32: whether float32 products may use TensorFloat-32.

    Returns:
        FLOP/s; None for a GPU that is not in the table.
    """
    model = re.sub(r"^(NVIDIA |Tesla )+", "", name)
    peak = next((of for pattern, of in _PEAKS.items() if re.fullmatch(pattern, model)), None)
    if peak is None:
        return None
    by_precision = {"mixed_float16": peak.float16, "mixed_bfloat16": peak.bfloat16}
    rounded = peak.tensorfloat32 if tensorfloat32 else None
    return (by_precision.get(precision, rounded) or peak.float32) * 1e12


def find_peak(hardware: Hardware) -> float | None:
    """Returns the peak of all GPUs of a training together; logs an unknown GPU.

    Args:
        hardware: the hardware of the training; other workers are assumed to have the same GPUs.

    Returns:
        FLOP/s; None on CPUs and if a GPU is not in the table.
    """
    if not hardware.has_gpus:
        logging.info("MFU is not reported: CPUs have no published peak")
        return None
    found = tf.config.list_physical_devices("GPU")[: len(hardware.devices)]
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "") for gpu in found]
    tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
    peaks = [peak_of_gpu(name, hardware.precision, tensorfloat32=tf32) for name in names]
    known = [peak for peak in peaks if peak is not None]
    if len(known) < len(peaks):
        unknown = sorted({name for name, peak in zip(names, peaks, strict=True) if peak is None})
        logging.info("MFU is not reported: the peak of %s is unknown", ", ".join(unknown))
        return None
    return sum(known) * hardware.workers
