import json
import sys

import numpy as np
import pytest

from benchmarks import (
    MODELS,
    ceilings,
    engine_step,
    flops,
    grown_dataset,
    input_pipeline,
    input_worker,
    near_duplicates,
    op_times,
    radiographs,
    roofline,
    tables,
)
from benchmarks.end_to_end import _train_as_the_original
from benchmarks.training import Training
from tests.conftest import one_device, two_replicas
from tests.support import toy
from tests.support.last_line import last_line
from trainer import models
from trainer.data.opening import open_dataset
from trainer.data.records import read_batches
from trainer.data.selection import select
from trainer.data.source import DEFAULT_DATASET
from trainer.hardware import Hardware

BATCH = 4


def on(strategy, devices=("/cpu:0",)):
    return Hardware(
        strategy, tuple(devices), "float32", xla=False, xla_update=False, collective="none"
    )


@pytest.fixture(scope="module")
def folder(phantom_database, data_dir, tmp_path_factory):
    """The phantoms as folders of files."""
    folder = tmp_path_factory.mktemp("folders")
    radiographs._link(str(data_dir), str(phantom_database), folder)
    return folder


def test_the_models_are_those_of_the_trainer():
    assert MODELS == models.NAMES


def test_operations_of_lenet_are_those_of_the_formula():
    first = 2 * 222**2 * 32 * (3 * 3 * 3)
    second = 2 * 109**2 * 64 * (3 * 3 * 32)
    dense = 2 * (54**2 * 64 * 128 + 128 * 4)
    model = models.build("lenet")
    # Biases, activations and pooling are counted too.
    assert 1 <= flops.forward(model) / (first + second + dense) < 1.02
    # Each product has two in its backward pass, but the first, whose input needs no gradient.
    assert 1 <= flops.training(model) / (2 * first + 3 * (second + dense)) < 1.04


def test_the_backward_pass_of_a_frozen_backbone_is_not_counted():
    model = toy.frozen_backbone()
    features = model.layers[-4].output.shape[-1]
    # Gradients of both layers' weights, and of what goes into the last one.
    head = 2 * features * 16 + 2 * (2 * 16 * 4)
    backward = flops.training(model) - flops.forward(model)
    assert head <= backward < 1.01 * head


def test_ceilings_are_work_over_time(monkeypatch):
    def quarter_of_a_second(work):
        assert np.isfinite(work().numpy())
        return 0.25

    monkeypatch.setattr(ceilings, "_seconds", quarter_of_a_second)
    devices = on(two_replicas(), ["/cpu:0", "/cpu:1"])
    repeats = ceilings._REPEATS["CPU"]
    assert ceilings.matrix_product(devices, 64) == 4 * repeats * 2 * 64**3
    assert ceilings.memory_bandwidth(devices, 1) == 4 * repeats * 2 * 2**20
    assert ceilings.all_reduce_bandwidth(devices, 1) == 4 * repeats * 2**20


def test_one_replica_has_nothing_to_reduce():
    assert ceilings.all_reduce_bandwidth(on(one_device())) is None


def test_a_rate_is_set_beside_the_ceiling():
    found = roofline.utilisation(50.0, 4_000_000, 1e9)
    assert found["flops"] == 2e8
    assert found["of_matrix_product"] == 0.2


@pytest.mark.parametrize(
    "way", [way for way in input_pipeline._WAYS if way not in ("png", "decoded", "torch")]
)
def test_every_way_gives_images(way, data_dir, folder):
    work = input_pipeline._work(way, str(data_dir), str(folder / "train"), BATCH, seconds=0.01)
    assert work() > 0


def test_the_pipelines_ratios_are_medians_over_rounds(capsys):
    measured = {"records": [80.0, 90.0, 10.0], "generator": [2.0, 1.0, 10.0]}
    input_pipeline._report(measured, 16)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["over_generator"]["records"] == 40.0
    assert found["images_per_second"] == {"records": 80.0, "generator": 2.0}
    assert found["machine"]["cores"] >= 1


def test_the_folders_hold_the_dataset(folder, dataset):
    for split in ("train", "validation", "test"):
        assert len(list((folder / split).glob("*/*.png"))) == dataset.num_examples(split)


@pytest.mark.slow
def test_the_original_trains_the_same_network_on_the_same_images(folder, dataset):
    found = _train_as_the_original("lenet", str(folder), epochs=1)
    assert found["accuracy"] * dataset.num_examples("test") == pytest.approx(
        round(found["accuracy"] * dataset.num_examples("test"))
    )
    assert found["epochs"] > 0


@pytest.mark.slow
def test_training_measures_rate_and_wait():
    training = Training("lenet", on(one_device()), BATCH)
    for found in (training.train(2), training.evaluate(2)):
        assert found["images_per_second"] > 0
        assert 0 <= found["input"] < 1


def test_operations_are_shared_out_and_overlaps_are_not_idle():
    operations = [
        op_times.Operation("functional_1/conv1:_FusedConv2D", "tf_Compute/1", 0, 40),
        op_times.Operation("gradient_tape/lenet/dense:MatMul", "tf_Compute/2", 20, 60),
        op_times.Operation("lenet/pool:AvgPool", "tf_Compute/1", 60, 65),
        op_times.Operation("while/body/add:AddV2", "tf_Compute/1", 80, 85),
        op_times.Operation("fusion.2", "tf_Compute/1", 80, 85, is_compiled=True),
        op_times.Operation("GatherV2:GatherV2", "tf_data_private_threadpool/3", 80, 100),
    ]
    found = op_times.shares(operations, "lenet")
    expected = {"convolutions": 40, "products": 40, "other layers": 5, "update": 10, "input": 20}
    for part, time in expected.items():
        assert found[part] == time / 115
    assert found["idle"] == pytest.approx(0.15)


@pytest.mark.slow
def test_the_profile_of_a_step_is_shared_out():
    found = last_line("benchmarks.op_times", "--models=lenet", "--batch_size=2", "--steps=1")
    parts = found["models"]["lenet"]
    assert sum(share for part, share in parts.items() if part != "idle") == pytest.approx(1)
    assert min(parts["convolutions"], parts["products"], parts["update"]) > 0


@pytest.mark.slow
def test_scaling_compares_with_the_first():
    found = last_line(
        "benchmarks.scaling", "--models=lenet", "--replicas=1,2", "--rounds=1", "--steps=1",
        "--batch_size=4",
    )  # fmt: skip
    assert [len(row) for row in tables.replicas(found)] == [3, 3]
    found = found["models"]["lenet"]
    rates = found["images_per_second"]
    assert found["kept"]["1"] == 1
    assert found["kept"]["2"] == pytest.approx(rates["2"] / rates["1"], rel=0.02)


def test_asking_for_pytorch_where_it_is_missing_is_a_mistake(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    engine_step._check_torch(["engine", "keras"])
    with pytest.raises(ValueError, match=r"--ways=torch: .* pip install '\.\[torch\]'"):
        engine_step._check_torch(["engine", "torch"])


@pytest.mark.slow
def test_pytorch_takes_part_in_a_step():
    pytest.importorskip("torch")
    found = last_line(
        "benchmarks.engine_step", "--models=lenet", "--ways=engine,torch,torch_compiled",
        "--rounds=1", "--steps=1", "--batch_size=4",
    )["models"]["lenet"]  # fmt: skip
    rates = found["images_per_second"]
    for way in ("torch", "torch_compiled"):
        ratio = found[f"engine_over_{way}"]
        assert ratio == pytest.approx(rates["engine"] / rates[way], rel=0.02)


@pytest.mark.slow
def test_roofline_gives_each_model_its_share():
    found = last_line(
        "benchmarks.roofline", "--models=lenet", "--rounds=1", "--steps=1", "--batch_size=4"
    )["models"]["lenet"]
    for kind in ("forward", "training"):
        row = found[kind]
        achieved = row["images_per_second"] * row["flops_per_image"]
        assert row["of_matrix_product"] * found["matrix_product_flops"] == pytest.approx(achieved)


@pytest.mark.slow
def test_a_whole_job_is_measured_both_ways(data_dir, phantom_database):
    found = last_line(
        "benchmarks.end_to_end", "--models=lenet", "--epochs=1", f"--data_dir={data_dir}",
        f"--manual_dir={phantom_database}",
    )  # fmt: skip
    assert tables.whole_job(found)[1][:3] == ["LeNet", "48", "1"]
    found = found["models"]["lenet"]
    assert found["times_faster"] == pytest.approx(
        found["original"]["seconds"] / found["ours"]["seconds"]
    )
    assert found["ours"]["seconds"] > found["ours"]["training"] > found["ours"]["epochs"]


@pytest.mark.slow
def test_the_input_pipeline_is_measured_on_phantoms():
    found = last_line(
        "benchmarks.input_pipeline", "--images_per_class=10", "--ways=png,records,roofline",
        "--rounds=1", "--seconds=0.1",
    )  # fmt: skip
    rates = found["images_per_second"]
    assert found["over_roofline"]["records"] == pytest.approx(
        rates["records"] / rates["roofline"], 0.01
    )


def test_all_searches_for_near_duplicates_find_the_same():
    found = last_line("benchmarks.near_duplicates", "--numbers=150,300", "--rounds=1")
    assert all(all(row) for row in tables.near_duplicates(found))
    found = found["numbers"]
    assert list(found) == ["150", "300"]
    for row in found.values():
        assert row["pairs"] > 0
        assert set(row["seconds"]) == set(near_duplicates._WAYS)


@pytest.mark.slow
def test_predicting_files_is_measured_beside_keras():
    found = last_line("benchmarks.predict_files", "--files=200", "--rounds=1")
    assert tables.predict(found)[0][0] == "LeNet, 200 files"
    rates = found["images_per_second"]
    assert found["over_keras"] == pytest.approx(rates["trainer.predict"] / rates["keras"], 0.01)
    assert list(found["peak_mib"]) == ["100", "200"]


def train_records(dataset):
    """Ids and pixels of the training split."""
    batches = list(read_batches(dataset, select(dataset, "train"), ["id", "image"]))
    return [np.concatenate([batch[name] for batch in batches]) for name in ("id", "image")]


@pytest.fixture(scope="module")
def grown(data_dir, tmp_path_factory):
    """The training images three times."""
    directory = tmp_path_factory.mktemp("grown")
    with grown_dataset.grown(str(data_dir), 3, 32, "tfrecord", str(directory)) as found:
        yield found
    assert not list(directory.iterdir())


def test_a_grown_dataset_holds_the_images_so_many_times_with_other_ids(grown, dataset):
    _, once = train_records(dataset)
    ids, images = train_records(open_dataset(DEFAULT_DATASET, grown.data_dir))
    assert len(set(ids)) == len(ids) == grown.images == 3 * len(once)
    assert len(grown.files) == -(-grown.images // 32)
    np.testing.assert_array_equal(images, np.concatenate([once] * 3))
    assert (grown.folder / "covid19_radiography-train.index.npy").exists()


def test_a_size_that_does_not_fit_the_disk_is_told(data_dir, tmp_path):
    assert grown_dataset.lacking_room(str(tmp_path), str(data_dir), 1) is None
    assert "GB are free" in grown_dataset.lacking_room(str(tmp_path), str(data_dir), 10**9)


@pytest.mark.parametrize("way", ["ours", "tfds"])
def test_a_worker_is_measured(way, grown):
    steps = -(-grown.images // (BATCH * 2))
    asked = 0
    for number in range(2):
        worker = input_worker.Worker(way, epoch_steps=steps, batch_size=BATCH, seconds=0.01)
        opened = worker.open(grown.data_dir, 2, number)
        assert opened["from_start_s"] > opened["first_batch_s"] > 0
        assert worker.epoch()["images_per_second"] > 0
        assert worker.rate()["images_per_second"] > 0
        assert worker.go_on()["go_on_s"] > 0
        end = worker.end()
        assert set(end["memory"]) == set(end["memory_imported"])
        asked += end["bytes_asked"] or 0
    if way == "ours":
        index = open_dataset(DEFAULT_DATASET, grown.data_dir).index("train")
        filling = np.arange(grown.images, 2 * BATCH * steps) % grown.images
        assert asked == index["length"].sum() + index["length"][filling].sum()


@pytest.mark.slow
def test_growing_input_is_measured_on_phantoms():
    found = last_line(
        "benchmarks.input_growth", "--images_per_class=10", "--factors=1,2", "--workers=1,2",
        "--ways=ours", "--batch_size=4", "--seconds=0.1", "--images_per_shard=16",
    )  # fmt: skip
    assert [row[1] for row in tables.input_growth(found)] == ["workers", "1", "2", "1", "2"]
    found = found["rows"]
    assert [(row["factor"], row["workers"]) for row in found] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert [row["asked"] for row in found] == pytest.approx([1, 0.5, 1, 0.5], rel=0.05)
