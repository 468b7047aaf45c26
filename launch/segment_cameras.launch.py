"""Start one segmentation node per camera: ros2 launch minisegnet_ros segment_cameras.launch.py cameras:=left,right

Each camera is a namespace: the node of `left` subscribes to /left/image_raw and publishes /left/segment/label_image.
All other arguments are those of segment.launch.py and apply to every node. Values for a single camera belong into the
params_file, under the name of its node:

    /left/segment:
      ros__parameters:
        rotate: 180
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription

# segment.launch.py declares the other arguments.
ARGUMENTS = {
    'cameras': (None, 'Namespaces of the cameras, separated by commas.'),
    'image': ('image_raw', 'Image topic in each namespace.'),
}


def start(context):
    """Return one inclusion of segment.launch.py per camera."""
    path = os.path.join(get_package_share_directory('minisegnet_ros'), 'launch', 'segment.launch.py')
    cameras = [name.strip().strip('/') for name in LaunchConfiguration('cameras').perform(context).split(',')]
    if not all(cameras) or len(set(cameras)) < len(cameras):
        raise ValueError(f'cameras must be different names separated by commas, not {",".join(cameras)!r}')
    return [
        # Each inclusion has its own scope, so that its arguments do not become defaults of the next one.
        GroupAction(
            [
                IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(path),
                    launch_arguments={'namespace': name, 'image': LaunchConfiguration('image')}.items(),
                )
            ]
        )
        for name in cameras
    ]


def generate_launch_description():
    """Return the launch description."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])
