"""The settings that have no useful default in a test."""

SETTINGS = {"dataset": "d/c:1.0.0", "data_dir": "data"}
