"""Image files of every kind that cameras and editors write, and an independent decoder of them."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WIDTH, HEIGHT = 83, 66
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""Colour types of PNG."""

ORIENTATION_TAG = 0x0112


def encode_png(
    values: np.ndarray, bits: int, color_type: int, palette: bytes = b'', transparency: bytes = b''
) -> bytes:
    """Return a PNG of (H, W) or (H, W, C) values, each below 2 ** bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    height, width = values.shape[:2]
    rows = values.reshape(height, -1)
    if bits == 16:
        packed = [row.astype('>u2').tobytes() for row in rows]
    else:
        places = np.arange(bits - 1, -1, -1)
        packed = [np.packbits((row[:, None] >> places) & 1).tobytes() for row in rows]
    header = struct.pack('>IIBBBBB', width, height, bits, color_type, 0, 0, 0)
    chunks = [chunk(b'IHDR', header)]
    chunks += [chunk(b'PLTE', palette)] if palette else []
    chunks += [chunk(b'tRNS', transparency)] if transparency else []
    chunks += [chunk(b'IDAT', zlib.compress(b''.join(b'\0' + row for row in packed))), chunk(b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)


@dataclass(frozen=True)
class Kind:
    """One kind of image file.

    Attributes:
        name: for test ids.
        suffix: of the file.
        lossy: whether decoders may differ by a few grey levels.
    """

    name: str
    suffix: str
    lossy: bool = False
    mode: str = 'RGB'
    bits: int = 8
    color_type: int | None = None
    orientation: int = 1

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_bytes(self.encode())

    def encode(self) -> bytes:
        """Return the content of the file."""
        if self.color_type is not None:
            return self._encode_png()
        import io

        from PIL import Image

        image = Image.fromarray(smooth_image()).convert(self.mode)
        file = io.BytesIO()
        options: dict[str, object] = {}
        if self.orientation != 1:
            exif = image.getexif()
            exif[ORIENTATION_TAG] = self.orientation
            options['exif'] = exif
        if self.suffix.lower() == '.webp':
            options['lossless'] = not self.lossy
        if self.lossy:
            options['quality'] = 95
        image.save(file, Image.registered_extensions()[self.suffix.lower()], **options)
        return file.getvalue()

    def _encode_png(self) -> bytes:
        channels = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}[self.color_type]
        image = np.dstack([smooth_image(), smooth_image()[..., 0]])[..., :channels].squeeze()
        if self.color_type == PALETTE:
            colors = np.random.default_rng(1).integers(0, 256, (2**self.bits, 3), np.uint8)
            return encode_png(image >> (8 - self.bits), self.bits, PALETTE, colors.tobytes(), bytes([0, 128]))
        scaled = image.astype(int) * 257 + 100 if self.bits == 16 else image >> (8 - self.bits)
        return encode_png(scaled.clip(0, 2**self.bits - 1), self.bits, self.color_type)


def smooth_image() -> np.ndarray:
    """Return (H, W, 3) uint8 RGB of smooth colours without any symmetry, which lossy formats keep nearly."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 3, y * 3 + x // 4, 250 - x - y], axis=-1).astype(np.uint8)


KINDS = (
    *(Kind(f'orientation {n}', '.jpg', True, orientation=n) for n in range(1, 9)),
    *(Kind(f'PNG orientation {n}', '.png', orientation=n) for n in (3, 6)),
    *(Kind(f'WebP orientation {n}', '.webp', orientation=n) for n in (3, 8)),
    *(Kind(f'TIFF orientation {n}', '.tif', orientation=n) for n in (3, 6)),
    *(Kind(suffix, suffix) for suffix in ('.png', '.PNG', '.bmp', '.webp', '.tif', '.TIFF', '.ppm')),
    *(Kind(suffix, suffix, True) for suffix in ('.jpg', '.JPG', '.jpeg', '.jfif')),
    Kind('lossy WebP', '.webp', True),
    Kind('grey PGM', '.pgm', mode='L'),
    Kind('grey JPEG', '.jpg', True, mode='L'),
    Kind('1-bit TIFF', '.tif', mode='1'),
    Kind('palette BMP', '.bmp', mode='P'),
    Kind('RGBA TIFF', '.tif', mode='RGBA'),
    *(Kind(f'{bits}-bit grey PNG', '.png', bits=bits, color_type=GREY) for bits in (1, 2, 4, 8, 16)),
    *(Kind(f'{bits}-bit palette PNG', '.png', bits=bits, color_type=PALETTE) for bits in (1, 2, 4, 8)),
    *(Kind(f'{bits}-bit RGB PNG', '.png', bits=bits, color_type=RGB) for bits in (8, 16)),
    *(Kind(f'{bits}-bit grey and alpha PNG', '.png', bits=bits, color_type=GREY_ALPHA) for bits in (8, 16)),
    *(Kind(f'{bits}-bit RGBA PNG', '.png', bits=bits, color_type=RGBA) for bits in (8, 16)),
)
"""Kinds of image files that differ in depth, palette, alpha, orientation and suffix."""


def decode_independently(path: Path) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB, upright, without alpha, decoded by Pillow."""
    from PIL import Image, ImageOps

    with Image.open(path) as stored:
        stored.load()
        image = ImageOps.exif_transpose(stored)
        if image.mode.startswith('I'):  # 16-bit grey, which Pillow would clip
            return np.repeat((np.asarray(image).astype(int) >> 8)[..., None], 3, axis=2).astype(np.uint8)
        if image.mode in ('P', 'PA'):
            image = image.convert('RGBA')
        pixels = np.asarray(image.convert('RGBA' if 'A' in image.mode else 'RGB'))
        return pixels[..., :3]
