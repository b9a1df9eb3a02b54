"""Shared code of cxr_tfds, trainer and launch.

Importing it opens closed standard streams and silences TensorFlow's import.
"""

from cxr_command import quiet_import, standard_streams

standard_streams.open_closed()
quiet_import.install()
