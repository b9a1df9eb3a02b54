"""A run that an earlier version began goes on, and ends as one that this version begins.

`old_run` was made by the version before settings became sections: the first of two epochs, trained
on random images. In place of its weights stand names, shapes and dtypes of its checkpoint's arrays;
they are filled from this version's checkpoint of the same epoch. The dataset's digests are left out
of its config.json, as TFDS orders a record's features anew in every build.
"""

import json
import pathlib
import shutil

import keras
import numpy as np

from tests.conftest import run_command
from tests.support import small_dataset

OLD_RUN = pathlib.Path(__file__).parent / "old_run"
CHECKPOINT = "checkpoints/epoch-00001-step-0000000"
TRAIN = [
    "--model=lenet", "--recipe=seed", "--dataset=small_images", "--deterministic",
    "--global_batch_size=12", "--scaling=torch", "--input_pooling=3", "--optimizer=sgd",
    "--learning_rate=1e-3", "--epochs=2", "--seed=5",
]  # fmt: skip


def weights_of(run):
    return keras.models.load_model(run / "model.keras").get_weights()


def test_an_old_run_goes_on_and_ends_as_a_new_one(tmp_path):
    data, old, new = (tmp_path / name for name in ("data", "old", "new"))
    small_dataset.build(data)
    shutil.copytree(OLD_RUN, old)
    config = old / "config.json"
    config.write_text(config.read_text().replace('"DATA"', json.dumps(str(data))))
    run_command("trainer.main", *TRAIN, f"--data_dir={data}", f"--workdir={new}")
    state = new / CHECKPOINT / "state.npz"
    with np.load(state) as arrays:
        found = {name: [list(arrays[name].shape), str(arrays[name].dtype)] for name in arrays}
    assert found == json.loads((old / "state.json").read_text())
    shutil.copy(state, old / CHECKPOINT)
    said = run_command("trainer.main", *TRAIN, f"--data_dir={data}", f"--workdir={old}")
    assert "resuming after epoch 1, step 0" in said
    for resumed, whole in zip(weights_of(old), weights_of(new), strict=True):
        np.testing.assert_allclose(resumed, whole, rtol=1e-4, atol=1e-6)
    told = [json.loads((run / "config.json").read_text())["config"] for run in (old, new)]
    assert told[0] == told[1]


def test_an_old_run_is_told_what_differs(tmp_path):
    data, old = tmp_path / "data", tmp_path / "old"
    small_dataset.build(data)
    shutil.copytree(OLD_RUN, old)
    flags = [*TRAIN, f"--data_dir={data}", f"--workdir={old}", "--erasing=0.5"]
    said = run_command("trainer.main", *flags, code=2)
    assert "--data_dir: 'DATA' in the run" in said
    assert "--erasing: 0.0 in the run, 0.5 now" in said
