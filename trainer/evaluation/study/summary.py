"""The summary at the top of a study's report."""

from collections.abc import Sequence

from trainer.evaluation.formats import p_value, percent
from trainer.evaluation.metrics import ACCURACY
from trainer.evaluation.study.corrected_t import RunMean
from trainer.evaluation.study.differences import Difference, Differences
from trainer.evaluation.study.estimates import Configuration
from trainer.evaluation.study.variance import SEED, SEED_IN_FOLD, SPLIT, TEST_SAMPLE

_MOST_CONFIGURATIONS, _MOST_DIFFERENCES = 5, 3
_NO_BREAK = "\N{NO-BREAK SPACE}"


def summary(
    configurations: Sequence[Configuration], differences: Differences, missing: Sequence[str]
) -> list[str]:
    """Summarises the results in at most ten lines.

    Args:
        configurations: configurations, including the ensembles.
        differences: differences between the configurations.
        missing: what is missing from the study, as sentences.

    Returns:
        The lines.
    """
    single = [one for one in configurations if one.members == 1]
    ranked = sorted(single, key=_accuracy, reverse=True)
    lines = [_configuration_line(one) for one in ranked[:_MOST_CONFIGURATIONS]]
    if len(ranked) > _MOST_CONFIGURATIONS:
        lower = _count(len(ranked) - _MOST_CONFIGURATIONS, "configuration")
        lines.append(f"The tables below list {lower} with lower accuracy.")
    lines += _difference_lines(differences.of_accuracy())
    if missing:
        remarks = (
            "1 remark below says" if len(missing) == 1 else f"{len(missing)} remarks below say"
        )
        lines.append(f"The study is not complete: {remarks} what is missing.")
    return lines


def _accuracy(configuration: Configuration) -> float:
    found = configuration.metrics[ACCURACY.name].over_runs
    return found.mean if found else 0.0


def _configuration_line(configuration: Configuration) -> str:
    found = configuration.metrics[ACCURACY.name]
    line = f"{configuration.name}: accuracy {_with_spread(found.over_runs)}"
    line += f" over {_runs(configuration)}"
    if parts := _shares(configuration):
        line += f"; the variance between runs is {parts}"
    return f"{line}."


def _with_spread(over_runs: RunMean | None) -> str:
    if over_runs is None:
        return "unknown"
    text = percent(over_runs.mean)
    if over_runs.sd is not None:
        text += f" ± {100 * over_runs.sd:.1f} (standard deviation between runs)"
    if over_runs.interval:
        low, high = over_runs.interval
        text += f", 95{_NO_BREAK}% interval {100 * low:.1f} to {percent(high)},"
    return text


def _runs(configuration: Configuration) -> str:
    seeds, folds = (
        len({getattr(run, of) for run in configuration.runs}) for of in ("seed", "fold")
    )
    has_folds = configuration.runs[0].fold is not None
    counted = [_count(folds, "fold")] if has_folds else []
    return " and ".join([*counted, _count(seeds, "seed")])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _shares(configuration: Configuration) -> str:
    variance = configuration.variance
    if variance is None:
        return ""
    split_alone = SEED in variance.components
    named = {
        "seed": (SEED, SEED_IN_FOLD),
        "split" if split_alone else "split and seed": (SPLIT,),
        "test sample": (TEST_SAMPLE,),
    }
    shares = {name: variance.share(*sources) for name, sources in named.items()}
    return ", ".join(
        f"{percent(share, 0)} {name}" for name, share in shares.items() if share is not None
    )


def _difference_lines(differences: Sequence[Difference]) -> list[str]:
    if not differences:
        return []
    if all(one.p_holm is None for one in differences):
        why = differences[0].over_runs.why
        return [f"Differences in accuracy between configurations are not tested: {why}."]
    significant = [one for one in differences if one.is_significant]
    if not significant:
        return ["No difference in accuracy is significant after Holm's correction."]
    significant.sort(key=lambda one: -abs(one.over_runs.mean))
    lines = [_difference_line(one) for one in significant[:_MOST_DIFFERENCES]]
    if len(significant) > _MOST_DIFFERENCES:
        smaller = _count(len(significant) - _MOST_DIFFERENCES, "smaller difference")
        lines[-1] += f" The tables below list {smaller}."
    return lines


def _difference_line(difference: Difference) -> str:
    better, worse = difference.configurations
    low, high = difference.over_runs.interval or (0.0, 0.0)
    if difference.over_runs.mean < 0:
        better, worse, low, high = worse, better, -high, -low
    gain = 100 * abs(difference.over_runs.mean)
    return (
        f"{better} is more accurate than {worse} by {gain:.1f} points (95{_NO_BREAK}% interval "
        f"{100 * low:.1f} to {100 * high:.1f}; p {p_value(difference.p_holm)} after Holm's "
        "correction)."
    )
