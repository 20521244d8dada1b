"""HTML elements that escape whatever is put into them, so that no place can forget it."""

from __future__ import annotations

from html import escape


class Markup(str):
    """HTML that goes into a page as it is; any other text is escaped."""

    __slots__ = ()


def joined(*content: str) -> Markup:
    """One after the other."""
    return Markup("".join(each if isinstance(each, Markup) else escape(each) for each in content))


def breakable(name: str) -> Markup:
    """A name that may go on in the next line behind a dot, where a screen is narrow."""
    return joined(
        *(Markup(f"{escape(part)}.<wbr>") for part in name.split(".")[:-1]), name.rpartition(".")[2]
    )


def element(name: str, /, *content: str, **attributes: str) -> Markup:
    """An element.

    Args:
        name: Its tag.
        content: What is in it.
        attributes: Its attributes; `class_` stands for `class`, `aria_label` for `aria-label`.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{joined(*content)}</{name}>")
