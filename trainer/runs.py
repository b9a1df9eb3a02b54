"""Lists the runs in a directory, the newest first: how each stands, how far it is, how good.

    python -m trainer.runs --runs_dir=runs

A run is running, stale (its process is gone), done, failed, preempted or diverged. Its age is that
of the last sign of life; images per second are those of its last epoch. Nothing is changed. This is
a research tool, not a medical device.
"""

import pathlib

from absl import flags

from trainer import command, run_list

flags.DEFINE_string("runs_dir", "runs", "Directory of runs of trainer.main.")

FLAGS = flags.FLAGS


def main() -> None:
    """Lists."""
    run_list.show(pathlib.Path(FLAGS.runs_dir))


def start() -> None:
    """Starts the command: flags in, exit code out."""
    command.run(main)


if __name__ == "__main__":
    start()
