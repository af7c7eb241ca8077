"""Names of files and folders: as text for people, and as what two systems agree on."""

from __future__ import annotations

import unicodedata


def printable(name: str) -> str:
    r"""Return a name on one line that every program can print and store.

    A file's name may have any bytes. Everything that is not printable (a byte outside UTF-8, a line feed, a control
    character) becomes an escape such as `\udcff` or `\n`.

    Example:
        >>> printable("caf\udce9 \n.jpg")
        'caf\\udce9 \\n.jpg'
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in name
    )


def plural(count: int, singular: str, plural: str) -> str:
    """Return a number with its noun.

    Example:
        >>> plural(1, "class", "classes"), plural(1200, "class", "classes")
        ('1 class', '1,200 classes')
    """
    return f"{count:,} {singular if count == 1 else plural}"


def is_utf8(name: str) -> bool:
    """Return whether a name that the system gave is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def same_name(name: str) -> str:
    """Return the form of a name that all systems agree on (Unicode's NFC). macOS decomposes accents."""
    return unicodedata.normalize("NFC", name)
