"""What a benchmark prints for programs: its last line."""

import json
import subprocess
import sys

from tests.conftest import ROOT


def last_line(module, *arguments):
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
