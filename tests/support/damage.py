"""Ways to damage or replace a command's input. Each returns a function of the folder to change."""

import io
import json
import os
import pathlib
import shutil
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable

import pytest

Damage = Callable[[pathlib.Path], object]


def nothing(folder: pathlib.Path) -> None:
    """Leaves everything unchanged."""


def all_of(*damages: Damage) -> Damage:
    def damage(folder):
        for one in damages:
            one(folder)

    return damage


def paths(folder: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    """Returns the matches of a pattern; without any, the matches its parent pattern would have."""
    outer, _, name = pattern.rpartition("/")
    outers = sorted(folder.glob(outer)) if outer else [folder]
    return sorted(folder.glob(pattern)) or [path / name for path in outers or [folder / outer]]


def write(pattern: str, content: str | bytes) -> Damage:
    def damage(folder):
        for path in paths(folder, pattern):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    return damage


def remove(pattern: str) -> Damage:
    def damage(folder):
        for path in paths(folder, pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def truncate(pattern: str, kept: float = 0.5) -> Damage:
    def damage(folder):
        for path in paths(folder, pattern):
            os.truncate(path, int(path.stat().st_size * kept))

    return damage


def flip(pattern: str, where: float = 0.5, count: int = 1) -> Damage:
    """Changes bytes at a relative position in the file."""

    def damage(folder):
        for path in paths(folder, pattern):
            content = bytearray(path.read_bytes())
            first = int(len(content) * where)
            for place in range(first, first + count):
                content[place] ^= 0x55
            path.write_bytes(content)

    return damage


def copy(source: str, target: str) -> Damage:
    def damage(folder):
        for path in paths(folder, target):
            path.parent.mkdir(parents=True, exist_ok=True)
            (found,) = paths(folder, source)
            shutil.copytree(found, path) if found.is_dir() else shutil.copy(found, path)

    return damage


def move(source: str, target: str) -> Damage:
    def damage(folder):
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        (folder / source).rename(folder / target)

    return damage


def into_folder(pattern: str) -> Damage:
    """Replaces a file by a folder."""

    def damage(folder):
        for path in paths(folder, pattern):
            path.unlink()
            path.mkdir()

    return damage


def edit_json(pattern: str, **values: object) -> Damage:
    """Sets fields, including nested ones: `config__model`."""

    def damage(folder):
        for path in paths(folder, pattern):
            content = json.loads(path.read_text())
            for name, value in values.items():
                *outer, last = name.split("__")
                inner = content
                for key in outer:
                    inner = inner[key]
                inner[last] = value
            path.write_text(json.dumps(content))

    return damage


def edit_records(pattern: str, change: Callable[[list[bytes]], list[bytes]]) -> Damage:
    """Rewrites the records of TFRecord files, with correct checksums."""
    import tensorflow as tf

    def damage(folder):
        for path in paths(folder, pattern):
            records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
            with tf.io.TFRecordWriter(str(path)) as writer:
                for record in change(records):
                    writer.write(record)

    return damage


def edit_examples(pattern: str, change: Callable, first: int | None = None) -> Damage:
    """Changes the features of the first examples, or of all."""
    import tensorflow as tf

    def changed(record):
        example = tf.train.Example.FromString(record)
        change(example.features.feature)
        return example.SerializeToString(deterministic=True)

    def change_all(records):
        count = len(records) if first is None else first
        return [*map(changed, records[:count]), *records[count:]]

    return edit_records(pattern, change_all)


def inverted_pixels(features) -> None:
    (image,) = features["image"].bytes_list.value
    features["image"].bytes_list.value[:] = [bytes(255 - value for value in image)]


def set_label(label: int) -> Callable:
    return lambda features: features["label"].int64_list.value.__setitem__(slice(None), [label])


def larger_image(features) -> None:
    (image,) = features["image"].bytes_list.value
    features["image"].bytes_list.value[:] = [image * 2]


def garbage_image(features) -> None:
    (image,) = features["image"].bytes_list.value
    features["image"].bytes_list.value[:] = [image[:20] + bytes(len(image) - 20)]


def same_id(features) -> None:
    features["id"].bytes_list.value[:] = [b"train-0"]


def rewrite_zip(pattern: str, change: Callable[[str, bytes], bytes | None]) -> Damage:
    """Changes members of a zip file, with correct checksums; None removes one."""

    def damage(folder):
        for path in paths(folder, pattern):
            with zipfile.ZipFile(path) as old:
                members = {name: old.read(name) for name in old.namelist()}
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
                for name, content in members.items():
                    if (content := change(name, content)) is not None:
                        new.writestr(name, content)

    return damage


def member(wanted: str, content: Callable[[bytes], bytes | None]) -> Callable:
    return lambda name, found: content(found) if name == wanted else found


def zipped(source: str, target: str, more: Callable[[zipfile.ZipFile], None] | None = None):
    """Packs a folder; `more` adds to the zip file."""

    def damage(folder):
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / target, "w") as file:
            for path in sorted((folder / source).rglob("*")):
                if path.is_file():
                    file.write(
                        path, f"{(folder / source).name}/{path.relative_to(folder / source)}"
                    )
            if more:
                more(file)
        shutil.rmtree(folder / source)

    return damage


def edit_headers(pattern: str, name: str, flag_bits: int = 0, method: int | None = None) -> Damage:
    """Changes a member's flags or method in both of a zip file's headers."""

    def damage(folder):
        (path,) = paths(folder, pattern)
        content = bytearray(path.read_bytes())
        for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place, size = 0, {6: 30, 8: 46}[at]
            while (place := content.find(signature, place)) >= 0:
                if content[place + size : place + size + len(name)] == name.encode():
                    flags, packed = struct.unpack_from("<HH", content, place + at)
                    packed = packed if method is None else method
                    struct.pack_into("<HH", content, place + at, flags | flag_bits, packed)
                place += 4
        path.write_bytes(content)

    return damage


def tall_png(pattern: str, width: int, height: int) -> Damage:
    """Writes a black PNG file of any size in a few bytes."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    def damage(folder):
        packer, packed = zlib.compressobj(9), io.BytesIO()
        for _ in range(height):
            packed.write(packer.compress(bytes(width + 1)))
        packed.write(packer.flush())
        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        (folder / pattern).parent.mkdir(parents=True, exist_ok=True)
        (folder / pattern).write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", packed.getvalue())
            + chunk(b"IEND", b"")
        )

    return damage


def disk(kilobytes: int) -> Damage:
    """Mounts a file system `disk` of this size, which the runner of the fault unmounts."""

    def damage(folder):
        (folder / "disk").mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder / "disk")]
        if subprocess.run(mount, capture_output=True).returncode:  # noqa: S603
            pytest.skip("only root may mount a file system")
        with (folder / "disk" / "others").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, (8 << 20) - 1024 * kilobytes)

    return damage
