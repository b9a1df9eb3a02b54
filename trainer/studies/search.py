"""A hyper-parameter search: Optuna chooses the values of each run based on earlier runs.

The sampler is TPE (Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011), the
objective the lowest validation loss of a run. After each epoch, a run is pruned if its best loss so
far is worse than the median of the others' in that epoch. Optuna's study is stored in `optuna.db`.
"""

import contextlib
import itertools
import pathlib
import sqlite3
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cxr_command.exit_codes import ExitCode
from trainer.errors import UserError
from trainer.parsing import parsing
from trainer.run import Run
from trainer.studies import record
from trainer.studies.plan import Configuration, Plan, PlannedRun, read
from trainer.studies.search_space import distribution_of, ends_of
from trainer.studies.trials import Ended, Queue, Trial

if TYPE_CHECKING:
    import optuna

_DATABASE = "optuna.db"


def require_optuna() -> None:
    """Raises `UserError` unless Optuna is installed."""
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            "--search needs Optuna: pip install -c requirements.lock -e '.[search]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


class Search(Queue):
    """The trials of a search: first interrupted ones, then new ones."""

    def __init__(self, text: str, study_dir: pathlib.Path, number: int) -> None:
        """Parses the plan; opens nothing.

        Args:
            text: content of the plan's file.
            study_dir: directory of study.json, `optuna.db` and the runs' directories.
            number: total number of trials.

        Raises:
            UserError: the plan is not valid for a search.
        """
        lines = read(text)
        if lines.sections or lines.folds or len(lines.seeds or (0,)) > 1:
            raise UserError("a search has one seed, no folds and no sections: leave the others out")
        self._text, self._study_dir, self.number = text, study_dir, number
        self._seeds, self._lines = lines.seeds, lines.shared
        found = {flag: distribution_of(flag, listed) for flag, listed in lines.shared.items()}
        self._space = {flag: one for flag, one in found.items() if one is not None}
        if not self._space:
            raise UserError(
                "nothing to search: expected a line such as learning_rate = 1e-4 .. 1e-2 log"
            )
        self._study: optuna.Study
        self._running: dict[str, optuna.Trial] = {}
        self._pruned: set[str] = set()
        self._waiting: Iterator[Trial]

    def corners(self) -> list[PlannedRun]:
        """Returns runs that together cover the ends of every range and all values of every list."""
        ends = [ends_of(listed) for listed in self._lines.values()]
        rows = itertools.islice(
            zip(*(itertools.cycle(of_flag) for of_flag in ends), strict=True), max(map(len, ends))
        )
        return [self._planned("corner", dict(zip(self._lines, row, strict=True))) for row in rows]

    def open(self) -> None:
        """Opens Optuna's study, or creates it.

        Raises:
            UserError: the directory holds another study, or `optuna.db` is damaged.
        """
        import optuna

        stored, path = record.read(self._study_dir), self._study_dir / _DATABASE
        if stored and (not path.exists() or read(stored["plan"]) != read(self._text)):
            raise UserError(
                f"{self._study_dir} holds a study of another plan; give another --study_dir"
            )
        with parsing(path, "remove it with study.json to start over"):
            # Via a connection, as a path may contain characters that are invalid in a URL.
            storage = optuna.storages.RDBStorage(
                "sqlite://", engine_kwargs={"creator": lambda: sqlite3.connect(path)}
            )
            self._study = optuna.create_study(
                study_name="study", storage=storage, load_if_exists=True, direction="minimize",
                pruner=optuna.pruners.MedianPruner(),
            )  # fmt: skip
        self._waiting = self._trials()

    @property
    def ended(self) -> int:
        """Number of finished trials, including failed ones."""
        return sum(trial.state.is_finished() for trial in self._study.get_trials(deepcopy=False))

    @property
    def failed(self) -> dict[str, int]:
        """Exit codes of the failed runs, by name; these are not restarted."""
        from optuna.trial import TrialState

        return {
            self._planned(f"trial={trial.number}", self._values(trial.params)).directory: (
                ExitCode.MISTAKE
            )
            for trial in self._asked()
            if trial.state == TrialState.FAIL
        }

    @property
    def directories(self) -> list[pathlib.Path]:
        """Directories of all trials so far."""
        return [self._study_dir / run.directory for run in self._plan().runs]

    def take(self) -> Trial | None:
        """Returns the next trial, as of `Queue`."""
        return next(self._waiting, None)

    def is_hopeless(self, trial: Trial) -> bool:
        """Reports the losses of new epochs to Optuna; returns whether it prunes the run."""
        known = self._running[trial.name]
        reported = self._study.get_trials(deepcopy=False)[known.number].intermediate_values
        with contextlib.suppress(UserError):  # A file that is unreadable now may be readable later.
            for row in Run(trial.directory).read_metrics()[len(reported) :]:
                known.report(row["validation_loss"], row["epoch"])
                if known.should_prune():
                    self._pruned.add(trial.name)
        return trial.name in self._pruned

    def end(self, trial: Trial, code: int) -> Ended:
        """Reports to Optuna how a trial ended; an interrupted one is resumed later."""
        from optuna.trial import TrialState

        known = self._running.pop(trial.name)
        if code == ExitCode.DONE:
            self._study.tell(known, Run(trial.directory).read_status()["best_validation_loss"])
        elif trial.name in self._pruned:
            self._study.tell(known, state=TrialState.PRUNED)
            return Ended(ExitCode.DONE, "pruned: worse than the median of the others")
        elif code > 0 and code != ExitCode.PREEMPTED:  # Negative: ended by a signal.
            self._study.tell(known, state=TrialState.FAIL)
        return Ended.by(trial, code)

    def _trials(self) -> Iterator[Trial]:
        from optuna.samplers import TPESampler
        from optuna.trial import Trial as Suggested

        seed = self._seeds[0] if self._seeds else 0
        for one in self._asked():
            if not one.state.is_finished():
                yield self._begun(Suggested(self._study, one._trial_id))
        while (number := len(self._study.get_trials(deepcopy=False))) < self.number:
            # One sampler per trial, so that an interruption does not change the samples.
            drawn = np.random.SeedSequence([seed, number]).generate_state(1)[0]
            self._study.sampler = TPESampler(seed=int(drawn))
            yield self._begun(self._study.ask(fixed_distributions=self._space))

    def _begun(self, suggested: "optuna.Trial") -> Trial:
        record.write(self._study_dir, record.content_of(self._plan()))
        run = self._planned(f"trial={suggested.number}", self._values(suggested.params))
        trial = Trial(self._study_dir / run.directory, run.flags)
        self._running[trial.name] = suggested
        return trial

    def _plan(self) -> Plan:
        """Returns all trials so far, as configurations."""
        configurations = tuple(
            Configuration(f"trial={trial.number}", self._values(trial.params))
            for trial in self._asked()
        )
        return Plan(self._text, self._seeds, None, configurations)

    def _asked(self) -> "list[optuna.trial.FrozenTrial]":
        """Returns the trials with all values chosen; a killed call may have left others."""
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.params.keys() == self._space.keys()]

    def _values(self, chosen: Mapping[str, Any]) -> dict[str, str]:
        return {
            flag: str(chosen[flag]) if flag in self._space else listed[0]
            for flag, listed in self._lines.items()
        }

    def _planned(self, name: str, values: Mapping[str, str]) -> PlannedRun:
        seed = self._seeds[0] if self._seeds else None
        return PlannedRun(Configuration(name, values), seed, None)
