"""Looks for known vulnerabilities in the packages of a lock file.

    python .ci/audit.py PIP_AUDIT LOCK

Ends with 1 if pip-audit finds one, or if the lock file cannot be read. Data out of reach is no
finding: it says so, names the packages that were not audited, and ends with 0.
"""

import json
import subprocess
import sys


def main(pip_audit: str, lock: str) -> int:
    """Runs pip-audit and tells the outcome; returns the exit code."""
    command = [pip_audit, f"--requirement={lock}", "--no-deps", "--disable-pip"]
    command += ["--progress-spinner=off", "--format=json"]
    readable = subprocess.run([*command, "--dry-run"], capture_output=True, text=True)  # noqa: S603
    if readable.returncode:
        print(readable.stderr, end="", file=sys.stderr)
        return readable.returncode
    ended = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if not ended.stdout.strip():  # Whatever it finds, it writes a report, unless it fails itself.
        reason = ended.stderr.rstrip().rpartition("\n")[2]
        print(f"{lock} was not audited, the data on vulnerabilities is out of reach: {reason}")
        return 0
    packages = json.loads(ended.stdout)["dependencies"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    found = [package for package in packages if package.get("vulns")]
    for package in found:
        for one in package["vulns"]:
            fixed = ", ".join(one["fix_versions"]) or "no version"
            print(f"{package['name']} {package['version']}: {one['id']}, fixed in {fixed}")
    print(
        f"{lock}: {len(packages) - len(skipped)} of {len(packages)} packages audited, "
        f"{len(found)} with known vulnerabilities"
    )
    if skipped:
        print(f"Not audited, the data has no such version of them: {', '.join(skipped)}")
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
