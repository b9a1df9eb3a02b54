import numpy as np
import pytest
from scipy import stats

from tests.support.reports import make_examples
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.training_features import fit
from trainer.evaluation.unusual import evaluate_unusual, flagged


@pytest.fixture(scope="module")
def evaluated():
    """90 radiographs, a third of them of another kind; what is said of them, and who is flagged."""
    generator = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = generator.normal(3, 1, (290, 8))
    features[260:] *= np.linspace(0.2, 2, 8)
    fitted = fit(features[:200], np.zeros(200, int), features[:200], "digest")
    sources = np.repeat(["here", "there"], 45)
    examples = make_examples(labels, sources=sources)
    found = evaluate_unusual(features[200:], fitted, examples, Resampling(labels, None, 100, 0))
    return found, fitted.distance(features[200:]) > 1, labels, sources, examples


def check(part, is_flagged):
    expected = stats.binomtest(int(is_flagged.sum()), len(is_flagged)).proportion_ci(0.95, "exact")
    assert (part.examples, part.flagged) == (len(is_flagged), is_flagged.sum())
    assert part.share == pytest.approx(is_flagged.mean(), abs=1e-12)
    assert part.interval == pytest.approx(tuple(expected), abs=1e-9)


def test_all_classes_and_sources_are_counted(evaluated):
    found, is_flagged, labels, sources, examples = evaluated
    assert 5 < is_flagged.sum() < 60
    check(found.all, is_flagged)
    for label, name in enumerate(examples.class_names[:3]):
        check(found.by_class[name], is_flagged[labels == label])
    assert len(found.by_class) == 3
    for source in ("here", "there"):
        check(found.by_source[source], is_flagged[sources == source])


def test_copies_widen_the_interval():
    once = flagged(np.arange(40) % 8 == 0)
    copied = flagged(np.repeat(np.arange(40) % 8 == 0, 3), 1 / 3)
    assert copied.flagged == 15
    assert copied.interval == pytest.approx(once.interval, abs=1e-9)


def covered(trials, examples=70, share=0.05):
    generator, inside = np.random.default_rng(0), 0
    for _ in range(trials):
        low, high = flagged(generator.random(examples) < share).interval
        inside += low <= share <= high
    return inside / trials


def test_the_interval_covers_the_share():
    assert covered(300) > 0.92


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_drill_of_the_interval(share):
    found = covered(1000, share=share)
    print(f"share of {share:.0%}, 70 radiographs: nominal 95.0%, covered {found:.1%}")
    assert 0.94 < found
