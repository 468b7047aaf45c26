"""Quality of service: the node's profiles, how users override them, and why two sides do not fit."""

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

INPUT_DEPTH = 5
"""Images that the middleware keeps for us. We take each at once; deep queues are what makes others lag."""

OUTPUT_DEPTH = 5

_POLICIES: dict[str, Any] = {
    'history': HistoryPolicy,
    'depth': None,
    'reliability': ReliabilityPolicy,
    'durability': DurabilityPolicy,
}
"""Policies that may be overridden, with the words each knows."""


def input_profile(reliability: ReliabilityPolicy) -> QoSProfile:
    """Of the image and camera info subscriptions."""
    return QoSProfile(depth=INPUT_DEPTH, history=HistoryPolicy.KEEP_LAST, reliability=reliability)


def output_profile(*, latched: bool = False) -> QoSProfile:
    """Of every output; latched: late listeners get the last message too.

    Reliable serves listeners of both kinds; a slow one costs the network, not us, as only the newest few are kept.
    """
    return QoSProfile(
        depth=1 if latched else OUTPUT_DEPTH,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def check_overrides(node: Node) -> None:
    """Checks all ``qos_overrides`` parameters before the first of them is used.

    Raises:
        ConfigurationError: a policy that cannot be overridden, or a value it does not know.
    """
    for name, parameter in node._parameter_overrides.items():
        if not name.startswith('qos_overrides.'):
            continue
        policy, value = name.rpartition('.')[2], parameter.value
        if policy not in _POLICIES:
            raise ConfigurationError(f'{name}: there is no policy {policy}; there are {", ".join(_POLICIES)}')
        words = _POLICIES[policy]
        if words is None:
            if type(value) is not int or value < 1:
                raise ConfigurationError(f'{name} must be a number from 1, not {value!r}')
            continue
        known = [w.name.lower() for w in words if w.name not in ('UNKNOWN', 'BEST_AVAILABLE')]
        if value not in known:
            raise ConfigurationError(f'{name} must be one of {", ".join(known)}, not {value!r}')


def overridden_reliability(node: Node, topic: str) -> ReliabilityPolicy | None:
    """What ``qos_overrides.<topic>.subscription.reliability`` says, if it does. It wins over `reliability`."""
    parameter = node._parameter_overrides.get(f'qos_overrides.{topic}.subscription.reliability')
    return None if parameter is None else ReliabilityPolicy[parameter.value.upper()]


def overriding_options(node: Node, topic: str, entity: str) -> QoSOverridingOptions:
    """Options with which a publisher or subscription takes its ``qos_overrides.<topic>.<entity>.*`` parameters.

    Only the policies somebody overrides: rclpy declares a parameter for each, once, with the first value, and would
    thereby hold a subscription to the reliability it began with.

    Args:
        topic: its resolved name.
        entity: ``publisher`` or ``subscription``.
    """
    prefix = f'qos_overrides.{topic}.{entity}.'
    named = [name.removeprefix(prefix) for name in node._parameter_overrides if name.startswith(prefix)]
    return QoSOverridingOptions([QoSPolicyKind[policy.upper()] for policy in named])


def warn_of_unused_overrides(node: Node) -> None:
    """Warns of ``qos_overrides`` that no topic of an active node has taken: most likely a name is misspelt.

    rclpy declares each that a publisher or subscription takes. That of ``/clock`` is its own, and taken only with
    simulated time.
    """
    for name in node._parameter_overrides:
        if name.startswith('qos_overrides.') and '/clock.' not in name and not node.has_parameter(name):
            topic = name.removeprefix('qos_overrides.').rpartition('.')[0]
            node.get_logger().warning(f'{name} has no effect: this node has no such topic ({topic})')


def mismatch(offered: QoSProfile, requested: QoSProfile) -> str:
    """Why nothing passes from a publisher to a subscription, with what both sides say; empty where it does."""
    compatibility, _ = qos_check_compatible(offered, requested)
    if compatibility != QoSCompatibility.ERROR:
        return ''
    differing = [
        f'{name} {getattr(offered, name).name.lower()} against {getattr(requested, name).name.lower()}'
        for name in ('reliability', 'durability', 'liveliness')
        if getattr(offered, name) != getattr(requested, name)
    ]
    return ', '.join(differing) or 'deadline or liveliness lease'
