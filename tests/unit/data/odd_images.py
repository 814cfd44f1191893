"""Files of unusual images, written byte by byte or with Pillow's writers, and the pixels that they stand for, worked out apart."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

WHITE, RED, BLUE = (255, 255, 255), (255, 0, 0), (0, 0, 255)
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True)
class Odd:
    """A file, and its pixels or why it is refused."""

    name: str
    content: bytes
    pixels: np.ndarray | None = None
    tolerance: int = 0
    refusal: str = ""


# PNG, by hand


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, *, before: bytes = b"", after: bytes = b"", interlace: int = 0
) -> bytes:
    """`rows` are packed samples, each row after its filter byte."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(rows)) + after + chunk(b"IEND", b"")


def row(*samples: int, size: str = "B") -> bytes:
    return b"\0" + struct.pack(f">{len(samples)}{size}", *samples)


def grey(*values: int) -> np.ndarray:
    return np.array([[[value] * 3 for value in values]])


def colours(*values: tuple[int, int, int]) -> np.ndarray:
    return np.array([values])


def on_white(colour: int, alpha: int, full: int = 255) -> int:
    return round((colour * alpha + 255 * (full - alpha)) / full)


def interlaced(image: np.ndarray) -> bytes:
    passes = [image[y::dy, x::dx] for x, y, dx, dy in ADAM7]
    rows = b"".join(b"\0" + line.tobytes() for part in passes if part.size for line in part)
    return png(image.shape[1], image.shape[0], 8, 2, rows, interlace=1)


def pngs() -> list[Odd]:
    noise = np.random.default_rng(0).integers(0, 256, (11, 13, 3), dtype=np.uint8)
    palette = chunk(b"PLTE", bytes([9, 8, 7, 6, 5, 4, 200, 100, 0, 1, 2, 3]))
    four = colours((9, 8, 7), (6, 5, 4), (200, 100, 0), (1, 2, 3))
    clear = [*colours(WHITE)[0], [on_white(6, 51), on_white(5, 51), on_white(4, 51)], (200, 100, 0), (1, 2, 3)]
    return [
        Odd("grey of 1 bit", png(4, 1, 1, 0, row(0b01010000)), grey(0, 255, 0, 255)),
        Odd("grey of 2 bits", png(4, 1, 2, 0, row(0b00011011)), grey(0, 85, 170, 255)),
        Odd("grey of 4 bits", png(3, 1, 4, 0, row(0x08, 0xF0)), grey(0, 136, 255)),
        Odd("grey of 16 bits", png(4, 1, 16, 0, row(0, 257, 32896, 65535, size="H")), grey(0, 1, 128, 255)),
        Odd("colours of 16 bits", png(1, 1, 16, 2, row(0, 32896, 65535, size="H")), colours((0, 128, 255))),
        Odd("palette of 1 bit", png(2, 1, 1, 3, row(0b01000000), before=palette), four[:, :2]),
        Odd("palette of 2 bits", png(4, 1, 2, 3, row(0b00011011), before=palette), four),
        Odd("palette of 4 bits", png(4, 1, 4, 3, row(0x01, 0x23), before=palette), four),
        Odd("palette of 8 bits", png(4, 1, 8, 3, row(0, 1, 2, 3), before=palette), four),
        Odd("palette with alpha", png(4, 1, 8, 3, row(0, 1, 2, 3), before=palette + chunk(b"tRNS", b"\x00\x33")), np.array([clear])),
        Odd("grey with a clear one", png(3, 1, 8, 0, row(7, 8, 9), before=chunk(b"tRNS", b"\0\x08")), grey(7, 255, 9)),
        Odd("grey bits with a clear one", png(2, 1, 1, 0, row(0b01000000), before=chunk(b"tRNS", b"\0\0")), grey(255, 255)),
        Odd(
            "colours with a clear one",
            png(2, 1, 8, 2, row(1, 2, 3, 4, 5, 6), before=chunk(b"tRNS", b"\0\1\0\2\0\3")),
            colours(WHITE, (4, 5, 6)),
        ),
        Odd("deep grey with a clear one", png(2, 1, 16, 0, row(514, 515, size="H"), before=chunk(b"tRNS", b"\2\2")), grey(255, 2)),
        Odd(
            "deep colours with a clear one",
            png(2, 1, 16, 2, row(257, 514, 771, 1028, 1285, 1542, size="H"), before=chunk(b"tRNS", b"\1\1\2\2\3\3")),
            colours(WHITE, (4, 5, 6)),
        ),
        Odd("grey and alpha", png(3, 1, 8, 4, row(10, 0, 10, 255, 0, 51)), grey(255, 10, on_white(0, 51))),
        Odd("grey and alpha of 16 bits", png(2, 1, 16, 4, row(2570, 0, 2570, 65535, size="H")), grey(255, 10)),
        Odd("colours and alpha", png(2, 1, 8, 6, row(1, 2, 3, 0, 10, 20, 30, 255)), colours(WHITE, (10, 20, 30))),
        Odd("colours and alpha of 16 bits", png(1, 1, 16, 6, row(257, 514, 771, 65535, size="H")), colours((1, 2, 3))),
        Odd("interlaced", interlaced(noise), noise),
        Odd("one pixel", png(1, 1, 8, 2, row(1, 2, 3)), colours((1, 2, 3))),
        Odd("gamma is not applied", png(1, 1, 8, 0, row(100), before=chunk(b"gAMA", struct.pack(">I", 22727))), grey(100)),
        Odd("an unknown chunk", png(1, 1, 8, 0, row(100), before=chunk(b"prIv", b"\0" * 99)), grey(100)),
        Odd("one frame of an animation", png(1, 1, 8, 0, row(100), before=one_frame()), grey(100)),
        Odd("fewer rows than it says: the rest is black", png(1, 3, 8, 0, row(100)), np.array([[[100] * 3], [[0] * 3], [[0] * 3]])),
        Odd("pixels without end", png(1, 1, 8, 0, row(100) + bytes(10**7)), grey(100)),
    ]


def one_frame() -> bytes:
    control = struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 1, 0, 0)
    return chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(b"fcTL", control)


def bad_pngs() -> list[Odd]:
    good = png(4, 1, 8, 2, row(*range(12)))
    inside = good.index(b"IDAT") + 6
    frames = io.BytesIO()
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE))
    red.save(frames, "PNG", save_all=True, append_images=[blue])
    unreadable = "cannot be read as an image"
    bomb = zlib.compress(bytes(80 * 2**20), 9)
    return [
        Odd("nothing but a signature", good[:8], refusal=unreadable),
        Odd("nothing but a header", good[:33], refusal=unreadable),
        Odd("cut inside its pixels", good[:inside], refusal=unreadable),
        Odd("no pixels", good[:33] + chunk(b"IEND", b""), refusal=unreadable),
        Odd("a wrong check sum", good[:inside] + bytes([good[inside] ^ 1]) + good[inside + 1 :], refusal=unreadable),
        Odd("no width", png(0, 1, 8, 2, b"\0"), refusal="cannot be read|is empty"),
        Odd("an unknown colour type", png(1, 1, 8, 5, row(1)), refusal=unreadable),
        Odd("a giant", png(60_000, 60_000, 1, 0, b""), refusal="exceeds limit|more than data.max_image_pixels"),
        Odd("negative sizes", png(2**32 - 1, 2**32 - 1, 8, 0, b""), refusal="exceeds limit|more than data.max_image_pixels|cannot be read"),
        Odd("a bomb of text", png(1, 1, 8, 0, row(1), before=chunk(b"zTXt", b"k\0\0" + bomb)), refusal=unreadable),
        Odd("a bomb of text at the end", png(1, 1, 8, 0, row(1), after=chunk(b"zTXt", b"k\0\0" + bomb)), refusal=unreadable),
        Odd("an international bomb", png(1, 1, 8, 0, row(1), before=chunk(b"iTXt", b"k\0\1\0\0\0" + bomb)), refusal=unreadable),
        Odd("a bomb of a profile", png(1, 1, 8, 0, row(1), before=chunk(b"iCCP", b"k\0\0" + bomb)), refusal=unreadable),
        Odd(
            "many bombs", png(1, 1, 8, 0, row(1), before=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**20), 9)) * 99), refusal=unreadable
        ),
        Odd("an animation", frames.getvalue(), refusal="animated or has several pages"),
    ]


# the eight orientations of a photograph


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """What a viewer shows (EXIF 2.3, tag 0x0112), in terms of rows and columns."""
    shown = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.swapaxes(0, 1),
        6: image[::-1].swapaxes(0, 1),
        7: image[::-1, ::-1].swapaxes(0, 1),
        8: image[:, ::-1].swapaxes(0, 1),
    }
    return shown.get(orientation, image)


def photographs() -> list[Odd]:
    quarters = np.array([[RED, BLUE], [WHITE, (0, 0, 0)], [(0, 255, 0), (90, 90, 90)]], dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    odd = []
    for form, tolerance in (("JPEG", 4), ("PNG", 0), ("WEBP", 0), ("TIFF", 0)):
        for orientation in (1, 2, 3, 4, 5, 6, 7, 8, 0, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            options = {"quality": 100, "subsampling": 0} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
            content = saved(Image.fromarray(quarters), form, exif=exif, **options)
            odd.append(Odd(f"{form} shown by orientation {orientation}", content, turned(quarters, orientation), tolerance))
    return odd


# formats whose writers Pillow has


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def flat(colour: tuple[int, ...], mode: str = "RGB", size: tuple[int, int] = (16, 8)) -> Image.Image:
    return Image.new(mode, size, colour)


def field(colour: tuple[int, int, int], size: tuple[int, int] = (16, 8)) -> np.ndarray:
    return np.broadcast_to(np.array(colour), (size[1], size[0], 3))


def ycck(luma: int, blue: int, red: int, black: int) -> tuple[bytes, tuple[int, int, int]]:
    """A JPEG whose four components are these, declared as YCCK by Adobe's mark, and its colour.

    Adobe stores 255 - ink, and the transform is of 255 minus that: luma and chroma are those of the inks, the fourth is 255 - black.
    """
    stored = saved(flat((255 - luma, 255 - blue, 255 - red, 255 - black), "CMYK"), "JPEG", quality=100, subsampling=0)
    mark = stored.index(b"Adobe") + 11
    content = stored[:mark] + b"\2" + stored[mark + 1 :]
    inks = (luma + 1.402 * (red - 128), luma - 0.344136 * (blue - 128) - 0.714136 * (red - 128), luma + 1.772 * (blue - 128))
    return content, tuple(round((255 - ink) * black / 255) for ink in inks)


def jpegs() -> list[Odd]:
    mild = (200, 120, 40)
    plain = saved(flat(mild), "JPEG", quality=100)
    noisy = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)), "JPEG")
    content, colour = ycck(100, 90, 160, 200)
    size_at = plain.index(b"\xff\xc0") + 5
    unreadable = "cannot be read as an image"
    return [
        Odd("JPEG, progressive", saved(flat(mild), "JPEG", progressive=True, quality=100), field(mild), 3),
        Odd("JPEG, half the chroma", saved(flat(mild), "JPEG", subsampling="4:2:0", quality=100), field(mild), 3),
        Odd("JPEG, red, green, blue", saved(flat(mild), "JPEG", keep_rgb=True, quality=100), field(mild), 3),
        Odd("JPEG, grey", saved(flat(77, "L"), "JPEG", quality=100), field((77,) * 3), 1),
        Odd("JPEG, inks", saved(flat((0, 255, 255, 0), "CMYK"), "JPEG", quality=100), field(RED), 2),
        Odd("JPEG, inks and black", saved(flat((51, 0, 0, 51), "CMYK"), "JPEG", quality=100), field((163, 204, 204)), 2),
        Odd("JPEG, inks by luma and chroma", content, field(colour), 4),
        Odd("JPEG, restart marks", saved(flat(mild, size=(64, 8)), "JPEG", restart_marker_blocks=1, quality=100), field(mild, (64, 8)), 3),
        Odd("JPEG, words behind it", plain + b"<html><script>alert(1)</script>" * 9, field(mild), 3),
        Odd("JPEG, long comment", saved(flat(mild), "JPEG", comment=b"x" * 60_000, quality=100), field(mild), 3),
        Odd("JPEG, nonsense for EXIF", plain[:2] + b"\xff\xe1\0\x10Exif\0\0nonsense" + plain[2:], field(mild), 3),
        Odd("JPEG, cut", noisy[: len(noisy) // 2], refusal=unreadable),
        Odd("JPEG, header only", plain[: plain.index(b"\xff\xda")], refusal=unreadable),
        Odd("JPEG, giant", plain[:size_at] + b"\xff\xff\xff\xff" + plain[size_at + 4 :], refusal="exceeds limit|max_image_pixels"),
        Odd("JPEG, no height", plain[:size_at] + b"\0\0" + plain[size_at + 2 :], refusal=f"{unreadable}|is empty"),
    ]


def others() -> list[Odd]:
    mild = (200, 120, 40)
    two = [flat(RED), flat(BLUE)]
    moving = "animated or has several pages"
    clear_gif = Image.new("P", (16, 8), 1)
    clear_gif.putpalette([9, 8, 7, 6, 5, 4])
    glass = flat((200, 100, 0, 51), "RGBA")
    glass_pixels = field(tuple(on_white(part, 51) for part in (200, 100, 0)))
    pile = {"save_all": True, "append_images": two[1:]}
    gif, webp = saved(flat(RED), "GIF"), saved(flat(mild), "WEBP", lossless=True)
    giant_webp = webp.replace(webp[20:25], b"\x2f\xff\xff\xff\x0f", 1)
    return [
        Odd("GIF", gif, field(RED)),
        Odd("GIF, not interlaced", saved(flat(BLUE), "GIF", interlace=0), field(BLUE)),
        Odd("GIF, clear", saved(clear_gif, "GIF", transparency=1), field(WHITE)),
        Odd("GIF, moving", saved(two[0], "GIF", **pile), refusal=moving),
        Odd("GIF, giant", gif[:6] + b"\xff\xff\xff\xff" + gif[10:], refusal="exceeds limit|max_image_pixels"),
        Odd("GIF, cut", gif[:20], refusal="cannot be read as an image"),
        Odd("GIF and script", gif + b"*/=1;alert(1)//", field(RED)),
        Odd("WEBP without loss", webp, field(mild)),
        Odd("WEBP with loss", saved(flat(mild), "WEBP", quality=100), field(mild), 6),
        Odd("WEBP, clear", saved(glass, "WEBP", lossless=True), glass_pixels, 1),
        Odd("WEBP, moving", saved(two[0], "WEBP", **pile), refusal=moving),
        Odd("WEBP, cut", webp[:-4], refusal="cannot be read as an image"),
        Odd("WEBP, giant", giant_webp, refusal="exceeds limit|max_image_pixels|cannot be read"),
        Odd(
            "many photographs in one, the first shown",
            saved(flat(mild), "MPO", save_all=True, append_images=two[1:], quality=100),
            field(mild),
            3,
        ),
        Odd("no bytes", b"", refusal="cannot be read"),
        Odd("zeros", bytes(4096), refusal="cannot be read"),
        Odd("text", b"this is no image\n", refusal="cannot be read"),
        Odd("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", refusal="cannot be read"),
        Odd("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", refusal="cannot be read"),
        Odd("PDF", saved(flat(mild), "PDF"), refusal="cannot be read"),
        Odd("icon", saved(flat(mild, size=(16, 16)), "ICO", sizes=[(16, 16)]), refusal="cannot be read"),
        Odd("portable pixels", saved(flat(mild), "PPM"), refusal="cannot be read"),
        Odd("targa", saved(flat(mild), "TGA"), refusal="cannot be read"),
        Odd("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64), refusal="cannot be read"),
        Odd("archive with an image's name", b"PK\3\4" + bytes(100), refusal="cannot be read"),
        Odd("image and archive", png(1, 1, 8, 2, row(1, 2, 3)) + b"PK\5\6" + bytes(18), colours((1, 2, 3))),
    ]


def bmp(width: int, height: int, bits: int, body: bytes, *, compression: int = 0, palette: bytes = b"") -> bytes:
    start = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 0, 0, 0 if bits > 8 else len(palette) // 4, 0)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + palette + body


def bmps() -> list[Odd]:
    two = bytes([30, 20, 10, 0, 60, 50, 40, 0])  # blue, green, red, nothing
    pair = colours((10, 20, 30), (40, 50, 60))
    words = struct.pack("<HH", 0b1111100000000000, 0b0000011111111111)
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    return [
        Odd("BMP of 1 bit", bmp(2, 1, 1, b"\x40\0\0\0", palette=two), pair),
        Odd("BMP of 4 bits", bmp(2, 1, 4, b"\x01\0\0\0", palette=two), pair),
        Odd("BMP of 8 bits", bmp(2, 1, 8, b"\0\1\0\0", palette=two), pair),
        Odd("BMP of runs", bmp(2, 1, 8, b"\1\0\1\1\0\1", compression=1, palette=two), pair),
        Odd("BMP of 24 bits", bmp(2, 1, 24, bytes([30, 20, 10, 60, 50, 40, 0, 0])), pair),
        Odd("BMP of 32 bits", bmp(2, 1, 32, bytes([30, 20, 10, 0, 60, 50, 40, 0])), pair),
        Odd("BMP of 5, 6 and 5 bits", bmp(2, 1, 16, words, compression=3, palette=masks), colours(RED, (0, 255, 255))),
        Odd("BMP from its bottom", bmp(1, 2, 24, bytes([30, 20, 10, 0, 60, 50, 40, 0])), pair.swapaxes(0, 1)[::-1]),
        Odd("BMP from its top", bmp(1, -2, 24, bytes([30, 20, 10, 0, 60, 50, 40, 0])), pair.swapaxes(0, 1)),
        Odd("BMP, cut", bmp(9, 9, 24, bytes(20)), refusal="cannot be read"),
        Odd("BMP, giant", bmp(2**30, 2**30, 24, bytes(20)), refusal="exceeds limit|max_image_pixels"),
    ]


def tiff(image: np.ndarray, bits: int, photometric: int, *, order: str = "<") -> bytes:
    """One strip, not compressed, samples as they are in `image`."""
    height, width, samples = image.shape
    pixels = image.astype(f"{order}u{bits // 8}").tobytes()
    depths = struct.pack(f"{order}{samples}H", *[bits] * samples)
    entries = 8
    pixels_at = 8 + 2 + 12 * entries + 4
    depths_at = pixels_at + len(pixels)

    def entry(tag: int, kind: int, value: int, count: int = 1) -> bytes:
        if kind == 3 and count == 1:
            return struct.pack(f"{order}HHIHH", tag, kind, count, value, 0)
        return struct.pack(f"{order}HHII", tag, kind, count, value)

    depth = entry(258, 3, bits) if samples == 1 else entry(258, 3, depths_at, samples)
    tags = [entry(256, 4, width), entry(257, 4, height), depth, entry(259, 3, 1), entry(262, 3, photometric)]
    tags += [entry(273, 4, pixels_at), entry(277, 3, samples), entry(279, 4, len(pixels))]
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(f"{order}HIH", 42, 8, entries) + b"".join(tags) + bytes(4) + pixels + depths


def tiffs() -> list[Odd]:
    noise = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    deep = np.array([[[0], [257], [32896], [65535]]])
    bits = Image.fromarray(noise[..., 0] > 127)
    bits_pixels = np.where(noise[..., :1] > 127, 255, 0).repeat(3, 2)
    glass = flat((200, 100, 0, 51), "RGBA")
    glass_pixels = field(tuple(on_white(part, 51) for part in (200, 100, 0)))
    unreadable = "cannot be read as an image"
    whole = tiff(noise, 8, 2)
    return [
        Odd("TIFF", whole, noise),
        Odd("TIFF, big end first", tiff(noise, 8, 2, order=">"), noise),
        Odd("TIFF, LZW", saved(image, "TIFF", compression="tiff_lzw"), noise),
        Odd("TIFF, deflate", saved(image, "TIFF", compression="tiff_adobe_deflate"), noise),
        Odd("TIFF, pack bits", saved(image, "TIFF", compression="packbits"), noise),
        Odd("TIFF, fax", saved(bits, "TIFF", compression="group4"), bits_pixels),
        Odd("TIFF, 1 bit", saved(bits, "TIFF"), bits_pixels),
        Odd("TIFF, JPEG inside", saved(flat((200, 120, 40)), "TIFF", compression="jpeg", quality=100), field((200, 120, 40)), 3),
        Odd("TIFF, inks", saved(flat((0, 255, 255, 0), "CMYK"), "TIFF"), field(RED)),
        Odd("TIFF, clear", saved(glass, "TIFF"), glass_pixels, 1),
        Odd("TIFF, grey, 0 is white", tiff(noise[..., :1], 8, 0), (255 - noise[..., :1].astype(int)).repeat(3, 2)),
        Odd("TIFF, grey of 16 bits", tiff(deep, 16, 1), grey(0, 1, 128, 255)),
        Odd("TIFF, grey of 16 bits, big end first", tiff(deep, 16, 1, order=">"), grey(0, 1, 128, 255)),
        Odd("TIFF, grey of 16 bits, 0 is white", tiff(deep, 16, 0), grey(255, 254, 127, 0)),
        Odd("TIFF, colours of 16 bits", tiff(deep.reshape(1, 4, 1).repeat(3, 2), 16, 2), grey(0, 1, 128, 255), 1),
        Odd("TIFF, fractions", saved(Image.fromarray(np.array([[0.5, 7.0]], dtype=np.float32)), "TIFF"), refusal="32-bit samples"),
        Odd("TIFF, 32 bits", saved(Image.fromarray(np.array([[5, 70000]], dtype=np.int32)), "TIFF"), refusal="32-bit samples"),
        Odd("TIFF, lightness and opponents", saved(flat((128, 128, 128), "LAB"), "TIFF"), field((119, 119, 119)), 2),  # L* = 50.2
        Odd("TIFF, two pages", saved(image, "TIFF", save_all=True, append_images=[image]), refusal="animated or has several pages"),
        Odd("TIFF, cut", whole[:150], refusal=unreadable),
        Odd(
            "TIFF, giant",
            whole.replace(struct.pack("<HHII", 256, 4, 1, 16), struct.pack("<HHII", 256, 4, 1, 2**31)),
            refusal="exceeds|max_image_pixels",
        ),
        Odd("TIFF, pages in a circle", whole[:106] + struct.pack("<I", 8) + whole[110:], noise, refusal="animated|cannot"),
    ]


def all_odd() -> list[Odd]:
    return [*pngs(), *bad_pngs(), *photographs(), *jpegs(), *others(), *bmps(), *tiffs()]
