"""Writes metrics to a file for the textfile collector of Prometheus' node exporter."""

import pathlib
import time
from typing import NamedTuple

from trainer.directory import require_writable, writing_to
from trainer.errors import UserError
from trainer.training.observers.observer import EpochMetrics, Observer, StepMetrics
from trainer.training.progress import Progress

INSTALL = "pip install 'cxr-trainer[prometheus]'"
# The collector only reads files with this extension.
_SUFFIX = ".prom"
_SECONDS_BETWEEN_WRITES = 5.0


class Described(NamedTuple):
    """A metric in the file; its name is prefixed with `cxr_training_`.

    Attributes:
        text: description of the metric, with its unit.
        by_split: whether it has a label `split`, train or validation.
    """

    text: str
    by_split: bool = False


# Metrics shared with StepMetrics or Utilisation have the same name there.
GAUGES: dict[str, Described] = {
    "epoch": Described("Epoch in training, counted from 1."),
    "global_step": Described("Steps over all epochs."),
    "loss": Described(
        "Mean loss of the last training steps and of the last validation.", by_split=True
    ),
    "accuracy": Described(
        "Accuracy of the last training steps and of the last validation, 0 to 1.", by_split=True
    ),
    "learning_rate": Described("Learning rate of the next step."),
    "gradient_norm": Described("Norm of the gradients of the last step, before clipping."),
    "loss_scale": Described("Loss scale of float16."),
    "images_per_second": Described("Training images per second."),
    "input_wait": Described("Share of time waiting for input, 0 to 1."),
    "best_validation_loss": Described("Lowest validation loss so far."),
    "mfu": Described("Model FLOP utilisation of the last epoch, 0 to 1."),
    "gpu_memory_peak_bytes": Described("Most memory of tensors on a GPU in the last epoch."),
    "step_seconds_p50": Described("Median time from one step's end to the next, last epoch."),
    "step_seconds_p99": Described("99th percentile of the same."),
    "time_share_training": Described("Share of the last epoch's time in training steps, 0 to 1."),
    "time_share_input": Described("Share of that time waiting for input."),
    "time_share_checkpoint": Described("Share of that time standing still for checkpoints."),
    "time_share_validation": Described("Share of that time in validation."),
    "time_share_other": Described("Share of that time in all else, such as compiling."),
    "slowest_worker": Described("Index of the slowest worker of the last epoch."),
    "slowest_worker_lag": Described("Its step's time beyond the others' mean, as a share of it."),
    "running": Described("1 while the training runs, 0 once it has ended."),
    "updated_seconds": Described("When the file was written, in seconds since 1970."),
}
_OF_STEPS = (
    "epoch", "global_step", "learning_rate", "gradient_norm", "loss_scale", "images_per_second",
    "input_wait",
)  # fmt: skip


def full_name(name: str) -> str:
    """Returns a gauge's name in the file."""
    return f"cxr_training_{name}"


def require_file(path: str) -> pathlib.Path:
    """Checks that a metrics file can be written.

    Args:
        path: the value of `--prometheus_file`.

    Raises:
        UserError: prometheus-client is not installed, the collector would not read the file, or it
            is not writable.
    """
    try:
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise UserError(f"--prometheus_file needs prometheus-client: {INSTALL}") from error
    file = pathlib.Path(path)
    if file.suffix != _SUFFIX:
        raise UserError(
            f"--prometheus_file={path}: the node exporter reads files whose names end with "
            f"{_SUFFIX}; give such a name"
        )
    require_writable(file.parent, "prometheus_file")
    try:
        in_the_way = file.is_dir()
    except OSError as error:
        raise UserError(f"--prometheus_file={path}: {error.strerror}; give another") from error
    if in_the_way:
        raise UserError(f"--prometheus_file={path} is a directory; give a file's name")
    return file


class PrometheusFile(Observer):
    """Writes the newest metrics every few seconds, replacing the file atomically."""

    def __init__(self, path: pathlib.Path, run: str) -> None:
        """Initializes the observer; writes nothing.

        Args:
            path: the result of `require_file`.
            run: value of the label `run` of every metric.
        """
        from prometheus_client import CollectorRegistry, Gauge

        self._path, self._run, self._written = path, run, 0.0
        self._registry = CollectorRegistry()
        self._gauges = {
            name: Gauge(
                full_name(name), gauge.text, ["run", "split"] if gauge.by_split else ["run"],
                registry=self._registry,
            )
            for name, gauge in GAUGES.items()
        }  # fmt: skip

    def begin_training(self, progress: Progress) -> None:
        """Reports that the training is running."""
        self._set("running", 1)
        self._set("best_validation_loss", progress.best_loss)
        self._write()

    def finish_steps(self, metrics: StepMetrics) -> None:
        """Writes the metrics of the steps, unless the file was written a moment ago."""
        for name in _OF_STEPS:
            self._set(name, getattr(metrics, name))
        self._set("loss", metrics.loss, "train")
        self._set("accuracy", metrics.accuracy, "train")
        if time.monotonic() - self._written >= _SECONDS_BETWEEN_WRITES:
            self._write()

    def finish_epoch(self, metrics: EpochMetrics) -> None:
        """Writes the metrics of the epoch's validation and its use of devices and time."""
        self._set("loss", metrics.validation.loss, "validation")
        self._set("accuracy", metrics.validation.accuracy, "validation")
        self._set("best_validation_loss", metrics.best_loss)
        for name, value in metrics.utilisation.measured().items():
            self._set(name, value)
        self._write()

    def end(self) -> None:
        """Reports that the training has ended."""
        self._set("running", 0)
        self._write()

    def _set(self, name: str, value: float | None, *split: str) -> None:
        if value is not None:
            self._gauges[name].labels(self._run, *split).set(value)

    def _write(self) -> None:
        from prometheus_client import write_to_textfile

        self._set("updated_seconds", time.time())
        with writing_to(self._path.parent):
            write_to_textfile(str(self._path), self._registry)
        self._written = time.monotonic()
