"""How much the source tells of the class, beside plain NumPy and simulations."""

import numpy as np
import pytest
from scipy.stats.contingency import association, crosstab

from cxr_command.split_table import Row
from cxr_tfds import confounding


def by_hand(labels, sources):
    """Bergsma 2013, equation by equation."""
    names = [sorted(set(values)) for values in (labels, sources)]
    counts = np.array([
        [sum((a, b) == pair for pair in zip(labels, sources, strict=True)) for b in names[1]]
        for a in names[0]
    ])  # fmt: skip
    n, (rows, columns) = counts.sum(), counts.shape
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    phi = ((counts - expected) ** 2 / expected).sum() / n
    phi = max(0, phi - (rows - 1) * (columns - 1) / (n - 1))
    rows, columns = (k - (k - 1) ** 2 / (n - 1) for k in (rows, columns))
    return np.sqrt(phi / min(rows - 1, columns - 1))


def simulate(rng, number, dependence):
    """Four classes in three sources; `dependence` of the sources are told by the class."""
    labels = rng.integers(0, 4, number)
    told = rng.random(number) < dependence
    return labels, np.where(told, labels % 3, rng.integers(0, 3, number))


@pytest.mark.parametrize("dependence", [0, 0.3, 1])
def test_cramers_v_is_that_of_its_equations(dependence):
    labels, sources = simulate(np.random.default_rng(1), 200, dependence)
    found = confounding.cramers_v(labels, sources)
    assert found == pytest.approx(by_hand(labels, sources), abs=1e-9)
    assert found <= association(crosstab(labels, sources).count, "cramer")


def test_cramers_v_goes_from_nothing_to_all():
    labels = np.repeat(["a", "b", "c"], 50)
    assert confounding.cramers_v(labels, labels) == pytest.approx(1, abs=1e-9)
    assert confounding.cramers_v(labels, np.tile(["x", "y"], 75)) == 0
    assert confounding.cramers_v(labels, np.full(150, "x")) == 0
    assert confounding.cramers_v(["a", "a"], ["x", "y"]) == 0
    assert confounding.cramers_v(["a", "b"], ["x", "y"]) == 0
    assert confounding.cramers_v(["a", "b", "c"], ["x", "y", "z"]) == 0


def drill(simulations, number):
    """The means of the corrected and the plain V over simulations, and the truth.

    The truth is V of the probabilities: of each class 1/4, and of each source within it 1/3 of
    what the class does not tell.
    """
    for dependence in (0, 0.2, 0.5):
        joint = (dependence * np.eye(3)[[0, 1, 2, 0]] + (1 - dependence) / 3) / 4
        expected = np.outer(joint.sum(axis=1), joint.sum(axis=0))
        truth = np.sqrt(((joint - expected) ** 2 / expected).sum() / 2)
        rng = np.random.default_rng(0)
        drawn = [simulate(rng, number, dependence) for _ in range(simulations)]
        corrected = np.mean([confounding.cramers_v(*one) for one in drawn])
        plain = np.mean([association(crosstab(*one).count, "cramer") for one in drawn])
        print(f"n {number}: V {truth:.3f}, corrected {corrected:.3f}, plain {plain:.3f}")
        yield truth, corrected, plain


def test_the_corrected_v_is_nearer_to_the_truth():
    for truth, corrected, plain in drill(60, 100):
        assert abs(corrected - truth) < abs(plain - truth) + 0.01
        assert corrected == pytest.approx(truth, abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize("number", [50, 200, 1000])
def test_the_corrected_v_is_nearer_to_the_truth_in_1000_simulations(number):
    for truth, corrected, plain in drill(1000, number):
        assert abs(corrected - truth) <= abs(plain - truth) + 0.005


def rows_of(counts):
    """A table: for each split, class and source, so many radiographs."""
    rows = []
    for split in ("train", "validation", "test"):
        for (label, source), number in counts.items():
            for n in range(number):
                name = f"{split}-{label}-{source}-{n}"
                rows.append(Row(name, label, source, split, name, f"{len(rows):064x}"))
    return rows


def test_the_training_split_is_drawn_anew_by_each_source_of_a_class():
    counts = {("Normal", "rsna"): 60, ("Normal", "kermany"): 20, ("Opacity", "rsna"): 30,
              ("Viral", "kermany"): 10}  # fmt: skip
    rows = rows_of(counts)
    drawn = {(one.label, one.source): one for one in confounding.redraw(rows)}
    assert list(drawn) == [("Normal", "kermany"), ("Normal", "rsna")]
    kermany, rsna = drawn.values()
    assert kermany.size == rsna.size == 20
    assert kermany.cramers_v == pytest.approx(rsna.cramers_v[::-1])
    for share, found in zip(confounding.SHARES, kermany.cramers_v, strict=True):
        from_kermany = round(20 * share)
        labels = ["Normal"] * 20 + ["Opacity"] * 30 + ["Viral"] * 10
        sources = ["kermany"] * from_kermany + ["rsna"] * (50 - from_kermany) + ["kermany"] * 10
        assert found == pytest.approx(by_hand(labels, sources), abs=1e-9)
    # At share 0 rsna says Opacity (30 to 20) and kermany Viral; at share 1 kermany says Normal.
    assert kermany.accuracy[0] == pytest.approx((30 + 10) / 120)
    assert kermany.accuracy[4] == pytest.approx((30 + 20) / 120)


def test_a_share_that_whole_groups_do_not_give_is_none():
    rows = [row._replace(group=row.id[:-1]) if row.label == "Normal" else row
            for row in rows_of({("Normal", "rsna"): 4, ("Normal", "sirm"): 4, ("COVID", "sirm"): 4})
            ]  # fmt: skip
    for one in confounding.redraw(rows):
        assert [value is None for value in one.accuracy] == [False, True, True, True, False]
        assert [value is None for value in one.cramers_v] == [False, True, True, True, False]
