"""The only place that opens an image: references in rows to RGB images, within declared folders, hosts and limits."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import numpy as np
import xxhash
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, TiffImageFile

from lmm_r1_mega.data.formats.rows import is_encodable
from lmm_r1_mega.data.images.fetch import FetchRefused, allowed_origin, fetch

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_END_MARKS = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}
_DIGESTED_BYTES = 2**16  # at each end
_UNCOMPRESSED = ("BMP", "TIFF")
_DEEP_MODES = ("I", "F")
_DECODER_ERRORS = (  # what Pillow's readers raise on broken files
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class ImageRefused(ValueError):
    """A reference or a file that is not opened, or not as an image; the message says why and what to do."""


@dataclass(frozen=True)
class ImageLimits:
    """What may be read."""

    folder: Path
    """Folder of the data file: relative paths start here, and images below it may be read."""
    roots: tuple[Path, ...]
    """Further folders whose images may be read."""
    max_bytes: int
    max_pixels: int
    url_hosts: tuple[str, ...] = ()
    """Hosts that images may be fetched from, as `data.images.fetch` reads them."""


@dataclass(frozen=True)
class ImageFile:
    """An image on disk, its path without links and inside a root."""

    path: str


@dataclass(frozen=True)
class ImageBytes:
    """An image written into the row itself."""

    uri: str
    """The whole `data:` URI."""


@dataclass(frozen=True)
class ImageUrl:
    """An image on a host that is listed."""

    url: str


@dataclass(frozen=True)
class Measured:
    """What is known of an image that was not kept."""

    size: tuple[int, int]
    """Width and height."""
    digest: bytes
    """Of the file's size and bytes. Of a file above 128 KiB those at both ends count, so that a start does not read a whole data set: PNG
    ends in a checksum of all pixels, other compressed kinds change size or end with the pixels, and what is not compressed counts whole."""


ImageSource = ImageFile | ImageBytes | ImageUrl


def image_folder(file: Path) -> Path:
    """Where relative paths of a data file begin: its folder, or the saved folder itself."""
    return file.absolute() if file.is_dir() else file.absolute().parent


def locate_image(reference: str, limits: ImageLimits) -> ImageSource:
    """Find what a path, `file://` or `data:` reference means, without opening it.

    Raises: ImageRefused for URLs of hosts that are not listed, paths that leave every root (links followed) and malformed references.
    """
    if not reference or "\0" in reference or not is_encodable(reference):
        raise ImageRefused("the image reference is empty or has letters that no path has: give a path, file:// or data: URI")
    lowered = reference[:5].lower()
    if lowered == "data:":
        _check_data_uri(reference, limits)
        return ImageBytes(reference)
    if lowered == "file:":
        return ImageFile(_inside_roots(_file_uri_path(reference), limits))
    if "://" in reference or lowered == "http:" or reference[:6].lower() == "https:":
        return _listed_url(reference, limits)
    return ImageFile(_inside_roots(reference, limits))


def measure_image(source: ImageSource, limits: ImageLimits, *, decode: bool = False) -> Measured:
    """Size by the header, orientation not applied. A file whose end looks cut is decoded to be sure, with `decode` every one.

    Raises: ImageRefused if the file cannot be read as one still image within the limits.
    """
    with _opened(source, limits) as file, _decoder_errors(source):
        image = _open_header(file, source, limits)
        if decode or not _ends_whole(file, image.format):
            file.seek(0)
            _to_rgb(_open_header(file, source, limits))
        whole = isinstance(file, BytesIO) or image.format in _UNCOMPRESSED
        return Measured(image.size, _digest(file, whole=whole))


def load_image(source: ImageSource, limits: ImageLimits) -> Image.Image:
    """The image as RGB: EXIF orientation applied, transparency on white, 16-bit grey scaled to 8.

    Raises: ImageRefused if the file cannot be read as one still image within the limits.
    """
    return decode_image(read_image(source, limits), source, limits)


def read_image(source: ImageSource, limits: ImageLimits) -> bytes:
    """The whole file, not yet looked into.

    Raises: ImageRefused if it cannot be read, or has too many bytes.
    """
    with _opened(source, limits) as file:
        content = file.read(limits.max_bytes + 1)
    if len(content) > limits.max_bytes:  # it has grown since its size was asked for
        raise ImageRefused(_too_many_bytes(_name(source), len(content), limits))
    return content


def decode_image(content: bytes, source: ImageSource, limits: ImageLimits) -> Image.Image:
    """What `load_image` gives for the `content` that `read_image` has read."""
    with _decoder_errors(source):
        image = _to_rgb(_open_header(BytesIO(content), source, limits))
    image.info = {}  # colour profiles and EXIF are nobody's business any more
    return image


def _check_data_uri(reference: str, limits: ImageLimits) -> None:
    header, comma, encoded = reference.partition(",")
    if not comma or not header.lower().endswith(";base64") or not header.lower().startswith("data:image/"):
        raise ImageRefused(f"image {_short(reference)}: a data: URI must read data:image/TYPE;base64,...")
    if len(encoded) * 3 // 4 > limits.max_bytes + 3:
        raise ImageRefused(_too_many_bytes("a data: URI", len(encoded) * 3 // 4, limits))


def _listed_url(reference: str, limits: ImageLimits) -> ImageUrl:
    if not limits.url_hosts:
        raise ImageRefused(f"image {_short(reference)}: images are not fetched from URLs: download it, or list its host in data.url_hosts")
    try:
        allowed_origin(reference, limits.url_hosts)
    except FetchRefused as refusal:
        raise ImageRefused(f"image {_short(reference)}: {refusal}") from refusal
    return ImageUrl(reference)


def _file_uri_path(reference: str) -> str:
    malformed = ImageRefused(f"image {_short(reference)}: a file:// URI must read file:///absolute/path, special characters as %XX")
    try:
        parts = urlsplit(reference)
    except ValueError as error:  # half of an IPv6 address, letters that look like a slash
        raise malformed from error
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise malformed
    path = unquote(parts.path)
    if not path.startswith("/") or "\0" in path:
        raise ImageRefused(f"image {_short(reference)}: a file:// URI needs an absolute path")
    return path


def _inside_roots(path: str, limits: ImageLimits) -> str:
    """The path without links, if it lies below a root."""
    real = os.path.realpath(limits.folder / path)
    roots = [os.path.realpath(root) for root in (limits.folder, *limits.roots)]
    if not any(real.startswith(root.rstrip("/") + "/") for root in roots):
        raise ImageRefused(
            f"image {_short(path)} lies outside the folders that may be read ({', '.join(roots)}): add its folder to data.image_roots"
        )
    return real


@contextlib.contextmanager
def _opened(source: ImageSource, limits: ImageLimits) -> Iterator[BinaryIO]:
    """The image's bytes as a file, their number checked."""
    if isinstance(source, ImageBytes):
        yield BytesIO(_decoded(source))
        return
    if isinstance(source, ImageUrl):
        yield BytesIO(_fetched(source, limits))
        return
    with _open_regular(source) as file:
        num_bytes = os.fstat(file.fileno()).st_size
        if num_bytes > limits.max_bytes:
            raise ImageRefused(_too_many_bytes(_name(source), num_bytes, limits))
        yield file


def _decoded(source: ImageBytes) -> bytes:
    try:
        return base64.b64decode("".join(source.uri.partition(",")[2].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageRefused(f"{_name(source)} is not valid base64 ({error}): encode it again") from error


def _fetched(source: ImageUrl, limits: ImageLimits) -> bytes:
    try:
        return fetch(source.url, limits.url_hosts, max_bytes=limits.max_bytes)
    except FetchRefused as refusal:
        raise ImageRefused(f"{_name(source)}: {refusal}") from refusal


def _open_regular(source: ImageFile) -> BinaryIO:
    """Open without following a link put there since the path was checked, and without waiting on a pipe or device."""
    if os.path.realpath(source.path) != source.path:
        raise ImageRefused(f"{_name(source)} has become a link: links may not change during a run")
    try:
        descriptor = os.open(source.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ImageRefused(f"{_name(source)} cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ImageRefused(f"{_name(source)} is not a regular file: give the path of an image")
    return os.fdopen(descriptor, "rb")


@contextlib.contextmanager
def _decoder_errors(source: ImageSource) -> Iterator[None]:
    try:
        yield
    except ImageRefused:
        raise
    except _DECODER_ERRORS as error:
        kinds = ", ".join(_FORMATS)
        raise ImageRefused(
            f"{_name(source)} cannot be read as an image ({str(error) or type(error).__name__}): save it again as one of {kinds}"
        ) from error


def _open_header(file: BinaryIO, source: ImageSource, limits: ImageLimits) -> Image.Image:
    image = Image.open(file, formats=_FORMATS)
    width, height = image.size
    if width * height == 0:
        raise ImageRefused(f"{_name(source)} is empty ({width} x {height} pixels)")
    if width * height > limits.max_pixels:
        limit = f"data.max_image_pixels {limits.max_pixels}"
        raise ImageRefused(f"{_name(source)} has {width} x {height} pixels, more than {limit}: shrink it, or raise the setting")
    if image.format not in ("JPEG", "MPO") and getattr(image, "is_animated", False):  # an MPO is a photograph with its preview
        raise ImageRefused(f"{_name(source)} is animated or has several pages: keep one")
    if image.mode in _DEEP_MODES:
        raise ImageRefused(f"{_name(source)} has 32-bit samples (mode {image.mode}), whose range is unknown: save it with 8 bits")
    return image


def _digest(file: BinaryIO, *, whole: bool) -> bytes:
    size = file.seek(0, os.SEEK_END)
    digest = xxhash.xxh3_128(size.to_bytes(8, "little"))
    num_bytes = size if whole else _DIGESTED_BYTES
    for start in (0, max(num_bytes, size - num_bytes)):
        file.seek(start)
        digest.update(file.read(num_bytes))
    return digest.digest()


def _ends_whole(file: BinaryIO, image_format: str | None) -> bool:
    """Whether the file's last bytes prove that it was not cut; False if the format has no such mark."""
    mark = _END_MARKS.get(image_format or "")
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - 32))
    return mark is not None and mark in file.read()


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        upright = _eight_bits(upright, clear=image.info.get("transparency"), inverted=_zero_is_white(image))
    if upright.has_transparency_data:
        layers = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")
    return upright.convert("RGB")


def _eight_bits(image: Image.Image, *, clear: int | None, inverted: bool) -> Image.Image:
    """16-bit grey scaled to 8, its transparent value white; Pillow 13 does neither, nor does it turn an inverted scale around."""
    samples = np.asarray(image).astype(np.uint32)
    if inverted:
        samples = 65535 - samples
    if clear is not None:
        samples[samples == clear] = 65535
    return Image.fromarray(((samples + 128) // 257).astype(np.uint8))


def _zero_is_white(image: Image.Image) -> bool:
    return isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0


def _too_many_bytes(name: str, num_bytes: int, limits: ImageLimits) -> str:
    return f"{name} has {num_bytes} bytes, more than data.max_image_bytes {limits.max_bytes}: shrink it, or raise the setting"


def _name(source: ImageSource) -> str:
    if isinstance(source, ImageBytes):
        return f"image {source.uri[:40]}..."
    return f"image {_short(source.path if isinstance(source, ImageFile) else source.url)}"


def _short(reference: str) -> str:
    return reference if len(reference) <= 240 else f"{reference[:100]}...{reference[-100:]}"
