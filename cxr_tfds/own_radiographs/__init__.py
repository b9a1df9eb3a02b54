"""Anybody's own radiographs as a TFDS dataset."""
