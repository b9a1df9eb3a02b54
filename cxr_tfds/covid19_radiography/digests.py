"""Digests of a built dataset's files, for verification by readers."""

from etils import epath

from cxr_command import checksums


def write(folder: epath.Path) -> None:
    """Writes the SHA-256 of every non-hidden file in a folder to its `SHA256SUMS`.

    `sha256sum --check SHA256SUMS` verifies them, and so does training.

    Args:
      folder: The folder of a dataset whose files are complete.
    """
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    digests = {path.name: checksums.sha256_of(path) for path in files}
    (folder / checksums.SUMS).write_text(checksums.lines_of(digests))
