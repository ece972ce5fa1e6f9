"""What a template is, and its mark for the catalogue."""


def N_(text: str) -> str:  # noqa: N802 - the usual name of the mark for gathering texts
    """Mark a text for the catalogue."""
    return text


Template = str | tuple[str, str]
"""A sentence as the agent says it, or that and what the page says instead."""
