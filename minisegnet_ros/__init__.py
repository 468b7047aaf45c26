"""The ROS 2 layer of minisegnet: a thin node around minisegnet_core, its parameters, and a bag player."""
