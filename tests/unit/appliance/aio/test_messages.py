from appliance.aio.messages import HttpRequest, HttpResponse, json_response, text_response


def test_headers_are_found_in_any_case() -> None:
    headers = (("Content-Type", "text/html"), ("content-type", "other"))
    assert HttpRequest("GET", "/", headers).header("CONTENT-TYPE") == "text/html"
    assert HttpResponse(200, headers).header("content-type") == "text/html"
    assert HttpResponse(200, headers).header("Accept") is None


def test_a_target_is_a_path_and_a_query() -> None:
    request = HttpRequest("GET", "/key?v=131&v=2&empty=")
    assert request.path == "/key"
    assert request.query("v") == "131"
    assert request.query("empty") == ""
    assert request.query("absent") is None


def test_answers_say_what_they_carry() -> None:
    assert text_response(404, "no such page").body == b"no such page\n"
    assert json_response(200, b"{}").header("content-type") == "application/json"


def test_bodies_are_not_printed() -> None:
    assert "secret" not in repr(HttpRequest("POST", "/", body=b"secret"))
    assert "secret" not in repr(HttpResponse(200, body=b"secret"))
