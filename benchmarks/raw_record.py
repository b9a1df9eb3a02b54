"""Records of raw pixels, in the format of `tfds build`."""

import tensorflow as tf


def raw_record(image: bytes, label: int, example_id: bytes) -> bytes:
    """Serializes an example of raw pixels.

    Args:
        image: the pixels' bytes, row by row.
        label: label of the class.
        example_id: id of the example.
    """

    def of_bytes(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    of_label = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    features = {"image": of_bytes(image), "label": of_label, "id": of_bytes(example_id)}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)
