"""The browser of this machine, if there is one."""

import re
import shutil
import subprocess

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)


def open_in_browser(path, profile):
    """Returns the rendered page and the console messages."""
    done = subprocess.run(  # noqa: S603
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            f"--user-data-dir={profile}", "--window-size=1600,1000", "--enable-logging=stderr",
            "--virtual-time-budget=4000", "--dump-dom", f"file://{path}",
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, re.findall(r".*CONSOLE.*", done.stderr)
