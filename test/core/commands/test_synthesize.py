"""`minisegnet synthesize`: data sets and bags, workers, interruption, and messages about wrong input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from minisegnet_core.commands.synthesize import main
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.frames import open_frames
from minisegnet_core.scenes import SceneConfig, render_sequence
from minisegnet_core.scenes.bags import write_bag
from minisegnet_core.scenes.series import START, Series

ROOT = Path(__file__).resolve().parents[3]
SMALL = ['--size', '96x64', '--seed', '3']


def synthesize(*arguments):
    return main([*SMALL, *map(str, arguments)], 'synthesize')


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}


def test_the_number_of_workers_does_not_change_the_bytes(tmp_path):
    for workers in (1, 2):
        assert synthesize('--output', tmp_path / str(workers), '--count', 5, '--workers', workers) == 0
    one, two = (contents(tmp_path / str(workers)) for workers in (1, 2))
    assert one == two and len(one) == 5 * 2 + 3


def test_the_data_set_can_be_opened(tmp_path):
    output = tmp_path / 'data'
    assert synthesize('--output', output, '--count', 10, '--workers', 1, '--val-fraction', 0.2, '--preview') == 0
    dataset = open_dataset(output)
    assert len(dataset.split('train')) == 8 and len(dataset.split('val')) == 2
    image, labels = dataset.split('train')[0].read()
    assert image.shape == (64, 96, 3) and labels.shape == (64, 96)
    assert dataset.split('train')[0].balls is not None
    assert cv2.imread(str(output / 'preview.png')) is not None


def test_a_second_call_renders_missing_images_only(tmp_path):
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    assert synthesize('--output', whole, '--count', 6, '--workers', 1) == 0
    assert synthesize('--output', cut, '--count', 3, '--workers', 1) == 0
    kept = cut / 'images' / 'scene_000001.jpg'
    os.utime(kept, ns=(1, 1))
    (cut / 'images' / 'scene_000002.jpg').unlink()
    assert synthesize('--output', cut, '--count', 6, '--workers', 1) == 0
    assert contents(whole) == contents(cut)
    assert kept.stat().st_mtime_ns == 1


def bag_messages(path):
    """Return topic, stamp and bytes of every message, in order."""
    with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_KILTED)) as reader:
        return [(connection.topic, stamp, bytes(raw)) for connection, stamp, raw in reader.messages()]


@pytest.mark.parametrize(('storage', 'compressed'), [('mcap', True), ('sqlite3', False)])
def test_a_resumed_bag_holds_the_same_messages(tmp_path, storage, compressed):
    config = SceneConfig.from_mapping({'image': {'width': 96, 'height': 64}})
    series = Series(config, seed=3, count=6, sequence=True, fps=8.0)
    kind = {'storage': storage, 'compressed': compressed, 'workers': 1}

    def interrupted_at_the_third(results, total, done):
        for number, result in enumerate(results):
            if number == 3:
                raise KeyboardInterrupt
            yield result

    with pytest.raises(KeyboardInterrupt):
        write_bag(series, tmp_path / 'cut', progress=interrupted_at_the_third, **kind)
    partial = bag_messages(tmp_path / 'cut')
    assert sum(topic == '/camera/camera_info' for topic, _, _ in partial) in {3, 4}
    kept = len(list((tmp_path / 'cut.parts').glob('*.npz')))
    assert write_bag(series, tmp_path / 'cut', **kind) == 6 - kept
    assert write_bag(series, tmp_path / 'whole', **kind) == 6
    whole = bag_messages(tmp_path / 'whole')
    assert bag_messages(tmp_path / 'cut') == whole and len(whole) >= 3 * 6
    assert not (tmp_path / 'cut.parts').exists()


def test_a_sequence_is_one_group_in_one_split(tmp_path):
    output = tmp_path / 'walk'
    arguments = ('--count', 4, '--sequence', '--fps', 4, '--workers', 1, '--val-fraction', 0.5)
    assert synthesize('--output', output, *arguments) == 0
    dataset = open_dataset(output)
    assert [len(samples) for samples in dataset.splits.values() if samples] == [4]
    lines = [json.loads(line) for line in (output / 'annotations.jsonl').read_text().splitlines()]
    assert [line['group'] for line in lines] == ['sequence_3'] * 4
    assert [line['stamp'] for line in lines] == [START + number * 250_000_000 for number in range(4)]


@pytest.mark.slow
def test_a_script_without_a_main_guard_ends_with_an_error(tmp_path):
    """Each worker imports the script and would start workers of its own."""
    script = tmp_path / 'script.py'
    script.write_text(
        'from pathlib import Path\n'
        'from minisegnet_core.scenes import Series, write_dataset\n'
        "series = Series.from_mapping({'image': {'width': 96, 'height': 64}, 'count': 4})\n"
        f'write_dataset(series, Path({str(tmp_path / "data")!r}), workers=2)\n'
    )
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    # Python may add a warning about the workers' semaphores, depending on which process ends first.
    lines = [line for line in done.stderr.splitlines() if 'resource_tracker' not in line]
    assert 'ConfigurationError' in lines[-1] and '__main__' in lines[-1]


@pytest.mark.slow
@pytest.mark.parametrize('storage', ['dataset', 'mcap'])
def test_ctrl_c_leaves_a_usable_part_that_can_be_continued(tmp_path, storage):
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    extra = ['--sequence', '--fps', '5'] if storage == 'mcap' else []
    arguments = [*SMALL, '--count', '60', '--workers', '2', '--format', storage, *extra]
    code = (
        'import sys; from minisegnet_core.commands.synthesize import main; sys.exit(main(sys.argv[1:], "synthesize"))'
    )
    command = [sys.executable, '-c', code, *arguments, '--output']
    process = subprocess.Popen([*command, cut], cwd=ROOT, stderr=subprocess.DEVNULL)
    parts = cut / 'images' if storage == 'dataset' else tmp_path / 'cut.parts'
    for _ in range(600):
        if parts.is_dir() and len(list(parts.iterdir())) > 6:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    if storage == 'dataset':
        assert 0 < sum(len(s) for s in open_dataset(cut).splits.values()) < 60
    else:
        assert 0 < len(list(open_frames(cut, '/camera/image_raw'))) < 60
    assert subprocess.run([*command, cut], cwd=ROOT, check=False, stderr=subprocess.DEVNULL).returncode == 0
    assert subprocess.run([*command, whole], cwd=ROOT, check=False, stderr=subprocess.DEVNULL).returncode == 0
    expected, resumed = contents(whole), contents(cut)
    assert {name.replace('cut', 'whole') for name in resumed} == set(expected)
    if storage == 'dataset':
        assert expected == resumed
    else:
        assert bag_messages(cut) == bag_messages(whole)


@pytest.mark.parametrize(('storage', 'compressed'), [('mcap', True), ('sqlite3', False)])
def test_bags_hold_images_ground_truth_and_camera_with_equal_stamps(tmp_path, storage, compressed):
    bag = tmp_path / 'bag'
    extra = ['--compressed'] if compressed else []
    arguments = ('--count', 4, '--sequence', '--fps', 8, '--format', storage, '--workers', 1)
    assert synthesize('--output', bag, *arguments, *extra) == 0
    config = SceneConfig.from_mapping({'image': {'width': 96, 'height': 64}})
    expected = list(render_sequence(config, 3, 4, 8.0))
    topic = '/camera/image_raw' + ('/compressed' if compressed else '')
    messages = {}
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_KILTED)) as reader:
        for connection, _, raw in reader.messages():
            messages.setdefault(connection.topic, []).append(reader.deserialize(raw, connection.msgtype))
    assert set(messages) <= {topic, '/camera/camera_info', '/ground_truth/label_image', '/ground_truth/ball'}
    for index, one in enumerate(expected):
        image, info, labels = (messages[t][index] for t in (topic, '/camera/camera_info', '/ground_truth/label_image'))
        assert image.header == info.header == labels.header and image.header.frame_id == 'camera'
        assert np.array_equal(labels.data.reshape(64, 96), one.labels) and labels.encoding == 'mono8'
        assert list(info.k) == one.camera.info()['k'] and info.distortion_model == one.camera.model
        if compressed:
            pixels = cv2.cvtColor(cv2.imdecode(image.data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
            assert np.abs(pixels.astype(int) - one.image).mean() < 12
        else:
            assert image.encoding == 'rgb8' and np.array_equal(image.data.reshape(64, 96, 3), one.image)
    balls = [ball for one in expected for ball in one.balls]
    assert len(messages.get('/ground_truth/ball', [])) == sum(1 for one in expected if one.balls)
    for message in messages.get('/ground_truth/ball', []):
        point = (message.point.x, message.point.y, message.point.z)
        assert any(point == pytest.approx((b.visible_x, b.visible_y, b.radius)) for b in balls)
    stamps = [frame.stamp for frame in open_frames(bag, topic)]
    assert np.diff(stamps).tolist() == [125_000_000] * 3


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--output', 'new', '--count', '0'], '--count'),
        (['--output', 'new', '--workers', '0'], '--workers'),
        (['--output', 'new', '--fps', '0'], '--fps'),
        (['--output', 'new', '--val-fraction', '2'], '--val-fraction'),
        (['--output', 'new', '--preset', 'humanoids'], 'did you mean humanoid?'),
        (['--output', 'new', '--set', 'camera'], '--set'),
        (['--output', 'new', '--set', 'camera.roll=[1'], 'not YAML'),
        (['--output', 'new', '--size', 'big'], '--size'),
        (['--output', 'new', '--backgrounds', 'nowhere'], 'nowhere'),
        (['--output', 'new', '--set', 'camera.hight=2'], 'did you mean height?'),
        (['--output', 'new', '--config', 'nowhere.yaml'], 'nowhere.yaml'),
        (['--output', 'new', '--compressed'], '--compressed'),
        (['--output', 'full'], 'not empty'),
        (['--preview'], '--output'),
        ([], '--output'),
    ],
)
def test_wrong_input_is_reported_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'something').write_text('')
    try:
        code = main(arguments, 'synthesize')
    except SystemExit as end:  # the parser's
        code = end.code
    error = capsys.readouterr().err
    assert code == 2 and message in error and len(error.splitlines()) == 1
    assert not (tmp_path / 'new').exists()


def test_a_different_series_is_not_overwritten(tmp_path, capsys):
    assert synthesize('--output', tmp_path / 'a', '--count', 1, '--workers', 1) == 0
    assert main(['--size', '96x64', '--seed', '4', '--output', str(tmp_path / 'a'), '--count', '1'], 'synthesize') == 2
    assert 'other settings (seed)' in capsys.readouterr().err


def test_options_override_the_file_and_the_preset(tmp_path, capsys):
    config = tmp_path / 'lab.yaml'
    config.write_text('preset: spl\nseed: 4\ncount: 2\nval_fraction: 1\ncamera: {height: 0.5}\n')
    arguments = ['--config', config, '--preset', 'msl', '--set', 'camera.roll=[-1, 1]', '--set', 'camera.height=0.6']
    assert synthesize(*arguments, '--output', tmp_path / 'data', '--workers', 1) == 0
    record = json.loads((tmp_path / 'data' / 'synthesize.json').read_text())
    camera = record['config']['camera']
    assert record['seed'] == 3 and record['val_fraction'] == 1.0 and record['config']['field']['kinds'] == ['msl']
    assert camera['height'] == [0.6, 0.6] and camera['roll'] == [-1, 1] and camera['pitch'] == [-5, 30]
    assert len(open_dataset(tmp_path / 'data').split('val')) == 2


def test_help_and_settings_are_documented(capsys):
    with pytest.raises(SystemExit):
        main(['--help'], 'minisegnet synthesize')
    assert 'example:' in capsys.readouterr().out
    assert main(['--print-config'], 'synthesize') == 0
    assert 'camera.height: [0.4, 1.4]  # 0.05 to 10 m: height above the ground' in capsys.readouterr().out
