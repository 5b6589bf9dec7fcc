"""`gholm data get`: download with resume and checksum, then unpack safely, all or nothing.

pooch stores the file and checks its hash, but it cannot resume. `ResumingDownloader` adds that: it
keeps `<file>.part` when the connection drops or the process is killed, and requests only the rest.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
import platform
import re
import shutil
import tarfile
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pooch
import requests
import urllib3.exceptions
from tqdm.auto import tqdm

from gholm_lib.datasets import samples
from gholm_lib.datasets.check import compare_counts, is_the_papers, try_read
from gholm_lib.datasets.lists import DataError
from gholm_lib.datasets.registry import ArchiveFile, DatasetInfo, dataset_info
from gholm_lib.paths import data_root

_CHUNK = 1 << 16  # a dropped connection loses at most this many bytes
_TIMEOUT = (15, 60)  # seconds to connect, seconds without a byte

_CARS_BY_HAND = """\
Stanford Cars cannot be downloaded: its owner's link has been dead since 2023.
People get it from Kaggle, as discussed in https://github.com/pytorch/vision/issues/7545:
  - https://www.kaggle.com/datasets/rickyyyyyyy/torchvision-stanford-cars  (the layout below), or
  - https://www.kaggle.com/datasets/jessicali9530/stanford-cars-dataset    (photographs), with
    https://github.com/pytorch/vision/files/11644847/car_devkit.tgz        (devkit); the issue says
    where the test labels are.
These copies were made by others: the owner published no checksum, and the owner's terms still
apply (non-commercial research). Put the files here:
  {folder}/cars_train/00001.jpg ... 08144.jpg
  {folder}/cars_test/00001.jpg ... 08041.jpg
  {folder}/devkit/cars_meta.mat
  {folder}/devkit/cars_train_annos.mat
  {folder}/cars_test_annos_withlabels.mat
The Kaggle copies may repeat a folder (cars_train/cars_train/00001.jpg): move its contents up one.
Next: `gholm data check cars`."""


def get_dataset(name: str, root: str | Path | None = None, progress: bool = True) -> Path:
    """Install a data set under `root` (default: `data_root()`) and return its folder.

    The data set is downloaded, verified, unpacked and counted; a complete one is left as it is. Raises
    `DataError`, which says what to do, if this is impossible or if the set is drawn (the mini sets).
    """
    info = dataset_info(name)
    return install(info, data_root(root), progress)


def install(info: DatasetInfo, root: Path, progress: bool = True) -> Path:
    """Like `get_dataset`, for a data set that need not be registered."""
    folder = root / info.folder
    if info.is_mini:
        raise DataError(
            f"{info.title} is not downloaded, it is drawn: `{info.get_command}` of gholm_kit draws it."
        )
    problems = _problems(info, folder)
    if not problems:
        print(f"{info.title} is complete in {folder}: nothing to do.")
    elif not info.archives:
        raise DataError(_CARS_BY_HAND.format(folder=folder))
    else:
        _refuse_leftovers(info, folder, problems)
        _download_and_unpack(info, root, progress)
        print(f"{info.title} is complete in {folder}.")
    return folder


_AT_ONCE = 8  # photographs: most of the time is waiting for an answer


def get_samples(root: str | Path | None = None, progress: bool = True) -> Path:
    """Fetch those of the sample photographs that are missing or damaged, and return their folder.

    Raises `DataError` if one cannot be fetched or has the wrong checksum; those that have arrived stay, so that the
    next call fetches only the rest.
    """
    folder = data_root(root) / samples.FOLDER
    missing, damaged = samples.problems(folder)
    for name in damaged:
        (folder / name).unlink()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [samples.archive_file(name) for name in (*missing, *damaged)]
    _fetch_all(wanted, folder, progress)
    print(
        f"{len(samples.listed())} photographs are in {folder}, of which {len(wanted)} were fetched now. "
        f"{samples.TERMS}"
    )
    return folder


def _fetch_all(files: list[ArchiveFile], folder: Path, progress: bool) -> None:
    """Download small files, several at once; the first error ends it.

    Each moves to the folder when it is complete. What a killed process leaves (parts, and pooch's temporary files)
    stays beside them in a hidden folder, until all have arrived.
    """
    arriving = folder / ".arriving"
    arriving.mkdir(exist_ok=True)

    def fetch(file: ArchiveFile) -> None:
        os.replace(download(file, arriving, samples.PAGE, progress=False), folder / file.filename)

    pooch.get_logger().setLevel("WARNING")  # else a line for each file
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for _ in tqdm(pool.map(fetch, files), total=len(files), unit="photo", disable=not progress):
                pass
        finally:
            pool.shutdown(cancel_futures=True)
    shutil.rmtree(arriving)


def _problems(info: DatasetInfo, folder: Path) -> list[str]:
    """What is missing or wrong in the folder; empty if the data set is complete."""
    data, problem = try_read(info, folder)
    return [problem] if data is None else compare_counts(info, data)[1]


def _refuse_leftovers(info: DatasetInfo, folder: Path, problems: list[str]) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    data, _ = try_read(info, folder)
    if data is not None and not is_the_papers(info, data):
        raise DataError(
            f"{folder} contains a data set of your own, which is not overwritten: move the folder away, or choose "
            f"another folder with --data-root, and run `{info.get_command}` again."
        )
    if folder.exists():
        raise DataError(
            f"{folder} exists but is not complete, and your files are not overwritten:\n"
            f"  {problems[0]}\n"
            f"  Correct this, or move the folder away and run `{info.get_command}` again."
        )


def _download_and_unpack(info: DatasetInfo, root: Path, progress: bool) -> None:
    _require_tar_filter()
    downloads = root / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    _require_space(info, root, downloads)
    files = [download(archive, downloads, info.page, progress) for archive in info.archives]
    with _staging(root, info.folder) as staging:
        for file in files:
            unpack(file, staging, progress)
        fresh = staging / info.inner
        if problems := _problems(info, fresh):
            raise DataError(
                f"The archives of {info.title} do not contain what Table 1 and the layout require:\n"
                + "\n".join(f"  {problem}" for problem in problems)
                + f"\n  Nothing was installed. The archives are in {downloads}; "
                f"delete them and run `{info.get_command}` again, or see {info.page}."
            )
        os.replace(fresh, root / info.folder)
    for file in files:
        file.unlink()
    if not any(downloads.iterdir()):
        downloads.rmdir()


@contextmanager
def _staging(root: Path, folder: str) -> Iterator[Path]:
    """A temporary folder beside the final one, on the same disk; always removed afterwards.

    A partly unpacked archive therefore never has the name of a complete data set.
    """
    staging = root / f".{folder}.unpacking"
    shutil.rmtree(staging, ignore_errors=True)  # left behind by a killed process
    staging.mkdir(parents=True)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _require_tar_filter() -> None:
    if not hasattr(tarfile, "data_filter"):
        raise DataError(
            f"Python {platform.python_version()} cannot unpack archives safely; use Python 3.12 or newer (or "
            "3.10.12, 3.11.4 and later bug-fix releases) and run the command again."
        )


def _require_space(info: DatasetInfo, root: Path, downloads: Path) -> None:
    """JPEG files do not compress further: the unpacked images need about the size of the archive, plus 10 %."""
    here = sum(_size(downloads / a.filename) for a in info.archives)
    here += sum(_size(part_path(downloads, a)) for a in info.archives)
    total = sum(archive.size for archive in info.archives)
    needed = max(total - here, 0) + int(1.1 * total)
    free = shutil.disk_usage(root).free
    if free < needed:
        raise DataError(
            f"{info.title} needs about {needed / 1e9:.1f} GB in {root} (download and unpacked "
            f"images), but only {free / 1e9:.1f} GB are free. Free some space or choose another "
            "disk with --data-root or GHOLM_DATA."
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# --- download -------------------------------------------------------------------------------


def part_path(folder: Path, archive: ArchiveFile) -> Path:
    """The file of an unfinished download."""
    return folder / f"{archive.filename}.part"


def download(
    archive: ArchiveFile, folder: Path, page: str, progress: bool = True, pause: float = 1.0
) -> Path:
    """Download one archive into `folder` with resume, retries and checksum; return its path.

    `page` is the address that error messages refer to if the server refuses. `pause` is the wait in
    seconds before the second attempt; it doubles for each further attempt.
    """
    path = pooch.retrieve(
        archive.url,
        known_hash=archive.checksum,
        fname=archive.filename,
        path=folder,
        downloader=ResumingDownloader(archive, folder, page, progress, pause=pause),
    )
    return Path(path)


class _Retry(Exception):
    """This attempt failed, but another attempt may succeed."""


class ResumingDownloader:
    """A downloader for pooch over HTTP(S) that continues where an earlier attempt stopped.

    `<file>.part` contains the bytes received so far, and `<file>.part.json` the version of the file
    that they belong to (ETag or date, and length). The rest is requested with Range and If-Range. If
    the server ignores Range, or now has another version, the download starts again. After `tries`
    attempts in a row without a new byte, the downloader gives up and keeps the part.
    """

    def __init__(
        self,
        archive: ArchiveFile,
        folder: Path,
        page: str,
        progress: bool = True,
        tries: int = 5,
        pause: float = 1.0,
    ) -> None:
        self.archive = archive
        self.page = page
        self.progress = progress
        self.tries = tries
        self.pause = pause
        self.part = part_path(folder, archive)
        self.meta = self.part.with_name(self.part.name + ".json")

    def __call__(self, url: str, output_file: str | Path, pooch: object) -> None:
        """Called by pooch: write the content of `url` to `output_file`."""
        furthest, failures = _size(self.part), 0
        while True:
            try:
                self._attempt(url)
                break
            except _Retry as error:
                reached = _size(self.part)
                failures = 1 if reached > furthest else failures + 1
                furthest = max(furthest, reached)
                if failures >= self.tries:
                    raise DataError(self._gave_up(url, error)) from error
                time.sleep(min(self.pause * 2 ** (failures - 1), 30.0))
        self._verify(url)
        os.replace(self.part, output_file)
        self.meta.unlink(missing_ok=True)

    def _attempt(self, url: str) -> None:
        start, version = self._resume_point()
        if start and start == version["total"]:
            return  # the process was killed between the last byte and the rename
        try:
            request = requests.get(url, headers=_headers(start, version), stream=True, timeout=_TIMEOUT)
            with request as response:
                self._refuse_bad_status(url, response)
                start = self._agreed_start(response, start, version)
                self._receive(response, start)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _Retry(str(error)) from error

    def _resume_point(self) -> tuple[int, dict]:
        """(bytes kept, the version they belong to); a part of unknown version is deleted."""
        try:
            version = json.loads(self.meta.read_text(encoding="utf-8"))
            return _size(self.part), {"tag": version["tag"], "total": version["total"]}
        except (OSError, ValueError, KeyError, TypeError):
            self._drop_part()
            return 0, {"tag": None, "total": None}

    def _drop_part(self) -> None:
        self.part.unlink(missing_ok=True)
        self.meta.unlink(missing_ok=True)

    def _refuse_bad_status(self, url: str, response: requests.Response) -> None:
        code = response.status_code
        if code in (200, 206):
            return
        if code == 416:  # the server's file is not longer than our part: another version
            self._drop_part()
        if code in (408, 416, 429) or code >= 500:
            raise _Retry(f"the server answered {code} {response.reason}")
        raise DataError(
            f"{url} answered {code} {response.reason}. Its owner may have moved it: see {self.page}"
        )

    def _agreed_start(self, response: requests.Response, start: int, version: dict) -> int:
        """The offset at which this response is written: `start` if the server resumes, else 0."""
        if response.status_code == 200:
            return 0
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        total = match and (None if match[2] == "*" else int(match[2]))
        if not match or int(match[1]) != start or (version["total"] or total) != total:
            self._drop_part()
            raise _Retry("the server sent a different part of the file from the one requested")
        return start

    def _receive(self, response: requests.Response, start: int) -> None:
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        if start == 0:
            self._drop_part()
            version = {"tag": _version_tag(response), "total": total}
            self.meta.write_text(json.dumps(version), encoding="utf-8")
        self._write(response, start, total)
        if total is not None and _size(self.part) != total:
            raise _Retry(f"{_size(self.part)} of {total} bytes arrived")

    def _write(self, response: requests.Response, start: int, total: int | None) -> None:
        bar = tqdm(
            total=total,
            initial=start,
            desc=self.archive.filename,
            unit="B",
            unit_scale=True,
            disable=not self.progress,
        )
        # Read the raw stream: some servers label a .tar.gz as gzip-encoded, and requests would then
        # decompress it, so that neither length nor checksum would match.
        with bar, open(self.part, "ab") as file:
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                file.write(chunk)
                bar.update(len(chunk))

    def _verify(self, url: str) -> None:
        """pooch also checks the hash, but its message would not show the hash that it got."""
        if self.archive.checksum is None:
            return
        algorithm, _, expected = self.archive.checksum.partition(":")
        got = pooch.file_hash(str(self.part), alg=algorithm)
        if got.lower() == expected.lower():
            return
        self._drop_part()
        raise DataError(
            f"{url} has the wrong checksum, and the download was deleted.\n"
            f"  expected: {algorithm}:{expected} (from {self.archive.source})\n"
            f"  got:      {algorithm}:{got}\n"
            "  Either the download was damaged in transit (run the command again), or the owner "
            f"has published another version (see {self.page})."
        )

    def _gave_up(self, url: str, error: Exception) -> str:
        kept = _size(self.part)
        return (
            f"Gave up on {url} after {self.tries} attempts in a row without a new byte: {error}. "
            f"{kept} bytes are kept in {self.part}; run the command again to continue, "
            f"or see {self.page}."
        )


def _headers(start: int, version: dict) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version["tag"]:
            headers["If-Range"] = version["tag"]
    return headers


def _version_tag(response: requests.Response) -> str | None:
    """A value for If-Range: a strong ETag, else the date of the last change."""
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


# --- unpacking ------------------------------------------------------------------------------


def unpack(file: Path, folder: Path, progress: bool = True) -> None:
    """Unpack a .tar file, compressed or not, into `folder`; tarfile's filter "data" keeps every member inside it.

    A member that would leave the folder (`..`, a link that points outside), a device, a pipe or a damaged
    archive raises a `DataError`. Files unpacked before that are kept, so use a temporary folder.
    """
    try:
        with tarfile.open(file) as tar:
            for member in tqdm(tar, desc=f"unpack {file.name}", unit="files", disable=not progress):
                tar.extract(member, folder, filter="data")
    except tarfile.FilterError as error:
        raise DataError(
            f"{file} was not unpacked: {error}. This is not the archive that the owner publishes; delete it."
        ) from error
    except (tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DataError(
            f"{file} cannot be unpacked: {error}. It is damaged or not a tar archive: "
            "delete it and run the command again."
        ) from error
