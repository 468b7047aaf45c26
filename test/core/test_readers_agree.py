"""One image, one set of pixels: every reader agrees with the others and with an independent decoder."""

import json

import numpy as np
import pytest

from minisegnet_core.classes import SOCCER
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.importers.boxes import BoxedImages
from minisegnet_core.data.importers.coco import Coco
from minisegnet_core.data.importers.colors import ColorMap
from minisegnet_core.data.importers.frames import LabelledFrames
from minisegnet_core.data.importers.masks import MaskFolders
from minisegnet_core.data.importers.minisegnet import MinisegnetDataset
from minisegnet_core.errors import DatasetError, ImageError
from minisegnet_core.evaluation.sources.files import DatasetSource, FileSource
from minisegnet_core.frames import open_frames
from minisegnet_core.imaging import image_size, read_image, read_stored_pixels, write_image
from support.images import HEIGHT, KINDS, WIDTH, Kind, decode_independently

pytest.importorskip('PIL.Image')

LOSS = 3
"""Mean difference in grey levels that two decoders of a lossy format may have."""


class Segmenter:
    """A model that sees only field."""

    def run(self, image):
        return np.full((-(-image.shape[0] // 4), -(-image.shape[1] // 4)), 3, np.uint8)

    def probabilities(self, image):
        likely = np.zeros((4, -(-image.shape[0] // 4), -(-image.shape[1] // 4)), np.float32)
        likely[3] = 1
        return likely


def write_all(root, kind, size):
    """Write a folder that is a data set, and a source of every importer, of one image of a kind."""
    width, height = size
    for name in ('images', 'labels', 'masks'):
        (root / name).mkdir()
    kind.write(root / 'images' / f'a{kind.suffix}')
    write_image(root / 'labels' / 'a.png', np.zeros((height, width), np.uint8))
    write_image(root / 'masks' / 'a.png', np.zeros((height, width, 3), np.uint8))
    (root / 'images' / 'a.txt').write_text('0 0.5 0.5 0.5 0.5\n')
    entry = {'id': 1, 'file_name': f'a{kind.suffix}', 'width': width, 'height': height}
    (root / 'coco.json').write_text(json.dumps({'images': [entry], 'categories': [], 'annotations': []}))
    index = {'classes': SOCCER.to_list(), 'split': {'train': ['a']}}
    (root / 'dataset.yaml').write_text(json.dumps(index))


def only(entries):
    (entry,) = entries
    return entry


def imported(source):
    return only(source).read().image


READERS = {
    'read_image': lambda root, file: read_image(file),
    'folder': lambda root, file: only(open_frames(root / 'images')).image,
    'single file': lambda root, file: only(open_frames(file)).image,
    'data set': lambda root, file: open_dataset(root).split('train')[0].read()[0],
    'evaluation of a data set': lambda root, file: only(DatasetSource(open_dataset(root), 'train', SOCCER)).image,
    'evaluation of a folder': lambda root, file: only(FileSource(root / 'images', None, None, SOCCER)).image,
    'masks': lambda root, file: imported(MaskFolders(root, ColorMap({c.color: c.name for c in SOCCER}), SOCCER, None)),
    'COCO': lambda root, file: imported(Coco(root / 'coco.json', SOCCER)),
    'boxes': lambda root, file: imported(BoxedImages(root / 'images', Segmenter().probabilities, SOCCER)),
    'frames': lambda root, file: imported(LabelledFrames(open_frames(root / 'images'), 'x', Segmenter().run, SOCCER)),
    'minisegnet': lambda root, file: imported(MinisegnetDataset(root)),
}


@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.name)
def test_all_readers_agree_with_an_independent_decoder(kind, tmp_path):
    size = (HEIGHT, WIDTH) if kind.orientation > 4 else (WIDTH, HEIGHT)
    write_all(tmp_path, kind, size)
    file = tmp_path / 'images' / f'a{kind.suffix}'
    expected = decode_independently(file)
    assert image_size(file) == size == expected.shape[1::-1]
    assert read_stored_pixels(file).shape[:2] == expected.shape[:2]
    ours = {name: read(tmp_path, file) for name, read in READERS.items()}
    reference = ours['read_image']
    assert np.abs(reference.astype(int) - expected).mean() <= (LOSS if kind.lossy else 0)
    for name, image in ours.items():
        np.testing.assert_array_equal(image, reference, err_msg=name)


@pytest.mark.parametrize('orientation', [1, 6])
def test_the_cache_holds_the_pixels_and_sizes_of_the_files(orientation, tmp_path):
    pytest.importorskip('torch')
    from minisegnet_core.training.data.cache import open_cache
    from minisegnet_core.training.data.reader import SampleReader

    size = (HEIGHT, WIDTH) if orientation > 4 else (WIDTH, HEIGHT)
    write_all(tmp_path, Kind('photo', '.jpg', True, orientation=orientation), size)
    samples = open_dataset(tmp_path).split('train')
    cached = open_cache(samples, 'full', tmp_path / 'cache', limit_gb=1)
    assert cached.cached == 1
    for reader in (cached, SampleReader('full')):
        assert reader.size(samples[0]) == size[::-1] == reader.image(samples[0]).shape[:2]
        np.testing.assert_array_equal(reader.image(samples[0]), samples[0].read()[0])


@pytest.mark.parametrize('fraction', [0.3, 0.6, 0.97])
@pytest.mark.parametrize('kind', [k for k in KINDS if k.orientation == 1], ids=lambda kind: kind.name)
def test_no_reader_accepts_a_truncated_file(kind, fraction, tmp_path):
    write_all(tmp_path, kind, (WIDTH, HEIGHT))
    file = tmp_path / 'images' / f'a{kind.suffix}'
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * fraction)])
    for name, read in READERS.items():
        if name.startswith('evaluation'):  # counts what it cannot read
            with pytest.raises(ValueError, match='not enough values'):
                read(tmp_path, file)
            continue
        with pytest.raises((ImageError, DatasetError), match=r'image .*a\.\w+ (is|contradicts)'):
            read(tmp_path, file)


@pytest.mark.parametrize('name', READERS)
def test_the_size_limit_holds_for_every_reader(name, tmp_path, monkeypatch):
    kind = Kind('photo', '.png')
    write_all(tmp_path, kind, (WIDTH, HEIGHT))
    file = tmp_path / 'images' / 'a.png'
    monkeypatch.setenv('MINISEGNET_MAX_MEGAPIXELS', str(WIDTH * HEIGHT / 1e6))
    assert READERS[name](tmp_path, file).shape == (HEIGHT, WIDTH, 3)
    monkeypatch.setenv('MINISEGNET_MAX_MEGAPIXELS', str((WIDTH * HEIGHT - 1) / 1e6))
    if name.startswith('evaluation'):
        with pytest.raises(ValueError, match='not enough values'):
            READERS[name](tmp_path, file)
        return
    with pytest.raises(ImageError, match=r'a\.png is 83x66, more than 0\.005477 megapixels'):
        READERS[name](tmp_path, file)
