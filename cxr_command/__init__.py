"""What cxr_tfds, trainer and launch share. Its import opens closed streams, quiets TensorFlow's."""

from cxr_command import quiet_import, standard_streams

standard_streams.open_closed()
quiet_import.install()
