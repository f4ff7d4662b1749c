"""A lake on an encrypted volume: what the volume's own files say, once it is unmounted.

    python -m benchmarks.encrypted_volume --users 100 --days 6

Needs gocryptfs and FUSE. A volume is made with a password of its own in a fresh directory and
mounted; a simulated shop is cleaned and its histories are built in a lake there. Then it is
unmounted, and every byte below the directory that holds the ciphertext is searched for pseudonyms,
item ids, and the names of tables and files. Mounted again, `nightcart verify` looks at every file.

Prints one JSON object; exits with 1 if anything was found. LUKS below a file system does the same
to the kernel, which needs the device mapper; this one runs wherever FUSE does.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

CONFIG = """\
[paths]
raw = "raw"
lake = "volume/lake"
[privacy]
key_file = "user_id.key"
[spark]
master = "local[2]"
driver_memory = "1g"
shuffle_partitions = 2
quick_start = true
"""
NAMES = (b"run_date=", b"cleaned_events", b"part-00000", b"PAR1", b"manifest.json")


def main() -> int:
    """Make, fill, unmount, search; 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--days", type=int, default=6)
    asked = parser.parse_args()
    if shutil.which("gocryptfs") is None:
        print("gocryptfs is not on the PATH; install it (apt-get install gocryptfs)")
        return 1
    with tempfile.TemporaryDirectory(prefix="encrypted-volume-") as directory:
        found = looked_at(Path(directory), asked)
    print(json.dumps(found))
    return 1 if found["found"] else 0


def looked_at(home: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """What was written and what of it can be read without the password."""
    cipher, volume, password = home / "cipher", home / "volume", home / "password"
    cipher.mkdir()
    volume.mkdir()
    password.write_text(secrets.token_hex(16))
    password.chmod(0o600)
    _run("gocryptfs", "-q", "-init", "-passfile", password, cipher)
    sizes = [f"--{name}={getattr(asked, name)}" for name in ("users", "items", "days")]
    nightcart = [sys.executable, "-m", "jobs.cli.main"]
    _run(*nightcart, "simulate", "--out", home / "raw", *sizes)
    config = home / "nightcart.toml"
    config.write_text(CONFIG)
    date = max(path.name for path in (home / "raw").glob("date=*")).removeprefix("date=")
    _run("gocryptfs", "-q", "-passfile", password, cipher, volume)
    try:
        started = time.monotonic()
        for job in ("clean", "build_histories"):
            _run(sys.executable, "-m", f"jobs.{job}", "--date", date, "--config", config)
        seconds = time.monotonic() - started
        words = _words(volume / "lake")
    finally:
        _unmount(volume)
    assert not any(volume.iterdir()), "it is unmounted"
    files, size, found = 0, 0, set()
    for path in sorted(cipher.rglob("*")):
        data = os.fsencode(path.relative_to(cipher)) + (
            path.read_bytes() if path.is_file() else b""
        )
        files, size = files + path.is_file(), size + len(data)
        found |= {f"{word!r} in {path.name}" for word in words if word in data}
    _run("gocryptfs", "-q", "-passfile", password, cipher, volume)
    try:
        _run(*nightcart, "verify", "--config", config)
    finally:
        _unmount(volume)
    return {
        "seconds": round(seconds, 1),
        "files": files,
        "bytes": size,
        "words": len(words),
        "found": sorted(found)[:20],
    }


def _words(lake: Path) -> list[bytes]:
    """Every pseudonym and item of the lake, and what its files and tables are called."""
    words: set[str] = set()
    for name, column in (("histories", "user_id"), ("catalogue", "item_id")):
        for file in (lake / name).rglob("*.parquet"):
            found = pq.ParquetFile(file).read(columns=[column])[column].to_pylist()
            words.update(str(value) for value in found)
    assert len(words) > 20, "there is something to look for"
    return [*(word.encode() for word in sorted(words)), *NAMES]


def _unmount(volume: Path) -> None:
    _run(
        "umount" if os.getuid() == 0 else "fusermount",
        *(() if os.getuid() == 0 else ("-u",)),
        volume,
    )


def _run(*command: object) -> None:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    raise SystemExit(main())
