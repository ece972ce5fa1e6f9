"""Who gets the packets for a key."""

from appliance.relay.registry import MAX_HEARD, Registry

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


class Connection:
    def __init__(self, key: bytes) -> None:
        self.key = key
        self.heard: set[bytes] = set()


def test_a_connection_is_found_by_its_key_until_it_ends() -> None:
    registry: Registry[Connection] = Registry()
    first = Connection(A)
    registry.add(first)
    assert registry.active == {A: first}
    assert registry.remove(first) == []
    assert registry.active == {}


def test_the_newest_connection_of_a_key_is_active() -> None:
    registry: Registry[Connection] = Registry()
    old, new = Connection(A), Connection(A)
    registry.add(old)
    registry.add(new)
    assert registry.active[A] is new
    assert list(registry) == [old, new]
    assert len(registry) == 1


def test_the_connection_that_last_sent_something_is_active() -> None:
    registry: Registry[Connection] = Registry()
    old, new = Connection(A), Connection(A)
    registry.add(old)
    registry.add(new)
    registry.note_sender(old)
    assert registry.active[A] is old


def test_when_the_active_one_ends_another_takes_over() -> None:
    registry: Registry[Connection] = Registry()
    connections = [Connection(A) for _ in range(3)]
    for connection in connections:
        registry.add(connection)
    registry.remove(connections[2])
    assert registry.active[A] is connections[1]
    registry.remove(connections[0])
    assert registry.active[A] is connections[1]
    registry.note_sender(connections[1])
    registry.remove(connections[1])
    assert registry.active == {}
    assert list(registry) == []


def test_those_who_heard_from_a_key_are_told_when_its_last_connection_ends() -> None:
    registry: Registry[Connection] = Registry()
    old, new, listener, stranger = Connection(A), Connection(A), Connection(B), Connection(C)
    for connection in (old, new, listener, stranger):
        registry.add(connection)
    registry.note_delivery(A, listener)
    assert registry.remove(old) == []
    assert registry.remove(new) == [listener]
    assert listener.heard == set()


def test_who_has_gone_is_not_told() -> None:
    registry: Registry[Connection] = Registry()
    source, listener = Connection(A), Connection(B)
    registry.add(source)
    registry.add(listener)
    registry.note_delivery(A, listener)
    registry.remove(listener)
    assert registry.remove(source) == []


def test_a_connection_remembers_so_many_sources_only() -> None:
    registry: Registry[Connection] = Registry()
    listener = Connection(A)
    registry.add(listener)
    for number in range(MAX_HEARD + 10):
        registry.note_delivery(number.to_bytes(32), listener)
    assert len(listener.heard) == MAX_HEARD


def test_all_connections_of_a_key_are_found() -> None:
    registry: Registry[Connection] = Registry()
    old, new, only = Connection(A), Connection(A), Connection(B)
    for connection in (old, new, only):
        registry.add(connection)
    assert registry.of_key(A) == (old, new)
    assert registry.of_key(B) == (only,)
    assert registry.of_key(C) == ()
