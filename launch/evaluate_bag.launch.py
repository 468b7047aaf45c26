"""Evaluates a model on a bag: ros2 launch minisegnet_ros evaluate_bag.launch.py bag:=match.mcap live:=true

Ends when the report is written. More options: ros2 run minisegnet_ros evaluate_bag --help
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from minisegnet_ros.environment import SWITCH, TRUE

PACKAGE = 'minisegnet_ros'

# Arguments that are options of the command, with their defaults; an empty one is not given to it.
OPTIONS = {
    'output': ('evaluated', 'folder to write into'),
    'topic': ('', 'image topic (default: the only one)'),
    'model': ('', 'model file or name of a shipped one'),
    'engine': ('', 'auto, openvino, onnxruntime or torch'),
    'network_size': ('', 'native, half or WIDTHxHEIGHT'),
    'threads': ('', 'CPU threads'),
    'label_topic': ('', 'topic of true label images'),
    'ball_topic': ('', 'topic of true balls'),
    'labels': ('', 'folder of true label images <stamp>.png'),
    'balls': ('', 'folder of YOLO boxes <stamp>.txt, or a .jsonl file'),
    'compare': ('', 'another model, or the folder of an earlier evaluation'),
    'fail_under': ('', 'KEY=VALUE, such as mean_iou=0.8'),
    'rate': ('', 'speed of a live replay'),
}
FLAGS = {
    'live': 'play the bag to the real node at its own rate',
    'check_live': 'evaluate offline too, and compare',
    'overlay': 'write a video',
    'write_bag': 'write the results as a bag',
}


def command_line(value):
    """The command's arguments for these values of the launch arguments."""
    words = [value['bag']]
    for name in OPTIONS:
        if value[name]:
            words += [f'--{name.replace("_", "-")}', value[name]]
    return words + [f'--{name.replace("_", "-")}' for name in FLAGS if value[name] in TRUE]


def start(context):
    """The command, once the arguments' values are known."""
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
    """What `ros2 launch` asks for."""
    return LaunchDescription(
        [
            DeclareLaunchArgument('bag', description='bag: .bag, .db3, .mcap or folder'),
            *(DeclareLaunchArgument(n, default_value=d, description=t) for n, (d, t) in OPTIONS.items()),
            *(DeclareLaunchArgument(n, default_value='false', choices=SWITCH, description=t) for n, t in FLAGS.items()),
            OpaqueFunction(function=start),
        ]
    )
