"""Fields of a request, told as the options that set them."""

import pytest

from cli.options import CHAT, in_options


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("sampling.temperature is 5; it must be 0 to 2.", "--temperature is 5; it must be 0 to 2."),
        ("Shorten it or lower `max_tokens`.", "Shorten it or lower --max-tokens."),
        ("Lower max_tokens to 5.", "Lower --max-tokens to 5."),
        ("my_max_tokens and max_tokens_more stay.", "my_max_tokens and max_tokens_more stay."),
    ],
)
def test_fields_are_told_as_options(said: str, told: str) -> None:
    assert in_options(said, CHAT) == told
