"""Launch files and viewer configurations: their names against those of the node, and real launches."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from minisegnet_core.resources import find_config, share_directory
from minisegnet_ros.parameters import TABLE
from support.peers import OUTPUTS

LAUNCH = share_directory() / 'launch'
TOPICS = {f'/segment/{name}' for name in OUTPUTS} | {'/diagnostics'}


def constant(path: Path, name: str) -> object:
    """Return the literal that a file assigns to a name, without importing the file: it needs the package `launch`."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f'{path} has no {name}')


def declared(path: Path) -> set[str]:
    """Return the first arguments of the file's DeclareLaunchArgument calls, if they are literals."""
    calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    named = [c for c in calls if getattr(c.func, 'id', '') == 'DeclareLaunchArgument']
    return {c.args[0].value for c in named if isinstance(c.args[0], ast.Constant)}


def test_the_launch_file_declares_what_it_reads():
    path = LAUNCH / 'segment.launch.py'
    parameters = set(constant(path, 'PARAMETERS'))
    assert parameters <= set(TABLE), 'only declared parameters'
    expected = {'image', 'camera_info', 'namespace', 'params_file', 'overlay', 'use_sim_time', 'log_level', 'respawn'}
    assert declared(path) == expected
    assert {'model', 'engine'} <= parameters
    read = set(re.findall(r"value\['(\w+)'\]", path.read_text()))
    assert read <= expected | parameters


def test_viewers_show_topics_that_exist():
    rviz = yaml.safe_load(find_config('segment.rviz').read_text())
    shown = {display['Topic']['Value'] for display in rviz['Visualization Manager']['Displays']}
    assert shown <= TOPICS
    assert shown == {f'/segment/{name}' for name in constant(LAUNCH / 'segment.launch.py', 'SHOWN')}, 'for namespaces'
    layout = json.loads(find_config('segment.foxglove.json').read_text())
    named = set(re.findall(r'"(/[a-z_/]+)', json.dumps(layout)))
    assert named and named <= TOPICS
    # Neither viewer scales 8-bit images: ids 0 to 3 would look black.
    assert '/segment/label_image' not in shown | named


def test_the_foxglove_layout_places_every_panel():
    layout = json.loads(find_config('segment.foxglove.json').read_text())

    def panels(node):
        return {node} if isinstance(node, str) else panels(node['first']) | panels(node['second'])

    assert panels(layout['layout']) == set(layout['configById'])


def test_the_foxglove_layout_plots_keys_of_the_diagnostics():
    from minisegnet_ros.diagnostics import Statistics

    keys = {pair.key for pair in Statistics().status('name', {}).values}
    text = json.dumps(json.loads(find_config('segment.foxglove.json').read_text()))
    plotted = set(re.findall(r'key==\\"([^"\\]+)', text))
    assert plotted and plotted <= keys


@pytest.fixture
def launched(monkeypatch, tmp_path, tmp_path_factory):
    """launched(file, arguments) runs a launch file and returns the exit code and the command lines of what it starts.

    Its attribute `log` holds what launch logged. A temporary ament index presents this source tree as the installed
    package, with executables that record how they are called.
    """
    pytest.importorskip('launch_ros', reason='launch is not installed', exc_type=ImportError)
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    from launch import LaunchDescription, LaunchService

    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    (tmp_path / 'share' / 'minisegnet_ros').symlink_to(share_directory())
    calls = tmp_path / 'calls'
    for package, name in (('minisegnet_ros', 'segment'), ('rviz2', 'rviz2')):
        (index / package).touch()
        executable = tmp_path / 'lib' / package / name
        executable.parent.mkdir(parents=True)
        profile = '$FASTDDS_DEFAULT_PROFILES_FILE$FASTRTPS_DEFAULT_PROFILES_FILE'
        executable.write_text(f'#!/bin/sh\necho "{name} {profile} $*" >> {calls}\n')
        executable.chmod(0o755)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path), prepend=':')
    # One folder for all tests, because launch keeps the log folder of the first test.
    log = tmp_path_factory.getbasetemp() / 'launch_log'
    monkeypatch.setenv('ROS_LOG_DIR', str(log))

    def logged() -> str:
        return ''.join(path.read_text() for path in sorted(log.glob('*/launch.log')))

    def run(file: str, **arguments: str) -> tuple[int, list[str]]:
        service = LaunchService(noninteractive=True)
        source = PythonLaunchDescriptionSource(str(LAUNCH / file))
        service.include_launch_description(
            LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments.items())])
        )
        before = len(logged())
        code = service.run()
        run.log = logged()[before:]
        return code, sorted(calls.read_text().splitlines()) if calls.exists() else []

    return run


def test_one_camera_starts_one_node(launched):
    code, (line,) = launched('segment.launch.py', image='/camera/image_raw', log_level='warn')
    assert code == 0
    assert 'image:=/camera/image_raw' in line and 'camera_info:=/camera/camera_info' in line
    assert '--log-level warn' in line and 'segment.yaml' in line and '__node:=segment' in line
    assert 'fastdds.xml' in line.split()[1]


@pytest.mark.parametrize(
    ('image', 'camera_info'), [('/left/image_raw/compressed', '/left/camera_info'), ('/image', '/camera_info')]
)
def test_the_camera_info_is_beside_the_raw_images(launched, image, camera_info):
    _, (line,) = launched('segment.launch.py', image=image)
    assert f'image:={image}' in line and f'camera_info:={camera_info}' in line


def test_a_missing_params_file_starts_nothing(launched, tmp_path):
    code, lines = launched('segment.launch.py', params_file=str(tmp_path / 'mnie.yaml'))
    assert code == 1 and not lines
    assert 'there is no params_file' in launched.log and 'mnie.yaml' in launched.log


@pytest.mark.parametrize('value', ['', 'true'])
def test_simulated_time_is_passed_only_if_it_is_requested(launched, value):
    """Otherwise the launch file would override the params_file."""
    _, (line,) = launched('segment.launch.py', use_sim_time=value)
    files = [Path(word) for word in line.split() if Path(word).name.startswith('launch_params_')]
    given = [yaml.safe_load(file.read_text()) for file in files]
    assert any('use_sim_time' in str(values) for values in given) == bool(value)


def test_rviz_shows_the_topics_of_the_namespace(launched):
    _, (viewer, node) = launched('segment.launch.py', overlay='true', namespace='left')
    assert node.startswith('segment') and '__ns:=/left' in node
    assert 'image:=image' in node and 'camera_info:=camera_info' in node
    assert '/segment/overlay/image:=/left/segment/overlay/image' in viewer and 'segment.rviz' in viewer


def test_several_cameras_start_a_node_each(launched):
    code, lines = launched('segment_cameras.launch.py', cameras='left, /right')
    assert code == 0
    namespaces = [word for line in lines for word in line.split() if word.startswith('__ns')]
    assert namespaces == ['__ns:=/left', '__ns:=/right']
    assert all('image:=image_raw' in line for line in lines), 'a relative name, resolved in each namespace'


@pytest.mark.parametrize('cameras', ['', 'left,', 'left,left'])
def test_malformed_lists_of_cameras_are_rejected(launched, cameras):
    code, lines = launched('segment_cameras.launch.py', cameras=cameras)
    assert code == 1 and not lines
    assert 'cameras must be different names' in launched.log
