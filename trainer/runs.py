"""Lists the runs in a directory, newest first, with their state, progress and best loss.

    python -m trainer.runs --runs_dir=runs

A run is running, stale (its process is gone), done, failed, preempted or diverged. Its age is the
time since its last sign of life; images per second are those of its last epoch. No files are
changed. This is a research tool, not a medical device.
"""

import pathlib

from absl import flags

from trainer import command, run_list

flags.DEFINE_string("runs_dir", "runs", "Directory of runs of trainer.main.")

FLAGS = flags.FLAGS


def main() -> None:
    """Prints the list."""
    run_list.show(pathlib.Path(FLAGS.runs_dir))


def start() -> None:
    """Parses the flags, runs the command and exits."""
    command.run(main)


if __name__ == "__main__":
    start()
