"""Starts one segmentation node per camera: ros2 launch minisegnet_ros segment_cameras.launch.py cameras:=left,right

Each camera is a namespace: camera `left` is heard on /left/image_raw and answered on /left/segment/label_image. All
other arguments are those of segment.launch.py and go to every node; values for one camera alone stand in the
params_file, under its node's name:

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

# Said here anew with other defaults; segment.launch.py declares the rest.
OURS = {
    'cameras': (None, 'namespaces of the cameras, with commas between them'),
    'image': ('image_raw', 'image topic in each namespace'),
}


def start(context):
    """One inclusion of segment.launch.py per camera."""
    path = os.path.join(get_package_share_directory('minisegnet_ros'), 'launch', 'segment.launch.py')
    cameras = [name.strip().strip('/') for name in LaunchConfiguration('cameras').perform(context).split(',')]
    if not all(cameras) or len(set(cameras)) < len(cameras):
        raise ValueError(f'cameras must be different names with commas between them, not {",".join(cameras)!r}')
    return [
        # A scope of its own: what one inclusion sets is not the next one's default.
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
    """What `ros2 launch` asks for."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text) for name, (default, text) in OURS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])
