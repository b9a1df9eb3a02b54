import threading
import time

import pytest

from cxr_tfds.covid19_radiography import parallel


def test_results_come_in_order():
    def slower_first(number):
        time.sleep(0.01 if number % 5 == 0 else 0)
        return number * number

    assert list(parallel.bounded_map(slower_first, range(200))) == [n * n for n in range(200)]


def test_only_a_few_items_are_taken_ahead():
    taken = []

    def items():
        for number in range(10_000):
            taken.append(number)
            yield number

    results = parallel.bounded_map(lambda number: number, items())
    for _ in range(10):
        next(results)
    assert len(taken) < 10_000 / 2
    results.close()


def test_an_error_is_raised_and_ends_the_work():
    def fail(number):
        if number == 3:
            raise RuntimeError("third")
        return number

    with pytest.raises(RuntimeError, match="third"):
        list(parallel.bounded_map(fail, range(1000)))
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPoolExecutor")]
