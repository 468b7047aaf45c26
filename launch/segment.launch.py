"""Start the segmentation node: ros2 launch minisegnet_ros segment.launch.py image:=/camera/image_raw

For several cameras use segment_cameras.launch.py, or include this file once per camera, each time with its own
`namespace`.
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from minisegnet_ros.environment import SWITCH, TRUE, large_images_environment

PACKAGE = 'minisegnet_ros'

# Arguments that are parameters of the node. An empty argument leaves the value of params_file.
PARAMETERS = {
    'model': 'Model file, or name of a shipped model.',
    'engine': 'Inference engine: auto, openvino, onnxruntime or torch.',
    'network_size': 'Size at which the network runs: native, half or WIDTHxHEIGHT.',
    'image_transport': 'Type of the images: raw or compressed.',
}

# Topics that the RViz configuration shows; they are remapped under a namespace.
SHOWN = ('overlay/image', 'ball_mask', 'line_mask', 'field_mask')


def start(context):
    """Return the node, and RViz if the overlay is requested, for the values of the arguments."""
    value = {name: LaunchConfiguration(name).perform(context) for name in context.launch_configurations}
    if not os.path.isfile(value['params_file']):  # launch_ros would only warn, and start the node without it
        raise ValueError(f'there is no params_file {value["params_file"]}; check the path')
    sim_time = [{'use_sim_time': value['use_sim_time'] in TRUE}] if value['use_sim_time'] else []
    parameters = [value['params_file'], *sim_time]
    # Separately and as text, so that a model named `1` does not become a number.
    parameters += [{name: value[name]} for name in PARAMETERS if value[name]]
    # Camera drivers publish the camera info beside the image.
    parent, slash, _ = value['image'].removesuffix('/compressed').rpartition('/')
    camera_info = value['camera_info'] or f'{parent}{slash}camera_info'
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
    """Return the launch description."""
    share = get_package_share_directory(PACKAGE)
    arguments = [
        DeclareLaunchArgument('image', default_value='image', description='Image topic.'),
        DeclareLaunchArgument(
            'camera_info', default_value='', description='Camera info topic. Empty: camera_info beside the image topic.'
        ),
        DeclareLaunchArgument('namespace', default_value='', description='Namespace of the node.'),
        DeclareLaunchArgument(
            'params_file',
            default_value=os.path.join(share, 'config', 'segment.yaml'),
            description='YAML file of parameters.',
        ),
        DeclareLaunchArgument(
            'overlay', default_value='false', choices=SWITCH, description='Show the overlay in RViz (package rviz2).'
        ),
        DeclareLaunchArgument(
            'use_sim_time',
            default_value='',
            choices=['', *SWITCH],
            description='Use the time of /clock. Empty: as in params_file.',
        ),
        DeclareLaunchArgument(
            'log_level',
            default_value='info',
            choices=['debug', 'info', 'warn', 'error', 'fatal'],
            description='Minimum severity of log messages.',
        ),
        DeclareLaunchArgument(
            'respawn', default_value='false', choices=SWITCH, description='Restart the node if it ends.'
        ),
        *(DeclareLaunchArgument(name, default_value='', description=text) for name, text in PARAMETERS.items()),
    ]
    # Shared memory for whole images. It takes effect in the process that publishes them, so it serves cameras that are
    # started after this file. A profile that the user has set is kept.
    profiles = [SetEnvironmentVariable(name, value) for name, value in large_images_environment().items()]
    return LaunchDescription([*profiles, *arguments, OpaqueFunction(function=start)])
