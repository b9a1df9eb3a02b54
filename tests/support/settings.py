"""The settings without a useful default in tests."""

SETTINGS = {"dataset": "d/c:1.0.0", "data_dir": "data"}
