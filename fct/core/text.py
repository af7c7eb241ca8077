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
