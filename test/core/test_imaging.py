"""Image files: orientation, truncation, sizes, and label files that would be misread."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from minisegnet_core.errors import DatasetError, ImageError, OutputError
from minisegnet_core.imaging import (
    decode_png,
    encode_image,
    image_size,
    is_image_file,
    is_truncated_jpeg,
    read_image,
    read_labels,
    read_stored_pixels,
    write_image,
)


@pytest.fixture
def image():
    """(24, 32, 3) uint8 RGB of smooth colours, which JPEG keeps nearly."""
    y, x = np.mgrid[:24, :32]
    return np.stack([x * 5, y * 7, 200 - x], axis=-1).astype(np.uint8)


def test_only_visible_files_with_the_suffix_of_an_image_are_images(tmp_path):
    names = ('a.jpg', 'a.JPEG', 'a.webp', 'a.txt', '.a.png', 'a')
    assert [name for name in names if is_image_file(tmp_path / name)] == ['a.jpg', 'a.JPEG', 'a.webp']


def test_written_images_are_read_back(tmp_path, image):
    write_image(tmp_path / 'a.png', image)
    np.testing.assert_array_equal(read_image(tmp_path / 'a.png'), image)
    write_image(tmp_path / 'a.jpg', image)
    assert np.abs(read_image(tmp_path / 'a.jpg').astype(int) - image).mean() < 3
    write_image(tmp_path / 'grey.png', image[..., 0])
    np.testing.assert_array_equal(read_image(tmp_path / 'grey.png'), np.repeat(image[..., :1], 3, axis=2))
    assert {path.name for path in tmp_path.iterdir()} == {'a.png', 'a.jpg', 'grey.png'}


def test_encoded_images_are_decoded(image):
    np.testing.assert_array_equal(decode_png(encode_image(image, '.png')), image)
    np.testing.assert_array_equal(decode_png(encode_image(image[..., 0], '.png')), image[..., 0])


def test_images_that_opencv_cannot_encode_are_named(image):
    with pytest.raises(ImageError, match=r'cannot encode an image of shape \(24, 32, 3\) as \.xyz'):
        encode_image(image, '.xyz')


def test_a_folder_that_cannot_be_written_is_named(tmp_path, image):
    with pytest.raises(OutputError, match=r'cannot write .*none/a\.png'):
        write_image(tmp_path / 'none/a.png', image)


def with_orientation(path, image, orientation):
    """Write a JPEG whose EXIF data asks viewers to rotate or mirror it."""
    pillow = pytest.importorskip('PIL.Image', reason='Pillow writes EXIF data here')
    photo = pillow.fromarray(image)
    exif = photo.getexif()
    exif[0x0112] = orientation
    photo.save(path, quality=95, exif=exif)


@pytest.mark.parametrize(
    ('orientation', 'upright'),
    [(1, lambda a: a), (3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1)), (8, np.rot90)],
)
def test_the_orientation_of_exif_is_applied_once(tmp_path, image, orientation, upright):
    path = tmp_path / 'a.jpg'
    with_orientation(path, image, orientation)
    expected = upright(image)
    read = read_image(path)
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).mean() < 3
    assert image_size(path) == (expected.shape[1], expected.shape[0])
    assert read_stored_pixels(path).shape == image.shape


def test_stored_pixels_keep_channels_and_depth(tmp_path, image):
    alpha = np.dstack([image, np.full((24, 32), 7, np.uint8)])
    cv2.imwrite(str(tmp_path / 'alpha.png'), alpha)
    np.testing.assert_array_equal(read_stored_pixels(tmp_path / 'alpha.png'), alpha)
    deep = image[..., 0].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / 'deep.png'), deep)
    np.testing.assert_array_equal(read_stored_pixels(tmp_path / 'deep.png'), deep)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, r'cannot read image .*a\.jpg: No such file'),
        (b'', r'image .*a\.jpg is empty'),
        (b'nothing', r'image .*a\.jpg is damaged, or OpenCV does not read its format'),
        (b'\xff\xd8nothing', r'image .*a\.jpg is truncated'),
    ],
)
def test_files_that_are_not_images_are_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / 'a.jpg').write_bytes(content)
    with pytest.raises(ImageError, match=message):
        read_image(tmp_path / 'a.jpg')
    with pytest.raises(ImageError, match=r'a\.jpg is missing, damaged, or of an unknown format'):
        image_size(tmp_path / 'a.jpg')


@pytest.mark.parametrize('progressive', [0, 1])
def test_a_jpeg_is_truncated_wherever_it_breaks_off(image, progressive):
    data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    assert not is_truncated_jpeg(data)
    assert all(is_truncated_jpeg(data[:length]) for length in range(2, len(data)))


def test_bytes_behind_a_jpeg_do_not_make_it_truncated(image):
    """Cameras pad files with zeros, and phones append a video."""
    data = encode_image(image, '.jpg')
    for tail in (b'\0' * 64, b'\xff\xda and more', data[:50]):
        assert not is_truncated_jpeg(data + tail)


def test_the_end_of_a_preview_is_not_the_end_of_the_jpeg(image):
    data = encode_image(image, '.jpg')
    preview = encode_image(image[::4, ::4], '.jpg')
    segment = b'\xff\xe1' + (len(preview) + 2).to_bytes(2, 'big') + preview
    whole = data[:2] + segment + data[2:]
    assert not is_truncated_jpeg(whole + b'\0')
    assert is_truncated_jpeg(whole[:-40])


def test_other_formats_are_never_truncated_jpegs(image):
    assert not is_truncated_jpeg(encode_image(image, '.png') + b'\xff\xda')


def write_png(path, bits, color_type, palette=b''):
    """Write a PNG of 41x30 pixels, all of id 1, in grey (colour type 0) or with a palette (3)."""

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', 41, 30, bits, color_type, 0, 0, 0)
    row = np.packbits(np.tile([0] * (bits - 1) + [1], 41).astype(np.uint8)).tobytes()
    chunks = [chunk(b'IHDR', header), chunk(b'PLTE', palette) if palette else b'']
    chunks += [chunk(b'IDAT', zlib.compress((b'\0' + row) * 30)), chunk(b'IEND', b'')]
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(chunks))


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_grey_labels_of_fewer_than_eight_bits_are_rejected(tmp_path, bits):
    path = tmp_path / 'a.png'
    write_png(path, bits, 0)
    assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED).max() == 255 // (2**bits - 1)  # instead of 1
    with pytest.raises(DatasetError, match=rf'a\.png has {bits}-bit grey.*save it with 8 bits'):
        read_labels(path)
    write_png(path, 8, 0)
    assert np.array_equal(read_labels(path, (30, 41)), np.ones((30, 41)))


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_labels_with_a_palette_are_rejected(tmp_path, bits):
    path = tmp_path / 'a.png'
    write_png(path, bits, 3, bytes([0, 0, 0, 1, 1, 1]))
    with pytest.raises(DatasetError, match=r'one channel of 8-bit class ids; it holds uint8 \(30, 41, 3\)'):
        read_labels(path)
