"""Quality of service: the node's profiles, overrides by the user, and why two sides are incompatible."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

from minisegnet_core.errors import ConfigurationError
from minisegnet_ros.rclpy_compat import parameter_overrides

INPUT_DEPTH = 5
"""Images that the middleware queues. The node takes each at once; deep queues make other nodes lag."""

OUTPUT_DEPTH = 5

PREFIX = 'qos_overrides.'

_POLICIES: dict[str, Any] = {
    'history': HistoryPolicy,
    'depth': None,
    'reliability': ReliabilityPolicy,
    'durability': DurabilityPolicy,
}
"""Policies that can be overridden, with the enumeration of their values."""


def input_profile(reliability: ReliabilityPolicy) -> QoSProfile:
    """Return the profile of the image and camera info subscriptions."""
    return QoSProfile(depth=INPUT_DEPTH, history=HistoryPolicy.KEEP_LAST, reliability=reliability)


def output_profile(*, latched: bool = False) -> QoSProfile:
    """Return the profile of an output.

    Reliable outputs serve subscribers of either kind. A slow subscriber costs network traffic and does not delay the
    node, because only the newest few messages are kept.

    Args:
        latched: late subscribers receive the last message too.
    """
    return QoSProfile(
        depth=1 if latched else OUTPUT_DEPTH,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def check_overrides(node: Node) -> None:
    """Validate all ``qos_overrides`` parameters before the first of them is used.

    Raises:
        ConfigurationError: a policy cannot be overridden, or has no such value.
    """
    for name, parameter in parameter_overrides(node).items():
        if not name.startswith(PREFIX):
            continue
        policy, value = name.rpartition('.')[2], parameter.value
        if policy not in _POLICIES:
            raise ConfigurationError(f'{name}: there is no policy {policy}; use one of {", ".join(_POLICIES)}')
        enumeration = _POLICIES[policy]
        if enumeration is None:
            if type(value) is not int or value < 1:
                raise ConfigurationError(f'{name} must be an integer of at least 1, not {value!r}')
            continue
        known = [item.name.lower() for item in enumeration if item.name not in ('UNKNOWN', 'BEST_AVAILABLE')]
        if value not in known:
            raise ConfigurationError(f'{name} must be one of {", ".join(known)}, not {value!r}')


def overridden_reliability(node: Node, topic: str) -> ReliabilityPolicy | None:
    """Return the value of ``qos_overrides.<topic>.subscription.reliability``, or None if it is not set."""
    parameter = parameter_overrides(node).get(f'{PREFIX}{topic}.subscription.reliability')
    return None if parameter is None else ReliabilityPolicy[parameter.value.upper()]


def overriding_options(node: Node, topic: str, entity: str) -> QoSOverridingOptions:
    """Return options that apply the ``qos_overrides.<topic>.<entity>.*`` parameters to a publisher or subscription.

    Only the policies that the user overrides are listed. rclpy declares a parameter for each listed policy once, with
    its first value, and would fix the reliability of a subscription to that value.

    Args:
        node: owner of the publisher or subscription.
        topic: resolved name.
        entity: ``publisher`` or ``subscription``.
    """
    prefix = f'{PREFIX}{topic}.{entity}.'
    policies = [name.removeprefix(prefix) for name in parameter_overrides(node) if name.startswith(prefix)]
    return QoSOverridingOptions([QoSPolicyKind[policy.upper()] for policy in policies])


def warn_about_unused_overrides(node: Node) -> None:
    """Warn about ``qos_overrides`` that no topic of an active node uses; most likely a name is misspelt.

    rclpy declares each override that a publisher or subscription uses. The override of ``/clock`` is rclpy's own and
    used only with simulated time.
    """
    for name in parameter_overrides(node):
        if name.startswith(PREFIX) and '/clock.' not in name and not node.has_parameter(name):
            topic = name.removeprefix(PREFIX).rsplit('.', 2)[0]
            node.get_logger().warning(f'{name} has no effect: this node has no topic {topic}; check the name')


def mismatch(offered: QoSProfile, requested: QoSProfile) -> str:
    """Return why a publisher cannot serve a subscription, with the values of both; empty if it can."""
    compatibility, _ = qos_check_compatible(offered, requested)
    if compatibility != QoSCompatibility.ERROR:
        return ''
    differing = [
        f'{name} {getattr(offered, name).name.lower()} against {getattr(requested, name).name.lower()}'
        for name in ('reliability', 'durability', 'liveliness')
        if getattr(offered, name) != getattr(requested, name)
    ]
    return ', '.join(differing) or 'deadline or liveliness lease'
