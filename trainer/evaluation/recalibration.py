"""Calibration slope and intercept of a class' probabilities."""

import warnings

import numpy as np
from scipy import optimize, special
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from trainer.evaluation.intervals import CONFIDENCE, Interval
from trainer.evaluation.statistics import Numbers

_ONE_KIND = "needs examples of this class and of another"
_ONE_GROUP = "needs two examples that are independent of each other"
_ALL_ALIKE = "needs probabilities that differ"
_SEPARATED = "no finite one: the probabilities separate this class from the rest without a mistake"
_NO_FIT = "the logistic regression has no finite answer: probabilities of almost 0 and 1 are wrong"
# Minimum Fisher information; below it all probabilities are 0 or 1.
_LEAST = 1e-6
# Limit of the log odds; beyond it a probability is 1 or 0 to the 13th digit.
_FAR = 30.0

# Smaller spreads are rounding errors.
_SAME = 1e-12

_Estimate = tuple[float | None, Interval | None, str | None]


def log_odds(log_shares: np.ndarray, index: int) -> np.ndarray:
    """Computes the log odds of one class against all others.

    Args:
        log_shares: `[examples, classes] float`, logarithms of the probabilities.
        index: index of the class.

    Returns:
        `[examples] float`; exact even if the probability is so close to 1 that 1 minus it is not.
    """
    others = special.logsumexp(np.delete(log_shares, index, axis=1), axis=1)
    return log_shares[:, index] - others


def recalibrate(occurred: np.ndarray, odds: np.ndarray, groups: np.ndarray) -> Numbers:
    """Computes slope and intercept by logistic recalibration (Van Calster et al., 2016).

    The slope is that of a logistic regression on the log odds (Cox, 1958); the intercept, or
    calibration in the large, is that of a regression with the slope fixed at 1. The intervals are
    Wald intervals with a cluster-robust variance (Liang and Zeger, 1986), valid for dependent
    examples within a group and under misspecification.

    Args:
        occurred: `[examples] bool`, whether an example belongs to the class.
        odds: `[examples] float`, the result of `log_odds`.
        groups: `[examples] int`, equal for dependent examples.

    Returns:
        `slope` and `intercept`: 1 and 0 for calibrated probabilities; the slope is below 1 if they
        are too extreme, the intercept below 0 if they are too high.
    """
    found = {
        "slope": _slope(occurred, odds, groups),
        "intercept": _intercept(occurred, odds, groups),
    }
    return Numbers(
        values={name: value for name, (value, _, _) in found.items()},
        why={name: why for name, (_, _, why) in found.items() if why},
        intervals={name: interval for name, (_, interval, _) in found.items()},
    )


def _slope(occurred: np.ndarray, odds: np.ndarray, groups: np.ndarray) -> _Estimate:
    if why := _undefined(occurred, groups):
        return None, None, why
    if np.ptp(odds) < _SAME:
        return None, None, _ALL_ALIKE
    of_class, of_others = odds[occurred], odds[~occurred]
    if of_class.min() >= of_others.max() or of_class.max() <= of_others.min():
        return None, None, _SEPARATED
    return _estimate(
        GLM(occurred, np.stack([np.ones(len(odds)), odds], axis=1), Binomial()), groups
    )


def _intercept(occurred: np.ndarray, odds: np.ndarray, groups: np.ndarray) -> _Estimate:
    if why := _undefined(occurred, groups):
        return None, None, why
    # Probabilities near 0 and 1 make the fit's steps overflow, especially from its default start.
    # Clipping only changes the 13th digit.
    odds = np.clip(odds, -_FAR, _FAR)
    model = GLM(occurred, np.ones((len(odds), 1)), Binomial(), offset=odds)
    return _estimate(model, groups, [_shift(occurred, odds)])


def _shift(occurred: np.ndarray, odds: np.ndarray) -> float:
    """Returns the intercept for which the mean probability equals the observed share."""

    def excess(intercept: float) -> float:
        return float(special.expit(odds + intercept).sum() - occurred.sum())

    return float(optimize.brentq(excess, -2 * _FAR, 2 * _FAR, xtol=1e-12))


def _undefined(occurred: np.ndarray, groups: np.ndarray) -> str | None:
    if occurred.all() or not occurred.any():
        return _ONE_KIND
    return _ONE_GROUP if len(np.unique(groups)) == 1 else None


def _estimate(model: GLM, groups: np.ndarray, start: list[float] | None = None) -> _Estimate:
    """Fits a regression; returns its last coefficient with an interval."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Warnings are about a failed fit, which is checked below.
        warnings.simplefilter("ignore")
        fit = model.fit(start, tol=1e-12, cov_type="cluster", cov_kwds={"groups": groups})
        value, error = fit.params[-1], fit.bse[-1]
        low, high = fit.conf_int(1 - CONFIDENCE)[-1]
        informative = (fit.fittedvalues * (1 - fit.fittedvalues)).sum() > _LEAST
    if not (fit.converged and informative and np.isfinite([value, error]).all()):
        return None, None, _NO_FIT
    return float(value), (float(low), float(high)), None
