"""The build on Apache Beam, for collections too large for one machine."""

from collections.abc import Callable, Iterator
from typing import Any

from etils import epath
from tensorflow_datasets.core.utils.lazy_imports_utils import apache_beam as beam

from . import inspection, source


def inspect_all(
    radiographs: list[source.Radiograph], folder: epath.Path, runner: Any, options: Any
) -> Iterator[inspection.Inspection]:
    """Inspects radiographs on Beam's workers.

    Args:
      radiographs: The radiographs to inspect; the workers read their files.
      folder: A folder for the workers' results, created and removed again.
      runner: A Beam runner, or None for the one named by the options.
      options: Beam's pipeline options, or None.

    Yields:
      The inspections, in any order.
    """
    folder.mkdir(parents=True)
    with beam.Pipeline(runner=runner, options=options) as pipeline:
        _ = (
            pipeline
            | beam.Create(radiographs, reshuffle=True)
            | "Inspect" >> beam.Map(_inspect_to_json)
            | "Write" >> beam.io.WriteToText(str(folder / "inspected"))
        )
    for path in folder.iterdir():
        if path.name.startswith("inspected"):
            with path.open("r") as file:
                yield from map(inspection.Inspection.from_json, file)
    folder.rmtree()


def read(examples: list[Any], read_one: Callable[[Any], tuple[str, dict[str, Any]]]) -> Any:
    """Reads examples on Beam's workers.

    Args:
      examples: The examples to read.
      read_one: Returns the key and the values of one example.

    Returns:
      A transform that produces the examples of a split.
    """
    return beam.Create(examples, reshuffle=True) | "Read" >> beam.Map(read_one)


def _inspect_to_json(radiograph: source.Radiograph) -> str:
    return inspection.inspect(radiograph).to_json()
