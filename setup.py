"""Installs minisegnet_ros: with colcon as a ROS 2 package, with pip as the program `minisegnet`."""

import os
from glob import glob

from setuptools import find_packages, setup

package_name = 'minisegnet_ros'

# Under colcon, lib/minisegnet_ros holds one executable per command, for `ros2 run`. A pip install puts only
# `minisegnet` on the PATH, where names such as `train` would be anybody's.
COMMANDS = {
    'synthesize': 'minisegnet_core.commands.synthesize',
    'import_dataset': 'minisegnet_core.commands.import_dataset',
    'train': 'minisegnet_core.commands.train',
    'lr_range_test': 'minisegnet_core.commands.lr_range_test',
    'export': 'minisegnet_core.commands.export',
    'predict': 'minisegnet_core.commands.predict',
    'evaluate': 'minisegnet_core.commands.evaluate',
    'evaluate_bag': 'minisegnet_ros.commands.evaluate_bag',
    'benchmark': 'minisegnet_core.commands.benchmark',
    'segment': 'minisegnet_ros.commands.segment',
    'demo': 'minisegnet_ros.commands.demo',
}
# colcon sets this variable for all that it runs.
executables = COMMANDS if os.environ.get('COLCON') else {}


def data_files(folder, *patterns):
    """Files for share/, and an error where a pattern finds none: an empty glob would be installed in silence."""
    files = []
    for pattern in patterns:
        found = sorted(glob(os.path.join(folder, pattern)))
        if not found:
            raise SystemExit(f'setup.py: no file matches {folder}/{pattern}')
        files += found
    return (os.path.join('share', package_name, folder), files)


setup(
    name=package_name,
    version='0.1.0',
    packages=find_packages(include=['minisegnet_core*', 'minisegnet_ros*']),
    package_data={'minisegnet_core': ['py.typed', 'evaluation/report/templates/*']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{package_name}']),
        (f'share/{package_name}', ['package.xml']),
        data_files('launch', '*.launch.py'),
        data_files('config', '*.yaml', '*.xml', '*.rviz', '*.json'),
        data_files('models', '*'),
    ],
    python_requires='>=3.10',
    # cv2 is needed too, but as opencv-python, opencv-python-headless or the system's: never two of them, so none is
    # named.
    install_requires=['numpy', 'PyYAML', 'tqdm', 'rosbags>=0.10', 'pydantic>=2.7', 'jinja2>=3.1'],
    extras_require={
        'run': ['openvino>=2024.4'],
        'onnxruntime': ['onnxruntime>=1.17'],
        'train': [
            'torch>=2.6',
            'torchvision>=0.21',
            'lightning-fabric>=2.4',
            'tensorboard',
            'safetensors',
            'onnx>=1.16',
            'onnxscript',
            'matplotlib',
            'pillow',
        ],
        # Calibration and quantization for `export --int8`.
        'int8': ['nncf>=3.0', 'openvino>=2024.4'],
        # `evaluate-bag --cluster`: bags spread over machines by Dask.
        'cluster': ['distributed>=2024.1'],
        'test': ['pytest', 'hypothesis', 'openvino>=2024.4', 'onnxruntime>=1.17', 'scikit-learn', 'pycocotools'],
    },
    zip_safe=False,
    maintainer='The minisegnet developers',
    maintainer_email='maintainers@minisegnet.example',
    description='Real-time semantic segmentation and ball detection for robot soccer',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'minisegnet = minisegnet_core.cli:main',
            *(f'{name} = {module}:main' for name, module in executables.items()),
        ],
        # The same commands under the program's name; executables of ROS packages have no hyphens.
        'minisegnet.commands': [f'{name.replace("_", "-")} = {module}:main' for name, module in COMMANDS.items()],
    },
)
