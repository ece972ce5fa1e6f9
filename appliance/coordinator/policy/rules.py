"""A policy's rules and approvals as values. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.coordinator.policy.selectors import People, Selector
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import PortRange


@dataclass(frozen=True, slots=True)
class Target:
    """A destination and its ports."""

    selector: Selector
    ports: tuple[PortRange, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """Sources that may reach targets; without protocols: TCP, UDP and ICMP."""

    sources: tuple[Selector, ...]
    targets: tuple[Target, ...]
    protocols: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class AutoApprovers:
    """Whose nodes need not wait for an admin: by prefix, and for exit nodes."""

    routes: Mapping[IPNetwork, tuple[Selector, ...]] = field(default_factory=dict)
    exit_node: tuple[Selector, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.routes or self.exit_node)


@dataclass(frozen=True, slots=True)
class PolicyText:
    """What a policy file says."""

    rules: tuple[Rule, ...] | None = None
    """``None``: it speaks of no rules, so everything is allowed."""
    approvers: AutoApprovers = AutoApprovers()
    groups: Mapping[str, People] = field(default_factory=dict)
