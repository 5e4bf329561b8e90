"""Elements of HTML and SVG, escaped by construction: text goes in as ``str``, only :class:`Markup` passes unescaped."""

from html import escape


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


VOID = frozenset({"meta", "br", "hr", "col", "img"})


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """One element. A trailing underscore in an attribute's name is dropped, inner ones become hyphens; ``None`` is no

    attribute.

    >>> element("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_text(value), quote=True)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in VOID:
        return Markup(f"<{tag}{named}>")
    return Markup(f"<{tag}{named}>{join(children)}</{tag}>")


def join(children: object) -> Markup:
    """Children in a row, text among them escaped; nested sequences are flattened and ``None`` skipped."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, list | tuple):
        return Markup("".join(join(child) for child in children))
    return Markup(escape(_text(children), quote=False))


def _text(value: object) -> str:
    """Coordinates need no more than two digits after the point."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
