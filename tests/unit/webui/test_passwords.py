from webui.passwords import MAX_LENGTH, hash_password, is_long_enough, is_right


def test_a_hash_knows_its_password_and_no_other() -> None:
    stored = hash_password("correct horse")
    assert "correct" not in stored
    assert is_right(stored, "correct horse")
    assert not is_right(stored, "correct horse ")
    assert not is_right(stored, "")


def test_a_broken_hash_is_nobody() -> None:
    assert not is_right("", "correct horse")
    assert not is_right("$argon2id$nonsense", "correct horse")


def test_a_megabyte_is_not_hashed() -> None:
    assert not is_right(hash_password("correct horse"), "x" * 1_000_000)
    assert not is_long_enough("x" * (MAX_LENGTH + 1))


def test_ten_characters_are_enough() -> None:
    assert is_long_enough("ten chars!")
    assert not is_long_enough("nine char")
    assert is_long_enough("пароль дом")
