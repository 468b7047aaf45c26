"""Evaluate a model on a bag: ros2 launch minisegnet_ros evaluate_bag.launch.py bag:=match.mcap live:=true

The launch ends when the report is written. For all options see ros2 run minisegnet_ros evaluate_bag --help
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from minisegnet_ros.environment import SWITCH, TRUE

PACKAGE = 'minisegnet_ros'

# Arguments that are options of the command, with their defaults. An empty argument is not passed.
OPTIONS = {
    'output': ('evaluated', 'Folder to write into.'),
    'topic': ('', 'Image topic. Empty: the only one.'),
    'model': ('', 'Model file, or name of a shipped model.'),
    'engine': ('', 'Inference engine: auto, openvino, onnxruntime or torch.'),
    'network_size': ('', 'Size at which the network runs: native, half or WIDTHxHEIGHT.'),
    'threads': ('', 'CPU threads. 0: all cores but one.'),
    'label_topic': ('', 'Topic of ground-truth label images.'),
    'ball_topic': ('', 'Topic of ground-truth balls.'),
    'labels': ('', 'Folder of ground-truth label images <stamp>.png.'),
    'balls': ('', 'Folder of YOLO boxes <stamp>.txt, or a .jsonl file, of ground-truth balls.'),
    'compare': ('', 'Another model, or the folder of an earlier evaluation.'),
    'fail_under': ('', 'Exit with code 1 if a figure is below a bound: KEY=VALUE, such as mean_iou=0.8.'),
    'rate': ('', 'Playback speed with live:=true. 1: as recorded.'),
}
FLAGS = {
    'live': 'Play the bag to the real node, at its own rate.',
    'check_live': 'Also evaluate offline, and compare.',
    'overlay': 'Write an overlay video.',
    'write_bag': 'Write the results as a bag.',
}


def command_line(value):
    """Return the arguments of the command for the values of the launch arguments."""
    arguments = [value['bag']]
    for name in OPTIONS:
        if value[name]:
            arguments += [f'--{name.replace("_", "-")}', value[name]]
    return arguments + [f'--{name.replace("_", "-")}' for name in FLAGS if value[name] in TRUE]


def start(context):
    """Return the process of the command for the values of the launch arguments."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ('bag', *OPTIONS, *FLAGS)}
    return [
        Node(
            package=PACKAGE,
            executable='evaluate_bag',
            arguments=command_line(value),
            output='screen',
            emulate_tty=True,
            on_exit=Shutdown(),
        )
    ]


def generate_launch_description():
    """Return the launch description."""
    return LaunchDescription(
        [
            DeclareLaunchArgument('bag', description='ROS bag: .bag, .db3, .mcap or folder.'),
            *(DeclareLaunchArgument(n, default_value=d, description=t) for n, (d, t) in OPTIONS.items()),
            *(DeclareLaunchArgument(n, default_value='false', choices=SWITCH, description=t) for n, t in FLAGS.items()),
            OpaqueFunction(function=start),
        ]
    )
