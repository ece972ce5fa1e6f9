from appliance.exit_status import ExitStatus


def test_each_failure_has_one_number_and_one_code() -> None:
    assert len({status.value for status in ExitStatus}) == len(list(ExitStatus))
    assert all(ExitStatus.of(status.code) is status for status in ExitStatus)


def test_an_unknown_code_is_a_plain_error() -> None:
    assert ExitStatus.of("something-new") is ExitStatus.ERROR
