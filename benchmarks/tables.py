"""The tables of docs/measured.md, generated from the JSON of the benchmarks."""

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]
# The header, then the rows.
Table = list[list[str]]

NETWORKS = {
    "lenet": "LeNet",
    "resnet101": "ResNet-101",
    "vgg19": "VGG-19",
    "densenet169": "DenseNet-169",
}
_SEARCHES = {
    "halves": "faiss, 512-bit halves, then a count (used by the builder)",
    "whole": "faiss, all 1,024 bits",
    "matrix_products": "float32 matrix products",
    "bitwise_count": "NumPy `bitwise_count`, 2,048 x 2,048 at a time",
    "ball_tree": "scikit-learn `BallTree`",
    "multi_hash": "faiss `IndexBinaryMultiHash`, 64 chunks, 4 flips",
}
_STEP_WAYS = {"engine": "this project", "keras": "Keras `fit`"}


def input_rates(*found: Json) -> Table:
    """Table of `input_pipeline`, run once per batch size."""
    return [
        ["", "batch", "images/s", "times ImageDataGenerator", "share of consecutive slices"],
        *(
            [name, str(run["batch_size"]), f"{run['images_per_second'][way]:,.0f}",
             f"{run['over_generator'][way]:,.0f}", f"{run['over_roofline'][way]:.2f}"]
            for run in found
            for way, name in (("records", "this pipeline"), ("first", "its first epoch"))
            if way in run["images_per_second"]
        ),
    ]  # fmt: skip


def input_growth(found: Json) -> Table:
    """Table of `input_growth` of one reader."""
    return [
        ["images", "workers", "bytes that each asks for", "read from a cold disk",
         "images/s from a cold disk", "alone", "all together", "first batch", "resuming",
         "memory of the last worker"],
        *(
            [f"{row['images']:,} ({row['bytes'] / 1e9:.2f} GB)", str(row["workers"]),
             _percent(row["asked"]), _percent(row["read"]),
             *(f"{row[rate]:,.0f}" for rate in ("cold_images_per_second",
               "images_per_second_alone", "images_per_second")),
             f"{row['first_batch_s']:.2f} s", f"{row['go_on_s']:.3f} s",
             f"{row['bytes_added'] / 1e6:.0f} MB"]
            for row in found["rows"]
        ),
    ]  # fmt: skip


def frozen_backbone(found: Json) -> Table:
    """Table of `feature_cache`."""
    models = found["models"].values()
    return [
        [f"seed recipe, {found['epochs']} epochs", *_networks(found)],
        ["the whole network every epoch", *(f"{row['training_without']:.0f} s" for row in models)],
        ["features computed and written, then the head trained on them",
         *(f"{row['training_with']:.0f} s" for row in models)],
        ["times as fast", *(f"{row['times_faster']:.1f}" for row in models)],
        ["time relative to its lower bound: two passes over training images, one over validation "
         "images, and the head's steps", *(f"{row['over_limit']:.2f}" for row in models)],
        ["share of the head's training; of that, the optimizer's update",
         *(f"{_percent(row['head_share'])}; {_percent(row['update_share_of_head'])}"
           for row in models)],
    ]  # fmt: skip


def step_time(rates: Json, shares: Json) -> Table:
    """Table of `roofline` and `op_times` for the same networks."""
    models = rates["models"].values()
    return [
        [f"batch of {rates['batch_size']}, seed recipe", *_networks(rates)],
        ["images/s in training",
         *(f"{row['training']['images_per_second']:.1f}" for row in models)],
        ["GFLOP per image", *(f"{row['training']['flops_per_image'] / 1e9:.1f}" for row in models)],
        ["a large matrix product, GFLOP/s",
         *(f"{row['matrix_product_flops'] / 1e9:.0f}" for row in models)],
        ["share of it that training reaches",
         *(_percent(row["training"]["of_matrix_product"]) for row in models)],
        *(
            [name, *(_percent(shares["models"][network][part], digits)
                     for network in rates["models"])]
            for part, name, digits in (
                ("convolutions", "time in convolutions", 0), ("products", "dense layers", 0),
                ("other layers", "other layers", 0),
                ("update", "gradient norm, update, metrics", 0), ("input", "input", 2),
            )
        ),
    ]  # fmt: skip


def step(*found: Json) -> Table:
    """Table of `engine_step` for the engine and Keras, with any networks."""
    return [
        ["images/s", *_STEP_WAYS.values(), "times as fast"],
        *(
            [NETWORKS[name], *(f"{row['images_per_second'][way]:.2f}" for way in _STEP_WAYS),
             f"{row['engine_over_keras']:.2f}"]
            for run in found
            for name, row in run["models"].items()
        ),
    ]  # fmt: skip


def replicas(found: Json) -> Table:
    """Table of `scaling`."""
    models = found["models"].items()
    counts = list(next(iter(found["models"].values()))["images_per_second"])
    return [
        ["virtual replicas sharing the cores", *counts],
        *(
            [f"{NETWORKS[name]}, images/s (share of one replica's)",
             *(f"{row['images_per_second'][count]:.1f} ({row['kept'][count]:.2f})"
               for count in counts)]
            for name, row in models
        ),
    ]  # fmt: skip


def step_overhead(*found: Json) -> Table:
    """Table of `step_overhead`, with any alternatives and numbers of replicas."""
    return [
        ["", "replicas", "operations", "first step", "a step", "peak memory"],
        *(
            [f"{NETWORKS[name]}, {_STEP_WAYS[way]}", count, str(row.get("operations", "")),
             f"{row['first_step_s']:.1f} s", f"{row['step_ms']:,.0f} ms",
             f"{row['peak_gb']:.1f} GB"]
            for run in found
            for name, of_model in run["models"].items()
            for count, ways in of_model.items()
            for way, row in ways.items()
            if way in _STEP_WAYS
        ),
    ]  # fmt: skip


def whole_job(*found: Json) -> Table:
    """Table of `end_to_end`, run once per number of epochs."""
    return [
        ["load, train, evaluate", "images", "epochs", "this project",
         "of that, evaluation and report", "ImageDataGenerator and `fit`", "times as fast"],
        *(
            [NETWORKS[name], f"{run['images']:,}", str(run["epochs"]),
             f"{row['ours']['seconds']:.1f} s", f"{row['ours']['evaluation']:.1f} s",
             f"{row['original']['seconds']:.1f} s", f"{row['times_faster']:.2f}"]
            for run in found
            for name, row in run["models"].items()
        ),
    ]  # fmt: skip


def checkpoint(found: Json) -> Table:
    """Table of `checkpoint`."""
    return [
        ["", "state", "written by a thread: training waits", "written in the loop"],
        *(
            [NETWORKS[name], f"{row['megabytes']:.0f} MB", f"{row['thread_ms']:.1f} ms",
             f"{row['loop_ms']:,.0f} ms"]
            for name, row in found["models"].items()
        ),
    ]  # fmt: skip


def opening(found: Json) -> Table:
    """Table of `dataset_open`."""
    return [
        ["dataset", "first opening, with verification", "later"],
        [
            f"{found['bytes'] / 1e9:.2f} GB",
            f"{found['first_s']:.2f} s",
            f"{found['later_s']:.3f} s",
        ],
    ]


def predict(found: Json) -> Table:
    """Table of `predict_files`."""
    rates, peaks = found["images_per_second"], found["peak_mib"]
    return [
        [f"{NETWORKS[found['network']]}, {found['files']:,} files", *rates, "ratio",
         *(f"peak memory, {int(files):,} files" for files in peaks)],
        ["images/s", *(f"{rate:,.0f}" for rate in rates.values()), f"{found['over_keras']:.2f}",
         *(f"{peak:,} MiB" for peak in peaks.values())],
    ]  # fmt: skip


def node(*found: Json) -> Table:
    """Table of `node`, for any networks, with and without XLA."""
    rows = {(row["model"], row["mode"], row["xla"]): row for run in found for row in run["rows"]}
    ways = list(dict.fromkeys((model, mode) for model, mode, _ in rows))
    return [
        ["images/s", "with XLA", "without XLA", "share of a large matrix product, with XLA",
         "without XLA", "waits for input"],
        *(
            [f"{NETWORKS[model]}, {'all weights' if mode == 'full' else 'frozen backbone'}",
             *(f"{rows[model, mode, xla]['images_per_second']:,.0f}" for xla in (True, False)),
             *(_percent(rows[model, mode, xla]["of_matrix_product"]) for xla in (True, False)),
             _percent(rows[model, mode, True]["shares"]["input"])]
            for model, mode in ways
        ),
    ]  # fmt: skip


def near_duplicates(*found: Json) -> Table:
    """Table of `near_duplicates`, with any algorithms and numbers of fingerprints."""
    seconds = {
        (number, way): f"{statistics.median(rounds):.2f} s"
        for run in found
        for number, row in run["numbers"].items()
        for way, rounds in row["seconds"].items()
    }
    numbers = list(dict.fromkeys(number for number, _ in seconds))
    return [
        ["fingerprints", *(f"{int(number):,}" for number in numbers)],
        *(
            [name, *(seconds.get((number, way), "") for number in numbers)]
            for way, name in _SEARCHES.items()
        ),
    ]


def _networks(found: Json) -> Iterator[str]:
    return (NETWORKS[name] for name in found["models"])


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"
