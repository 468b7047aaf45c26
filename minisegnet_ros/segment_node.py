"""The ROS 2 node `segment`: camera images in, label images and the ball out."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from minisegnet_core.cli import EXIT_USAGE, without_ros_arguments
from minisegnet_core.encodings import Order
from minisegnet_core.errors import ConfigurationError, MinisegnetError
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_ros.diagnostics import Statistics, status
from minisegnet_ros.environment import spin_until
from minisegnet_ros.image_input import ImageInput, steady_clock
from minisegnet_ros.parameters import TABLE, Change, declare_parameters, size_of, values_of
from minisegnet_ros.publishers import Outputs
from minisegnet_ros.worker import Worker

RCLError = rclpy_implementation.RCLError
SegmenterFactory = Callable[..., Segmenter]


class SegmentNode(LifecycleNode):
    """A managed node: configure loads and warms the model, activate subscribes, deactivate stops, cleanup frees.

    Args:
        segmenter_factory: called as :class:`Segmenter` is; tests put their own here.
        options: of :class:`rclpy.node.Node`.

    Raises:
        ConfigurationError: a parameter's first value is wrong.
    """

    def __init__(self, segmenter_factory: SegmenterFactory = Segmenter, **options: Any) -> None:
        super().__init__('segment', **options)
        self._factory = segmenter_factory
        declare_parameters(self)
        self._settings = values_of(self)
        self._segmenter: Segmenter | None = None
        self._loaded: Segmenter | None = None
        self._outputs: Outputs | None = None
        self._input: ImageInput | None = None
        self._worker: Worker | None = None
        self._statistics = Statistics()
        self._swap = threading.Lock()  # held while a frame is in work
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # Parameter and lifecycle services stay in the default group: loading a model there holds nothing else up.
        self._diagnostics_group = MutuallyExclusiveCallbackGroup()
        self._diagnostics_timer = self._new_diagnostics_timer()
        self._starter = self.create_timer(0.0, self._start, clock=steady_clock())

    # Lifecycle

    def _start(self) -> None:
        self.destroy_timer(self._starter)
        if self._settings['autostart'] and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> TransitionCallbackReturn:  # noqa: N802
        """Refuses transitions that are not possible now, where Jazzy's rclpy lets them end the whole executor."""
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)  # type: ignore[misc]
        except RCLError as error:
            self.get_logger().error(f'transition {transition_id} is not possible now: {str(error).strip()}')
            return TransitionCallbackReturn.ERROR

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._settings.update(values_of(self))
        try:
            segmenter = self._load(self._settings)
        except MinisegnetError as error:
            self.get_logger().error(f'cannot configure: {error}')
            return TransitionCallbackReturn.FAILURE
        self._segmenter = segmenter
        self._outputs = Outputs(self, segmenter.classes)
        self._new_diagnostics()
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._statistics = Statistics()
        self._new_diagnostics()
        self._worker = Worker(self, self._settings, self._statistics, self._tools, self._camera_info, self._swap)
        self._input = ImageInput(
            self,
            compressed=self._settings['image_transport'] == 'compressed',
            reliability=self._settings['reliability'],
            on_image=self._worker.put,
            on_lost=lambda count: self._statistics.drop(count, lost=True),
        )
        self.get_logger().info(f'active: waiting for images on {self._input.topic}')
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.stop()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.stop()
        if self._outputs is not None:
            self._outputs.close()
        self._outputs = self._segmenter = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self.on_cleanup(state)

    def stop(self) -> None:
        """Ends subscriptions and work; may be called twice."""
        if self._input is not None:
            self._input.close()
        if self._worker is not None:
            self._worker.close()
        self._input = self._worker = None

    # Model

    def _load(self, settings: dict[str, Any]) -> Segmenter:
        """A warm segmenter as the settings want it.

        Raises:
            MinisegnetError: it cannot be loaded or run; the text says why.
        """
        segmenter = self._factory(
            settings['model'],
            engine=settings['engine'],
            network_size=settings['network_size'],
            threads=settings['threads'],
            ball_threshold=settings['ball_threshold'],
        )
        width, height = size_of(settings['expected_size'])
        # An engine compiles for each size and channel order it meets, for up to a second: rather now than in the game.
        orders: tuple[Order, ...] = ('bgr',) if settings['image_transport'] == 'compressed' else ('rgb', 'bgr')
        for order in orders:
            segmenter.run(np.zeros((height, width, 3), np.uint8), order=order)
        self.get_logger().info(f'loaded {segmenter.model_path} ({segmenter.model_hash}), engine {segmenter.engine}')
        return segmenter

    def _tools(self) -> tuple[Segmenter, Outputs]:
        assert self._segmenter is not None and self._outputs is not None, 'the worker lives only while active'
        return self._segmenter, self._outputs

    def _camera_info(self, stamp: int) -> Any:
        return self._input.camera_info(stamp) if self._input is not None else None

    # Parameters

    def _check_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        changes: dict[str, Any] = {}
        try:
            for parameter in parameters:
                if parameter.name not in TABLE:
                    continue  # use_sim_time and the like are rclpy's
                entry = TABLE[parameter.name]
                changes[entry.name] = entry.check(parameter.value)
                if entry.change is Change.INACTIVE and self._worker is not None:
                    raise ConfigurationError(f'{entry.name} cannot change while the node is active, deactivate it')
            if self._segmenter is not None and any(TABLE[name].change is Change.MODEL for name in changes):
                self._loaded = self._load({**self._settings, **changes})
        except MinisegnetError as error:
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:  # an engine's own trouble must not end the service, and with it the node
            return SetParametersResult(successful=False, reason=f'{type(error).__name__}: {error}')
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: list[Parameter]) -> None:
        for parameter in parameters:
            if parameter.name in TABLE:
                self._settings[parameter.name] = TABLE[parameter.name].check(parameter.value)
        if self._segmenter is None:
            return
        with self._swap:
            if self._loaded is not None:
                self._segmenter, self._loaded = self._loaded, None
                if self._outputs is not None and self._outputs.classes != self._segmenter.classes:
                    self._outputs.close()
                    self._outputs = Outputs(self, self._segmenter.classes)
            self._segmenter.ball_threshold = self._settings['ball_threshold']

    # Diagnostics

    def _new_diagnostics_timer(self) -> Any:
        period = self._settings['diagnostics_period']
        return self.create_timer(period, self._publish_diagnostics, self._diagnostics_group, clock=steady_clock())

    def _new_diagnostics(self) -> None:
        self.destroy_timer(self._diagnostics_timer)
        self._diagnostics_timer = self._new_diagnostics_timer()

    def _publish_diagnostics(self) -> None:
        name = f'{self.get_fully_qualified_name().lstrip("/")}: segmentation'
        segmenter, source = self._segmenter, self._input
        facts: dict[str, object] = {}
        if segmenter is not None:
            facts = {
                'engine': segmenter.engine,
                'model': segmenter.model_path.name,
                'model hash': segmenter.model_hash,
            }
        if source is not None:
            facts |= {'image topic': source.topic, 'reliability': source.reliability.name.lower()}
            report = self._statistics.status(name, facts)
        elif segmenter is not None:
            report = status(name, DiagnosticStatus.OK, 'inactive', facts)
        else:
            report = status(name, DiagnosticStatus.WARN, 'not configured', facts)
        message = DiagnosticArray(status=[report])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Runs the ROS 2 node that segments camera images."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog=prog,
        description='Runs the ROS 2 node that segments camera images.',
        epilog='Parameters and topics are ROS arguments: --ros-args -p engine:=openvino -r image:=/camera/image_raw',
    )
    parser.parse_args(without_ros_arguments(arguments))
    node = None
    try:
        rclpy.init(args=[parser.prog, *arguments])
    except Exception as error:  # each distribution has its own types for ROS arguments that are wrong
        print(f'{parser.prog}: {str(error).splitlines()[0]}', file=sys.stderr)
        return EXIT_USAGE
    try:
        node = SegmentNode()
        # One thread for images, one for parameters and transitions, one for diagnostics.
        executor = MultiThreadedExecutor(num_threads=3)
        executor.add_node(node)
        spin_until(executor, lambda: not rclpy.ok())
    except ConfigurationError as error:
        print(f'{parser.prog}: {error}', file=sys.stderr)
        return EXIT_USAGE
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():  # else the context went away under a call: Ctrl-C in an unlucky moment
            raise
    finally:
        if node is not None:
            node.stop()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
