from tensorflow.python.data.ops import multi_device_iterator_ops

from tests.conftest import two_replicas
from tests.support.toy import make_examples
from trainer.data.device_buffers import disable_autotuner
from trainer.data.input import distribute_batches


def test_no_buffer_in_front_of_a_device_is_tuned(monkeypatch):
    disable_autotuner()
    create, created = multi_device_iterator_ops._create_device_dataset, []

    def recording(*args):
        created.append(create(*args))
        return created[-1]

    monkeypatch.setattr(multi_device_iterator_ops, "_create_device_dataset", recording)
    next(iter(distribute_batches(make_examples(32), two_replicas(), 16)))
    assert len(created) == 2
    assert not any(dataset.options().autotune.enabled for dataset in created)
