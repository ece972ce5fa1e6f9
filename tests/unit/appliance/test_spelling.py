from appliance.spelling import closest, hint

KNOWN = ["state_dir", "socket", "port"]


def test_a_slip_finds_the_name_that_was_meant() -> None:
    assert closest("stat_dir", KNOWN) == "state_dir"
    assert hint("stat_dir", KNOWN) == "Did you mean 'state_dir'?"


def test_a_name_like_no_other_gets_the_list_in_its_order() -> None:
    assert closest("colour", KNOWN) is None
    assert hint("colour", KNOWN) == "Known: state_dir, socket, port."
    assert hint("colour", KNOWN, "Known here") == "Known here: state_dir, socket, port."


def test_where_nothing_is_known_nothing_is_near() -> None:
    assert closest("port", []) is None
