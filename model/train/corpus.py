#!/usr/bin/env python3
"""The King James Bible as plain text, split into a training part and held-out books.

The text comes from Debian's packages bible-kjv and bible-kjv-text (the text is in the public
domain): `bible -f` prints one verse per line, with its reference. A chapter becomes one document:
its verses, one per line, without references.
"""

import re
import subprocess

# Whole books that training never sees, spread over the kinds of text: narrative, court history,
# wisdom, two prophets, three letters.
HELD_OUT_BOOKS = ("Ruth", "Est", "Eccl", "Jonah", "Hab", "Phi", "Jas", "1Jn")
# The excerpt of the held-out part that the project's tests score.
EXCERPT_BOOK = "Jonah"

VERSE = re.compile(r"^([1-3]?[A-Za-z]+)(\d+):(\d+) (.*)$")


def verses():
    """(book, chapter, text) of every verse, in order."""
    printed = subprocess.run(
        ["bible", "-f", "gen1:1-rev22:21"],
        stdin=subprocess.DEVNULL, check=True, capture_output=True, text=True,
    ).stdout
    for line in printed.splitlines():
        match = VERSE.match(line)
        if match:
            yield match[1], int(match[2]), " ".join(match[4].split())


def chapters():
    """(book, text) of every chapter; verses end in a newline."""
    current, lines = None, []
    for book, chapter, text in verses():
        if (book, chapter) != current:
            if lines:
                yield current[0], "".join(lines)
            current, lines = (book, chapter), []
        lines.append(text + "\n")
    yield current[0], "".join(lines)


def split():
    """(training chapters, held-out chapters), each a list of (book, text)."""
    training, held_out = [], []
    for book, text in chapters():
        (held_out if book in HELD_OUT_BOOKS else training).append((book, text))
    missing = set(HELD_OUT_BOOKS) - {book for book, _ in held_out}
    if missing:
        raise SystemExit(f"corpus: no such books: {sorted(missing)}")
    return training, held_out


def excerpt():
    """The text that the tests score."""
    return "".join(text for book, text in split()[1] if book == EXCERPT_BOOK)
