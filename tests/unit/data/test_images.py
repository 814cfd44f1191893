import base64
import io
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from lmm_r1_mega.data.images.decode import ImageBytes, ImageFile, ImageLimits, ImageRefused, load_image, locate_image, measure_image

OUTSIDE = [
    "../secret.png",
    "x/../../secret.png",
    "link.png",
    "linked/secret.png",
    ".",
    "/etc/passwd",
    "/proc/self/environ",
    "/dev/zero",
    "file:///etc/passwd",
    "file:///proc/self/../../etc/passwd",
    "file:///%65tc/passwd",
]
NO_PICTURES = [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"<svg/>", b"\x89PNG\r\n\x1a\n"]


@pytest.fixture
def limits(tmp_path) -> ImageLimits:
    folder = tmp_path / "data"
    folder.mkdir()
    return ImageLimits(folder=folder, roots=(), max_bytes=2**20, max_pixels=100 * 100)


def saved(limits: ImageLimits, image: Image.Image, name: str, **options) -> ImageFile:
    image.save(limits.folder / name, **options)
    return locate_image(name, limits)


def pixels(*values) -> Image.Image:
    """An image of one row."""
    return Image.fromarray(np.array([values], dtype=np.uint8))


@contextmanager
def calls_counted() -> Iterator[list[str]]:
    """Collects an entry per function call of the block: a measure of work that no other process changes."""
    calls: list[str] = []
    sys.setprofile(lambda frame, event, argument: calls.append(event) if event in ("call", "c_call") else None)
    try:
        yield calls
    finally:
        sys.setprofile(None)


class TestLocate:
    def test_every_spelling_of_a_path_means_the_same_file(self, limits):
        path = limits.folder / "a b.png"
        pixels([1, 2, 3]).save(path)
        expected = ImageFile(os.path.realpath(path))
        spellings = [
            "a b.png",
            "./a b.png",
            "../data/a b.png",
            str(path),
            f"file://{quote(str(path))}",
            f"file://localhost{quote(str(path))}",
        ]
        assert [locate_image(spelling, limits) for spelling in spellings] == [expected] * len(spellings)

    @pytest.mark.parametrize("reference", OUTSIDE)
    def test_nothing_outside_the_roots_is_found(self, limits, tmp_path, reference):
        pixels([1, 2, 3]).save(tmp_path / "secret.png")
        (limits.folder / "link.png").symlink_to(tmp_path / "secret.png")
        (limits.folder / "linked").symlink_to(tmp_path)
        with pytest.raises(ImageRefused, match="outside the folders that may be read"):
            locate_image(reference, limits)

    @pytest.mark.parametrize("reference", ["~/secret.png", "$HOME/secret.png", "%2e%2e/secret.png"])
    def test_nothing_is_expanded_in_a_path(self, limits, tmp_path, reference):
        pixels([1, 2, 3]).save(tmp_path / "secret.png")
        with pytest.raises(ImageRefused, match="cannot be opened: No such file"):
            measure_image(locate_image(reference, limits), limits)

    def test_a_folder_whose_name_only_begins_like_a_root_is_outside(self, limits, tmp_path):
        (tmp_path / "data2").mkdir()
        pixels([1, 2, 3]).save(tmp_path / "data2" / "x.png")
        with pytest.raises(ImageRefused, match="outside"):
            locate_image("../data2/x.png", limits)

    def test_declared_roots_are_read_and_links_into_them_followed(self, limits, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        pixels([1, 2, 3]).save(elsewhere / "x.png")
        (limits.folder / "link.png").symlink_to(elsewhere / "x.png")
        wider = ImageLimits(limits.folder, (elsewhere,), limits.max_bytes, limits.max_pixels)
        assert load_image(locate_image("link.png", wider), wider).getpixel((0, 0)) == (1, 2, 3)

    @pytest.mark.parametrize(
        ("reference", "message"),
        [
            ("https://example.org/x.png", "not fetched from URLs: download it, or list its host in data.url_hosts"),
            ("http://localhost/x.png", "not fetched from URLs"),
            ("s3://bucket/x.png", "not fetched from URLs"),
            ("file://host/x.png", "must read file:///absolute/path"),
            ("file:x.png", "needs an absolute path"),
            ("file:///x%00.png", "needs an absolute path"),
            ("data:image/png,abc", "must read data:image/TYPE;base64"),
            ("data:text/html;base64,AAAA", "must read data:image/TYPE;base64"),
            ("", "is empty"),
            ("a\0b", "letters that no path has"),
            ("\ud800.png", "letters that no path has"),
        ],
    )
    def test_what_is_no_local_image_is_refused_with_the_reason(self, limits, reference, message):
        with pytest.raises(ImageRefused, match=message):
            locate_image(reference, limits)

    def test_a_link_put_there_after_the_check_is_not_followed(self, limits, tmp_path):
        source = saved(limits, pixels([1, 2, 3]), "x.png")
        (tmp_path / "secret.png").write_bytes((limits.folder / "x.png").read_bytes())
        (limits.folder / "x.png").unlink()
        (limits.folder / "x.png").symlink_to(tmp_path / "secret.png")
        with pytest.raises(ImageRefused, match="has become a link"):
            load_image(source, limits)

    def test_pipes_and_folders_do_not_hang(self, limits):
        os.mkfifo(limits.folder / "pipe.png")
        (limits.folder / "folder.png").mkdir()
        for name in ("pipe.png", "folder.png"):
            with pytest.raises(ImageRefused, match="not a regular file"):
                measure_image(locate_image(name, limits), limits)

    def test_a_missing_file_says_so(self, limits):
        with pytest.raises(ImageRefused, match=r"gone.png cannot be opened: No such file"):
            measure_image(locate_image("gone.png", limits), limits)


class TestPixels:
    """Against values worked by hand."""

    def test_rgb_is_kept_and_loses_its_extras(self, limits):
        image = load_image(saved(limits, pixels([1, 2, 3], [4, 5, 6]), "x.png", dpi=(300, 300)), limits)
        assert (image.mode, image.size, image.info) == ("RGB", (2, 1), {})
        assert np.asarray(image).tolist() == [[[1, 2, 3], [4, 5, 6]]]

    def test_transparency_lies_on_white(self, limits):
        source = saved(limits, pixels([10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 51]), "x.png")
        assert np.asarray(load_image(source, limits)).tolist() == [[[255, 255, 255], [10, 20, 30], [204, 204, 204]]]

    def test_a_palette_with_a_transparent_colour(self, limits):
        image = Image.new("P", (2, 1))
        image.putpalette([9, 8, 7, 6, 5, 4])
        image.putdata([0, 1])
        source = saved(limits, image, "x.png", transparency=1)
        assert np.asarray(load_image(source, limits)).tolist() == [[[9, 8, 7], [255, 255, 255]]]

    def test_16_bit_grey_is_scaled_and_not_clipped(self, limits):
        image = Image.fromarray(np.array([[0, 257, 32896, 65535]], dtype=np.uint16))
        assert np.asarray(load_image(saved(limits, image, "x.png"), limits))[0, :, 0].tolist() == [0, 1, 128, 255]

    def test_one_bit(self, limits):
        image = Image.new("1", (2, 1))
        image.putpixel((1, 0), 1)
        assert np.asarray(load_image(saved(limits, image, "x.png"), limits)).tolist() == [[[0, 0, 0], [255, 255, 255]]]

    def test_cmyk(self, limits):
        image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
        image = load_image(saved(limits, image, "x.jpg", quality=100), limits)
        assert np.abs(np.asarray(image).astype(int) - [255, 0, 0]).max() <= 2

    def test_the_orientation_of_a_photograph_is_applied(self, limits):
        exif = Image.Exif()
        exif[0x0112] = 6  # shown after a turn by 90 degrees clockwise
        source = saved(limits, pixels([200, 0, 0], [0, 200, 0]), "x.png", exif=exif)
        assert np.asarray(load_image(source, limits)).tolist() == [[[200, 0, 0]], [[0, 200, 0]]]

    @pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
    def test_every_format(self, limits, form):
        source = saved(limits, Image.new("RGB", (16, 12), (0, 128, 0)), f"x.{form.lower()}")
        assert measure_image(source, limits).size == (16, 12)
        assert np.abs(np.asarray(load_image(source, limits)).astype(int) - [0, 128, 0]).max() <= 3

    def test_a_data_uri_is_the_same_picture_as_its_file(self, limits):
        buffer = io.BytesIO()
        pixels([1, 2, 3], [4, 5, 6]).save(buffer, "PNG")
        encoded = base64.b64encode(buffer.getvalue()).decode()
        source = locate_image(f"data:image/png;base64,{encoded[:20]}\n{encoded[20:]}", limits)
        assert isinstance(source, ImageBytes)
        assert measure_image(source, limits).size == (2, 1)
        assert np.asarray(load_image(source, limits)).tolist() == [[[1, 2, 3], [4, 5, 6]]]


class TestLimits:
    def test_bytes(self, limits):
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))
        source = saved(limits, noise, "x.png")
        narrow = ImageLimits(limits.folder, (), 1000, limits.max_pixels)
        with pytest.raises(ImageRefused, match=r"more than data.max_image_bytes 1000: shrink it, or raise the setting"):
            measure_image(source, narrow)
        with pytest.raises(ImageRefused, match=r"a data: URI has 1500 bytes, more than data.max_image_bytes 1000"):
            locate_image("data:image/png;base64," + "A" * 2000, narrow)

    def test_pixels_are_counted_before_decoding(self, limits):
        buffer = io.BytesIO()
        Image.new("1", (1, 1)).save(buffer, "PNG")
        header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + buffer.getvalue()[24:29]
        bomb = buffer.getvalue()[:12] + header + zlib.crc32(header).to_bytes(4, "big") + buffer.getvalue()[33:]
        (limits.folder / "bomb.png").write_bytes(bomb)
        with pytest.raises(ImageRefused, match=r"bomb.png .*exceeds limit"):
            measure_image(locate_image("bomb.png", limits), limits)

    def test_pixels_name_the_setting(self, limits):
        source = saved(limits, Image.new("RGB", (200, 51)), "x.png")
        with pytest.raises(ImageRefused, match=r"has 200 x 51 pixels, more than data.max_image_pixels 10000: shrink it"):
            measure_image(source, limits)


class TestBroken:
    @pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP"])
    def test_a_cut_file_is_found_by_its_measure_already(self, limits, form):
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
        source = saved(limits, noise, f"x.{form.lower()}")
        path = limits.folder / f"x.{form.lower()}"
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(ImageRefused, match="cannot be read as an image"):
            measure_image(source, limits)

    @pytest.mark.parametrize("content", NO_PICTURES)
    def test_what_is_no_picture_is_refused(self, limits, content):
        (limits.folder / "x.png").write_bytes(content)
        with pytest.raises(ImageRefused, match=r"x.png cannot be read as an image .*: save it again as one of PNG, JPEG"):
            measure_image(locate_image("x.png", limits), limits)

    def test_base64_with_foreign_letters_is_refused(self, limits):
        with pytest.raises(ImageRefused, match="not valid base64"):
            measure_image(locate_image("data:image/png;base64,@@@@", limits), limits)

    @pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
    def test_moving_images_are_refused(self, limits, form):
        frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "green")]
        source = saved(limits, frames[0], f"x.{form.lower()}", save_all=True, append_images=frames[1:])
        with pytest.raises(ImageRefused, match="animated or has several pages: keep one"):
            measure_image(source, limits)

    def test_the_frames_of_an_animation_are_not_counted(self, limits):
        """Counting them would take several calls for each of 400 000."""
        head = b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
        frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x00"
        (limits.folder / "x.gif").write_bytes(head + 400_000 * frame + b";")
        with pytest.raises(ImageRefused, match="animated or has several pages: keep one"), calls_counted() as calls:
            measure_image(locate_image("x.gif", limits), replace(limits, max_bytes=2**23))
        assert len(calls) < 10_000

    def test_a_long_reference_is_shown_by_its_ends(self, limits):
        with pytest.raises(ImageRefused, match=r"image /a{99}\.\.\.a{92}/end\.png lies outside"):
            locate_image(f"/{'a' * 5000}/end.png", limits)

    def test_samples_of_unknown_range_are_refused(self, limits):
        source = saved(limits, Image.fromarray(np.array([[0.5, 7.0]], dtype=np.float32)), "x.tiff")
        with pytest.raises(ImageRefused, match="32-bit samples"):
            load_image(source, limits)
