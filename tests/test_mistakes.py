"""Mistakes as a new user makes them: each command, what it says and its exit code, in one table.

`pytest -s tests/test_mistakes.py` prints the whole sentences and the seconds until they were said.
Every mistake is made in the folder of `world`, and must leave it as it was.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator

import pytest

from cxr_tfds import phantom
from tests.conftest import ROOT
from tests.support import other_dataset, small_dataset
from tests.support.forked_commands import BUILD, split
from tests.support.split_tables import write_split_tables
from trainer.lock import locked
from trainer.studies import record
from trainer.studies.plan import parse

TRAIN = "trainer.main --model=lenet --recipe=seed --data_dir=data --dataset=small_images"
VGG = "trainer.main --model=vgg19 --data_dir=data --dataset=small_images"
WORKERS = f"{TRAIN} --strategy=multi_worker"
EVALUATE = "trainer.evaluate --output_dir=out"
EXPLAIN = "trainer.export_gradcam --output_dir=out"
EXPORT = "trainer.export_model --output_dir=out"
STUDY = "trainer.study --study_dir=new"
PREDICT = "trainer.predict --images=texts --output=out.csv"

OWN = BUILD.replace("covid19_radiography", "own_radiographs")

# What somebody did; the command, from `python -m` on; a telling part of what it says; and, where
# it is not 2, the exit code.
MISTAKES = [
    # trainer.main: words that are no flags, or not their values.
    ("no model named", "trainer.main", "--model is missing"),
    (
        "a model that there is not",
        "trainer.main --model=alexnet",
        "expected one of lenet, ",
    ),
    ("a typing error in a flag", f"{TRAIN} --learning_rat=1e-3", "did you mean --learning_rate"),
    ("a word without --", f"{TRAIN} vgg19", "unexpected argument 'vgg19'; every option is"),
    ("a word as a number", f"{TRAIN} --learning_rate=fast", "fast: expected a number"),
    ("a fraction of an epoch", f"{TRAIN} --epochs=2.5", "2.5: expected a whole number"),
    ("no epochs", f"{TRAIN} --epochs=0", "--epochs=0: expected 1 or more"),
    ("a negative batch", f"{TRAIN} --global_batch_size=-8", "expected 1 or more"),
    (
        "a word as a batch",
        f"{TRAIN} --global_batch_size=max",
        "max: expected a whole number, or auto",
    ),
    ("a negative seed", f"{TRAIN} --seed=-1", "--seed=-1: expected 0 or more"),
    ("no number as learning rate", f"{TRAIN} --learning_rate=nan", "expected a positive float32"),
    ("a dropout of all", f"{TRAIN} --dropout=1", "expected 0 or more and below 1"),
    ("a strategy that there is not", f"{TRAIN} --strategy=ddp", "one of one_device, mirrored"),
    ("steps of a profile backwards", f"{TRAIN} --profile_steps=9:3", "steps A:B with A below B"),
    (
        "metrics of 300 letters",
        f"{TRAIN} --prometheus_file={'x' * 300}.prom",
        "x.prom: File name too long; give another",
    ),
    ("MLflow nowhere", f"{TRAIN} --mlflow_uri=mlruns", "expected http://HOST:PORT or https://"),
    ("an augmentation unknown", f"{TRAIN} --keras_cv=mixup,blur", "there is no 'blur'"),
    # trainer.main: settings that do not go together.
    ("weights for LeNet", f"{TRAIN} --weights=imagenet", "--weights=imagenet goes with a backbone"),
    ("LeNet's head alone", f"{TRAIN} --head_epochs=2", "--head_epochs=2 goes with a backbone"),
    ("Adam's weight decay", f"{TRAIN} --weight_decay=0.1", "--optimizer=adamw"),
    ("no epoch for the backbone", f"{VGG} --epochs=5 --head_epochs=5", "leaves no epoch"),
    ("a batch for two on three", f"{TRAIN} --virtual_devices=3", "does not divide by the 3 repl"),
    ("micro-batches", f"{TRAIN} --accumulation_steps=3", "use a multiple of 3, such as 15"),
    ("pooled to nothing", f"{TRAIN} --input_pooling=16", "32x32 pixels are too small for lenet"),
    ("a cache of what hosts load", f"{TRAIN} --data_service=a:1 --cache=disk", "omit one of"),
    ("a retired cache", f"{TRAIN} --cache=memory", "is no longer needed: the files are mapped"),
    ("a split that is none", f"{TRAIN} --train_split=training", "has no split 'training'; it has"),
    ("a fold that is none", f"{TRAIN} --fold=5/5", "--fold=5/5: expected K/N, such as 0/5"),
    ("two folds", f"{TRAIN} --fold=0/2", "of N folds, 3 to 999"),
    ("a fold and a split", f"{TRAIN} --fold=0/5 --train_split=train", "leave --train_split out"),
    ("more folds than groups", f"{TRAIN} --fold=0/500", "into 500 folds: choose from 2 to 132"),
    ("a slice that is none", f"{TRAIN} --train_split=train[:x]", "is not a split of small_images"),
    (
        "slices that overlap",
        f"{TRAIN} --train_split=train --validation_split=train[:50%]",
        "have 48 examples in common: choose slices",
    ),
    ("no share of a source", f"{TRAIN} --source_share=a:x", "expected CLASS:SOURCE=SHARE with a"),
    ("a share of unknown sources", f"{TRAIN} --source_share=a:x=1", "does not store the source"),
    # trainer.main: the dataset.
    ("nothing built yet", "trainer.main --model=lenet", "tensorflow_datasets does not exist; give"),
    ("a directory that is not there", f"{TRAIN} --data_dir=dta", "dta does not exist; give --dat"),
    ("a file for a directory", f"{TRAIN} --data_dir=file", "file does not exist; give --data_dir"),
    ("another dataset there", "trainer.main --model=lenet --data_dir=data", "but other_images:1.0"),
    ("a version not built", f"{TRAIN} --dataset=small_images:2.0.0", "small_images:1.0.0; build"),
    ("a version in words", f"{TRAIN} --dataset=small_images:new", "no built dataset small_images"),
    ("an interrupted build", f"{TRAIN} --data_dir=half", "remains of an interrupted build"),
    ("a shard gone", f"{TRAIN} --data_dir=no_shard", "is damaged (there is no "),
    ("a shard cut short", f"{TRAIN} --data_dir=cut_shard", "ends within a record"),
    ("a byte changed", f"{TRAIN} --data_dir=changed_shard", "a record's checksum is wrong"),
    (
        "a damaged description",
        f"{TRAIN} --data_dir=bad_info",
        "small_images in bad_info is damaged",
    ),
    ("no split to validate on", f"{TRAIN} --data_dir=no_split", "has no split 'validation'"),
    # trainer.main: weights.
    ("no network, no weights", VGG, "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5 on a mach"),
    ("weights not there", f"{VGG} --weights=w.h5", "--weights=w.h5: no such file"),
    ("weights that are text", f"{VGG} --weights=text.h5", "weights in text.h5 do not fit vgg19"),
    ("weights that are a folder", f"{VGG} --weights=run", "--weights=run: no such file"),
    ("weights of another model", f"{VGG} --weights=run/model.keras", "do not fit vgg19"),
    ("weights with the top", f"{VGG} --weights=top.h5", "layer predictions of the file is not in"),
    ("a layer to unfreeze unknown", f"{VGG} --weights=none --unfreeze_from=conv9", "no layer of t"),
    ("features of a trained net", f"{VGG} --weights=none --feature_cache=on", "=on: the backbone"),
    # trainer.main: the run's directory.
    ("a run of other settings", f"{TRAIN} --workdir=run --seed=5", "--seed: 0 in the run, 5 now"),
    ("a run of another model", f"{VGG} --weights=none --workdir=run", "--model: 'lenet' in the r"),
    ("another model, weights to fetch", f"{VGG} --workdir=run", "--model: 'lenet' in the r"),
    (
        "a run of another dataset",
        f"{TRAIN} --dataset=other_images --workdir=run",
        "--dataset: 'small_images:1.0.0' in the run, 'other_images:1.0.0' now",
    ),
    ("a file for a run", f"{TRAIN} --workdir=file", "file cannot be written to (File exists)"),
    ("a run in a file", f"{TRAIN} --workdir=file/run", "cannot be written to (Not a directory)"),
    ("a run where none may write", f"{TRAIN} --workdir=/proc/run", "give another --workdir"),
    (
        "a run of 300 letters",
        f"{TRAIN} --workdir={'x' * 300}",
        "(File name too long); give another",
    ),
    ("a run that is training", f"{TRAIN} --workdir=busy", "busy is in use by process "),
    ("a damaged config.json", f"{TRAIN} --workdir=bad_config", "config.json is damaged (Expecting"),
    (
        "somebody else's config.json",
        f"{TRAIN} --workdir=odd_config",
        "is damaged (field 'config' is mi",
    ),
    # trainer.main: several workers and data hosts.
    ("workers of nobody", f"{WORKERS} --workdir=new", "TF_CONFIG is not set; expected TF_CONFIG="),
    ("a TF_CONFIG of words", f"TF_CONFIG=two {WORKERS} --workdir=new", "TF_CONFIG=two is not val"),
    (
        "a TF_CONFIG without a task",
        f"TF_CONFIG={{{{}}}} {WORKERS} --workdir=new",
        "is not valid; ex",
    ),
    ("workers without a workdir", WORKERS, "needs a --workdir that all workers share"),
    ("workers on a split CPU", f"{WORKERS} --workdir=new --virtual_devices=2", "goes with one_dev"),
    ("a data host without a port", f"{TRAIN} --data_service=here", "expected HOST:PORT of each"),
    ("a port that cannot be", f"{TRAIN} --data_service=here:99999", "expected HOST:PORT of each"),
    (
        "a data host not started",
        f"{TRAIN} --data_service=localhost:1 --worker_timeout=1",
        "localhost:1 does not answer (Connection refused); start it with",
        76,
    ),
    # trainer.evaluate.
    ("no run to evaluate", EVALUATE, "--workdir is missing"),
    ("a study and a run", f"{EVALUATE} --study_dir=st --workdir=run", "leave --workdir out"),
    (
        "a study and a prevalence",
        f"{EVALUATE} --study_dir=st --prevalence=0.1",
        "leave --prevalence out",
    ),
    (
        "a study and too few resamples",
        f"{EVALUATE} --study_dir=st --resamples=1",
        "--resamples=1: expected 100 or more",
    ),
    ("no study", f"{EVALUATE} --study_dir=run", "no run/study.json; give the directory of a study"),
    ("a run that is not there", f"{EVALUATE} --workdir=rn", "rn holds no config.json: expected"),
    (
        "a run without a model yet",
        f"{EVALUATE} --workdir=no_model",
        "no_model holds no model.keras",
    ),
    ("a damaged model", f"{EVALUATE} --workdir=bad_model", "model.keras is damaged (File is not a"),
    ("half a model", f"{EVALUATE} --workdir=half_model", "model.keras is damaged (File is not a"),
    ("a damaged run", f"{EVALUATE} --workdir=bad_config", "config.json is damaged"),
    ("a split that is not there", f"{EVALUATE} --workdir=run --split=holdout", "no split 'holdout"),
    ("data moved away", f"{EVALUATE} --workdir=run --data_dir=dta", "dta does not exist; give --d"),
    ("data of another version", f"{EVALUATE} --workdir=run --data_dir=newer", "small_images:2.0.0"),
    ("data of other classes", f"{EVALUATE} --workdir=other_run", "has the classes bright, dark"),
    ("a class unknown", f"{EVALUATE} --workdir=run --positive_class=flu", "expected one of a, b"),
    ("a prevalence of 2", f"{EVALUATE} --workdir=run --prevalence=0.1,2", "between 0 and 1"),
    ("a run twice", f"{EVALUATE} --workdir=run --workdir=run", "a run is given twice"),
    ("an ensemble of one", f"{EVALUATE} --workdir=run --ensemble", "give --workdir more than once"),
    ("runs of other classes", f"{EVALUATE} --workdir=run --workdir=other_classes", "cannot be com"),
    (
        "three resamples",
        f"{EVALUATE} --workdir=run --resamples=3",
        "--resamples=3: expected 100 or more",
    ),
    (
        "a folder of no images",
        f"{EVALUATE} --workdir=run --images_dir=empty",
        "has no radiograph",
    ),
    ("texts named .png", f"{EVALUATE} --workdir=run --images_dir=texts", "0 radiographs read"),
    (
        "folders of no class",
        f"{EVALUATE} --workdir=run --images_dir=data",
        "no radiograph in a class folder",
    ),
    ("no manifest", f"{EVALUATE} --workdir=run --manifest=no.csv", "no manifest found at no.csv"),
    (
        "a manifest without paths",
        f"{EVALUATE} --workdir=run --manifest=cases.csv",
        "cases.csv has no column path (its header: file, label); expected path, label and any of",
    ),
    (
        "a manifest and a folder",
        f"{EVALUATE} --workdir=run --manifest=cases.csv --images_dir=texts",
        "give one of --split=SPLIT, --images_dir=DIR and --manifest=CSV",
    ),
    ("a report in a file", f"{EVALUATE} --workdir=run --output_dir=file", "file cannot be written"),
    # trainer.export_gradcam.
    ("no run to explain", f"{EXPLAIN} --split=test", "either --workdir=RUN or --runs_dir=RUNS"),
    ("two ways to a run", f"{EXPLAIN} --workdir=run --runs_dir=. --split=test", "either --workdir"),
    ("nothing to explain", f"{EXPLAIN} --workdir=run", "either --split=SPLIT or --images=GLOB"),
    ("no runs in there", f"{EXPLAIN} --runs_dir=empty --split=test", "empty has no run with a m"),
    (
        "a number that no run has",
        f"{EXPLAIN} --runs_dir=runs --best_by=f1 --split=test",
        "no run in runs has the number f1; expected one of accuracy",
    ),
    ("a model that is text", f"{EXPLAIN} --workdir=bad_model --split=test", "model.keras is damag"),
    ("a model of other classes", f"{EXPORT} --workdir=other_model", "its input and output are (No"),
    (
        "a model without its config",
        f"{EXPORT} --workdir=no_layers",
        'is damaged ("There is no item',
    ),
    ("a run's name of 300 letters", f"{EVALUATE} --workdir={'x' * 300}", "File name too long"),
    ("runs of 300 letters", f"{EXPLAIN} --runs_dir={'x' * 300} --split=test", "has no run with"),
    (
        "images of 300 letters",
        f"{EVALUATE} --workdir=run --images_dir={'x' * 300}",
        "there is no such folder",
    ),
    ("data of 300 letters", f"{EVALUATE} --workdir=run --data_dir={'x' * 300}", "does not exist"),
    ("weights of 300 letters", f"{VGG} --weights={'x' * 300}", "no such file"),
    (
        "a report of 300 letters",
        f"{EVALUATE} --workdir=run --output_dir={'x' * 300}",
        "cannot be written to (File name too long)",
    ),
    (
        "a gallery of 300 letters",
        f"{EXPLAIN} --workdir=run --split=test --output_dir={'x' * 300}",
        "cannot be written to (File name too long)",
    ),
    (
        "masks of 300 letters",
        f"{EXPLAIN} --workdir=run --split=test --masks_dir={'x' * 300}",
        "has no mask",
    ),
    (
        "an export of 300 letters",
        f"{EXPORT} --workdir=run --output_dir={'x' * 300}",
        "cannot be written to (File name too long)",
    ),
    ("a status that is text", f"{EXPLAIN} --workdir=bad_status --split=test", "status.json is dam"),
    ("a layer unknown", f"{EXPLAIN} --workdir=run --split=test --layer=conv9", "one of conv1, con"),
    (
        "a method unknown",
        f"{EXPLAIN} --workdir=run --split=test --method=lime",
        "one of gradcam, gr",
    ),
    ("a class to explain unknown", f"{EXPLAIN} --workdir=run --split=test --target=flu", "no such"),
    ("ids unknown", f"{EXPLAIN} --workdir=run --split=test --ids=x-1", "its ids look like test-"),
    ("classes unknown", f"{EXPLAIN} --workdir=run --split=test --classes=flu", "unknown class"),
    (
        "none of each class",
        f"{EXPLAIN} --workdir=run --split=test --per_class=0",
        "--per_class=0: expected 1 or more",
    ),
    ("no files at all", f"{EXPLAIN} --workdir=run --images=empty", "--images=empty: no file match"),
    ("images of no name", f"{EXPLAIN} --workdir=run --images=", "--images=: no file matches"),
    ("a glob of nothing", f"{EXPLAIN} --workdir=run --images=*.jpeg", "*.jpeg: no file matches"),
    ("texts as images", f"{EXPLAIN} --workdir=run --images=texts", "0 radiographs read"),
    ("a true class of own files", f"{EXPLAIN} --workdir=run --images=texts --target=true", "needs"),
    ("own files by class", f"{EXPLAIN} --workdir=run --images=texts --per_class=1", "chooses from"),
    ("masks elsewhere", f"{EXPLAIN} --workdir=run --split=test --masks_dir=empty", "has no mask"),
    (
        "somebody else's index.csv",
        f"{EXPLAIN} --workdir=run --split=test --output_dir=thesis",
        "index.csv is not the index of an earlier export",
    ),
    # trainer.runs.
    (
        "runs that are not there",
        "trainer.runs --runs_dir=rns",
        "rns cannot be listed (No such f",
    ),
    ("no runs at all", "trainer.runs --runs_dir=empty", "empty holds no run (0 of 0 folders"),
    ("a table of words", "trainer.runs --runs_dir=file", "cannot be listed (Not a directory)"),
    # trainer.export_model.
    ("no run to export", f"{EXPORT} --workdir=empty", "empty holds no config.json"),
    ("a format unknown", f"{EXPORT} --workdir=run --format=pt", "one of saved_model, tflite"),
    (
        "an export over a thesis",
        f"{EXPORT} --workdir=run --output_dir=thesis",
        "are not an exported model",
    ),
    (
        "an export over a run",
        f"{EXPORT} --workdir=run --output_dir=run",
        "are not an exported model, such",
    ),
    (
        "an export over a file",
        f"{EXPORT} --workdir=run --output_dir=file",
        "file cannot be written",
    ),
    ("a card not there", f"{EXPORT} --workdir=run --model_card=c.md", "c.md"),
    ("another model's card", f"{EXPORT} --workdir=run --model_card=file", "does not name this run"),
    # trainer.predict.
    ("no run to predict with", PREDICT, "either --workdir=RUN, once or more, or --model=SAVED"),
    ("two ways to a model", f"{PREDICT} --workdir=run --model=run", "either --workdir=RUN, once"),
    ("nothing to predict", "trainer.predict --workdir=run --output=out.csv", "--images is missing"),
    ("predictions nowhere", "trainer.predict --workdir=run --images=texts", "--output is missing"),
    (
        "predictions over a folder",
        f"{PREDICT} --workdir=run --output=run",
        "run is a directory; ",
    ),
    (
        "predictions in a file",
        f"{PREDICT} --workdir=run --output=file/p.csv",
        "file cannot be writ",
    ),
    (
        "predictions of 300 letters",
        f"{PREDICT} --workdir=run --output={'x' * 300}",
        "(File name too long); give another path",
    ),
    ("a run to predict with not there", f"{PREDICT} --workdir=rn", "rn holds no config.json: exp"),
    ("a run to average twice", f"{PREDICT} --workdir=run --workdir=./run", "a run is given twice"),
    ("averages of other classes", f"{PREDICT} --workdir=run --workdir=other_classes", "cannot be"),
    (
        "a run as an exported model",
        f"{PREDICT} --model=run",
        "--model=run holds no export.json; ",
    ),
    (
        "half an exported model",
        f"{PREDICT} --model=half_export",
        "--model=half_export holds no model.keras; expected the directory that trainer.export_m",
    ),
    ("a decision on no class", f"{PREDICT} --workdir=run --positive_class=flu", "one of a, b"),
    (
        "no radiographs there",
        f"{PREDICT} --workdir=run --images=empty",
        "=empty: no file matches",
    ),
    ("a glob of no radiographs", f"{PREDICT} --workdir=run --images=*.dcm", "*.dcm: no file match"),
    ("data not there", f"{PREDICT} --workdir=run --data_dir=dta", "dta does not exist; give --d"),
    (
        "a table of no paths",
        f"{PREDICT} --workdir=run --images=chapters.csv",
        "its columns are cha",
    ),
    (
        "a table of bytes",
        f"{PREDICT} --workdir=run --images=bytes.csv",
        "it is no table of radio",
    ),
    (
        "a table of no rows",
        f"{PREDICT} --workdir=run --images=no_rows.csv",
        "has a header but no ",
    ),
    (
        "panels of an average",
        f"{PREDICT} --workdir=run --workdir=runs/first --explain",
        "one network",
    ),
    (
        "drift of an average",
        f"{PREDICT} --workdir=run --workdir=runs/first --drift_from=run",
        "--drift_from compares what one network sees",
    ),
    ("drift of a few files", f"{PREDICT} --workdir=run --drift_from=run", "20 radiographs or more"),
    ("a folder of no panels", f"{PREDICT} --workdir=run --explain_dir=new", "goes with --explain"),
    (
        "panels over a thesis",
        f"{PREDICT} --workdir=run --explain --explain_dir=thesis",
        "thesis holds files; remove it, or give another --explain_dir",
    ),
    # launch.
    ("no command to launch", "launch.local --num_workers=2", "expected a command after --"),
    ("a command not there", "launch.local -- no_such_command", "no_such_command could not be star"),
    ("no workers", "launch.local --num_workers=0 -- python", "num_workers=0: 0 is not a positive"),
    (
        "GPUs not there",
        "launch.local --gpus_per_worker=1 -- python",
        "this machine has none: omit",
    ),
    ("a job of no scheduler", "launch.cluster -- python", "found no job: expected SLURM_PROCID"),
    ("a port in use", "launch.data_service --port={port}", "in use by another process", 76),
    ("a port too high", "launch.data_service --port=99999", "port=99999: 99999 is not an integer"),
    # trainer.study.
    ("no plan", "trainer.study --study_dir=new", "--plan is missing"),
    ("a plan not there", f"{STUDY} --plan=pln", "--plan=pln: no such file"),
    ("an empty plan", f"{STUDY} --plan=empty.txt", "--plan=empty.txt: the plan is empty"),
    ("a plan of words", f"{STUDY} --plan=file", "line 1 of the plan: 'some words'; expected flag"),
    ("a plan of bytes", f"{STUDY} --plan=run/model.keras", "is not a text file"),
    (
        "a plan of flags unknown",
        f"{STUDY} --plan=plan_typo.txt",
        "--plan=plan_typo.txt: unknown flag --learning_rat (did you mean",
    ),
    ("a value out of range", f"{STUDY} --plan=plan_range.txt", "--dropout=1.5: expected 0 or more"),
    ("one fold", f"{STUDY} --plan=plan_fold.txt", "folds = 1: expected one number from 3 to 999"),
    (
        "seeds in a plan's section",
        f"{STUDY} --plan=plan_section.txt",
        "line 3 of the plan: seeds are those of all, before the first section",
    ),
    (
        "a plan of data not built",
        f"{STUDY} --plan=plan_data.txt",
        "--plan=plan_data.txt: the data directory dta does not exist",
    ),
    (
        "a plan for another study",
        "trainer.study --study_dir=study --plan=plan.txt",
        "study holds a study of another plan: its run seed=7 is not in this one; seeds and values",
    ),
    (
        "a study in a run",
        "trainer.study --study_dir=studied --plan=plan.txt",
        "studied/seed=1 holds a run of other settings (--seed: 0 in the run, 1 now)",
    ),
    (
        "a study over a file",
        "trainer.study --study_dir=file --plan=plan.txt",
        "file cannot be written to (File exists); give another --study_dir",
    ),
    (
        "a study that is training",
        "trainer.study --study_dir=busy --plan=plan.txt",
        "busy is in use by process ",
    ),
    (
        "GPUs to study on not there",
        f"{STUDY} --plan=plan.txt --gpus=0,7",
        "--gpus=0,7 asks for GPU 0, but this machine has none",
    ),
    ("a range without a search", f"{STUDY} --plan=search.txt", "a range of values is for --search"),
    (
        "a search for nothing",
        f"{STUDY} --plan=plan.txt --search=3",
        "one seed, no folds and no sec",
    ),
    (
        "a range that is too wide",
        f"{STUDY} --plan=search.txt --search=3",
        "--plan=search.txt: --dropout=1.5: expected 0 or more and below 1",
    ),
    ("GPUs by name", f"{STUDY} --plan=plan.txt --gpus=all", "expected indices of GPUs"),
    # The dataset: phantoms, tfds build, audit, folds.
    ("phantoms nowhere", "cxr_tfds.phantom", "--output_dir is missing"),
    ("phantoms in a file", "cxr_tfds.phantom --output_dir=file", "file is a file: choose a folder"),
    ("phantoms of nobody", "cxr_tfds.phantom --output_dir=new --images_per_class=0", "at least 1"),
    ("phantoms by halves", "cxr_tfds.phantom --output_dir=new --seed=0.5", "expected a whole num"),
    ("phantoms over phantoms", "cxr_tfds.phantom --output_dir=kaggle", "already exists: remove it"),
    ("an audit of nothing", "cxr_tfds.audit --data_dir=data", "that `tfds build cxr_tfds/covid19"),
    ("an audit of half a table", "cxr_tfds.audit --data_dir=half_table", "Build the dataset again"),
    ("an audit of an unknown config", "cxr_tfds.audit --data_dir=table --config=big", "/big/VERSI"),
    ("one fold", "cxr_tfds.folds --data_dir=table --folds=1 --output=f.csv", "choose from 2 to 8"),
    ("folds to nowhere", "cxr_tfds.folds --data_dir=table --output=no/f.csv", "no/f.csv (No such"),
    (
        "folds of an unknown split",
        "cxr_tfds.folds --data_dir=table --splits=all --output=f.csv",
        "There is no split all in the dataset",
    ),
    (
        "a build of nothing",
        f"{BUILD} --manual_dir=empty --data_dir={{elsewhere}}",
        "Manual directory empty does not exist or is empty",
    ),
    (
        "a build of a torn zip",
        f"{BUILD} --manual_dir=torn --data_dir={{elsewhere}}",
        "is damaged (File is no",
    ),
    (
        "a build of bad files",
        f"{BUILD} --manual_dir=kaggle --data_dir={{elsewhere}}",
        "Found 8 faults in kaggle/COVID-19_Radiography_Dataset; nothing was built",
    ),
    (
        "a build of a file",
        f"{BUILD} --manual_dir=torn/archive.zip --data_dir={{elsewhere}}",
        "archive.zip is a file: give the folder that holds it",
    ),
    (
        "a build of an unknown config",
        f"{BUILD} --config=big --manual_dir=kaggle --data_dir={{elsewhere}}",
        "BuilderConfig big not found",
    ),
    (
        "options that are no JSON",
        OWN + " --config='{{name: sites}}' --manual_dir=texts --data_dir={elsewhere}",
        "--config={name: sites} is not JSON (Expecting property name enclosed in double quotes);",
    ),
    (
        "own radiographs of one class",
        f"{OWN} --manual_dir=texts --data_dir={{elsewhere}}",
        "texts holds radiographs of one class alone, a; expected two or more",
    ),
    (
        "own radiographs in no folders",
        f"{OWN} --manual_dir=texts/a --data_dir={{elsewhere}}",
        "expected one sub-folder of radiographs for each class; or list the radiographs in",
    ),
    ("a build in a file", f"{BUILD} --manual_dir=kaggle --data_dir=file", "Cannot build covid19_r"),
    ("a build in /proc", f"{BUILD} --manual_dir=kaggle --data_dir=/proc/new", "No such file or di"),
    (
        "a build in a name without room",
        f"{BUILD} --manual_dir=kaggle --data_dir={{elsewhere}}/{'a' * 300}",
        "File name too long",
    ),
    (
        "a build over something else",
        f"{BUILD} --config=224x224 --manual_dir=kaggle --data_dir=table",
        "1.0.0 exists but is not a complete dataset",
    ),
    (
        "a build by Beam in a pattern",
        f"{BUILD} --manual_dir=kaggle --data_dir='{{elsewhere}}/[1]' "
        "--beam_pipeline_options=runner=DirectRunner",
        "Beam takes [ ] in ",
    ),
    ("an audit of a pattern", "cxr_tfds.audit --data_dir=tab*", "There is no tab*/covid19_radiogr"),
    (
        "folds on a full disk",
        "cxr_tfds.folds --data_dir=table --folds=2 --output=/dev/full",
        "cannot write to /dev/full (No space left on device): choose another --output",
    ),
    (
        "phantoms in a name without room",
        f"cxr_tfds.phantom --output_dir={'a' * 300} --images_per_class=1",
        "File name too long",
    ),
    ("near-duplicates of nothing", "cxr_tfds.near_duplicates --manual_dir=empty", "no folder emp"),
    # Benchmarks.
    ("no run to measure", "benchmarks.strangers --data_dir=data", "--workdir is missing"),
    ("no data to measure on", "benchmarks.figures", "--data_dir= is no directory, and input is"),
    ("a figure unknown", "benchmarks.figures --only=speed", "unknown 'speed'; expected some of op"),
    ("models unknown", "benchmarks.engine_step --models=alexnet", "expected some of lenet, resn"),
    (
        "half of the data",
        "benchmarks.input_pipeline --data_dir=data",
        "--data_dir and --manual_dir",
    ),
    ("an odd share", "benchmarks.scaling --batch_size=7", "--batch_size=7 does not divide by 2"),
    ("a roof of a model unknown", "benchmarks.roofline --models=lenet,vgg", "expected some of len"),
    ("a way unknown", "benchmarks.input_pipeline --ways=jax", "expected some of records, first"),
    (
        "few files to measure",
        "benchmarks.predict_files --files=5",
        "files=5: 5 is not integer >= 200",
    ),
    ("a report over another", "benchmarks.gpu_report --output_dir=empty", "empty is there already"),
    ("an XLA unknown", "benchmarks.node --xla=maybe", "expected some of auto, on, off"),
    ("a traffic of no GPUs", "benchmarks.traffic --gpus_per_node=0", "gpus_per_node=0: 0 is not"),
]


@pytest.fixture(scope="module")
def world(forks, tmp_path_factory) -> Iterator[pathlib.Path]:
    """A folder with a dataset, a run, and what can be wrong with either."""
    world = tmp_path_factory.mktemp("world")
    small_dataset.build(world / "data")
    other_dataset.OtherImages(data_dir=world / "data").download_and_prepare()
    done = forks.run(*split(f"{TRAIN} --epochs=1 --workdir=run"), world)
    assert done.code == 0, done.said
    for folder in ("busy", "empty", "half/small_images/incomplete.ABCDEF_1.0.0"):
        (world / folder).mkdir(parents=True)
    for file in ("file", "text.h5", "texts/a/radiograph.png", "torn/archive.zip"):
        _write(world / file, "some words\n")
    _write(world / "cases.csv", "file,label\na.png,a\n")
    _write(world / "thesis/index.csv", "chapter,pages\n")
    _write(world / "chapters.csv", "chapter,pages\n1,20\n")
    _write(world / "no_rows.csv", "Path\n\n")
    (world / "bytes.csv").write_bytes(b"path\n\xff\n")
    _write(world / "half_export/export.json", "{}")
    _write_plans(world)
    _write(world / "empty.txt", "# Nothing yet.\n")
    _damage_datasets(world)
    _damage_runs(world)
    write_split_tables(world)
    _write_database(world / "kaggle")
    _write_weights_with_top(world / "top.h5")
    with locked(world / "busy", "wait"):
        yield world


def _write_plans(world: pathlib.Path) -> None:
    shared = "model = lenet\nrecipe = seed\ndataset = small_images\ndata_dir = data\n"
    for name, lines in {
        "plan": "epochs = 1\nseeds = 1, 2\n",
        "plan_typo": "learning_rat = 1e-3, 1e-2\n",
        "plan_range": "dropout = 0.5, 1.5\n",
        "plan_fold": "folds = 1\n",
        "search": "dropout = 0.1 .. 1.5\n",
    }.items():
        _write(world / f"{name}.txt", shared + lines)
    _write(world / "plan_data.txt", "model = lenet\ndata_dir = dta\n")
    _write(world / "plan_section.txt", "model = lenet\n[strong]\nseeds = 1\n")
    plan = parse(f"{shared}epochs = 1\nseeds = 7\n")
    (world / "study").mkdir()
    record.write(world / "study", record.content_of(plan))
    shutil.copytree(world / "run", world / "studied" / "seed=1")


def _write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _damage_datasets(world):
    def copy(name, version="1.0.0"):
        folder = world / name / "small_images" / version
        shutil.copytree(world / "data/small_images/1.0.0", folder)
        return folder, next(folder.glob("*-train.tfrecord*"))

    copy("newer", "2.0.0")
    copy("no_shard")[1].unlink()
    _, shard = copy("cut_shard")
    os.truncate(shard, 1000)
    _, shard = copy("changed_shard")
    content = bytearray(shard.read_bytes())
    content[500] ^= 1
    shard.write_bytes(content)
    folder, _ = copy("bad_info")
    (folder / "dataset_info.json").write_text("some words")
    folder, _ = copy("no_split")
    info = json.loads((folder / "dataset_info.json").read_text())
    info["splits"] = [split for split in info["splits"] if split["name"] != "validation"]
    (folder / "dataset_info.json").write_text(json.dumps(info))


def _damage_runs(world):
    def copy(name, left_out=()):
        shutil.copytree(
            world / "run", world / name,
            ignore=shutil.ignore_patterns("checkpoints", "tensorboard", *left_out),
        )  # fmt: skip
        return world / name

    config = json.loads((world / "run/config.json").read_text())
    copy("runs/first")
    copy("no_model", ["model.keras"])
    (copy("bad_model") / "model.keras").write_text("some words")
    os.truncate(copy("half_model") / "model.keras", 1000)
    _write_models(world, copy)
    (copy("bad_config") / "config.json").write_text('{"config": ')
    (copy("odd_config") / "config.json").write_text('{"name": "package"}')
    (copy("bad_status") / "status.json").write_text("some words")
    other = config | {"config": config["config"] | {"dataset": "other_images:1.0.0"}}
    (copy("other_run") / "config.json").write_text(json.dumps(other))
    classes = config | {"dataset": config["dataset"] | {"class_names": ["x", "y"]}}
    (copy("other_classes") / "config.json").write_text(json.dumps(classes))


def _write_models(world, copy):
    config = json.loads((world / "run/config.json").read_text())
    three = config | {"dataset": config["dataset"] | {"class_names": ["a", "b", "c"]}}
    (copy("other_model") / "config.json").write_text(json.dumps(three))
    with (
        zipfile.ZipFile(world / "run/model.keras") as whole,
        zipfile.ZipFile(copy("no_layers") / "model.keras", "w") as part,
    ):
        part.writestr("model.weights.h5", whole.read("model.weights.h5"))


def _write_database(folder):
    for name in ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"):
        _write(folder / "COVID-19_Radiography_Dataset" / name / "images" / f"{name}-1.png", "x")


def _write_weights_with_top(path):
    """Writes a file of the shapes of VGG-19's weights, its last layer's too."""
    import h5py

    channels, shapes = 3, {}
    for block, (layers, size) in enumerate([(2, 64), (2, 128), (4, 256), (4, 512), (4, 512)], 1):
        for layer in range(1, layers + 1):
            shapes[f"block{block}_conv{layer}"] = [(3, 3, channels, size), (size,)]
            channels = size
    shapes["predictions"] = [(4096, 1000), (1000,)]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = list(shapes)
        for name, (kernel, bias) in shapes.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = ["kernel", "bias"]
            # Nothing is written to them, so they take no room.
            group.create_dataset("kernel", kernel, "float32")
            group.create_dataset("bias", bias, "float32")


def _tree(folder: pathlib.Path) -> dict[str, tuple | bool]:
    """Every file with its size and time of change, every folder."""
    found = [(path, path.stat()) for path in folder.rglob("*")]
    return {str(path): path.is_file() and (stat.st_size, stat.st_mtime_ns) for path, stat in found}


@pytest.mark.parametrize(
    "mistake", [pytest.param(mistake, id=mistake[0].replace(" ", "-")) for mistake in MISTAKES]
)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(
    mistake, forks, world, used_port, tmp_path
):
    what, command, part, code = (*mistake, 2)[:4]
    # Wherever a dataset is built, TFDS leaves a note of its own.
    places = {"root": ROOT, "port": used_port, "elsewhere": tmp_path}
    module, arguments = split(command.format_map(places))
    environment = {}
    if module.startswith("TF_CONFIG="):
        environment["TF_CONFIG"], (module, *arguments) = module.partition("=")[2], arguments
    before = _tree(world)
    ended = forks.run(module, arguments, world, environment)
    sentences = re.findall(r"^(?:error|[a-z_.]+): (.+)$", ended.said, re.MULTILINE)
    print(
        f"\n{what}: python -m {command}\n{ended.code}, {ended.seconds:.1f} s "
        f"({ended.computing:.1f} s of computing): {sentences[-1:]}"
    )
    assert "Traceback" not in ended.said
    assert len(sentences) == 1, ended.said
    assert part in sentences[0]
    assert ended.code == code
    assert _tree(world) == before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:  # noqa: S603
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)  # noqa: S603, S607


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        f"{TRAIN} --epochs=1 --workdir={{disk}}/run",
        f"{EVALUATE} --workdir=run --output_dir={{disk}}/report",
        f"{EXPLAIN} --workdir=run --split=test --nocurves --output_dir={{disk}}/gallery",
        f"{EXPORT} --workdir=run --output_dir={{disk}}/model",
        "cxr_tfds.phantom --output_dir={disk}/kaggle --images_per_class=20",
        f"{BUILD} --manual_dir=phantoms --data_dir={{disk}}/data",
    ],
)
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    command, forks, world, small_disk
):
    if "phantoms" in command:
        phantom.write_database(world / "phantoms", 3)
    module, arguments = split(command.format(root=ROOT, disk=small_disk))
    ended = forks.run(module, arguments, world)
    print(f"\n{command}\n{ended.code}, {ended.seconds:.1f} s: {ended.said.splitlines()[-1]}")
    assert "Traceback" not in ended.said
    assert ended.code == 2, ended.said
    left = {path.name for path in small_disk.rglob("*") if path.name != ".config"}  # TFDS's note.
    assert not [name for name in left if re.search(r"^\.|partial|incomplete", name)]
