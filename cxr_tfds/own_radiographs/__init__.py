"""Your own radiographs as a TFDS dataset."""
