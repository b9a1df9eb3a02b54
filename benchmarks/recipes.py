r"""What recipes are worth: each trained over several seeds on a built dataset, then evaluated.

Usage:

    python -m benchmarks.recipes --data_dir=DATA --work_dir=WORK [--model=lenet] \
        [--recipes=seed,strong] [--ablation] [--seeds=0,1,2] [--split=test]

Each run is `trainer.main` followed by `trainer.evaluate` in a directory of its own under WORK. What
is done there is not done again, so the same command goes on where it was interrupted. The table has
mean and standard deviation over the seeds, and the mean difference to another row, seed by seed,
with its standard deviation. `--ablation` also trains `strong` with each of its ingredients removed
once. Choose on `--split=validation`; look at the test split once. ECE and log loss are those of the
probabilities as they come, without a temperature.
"""

import json
import pathlib
import statistics
import subprocess
import sys
from typing import Any, NamedTuple

from absl import flags

from cxr_command.runner import Command

_MODELS = ("lenet", "resnet101", "vgg19", "densenet169")
_NUMBERS = ("accuracy", "ece", "log_loss", "seconds")
# What is taken out of `strong`, as flags that leave everything else as it is.
_ABLATION = {
    "lenet": {
        "scaling": ["--scaling=raw"],
        "flip": ["--noflip"],
        "rotation, shift, zoom": ["--rotation=0", "--shift=0", "--zoom=0"],
        "brightness, contrast": ["--brightness=0", "--contrast=0"],
        "input pooling": ["--input_pooling=1"],
        "maximum pooling": ["--pooling=average"],
        "dropout": ["--dropout=0", "--map_dropout=0"],
        "AdamW's weight decay": ["--optimizer=adam", "--weight_decay=0"],
        "warm-up, cosine": ["--schedule=constant", "--warmup_epochs=0"],
        "clipping": ["--clip_norm=0"],
        "average of weights": ["--ema_momentum=0"],
    }
}


class Variant(NamedTuple):
    """One row of the table.

    Attributes:
        name: what the row is called.
        flags: of `trainer.main`.
        against: name of the row that it is compared with; None compares it with none.
    """

    name: str
    flags: list[str]
    against: str | None

    def directory(self, work_dir: pathlib.Path, model: str, seed: int) -> pathlib.Path:
        """Where one run and its reports lie."""
        words = "".join(letter if letter.isalnum() else " " for letter in self.name).split()
        return work_dir / f"{model}-{'_'.join(words)}-{seed}"


def variants(model: str, recipes: list[str], ablation: bool) -> list[Variant]:
    """The rows of the table, in order."""
    rows = [
        Variant(recipe, [f"--recipe={recipe}"], recipes[0] if index else None)
        for index, recipe in enumerate(recipes)
    ]
    if ablation:
        rows += [
            Variant(f"strong without {what}", ["--recipe=strong", *changes], "strong")
            for what, changes in _ABLATION[model].items()
        ]
    return rows


def measure(variant: Variant, directory: pathlib.Path, settings: list[str], split: str) -> dict:
    """Trains and evaluates, as far as that is not done yet.

    Args:
        variant: what to train.
        directory: where the run and its reports lie.
        settings: flags of `trainer.main` that all runs share.
        split: the split to evaluate.

    Returns:
        `accuracy`, `ece`, `log_loss`, `seconds` (of all epochs, validation included) and `epochs`.
    """
    run, report = directory / "run", directory / f"report_{split}"
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "log.txt"
    if _status(run) != "done":
        _execute(log, "trainer.main", *settings, *variant.flags, f"--workdir={run}")
    if not (report / "report.json").exists():
        _execute(log, "trainer.evaluate", f"--workdir={run}", f"--split={split}",
                 f"--output_dir={report}")  # fmt: skip
    evaluated = json.loads((report / "report.json").read_text())
    epochs = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    return {
        "accuracy": evaluated["accuracy"],
        "ece": evaluated["calibration"]["before"]["ece"],
        "log_loss": evaluated["log_loss"],
        "seconds": sum(row["seconds"] for row in epochs),
        "epochs": len(epochs),
    }


def summarise(measured: dict[str, list[dict]], rows: list[Variant]) -> list[dict]:
    """Mean and standard deviation over the seeds, and the differences seed by seed.

    Args:
        measured: by row, what `measure` gave for each seed, in the same order of seeds.
        rows: the rows.

    Returns:
        One dictionary for each row, of `{"mean", "sd"}` by number, `{number}_difference` too where
        the row is compared with another; the deviation of one seed is None.
    """
    summary = []
    for row in rows:
        of_row, base = measured[row.name], measured.get(row.against or "")
        entry: dict[str, Any] = {"name": row.name, "against": row.against, "seeds": len(of_row)}
        for number in _NUMBERS:
            values = [run[number] for run in of_row]
            entry[number] = _mean_and_deviation(values)
            if base:
                pairs = zip(values, (run[number] for run in base), strict=True)
                entry[f"{number}_difference"] = _mean_and_deviation([a - b for a, b in pairs])
        summary.append(entry)
    return summary


def _mean_and_deviation(values: list[float]) -> dict[str, float | None]:
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "sd": deviation}


def _status(run: pathlib.Path) -> str | None:
    file = run / "status.json"
    return json.loads(file.read_text())["status"] if file.exists() else None


def _execute(log: pathlib.Path, module: str, *arguments: str) -> None:
    with log.open("a") as file:
        done = subprocess.run([sys.executable, "-m", module, *arguments], stderr=file)  # noqa: S603
    if done.returncode:
        raise ValueError(f"{module} {' '.join(arguments)} ended with code {done.returncode}: {log}")


def _print_table(summary: list[dict]) -> None:
    header = ("accuracy, %", "difference", "ECE", "difference", "log loss", "seconds")
    print(f"{'':42}" + "".join(f"{name:>16}" for name in header))
    for entry in summary:
        cells = [
            _cell(entry["accuracy"], 100, 2),
            _cell(entry.get("accuracy_difference"), 100, 2, "+"),
            _cell(entry["ece"], 1, 3),
            _cell(entry.get("ece_difference"), 1, 3, "+"),
            _cell(entry["log_loss"], 1, 3),
            _cell(entry["seconds"], 1, 0),
        ]
        print(f"{entry['name']:42}" + "".join(f"{cell:>16}" for cell in cells))
    print("mean (standard deviation over the seeds); differences are seed by seed, to the first")
    print("recipe, or to strong for what has something removed")


def _cell(value: dict | None, factor: float, digits: int, sign: str = "") -> str:
    if value is None:
        return ""
    deviation = "" if value["sd"] is None else f" ({factor * value['sd']:.{digits}f})"
    return f"{factor * value['mean']:{sign}.{digits}f}{deviation}"


def _define_flags() -> None:
    flags.DEFINE_string("data_dir", None, "Where the dataset was built.", required=True)
    flags.DEFINE_string("work_dir", None, "Where runs and reports are kept.", required=True)
    flags.DEFINE_enum("model", "lenet", _MODELS, "The model.")
    flags.DEFINE_list("recipes", ["seed", "strong"], "Recipes; the first is compared with.")
    flags.DEFINE_bool("ablation", False, "Also remove each ingredient of strong once.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.")
    flags.DEFINE_string("split", "test", "Split that is evaluated on.")
    flags.DEFINE_multi_string(
        "main_flag", [], "A flag of trainer.main for all runs, as NAME=VALUE."
    )


def _main() -> None:
    options = flags.FLAGS
    if options.ablation and ("strong" not in options.recipes or options.model not in _ABLATION):
        raise ValueError(
            f"--ablation needs strong among --recipes and --model={' or '.join(_ABLATION)}"
        )
    settings = [f"--model={options.model}", f"--data_dir={options.data_dir}"]
    settings += [f"--{flag}" for flag in options.main_flag]
    rows = variants(options.model, options.recipes, options.ablation)
    measured = {row.name: [] for row in rows}
    for seed in map(int, options.seeds):
        for row in rows:
            directory = row.directory(pathlib.Path(options.work_dir), options.model, seed)
            print(f"seed {seed}: {row.name}", file=sys.stderr, flush=True)
            measured[row.name].append(
                measure(row, directory, [*settings, f"--seed={seed}"], options.split)
            )
    summary = summarise(measured, rows)
    _print_table(summary)
    result = {"benchmark": "recipes", "model": options.model, "split": options.split}
    print(json.dumps(result | {"seeds": options.seeds, "rows": summary, "runs": measured}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
