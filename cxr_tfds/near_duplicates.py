"""Prints the distances of the most similar radiographs of a collection, to choose a threshold.

Usage:

    python -m cxr_tfds.near_duplicates --manual_dir=DIR [--most_bits=320]

Inspect the pairs on both sides of a gap: below it they should show the same chest, above it
different ones.
"""

from collections import Counter

from absl import flags
from etils import epath

from cxr_command.radiograph.fingerprints import THRESHOLD
from cxr_command.runner import Command
from cxr_tfds.covid19_radiography import duplicates, faults, paths, source, survey


def _define_flags() -> None:
    flags.DEFINE_string("manual_dir", None, "Folder of the database.", required=True)
    flags.DEFINE_integer("most_bits", 320, "Largest distance to print, in bits of 1,024.")


def _main() -> None:
    database = epath.Path(flags.FLAGS.manual_dir) / source.DATABASE
    if not paths.exists(database):
        raise FileNotFoundError(f"There is no folder {database}.")
    radiographs, wrong = source.find_radiographs(database)
    found = list(survey.inspect_here(radiographs))
    faults.stop_if_any(
        wrong + [fault for one in found for fault in one.faults], database, survey.REMEDY
    )
    fingerprints = [bytes.fromhex(one.fingerprint) for one in found]
    pairs = sorted(
        (bits, found[one].id, found[other].id)
        for one, other, bits in duplicates.near_pairs(fingerprints, flags.FLAGS.most_bits)
    )
    for bits, one, other in pairs:
        print(f"{bits:3}  {one}  {other}")
    counts = Counter(bits for bits, _, _ in pairs)
    print(f"\n{len(found):,} radiographs; threshold {THRESHOLD} bits")
    print("bits  pairs")
    for bits in range(flags.FLAGS.most_bits + 1):
        print(f"{bits:4}  {counts[bits]:5}")


if __name__ == "__main__":
    Command(_main, _define_flags).run()
