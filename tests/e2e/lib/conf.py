"""sentinel.conf and the journal beside it, as files."""

import glob
import os
import re


def read_lines(path):
    with open(path) as file:
        return [line.rstrip("\n") for line in file]


def directives(path):
    """[words] of every line that is no comment."""
    return [line.split() for line in read_lines(path)
            if line.strip() and not line.lstrip().startswith("#")]


def sentinel_lines(path, word, name=None):
    """[the words behind it] of every `sentinel <word> [name]` line."""
    found = []
    for words in directives(path):
        if words[0].lower() == "sentinel" and words[1].lower() == word:
            if name is None:
                found.append(words[2:])
            elif len(words) > 2 and words[2] == name:
                found.append(words[3:])
    return found


def sentinel_value(path, word, name=None):
    """Of the only such line; None when there is none."""
    found = sentinel_lines(path, word, name)
    assert len(found) <= 1, "%d lines sentinel %s in %s" % (len(found), word, path)
    return found[0][0] if found else None


# --- the journal (src/io/journal.h) ---------------------------------------------------------------


def _crc_table():
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def journal_line(text):
    """A whole line as the journal holds it; text may start with a blank (first of its batch)."""
    return "%08x %s\n" % (crc32c(text.encode()), text)


def journals(conf):
    """The journal files of a sentinel.conf, oldest first."""
    found = []
    for path in glob.glob(glob.escape(os.path.realpath(conf)) + ".journal.*"):
        match = re.search(r"\.journal\.(\d+)$", path)
        if match:
            found.append((int(match.group(1)), path))
    return [path for _, path in sorted(found)]


def journal_texts(conf):
    """The lines of every journal file, without checksums; each must be whole."""
    texts = []
    for path in journals(conf):
        for line in read_lines(path):
            checksum, text = line[:8], line[9:]
            assert int(checksum, 16) == crc32c(text.encode()), "%s: %r" % (path, line)
            texts.append(text.strip())
    return texts
