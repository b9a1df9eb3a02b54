"""The settings that every run needs beside its model and recipe."""

SETTINGS = {
    "dataset": "d/c:1.0.0", "data_dir": "data", "strategy": "mirrored", "precision": "auto",
    "reduce_precision": "auto", "xla": "auto", "virtual_devices": 0, "cache": "auto",
    "feature_cache": "auto", "seed": 0, "deterministic": False, "log_steps": 50,
    "checkpoint_steps": 0,
}  # fmt: skip
