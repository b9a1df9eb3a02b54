import dataclasses
import errno
import json
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import global_batch, one_device, run_command, two_replicas
from tests.support import plain_dataset
from tests.support.settings import SETTINGS
from trainer import models
from trainer.data import stamps
from trainer.data.augment import Augmentation
from trainer.data.example_stream import read_examples
from trainer.data.input import distribute_batches
from trainer.errors import Preempted, Unreadable, UserError
from trainer.hardware import Hardware
from trainer.models.backbones import BACKBONES
from trainer.training import config, features
from trainer.training.computation import Computation
from trainer.training.engine import Engine
from trainer.training.interruption import StopRequest
from trainer.training.metrics import measure
from trainer.training.objective import Objective
from trainer.training.phases import plan, prepare

BATCH = 16
SEED = 3


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return plain_dataset.write(tmp_path_factory.mktemp("small"))


@pytest.fixture
def cache_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def thin_vgg19(include_top, weights, input_tensor):
    """The blocks of VGG-19, of one convolution each, with fewer channels and as many features."""
    x = input_tensor
    for block, channels in enumerate((8, 8, 16, 16, 512), start=1):
        options = {"padding": "same", "activation": "relu", "name": f"block{block}_conv1"}
        x = keras.layers.Conv2D(channels, 3, **options)(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x)


@pytest.fixture(autouse=True)
def backbones(request, monkeypatch):
    """VGG-19 is thin, but for the tests that ask for the whole one."""
    if getattr(request, "param", "thin") == "thin":
        thin = dataclasses.replace(BACKBONES["vgg19"], application=thin_vgg19)
        monkeypatch.setitem(BACKBONES, "vgg19", thin)


def hardware_of(strategy, precision="float32"):
    return Hardware(strategy, ("/cpu:0",), precision, False, False, "none")


def config_of(model="vgg19", **changes):
    settings = {"feature_cache": "on", "scaling": "torch", "seed": SEED, "weights": "none"}
    return config.make("seed", model, SETTINGS | settings | changes)


def plan_of(made):
    return plan(made.phases, made.optimization, made.network)


def build(model="vgg19", precision="float32", settings=None):
    settings = settings or config_of(model)
    keras.utils.set_random_seed(0)
    network = models.build(
        model,
        settings.network,
        image_shape=(plain_dataset.SIZE, plain_dataset.SIZE, 1),
        precision=precision,
    )
    prepare(network, plan_of(settings)[0])
    return network


def images_of(small, cache="off"):
    return (
        read_examples(small, "train", cache=cache, shuffle_seed=SEED),
        read_examples(small, "validation", cache=cache, shuffle_seed=None),
    )


def planned(small, network, settings, strategy=None, precision="float32"):
    hardware = hardware_of(strategy or one_device(), precision)
    return features.plan_features(settings, plan_of(settings), small, network, hardware)[0]


def compute(small, frozen, strategy=None, images=None):
    hardware = hardware_of(strategy or one_device())
    return frozen.compute(*(images or images_of(small)), hardware, StopRequest())


def losses(small, network, strategy, start=None, examples=None, epochs=3, rate=1e-3):
    """Validation loss after each epoch of training the head."""
    train, validation = examples or images_of(small)
    engine = Engine(
        strategy,
        network,
        Computation(
            keras.optimizers.Adam(rate),
            Objective(4),
            start=start,
            augmentation=Augmentation(flip=True) if start is None else None,
        ),
    )
    batches = iter(distribute_batches(train, strategy, BATCH, augment_seed=SEED))
    held_out = iter(distribute_batches(validation, strategy, BATCH))
    found = []
    for _ in range(epochs):
        engine.train(batches, train.steps_per_epoch(BATCH))
        engine.evaluate(held_out, validation.steps_per_epoch(BATCH))
        found.append(measure(engine.eval_totals.read()).loss)
        engine.eval_totals.reset()
    network.set_weights(engine.weights())
    return found


@pytest.mark.parametrize(
    ("backbones", "model", "replicas", "rate"),
    [
        ("thin", "vgg19", two_replicas, 1e-3),
        pytest.param("whole", "vgg19", two_replicas, 1e-3, marks=pytest.mark.slow),
        pytest.param("whole", "vgg19", one_device, 1e-3, marks=pytest.mark.slow),
        pytest.param("whole", "resnet101", one_device, 1e-3, marks=pytest.mark.slow),
        # Its head is a single layer, which moves less.
        pytest.param("whole", "densenet169", one_device, 1e-2, marks=pytest.mark.slow),
    ],
    indirect=["backbones"],
)
def test_every_epoch_ends_with_the_validation_loss_of_the_whole_network(
    model, replicas, rate, small, cache_dir
):
    strategy, settings = replicas(), config_of(model, train_backbone=False)
    whole = build(model, settings=settings)
    first = whole.get_weights()
    expected = losses(small, whole, strategy, rate=rate)
    moved = [
        one for one, other in zip(whole.get_weights(), first, strict=True) if (one != other).any()
    ]
    assert len(moved) == len(whole.trainable_weights)

    whole.set_weights(first)
    frozen = planned(small, whole, settings, strategy)
    kept = compute(small, frozen, strategy)
    found = losses(small, whole, strategy, frozen.backbone.output, kept, rate=rate)
    print(model, expected, found)
    assert max(expected) / min(expected) > 1.02
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("cache", "backbones"), [("auto", "whole"), ("off", "thin")], indirect=["backbones"]
)
def test_batches_hold_the_features_of_the_views_that_the_uncached_run_sees(cache, small, cache_dir):
    network, settings = build(), config_of()
    frozen = planned(small, network, settings)
    images = images_of(small, cache)
    kept = compute(small, frozen, images=images)
    before_head = keras.Model(network.input, network.get_layer("flatten").output)
    for examples, pictures, seed in zip(kept, images, (SEED, None), strict=True):
        ours, theirs = (
            iter(distribute_batches(source, two_replicas(), BATCH, augment_seed=seed))
            for source in (examples, pictures)
        )
        for _ in range(2 * examples.steps_per_epoch(BATCH)):
            batch, expected = (global_batch(two_replicas(), next(b)) for b in (ours, theirs))
            seen = expected["image"]
            if seed is not None:
                flipped = expected["draws"][:, 0] < 0.5
                assert flipped.any() and not flipped.all()
                seen = np.where(flipped[:, None, None, None], seen[:, :, ::-1], seen)
            np.testing.assert_array_equal(batch["label"], expected["label"])
            np.testing.assert_array_equal(batch["weight"], expected["weight"])
            np.testing.assert_allclose(batch["features"], before_head(seen), rtol=1e-4, atol=1e-5)


def test_what_is_there_is_used_again_and_other_weights_are_computed_anew(small, cache_dir):
    network, settings = build(), config_of()
    compute(small, planned(small, network, settings))
    before = {path: path.stat().st_mtime_ns for path in cache_dir.rglob("*")}
    assert {path.name for path in before if "-features-" in str(path.parent)} >= {"00000000.npy"}
    compute(small, planned(small, network, settings))
    after = {path: path.stat().st_mtime_ns for path in cache_dir.rglob("*")}
    assert {p: t for p, t in after.items() if p.suffix != ".lock"} == {
        p: t for p, t in before.items() if p.suffix != ".lock"
    }
    kernel = network.get_layer("block1_conv1").kernel
    kernel.assign(kernel + 1.0)
    compute(small, planned(small, network, settings))
    assert len(list(cache_dir.glob("*-features-*[0-9a-f]"))) == 2 * 2


def test_a_folder_of_another_key_is_computed_anew(small, cache_dir):
    frozen = planned(small, build(), config_of())
    compute(small, frozen)
    key = json.loads((frozen.train.folder / "key.json").read_text())
    (frozen.train.folder / "key.json").write_text(json.dumps(key | {"weights_sha256": "0"}))
    assert not frozen.train.is_whole()
    compute(small, frozen)
    assert json.loads((frozen.train.folder / "key.json").read_text()) == key
    assert frozen.train.is_whole()
    (aside,) = cache_dir.glob("damaged-*")
    assert json.loads((aside / "key.json").read_text())["weights_sha256"] == "0"


def test_a_truncated_shard_is_computed_anew(small, cache_dir):
    frozen = planned(small, build(), config_of())
    compute(small, frozen)
    shard = frozen.train.folder / "00000000.npy"
    content = shard.read_bytes()
    shard.write_bytes(content[:-9])
    assert not frozen.train.is_whole()
    compute(small, frozen)
    assert len(shard.read_bytes()) == len(content)
    assert frozen.train.is_whole()


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 0xFF
    path.write_bytes(content)
    return bytes(content)


def test_a_flipped_byte_is_found_set_aside_and_computed_anew(small, cache_dir):
    frozen = planned(small, build(), config_of())
    compute(small, frozen)
    shard = frozen.train.folder / "00000000.npy"
    was = shard.read_bytes()
    flipped = flip_a_byte(shard)
    assert not frozen.train.is_whole()
    compute(small, frozen)
    assert frozen.train.is_whole()
    # Equal: the same backbone on the same images.
    np.testing.assert_allclose(
        np.frombuffer(shard.read_bytes()[-4096:], np.float32),
        np.frombuffer(was[-4096:], np.float32), rtol=1e-4,
    )  # fmt: skip
    assert (frozen.train.folder / "damaged-00000000.npy").read_bytes() == flipped


def test_a_shard_that_cannot_be_read_is_left_alone(small, cache_dir, monkeypatch):
    frozen = planned(small, build(), config_of())
    compute(small, frozen)
    before = sorted(cache_dir.rglob("*"))

    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    os.utime(frozen.train.folder / "00000000.npy")  # Its stamp is another: it is read again.
    monkeypatch.setattr(stamps, "sha256_of", fail)
    with pytest.raises(Unreadable, match="Input/output error"):
        frozen.train.is_whole()
    assert sorted(cache_dir.rglob("*")) == before


def test_images_of_other_pixels_have_features_of_their_own(small, cache_dir, tmp_path):
    (tmp_path / "other").mkdir()
    other = plain_dataset.write(tmp_path / "other", seed=1)
    network = build()
    of_small, of_other = (planned(one, network, config_of()).train for one in (small, other))
    assert of_small.folder != of_other.folder
    sizes = [[path.stat().st_size for path in map(pathlib.Path, one.files("train"))]
             for one in (small, other)]  # fmt: skip
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("cache", ["auto", "off"])
def test_examples_of_one_name_keep_features_of_their_own(cache, cache_dir, tmp_path):
    (tmp_path / "named").mkdir()
    named = plain_dataset.write(tmp_path / "named", name=lambda split, row: f"copy-{row % 2}")
    network = build()
    frozen = planned(named, network, config_of())
    images = images_of(named, cache)
    kept = compute(named, frozen, images=images)
    for examples, pictures in zip(kept, images, strict=True):
        ours, theirs = (
            iter(distribute_batches(source, one_device(), BATCH)) for source in (examples, pictures)
        )
        for _ in range(examples.steps_per_epoch(BATCH)):
            batch, expected = next(ours), next(theirs)
            np.testing.assert_array_equal(batch["label"], expected["label"])
            np.testing.assert_allclose(
                batch["features"], frozen.backbone(expected["image"]), rtol=1e-4, atol=1e-5
            )


def test_a_stopped_computation_goes_on_at_the_first_missing_shard(small, cache_dir, monkeypatch):
    monkeypatch.setattr(features, "BATCH", 8)
    monkeypatch.setattr(features, "_LEAST_ROWS_PER_SHARD", 16)
    network = build()
    frozen = planned(small, network, config_of())
    stop = StopRequest()
    write = frozen.train.write

    def write_and_ask(first, rows):
        write(first, rows)
        if first == 16:
            stop.ask()

    monkeypatch.setattr(frozen.train, "write", write_and_ask)
    with pytest.raises(Preempted, match="32 of 43 images of train"):
        frozen.compute(*images_of(small), hardware_of(one_device()), stop)
    assert not frozen.train.is_whole()
    (partial,) = cache_dir.glob("*.partial")
    written = {path: path.stat().st_mtime_ns for path in partial.glob("*.npy")}
    assert len(written) == 2

    monkeypatch.setattr(features, "BATCH", 5)  # On another number of replicas, say.
    resumed, _ = compute(small, frozen)
    for path, time in written.items():
        assert (frozen.train.folder / path.name).stat().st_mtime_ns == time
    elsewhere = cache_dir.parent / "elsewhere"
    monkeypatch.setenv("CXR_CACHE_DIR", str(elsewhere))
    whole, _ = compute(small, planned(small, network, config_of()))
    ours, theirs = (
        iter(distribute_batches(examples, one_device(), BATCH, augment_seed=0))
        for examples in (resumed, whole)
    )
    for _ in range(whole.steps_per_epoch(BATCH)):
        np.testing.assert_allclose(
            next(ours)["features"], next(theirs)["features"], rtol=1e-4, atol=1e-5
        )


def test_bfloat16_features_are_kept_in_bfloat16(small, cache_dir):
    network = build(precision="mixed_bfloat16")
    frozen = planned(small, network, config_of(), precision="mixed_bfloat16")
    kept, _ = compute(small, frozen)
    batch = next(iter(distribute_batches(kept, one_device(), BATCH)))
    assert batch["features"].dtype == tf.bfloat16
    picture = next(iter(distribute_batches(images_of(small)[0], one_device(), BATCH)))["image"]
    kept, expected = (tf.cast(f, tf.float32) for f in (batch["features"], frozen.backbone(picture)))
    np.testing.assert_allclose(kept, expected, rtol=0.05, atol=0.02)


@pytest.mark.parametrize(
    ("changes", "workers", "said"),
    [
        ({"model": "lenet"}, 1, "lenet has no backbone"),
        ({"train_backbone": True}, 1, "the backbone is trained"),
        ({"head_epochs": 2}, 1, "the backbone is trained"),
        ({}, 2, "several workers"),
        ({"rotation": 5.0}, 1, "more than a flip"),
        ({"keras_cv": "mixup"}, 1, "more than a flip"),
    ],
)
def test_where_it_is_not_valid_auto_is_off_and_on_is_refused(changes, workers, said, small):
    for asked in ("auto", "on"):
        settings = config_of(**{"feature_cache": asked} | changes)
        hardware = dataclasses.replace(hardware_of(one_device()), workers=workers)
        arguments = settings, plan_of(settings), small, None, hardware
        if asked == "on":
            with pytest.raises(UserError, match=f"--feature_cache=on: .*{said}"):
                features.plan_features(*arguments)
        else:
            used, why = features.plan_features(*arguments)
            assert used is None
            assert said in why


def test_a_disk_without_room_is_told_before_the_work(small, cache_dir, monkeypatch):
    network = build()
    needed = 4 * 512 * (2 * plain_dataset.COUNTS["train"] + plain_dataset.COUNTS["validation"])
    monkeypatch.setattr(features, "free_bytes", lambda: needed - 1)
    with pytest.raises(UserError, match="--feature_cache=on: .* need .* CXR_CACHE_DIR"):
        planned(small, network, config_of())
    monkeypatch.setattr(features, "free_bytes", lambda: needed)
    assert planned(small, network, config_of())
    assert planned(small, network, config_of(feature_cache="auto")) is None
    assert not list(cache_dir.glob("*-features-*[0-9a-f]"))


@pytest.mark.slow
def test_a_run_on_kept_features_leaves_what_the_uncached_run_leaves(data_dir, cache_dir, tmp_path):
    flags = [
        "--model=vgg19", "--recipe=seed", "--weights=none", "--dropout=0.3", "--scaling=torch",
        "--learning_rate=1e-4", "--epochs=2",
        "--strategy=one_device", f"--data_dir={data_dir}",
    ]  # fmt: skip
    rows = {}
    for asked in ("auto", "off"):
        workdir = tmp_path / asked
        run_command("trainer.main", *flags, f"--feature_cache={asked}", f"--workdir={workdir}")
        content = json.loads((workdir / "config.json").read_text())
        assert content["feature_cache"].startswith({"auto": "on", "off": "off"}[asked])
        rows[asked] = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    for name in ("loss", "validation_loss"):
        found, expected = ([row[name] for row in rows[asked]] for asked in ("auto", "off"))
        np.testing.assert_allclose(found, expected, rtol=1e-3)
    models_of = [
        keras.models.load_model(tmp_path / asked / "model.keras") for asked in ("auto", "off")
    ]
    shapes = [[weight.shape for weight in model.get_weights()] for model in models_of]
    assert shapes[0] == shapes[1]
    run_command(
        "trainer.export_gradcam", f"--workdir={tmp_path}/auto", "--split=test", "--max_images=1",
        f"--output_dir={tmp_path}/heatmaps",
    )  # fmt: skip
    assert (tmp_path / "heatmaps" / "index.csv").exists()
