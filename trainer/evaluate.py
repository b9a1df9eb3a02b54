"""Judges the best model of a finished run on a split of its dataset.

    python -m trainer.evaluate --workdir=RUN --split=test --output_dir=REPORT

This is a research tool, not a medical device.
"""

from absl import flags, logging

from trainer import command
from trainer.data.dataset import open_dataset
from trainer.data.input import read_examples
from trainer.directory import make_writable
from trainer.evaluation.predictions import predict
from trainer.evaluation.report import write_report
from trainer.evaluation.statistics import classification_statistics
from trainer.run import Run

flags.DEFINE_string("workdir", None, "Directory of a run of trainer.main.", required=True)
flags.DEFINE_string("split", "test", "Split of the dataset to judge on.")
flags.DEFINE_string("output_dir", None, "Where the report is written.", required=True)
flags.DEFINE_string("data_dir", None, "Where the dataset lies; default: where the run found it.")

FLAGS = flags.FLAGS


def main() -> None:
    """Evaluates."""
    run = Run(FLAGS.workdir)
    content = run.finished_config()
    config = content["config"]
    dataset = open_dataset(config["dataset"], FLAGS.data_dir or config["data_dir"])
    dataset.require_classes(content["dataset"]["class_names"])
    examples = read_examples(dataset, FLAGS.split, cache="off", shuffle_seed=None)
    directory = make_writable(FLAGS.output_dir, "output_dir")
    model = run.load_model()

    predictions = predict(model, examples)
    statistics = classification_statistics(
        predictions.labels, predictions.probabilities, dataset.class_names
    )
    about = {
        "run": str(run.path),
        "model": config["model"],
        "dataset": dataset.name,
        "split": FLAGS.split,
        "class_names": dataset.class_names,
    }
    write_report(
        directory,
        predictions=predictions,
        statistics=statistics,
        about=about,
        class_names=dataset.class_names,
    )
    _log(statistics)
    logging.info("report: %s", directory / "report.json")


def _log(statistics: dict) -> None:
    logging.info("accuracy %.4f on %d examples", statistics["accuracy"], statistics["examples"])
    for name, numbers in statistics["per_class"].items():
        shown = "  ".join(
            f"{key} {'none' if value is None else format(value, '.3f')}"
            for key, value in numbers.items()
            if key != "support"
        )
        logging.info("%-16s %s  of %d", name, shown, numbers["support"])


if __name__ == "__main__":
    command.run(main)
