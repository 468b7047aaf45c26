"""Starts the segmentation node: ros2 launch minisegnet_ros segment.launch.py image:=/camera/image_raw

Several cameras: segment_cameras.launch.py, or include this file once per camera, each with a `namespace` of its own.
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from minisegnet_ros.environment import large_images_environment
from minisegnet_ros.environment import SWITCH, TRUE

PACKAGE = 'minisegnet_ros'

# Arguments that are parameters of the node; an empty one leaves the parameter as params_file has it.
PARAMETERS = {
    'model': 'model file or name of a shipped one',
    'engine': 'auto, openvino, onnxruntime or torch',
    'network_size': 'native, half or WIDTHxHEIGHT',
    'image_transport': 'raw or compressed',
}

# What the RViz configuration shows; under a namespace these topics have other names.
SHOWN = ('overlay/image', 'ball_mask', 'line_mask', 'field_mask')


def start(context):
    """The node, once the arguments' values are known; and RViz, if it is asked for."""
    value = {name: LaunchConfiguration(name).perform(context) for name in context.launch_configurations}
    if not os.path.isfile(value['params_file']):  # launch_ros would warn, and start the node without it
        raise ValueError(f'there is no params_file {value["params_file"]}')
    sim_time = [{'use_sim_time': value['use_sim_time'] in TRUE}] if value['use_sim_time'] else []
    parameters = [value['params_file'], *sim_time]
    # One by one and as text: a model called `1` is no number.
    parameters += [{name: value[name]} for name in PARAMETERS if value[name]]
    # Drivers publish the camera info beside the image.
    beside, slash, _ = value['image'].removesuffix('/compressed').rpartition('/')
    camera_info = value['camera_info'] or f'{beside}{slash}camera_info'
    nodes = [
        Node(
            package=PACKAGE,
            executable='segment',
            name='segment',
            namespace=value['namespace'],
            parameters=parameters,
            remappings=[('image', value['image']), ('camera_info', camera_info)],
            arguments=['--ros-args', '--log-level', value['log_level']],
            respawn=value['respawn'] in TRUE,
            respawn_delay=2.0,
            output='screen',
        )
    ]
    if value['overlay'] in TRUE:
        namespace = value['namespace'].strip('/')
        prefix = f'/{namespace}/segment' if namespace else '/segment'
        nodes.append(
            Node(
                package='rviz2',
                executable='rviz2',
                namespace=value['namespace'],
                arguments=['-d', os.path.join(get_package_share_directory(PACKAGE), 'config', 'segment.rviz')],
                remappings=[(f'/segment/{topic}', f'{prefix}/{topic}') for topic in SHOWN],
                parameters=sim_time,
            )
        )
    return nodes


def generate_launch_description():
    """What `ros2 launch` asks for."""
    share = get_package_share_directory(PACKAGE)
    arguments = [
        DeclareLaunchArgument('image', default_value='image', description='image topic'),
        DeclareLaunchArgument('camera_info', default_value='', description='its topic; empty: beside the image topic'),
        DeclareLaunchArgument('namespace', default_value='', description='namespace of the node'),
        DeclareLaunchArgument(
            'params_file',
            default_value=os.path.join(share, 'config', 'segment.yaml'),
            description='YAML file of parameters',
        ),
        DeclareLaunchArgument(
            'overlay', default_value='false', choices=SWITCH, description='show the overlay in RViz (package rviz2)'
        ),
        DeclareLaunchArgument(
            'use_sim_time',
            default_value='',
            choices=['', *SWITCH],
            description='take time from /clock; empty: as params_file has it',
        ),
        DeclareLaunchArgument(
            'log_level',
            default_value='info',
            choices=['debug', 'info', 'warn', 'error', 'fatal'],
            description='from which severity on the node logs',
        ),
        DeclareLaunchArgument(
            'respawn', default_value='false', choices=SWITCH, description='start the node anew if it dies'
        ),
        *(DeclareLaunchArgument(name, default_value='', description=text) for name, text in PARAMETERS.items()),
    ]
    # Whole images in shared memory. It helps in the camera's process: start cameras below this one.
    # Never against a user's own choice.
    profiles = [SetEnvironmentVariable(name, value) for name, value in large_images_environment().items()]
    return LaunchDescription([*profiles, *arguments, OpaqueFunction(function=start)])
