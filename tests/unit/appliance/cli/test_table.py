from appliance.cli.table import render


def test_columns_line_up() -> None:
    assert render([["a", "bbb"], ["cc", "d"]], header=["x", "y"]) == "x   y\na   bbb\ncc  d\n"
