"""Training data whose classes are sampled by source: `--source_share=CLASS:SOURCE=SHARE`."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from cxr_command import source_mix
from cxr_command.source_mix import SourceMix
from trainer.data.dataset import BuiltDataset
from trainer.data.records import Records, names_of, read_batches
from trainer.errors import UserError

# By the digest of the records: sources are requested several times but only stored in the files.
_sources_read: dict[str, np.ndarray] = {}


def mix_of(config: Mapping[str, Any]) -> SourceMix | None:
    """Returns how a run samples its training and validation examples; None: it takes them all.

    Args:
        config: its settings, as stored in config.json.

    Raises:
        UserError: the setting is not a valid share of a source.
    """
    text = config.get("source_share")
    try:
        return source_mix.parse(text, config.get("seed", 0)) if text else None
    except ValueError as error:
        raise UserError(f"--source_share={text}: {error}") from error


def as_trained_on(dataset: BuiltDataset, config: Mapping[str, Any]) -> BuiltDataset:
    """Returns the dataset restricted to the examples a run samples; raises as `mix_of` does."""
    return dataclasses.replace(dataset, source_mix=mix_of(config))


def drawn(dataset: BuiltDataset, spec: str, records: Records) -> Records:
    """Returns those of a split's records that the dataset's source mix samples.

    Args:
        dataset: a built dataset.
        spec: the split.
        records: all records of the split.

    Raises:
        UserError: the split has no such class or source, or not enough examples of it.
    """
    mix = dataset.source_mix
    if mix is None:
        return records
    labels = np.array(dataset.class_names)[records.index["label"]]
    try:
        kept = source_mix.draw(mix, labels, sources_of(dataset, spec, records), records.groups())
    except ValueError as error:
        raise UserError(f"--source_share={mix}: in {spec} of {dataset.name} {error}") from error
    digest = hashlib.sha256(repr((records.digest, mix)).encode()).hexdigest()
    return dataclasses.replace(records, index=records.index[kept], digest=digest)


def sources_of(dataset: BuiltDataset, spec: str, records: Records) -> np.ndarray:
    """Reads the sources of a split's records, `[records] str`, without decoding images.

    Raises:
        UserError: the dataset does not store sources.
    """
    if "source" not in dataset.builder.info.features:
        raise UserError(f"{dataset.name} does not store the source of its examples")
    if records.digest not in _sources_read:
        with dataset.reading(spec):
            batches = [batch["source"] for batch in read_batches(dataset, records, ["source"])]
        _sources_read[records.digest] = names_of(dataset, "source", np.concatenate(batches))
    return _sources_read[records.digest]


def told(mix: SourceMix, spec: str, counts: Mapping[str, int], of: Mapping[str, int]) -> str:
    """Describes the sampled examples.

    Args:
        mix: the requested mix.
        spec: the split.
        counts: number of sampled examples of the class, by source.
        of: number of available examples of the class, by source.
    """
    shares = (f"{counts.get(source, 0):,} of {of[source]:,} from {source}" for source in of)
    return f"{mix} draws, of {mix.label} in {spec}, {', '.join(shares)}"
