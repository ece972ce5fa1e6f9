from ansible.plugins.module_utils.task import diff, run
from ansible.plugins.module_utils.unixapi import ApiError


class Module:
    """What a module does, recorded."""

    def __init__(self) -> None:
        self.said = []

    def warn(self, text) -> None:
        self.said.append(("warn", text))

    def fail_json(self, **result) -> None:
        self.said.append(("fail", result))

    def exit_json(self, **result) -> None:
        self.said.append(("exit", result))


def outcome(work):
    module = Module()
    run(module, work)
    return module.said


def test_a_result_ends_the_module_and_warnings_come_first() -> None:
    said = outcome(lambda: {"changed": True, "warnings": ("Careful.",)})
    assert said == [("warn", "Careful."), ("exit", {"changed": True})]


def test_a_failure_is_one_sentence_with_its_name() -> None:
    def work():
        raise ApiError("It expired.", "key-expired")

    assert outcome(work) == [("fail", {"msg": "It expired.", "code": "key-expired"})]


def test_an_answer_of_another_version_is_said() -> None:
    [(kind, result)] = outcome(lambda: {}["nodes"])
    assert kind == "fail"
    assert result["msg"].startswith("The answer lacks 'nodes'; are Latchkey here")


def test_a_diff_has_only_what_differs() -> None:
    assert diff({"a": 1, "b": 2}, {"a": 1, "b": 3}) == {"before": {"b": 2}, "after": {"b": 3}}
    assert diff({}, {"a": 1}) == {"before": {}, "after": {"a": 1}}
    assert diff({"a": 1}, {}) == {"before": {"a": 1}, "after": {}}
