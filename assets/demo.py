#!/usr/bin/env python3
"""Records a real run of xfer in two terminals as an animated SVG, for README.md.

    python3 assets/demo.py target/release/xfer assets/demo.svg

Makes some files in a temporary folder, runs `xfer recv` and `xfer send` there, each in a terminal
of its own, and draws what they printed, when they printed it. Only the prompts and the typing are
made up. Needs nothing but Python on a Unix. Must not touch the user's own keys or files: both
programs get another HOME.
"""

import argparse
import fcntl
import os
import pty
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unicodedata
from xml.sax.saxutils import escape

COLUMNS, ROWS = 80, 10
MAX_BYTES = 150_000
TYPING_STEP = 0.12  # seconds for a few letters
TYPING_LETTERS = 3
FINAL_PAUSE = 6.0  # seconds that the last picture stays

# Pixels.
CELL_WIDTH, CELL_HEIGHT, FONT_SIZE = 8.4, 19, 14
PADDING, TITLE_HEIGHT, GAP = 14, 30, 14


# ---- A terminal, as far as progress bars need one ----


class Screen:
    """What is on a terminal: cells of (character, style)."""

    BLANK = (" ", "")

    def __init__(self):
        self.cells = [[self.BLANK] * COLUMNS for _ in range(ROWS)]
        self.row = self.column = 0
        self.saved = (0, 0)
        self.style = {}
        self.rest = b""

    def rows(self):
        return tuple(tuple(row) for row in self.cells)

    def write(self, data):
        data = self.rest + data
        # A character or a sequence may be cut in two.
        text, self.rest = decode_whole(data)
        position = 0
        while position < len(text):
            match = SEQUENCE.match(text, position)
            if match:
                self.sequence(match)
                position = match.end()
            elif text[position] == "\x1b" and len(text) - position < 64:
                self.rest = text[position:].encode() + self.rest
                return
            else:
                self.character(text[position])
                position += 1

    def character(self, c):
        if c == "\r":
            self.column = 0
        elif c == "\n":
            self.line_feed()
        elif c == "\b":
            self.column = max(0, self.column - 1)
        elif c == "\t":
            self.column = min(COLUMNS - 1, (self.column // 8 + 1) * 8)
        elif c >= " " and c != "\x7f":
            if unicodedata.combining(c):
                return
            width = 2 if unicodedata.east_asian_width(c) in "WF" else 1
            if self.column + width > COLUMNS:
                self.column = 0
                self.line_feed()
            style = self.style_name()
            self.cells[self.row][self.column] = (c, style)
            for more in range(1, width):
                self.cells[self.row][self.column + more] = ("", style)
            # May stand behind the last column, as on a real terminal, until more comes.
            self.column += width

    def line_feed(self):
        if self.row == ROWS - 1:
            self.cells.pop(0)
            self.cells.append([self.BLANK] * COLUMNS)
        else:
            self.row += 1

    def sequence(self, match):
        if match["final"] is None:
            if match["other"] == "7":
                self.saved = (self.row, self.column)
            elif match["other"] == "8":
                self.row, self.column = self.saved
            return
        if match["parameters"].startswith(("?", ">", "=")):
            return  # Modes: cursor visibility and the like.
        numbers = [int(n) if n.isdigit() else 0 for n in match["parameters"].split(";")]
        first = numbers[0]
        final = match["final"]
        many = max(1, first)
        if final == "m":
            self.select(numbers)
        elif final == "A":
            self.row = max(0, self.row - many)
        elif final == "B":
            self.row = min(ROWS - 1, self.row + many)
        elif final == "C":
            self.column = min(COLUMNS - 1, self.column + many)
        elif final == "D":
            self.column = max(0, min(self.column, COLUMNS - 1) - many)
        elif final == "E":
            self.row, self.column = min(ROWS - 1, self.row + many), 0
        elif final == "F":
            self.row, self.column = max(0, self.row - many), 0
        elif final == "G":
            self.column = min(COLUMNS, many) - 1
        elif final in "Hf":
            second = max(1, numbers[1]) if len(numbers) > 1 else 1
            self.row, self.column = min(ROWS, many) - 1, min(COLUMNS, second) - 1
        elif final == "K":
            start = 0 if first in (1, 2) else self.column
            end = self.column + 1 if first == 1 else COLUMNS
            self.erase(self.row, start, end)
        elif final == "J":
            if first in (0, 1):
                above = range(self.row) if first == 1 else range(self.row + 1, ROWS)
                start, end = (0, self.column + 1) if first == 1 else (self.column, COLUMNS)
                self.erase(self.row, start, end)
            else:
                above = range(ROWS)
            for row in above:
                self.erase(row, 0, COLUMNS)
        elif final == "s":
            self.saved = (self.row, self.column)
        elif final == "u":
            self.row, self.column = self.saved

    def erase(self, row, start, end):
        for column in range(start, min(end, COLUMNS)):
            self.cells[row][column] = self.BLANK

    def select(self, numbers):
        numbers = iter(numbers)
        for n in numbers:
            if n == 0:
                self.style = {}
            elif n == 1:
                self.style["bold"] = "b"
            elif n == 2:
                self.style["dim"] = "d"
            elif n == 4:
                self.style["underline"] = "u"
            elif n == 22:
                self.style.pop("bold", None)
                self.style.pop("dim", None)
            elif n == 24:
                self.style.pop("underline", None)
            elif 30 <= n <= 37:
                self.style["colour"] = f"c{n - 30}"
            elif 90 <= n <= 97:
                self.style["colour"] = f"c{n - 90 + 8}"
            elif n == 39:
                self.style.pop("colour", None)
            elif n in (38, 48):
                kind = next(numbers, 0)
                values = [next(numbers, 0) for _ in range({5: 1, 2: 3}.get(kind, 0))]
                if n == 38 and kind == 5:
                    self.style["colour"] = f"c{nearest(values[0])}"
            # Backgrounds and the rest do not occur.

    def style_name(self):
        return " ".join(sorted(self.style.values()))


SEQUENCE = re.compile(
    r"\x1b(?:\[(?P<parameters>[0-9;:?>=]*)[ -/]*(?P<final>[@-~])"
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|(?P<other>[0-9=>A-OQ-Z]))"
)


def decode_whole(data):
    """Text, and the bytes of a character that has not come to its end."""
    for cut in range(min(4, len(data) + 1)):
        try:
            end = len(data) - cut
            return data[:end].decode(), data[end:]
        except UnicodeDecodeError:
            continue
    return data.decode(errors="replace"), b""


def nearest(colour):
    """One of the 16 colours that is close to one of 256."""
    if colour < 16:
        return colour
    if colour >= 232:
        return 8 if colour < 244 else 7
    colour -= 16
    red, green, blue = colour // 36, colour // 6 % 6, colour % 6
    bits = (red >= 3) + 2 * (green >= 3) + 4 * (blue >= 3)
    return bits + 8 if max(red, green, blue) == 5 and bits not in (0, 7) else bits


# ---- Running and recording ----


class Recording:
    """A program in a terminal, and what it printed when."""

    def __init__(self, command, environment, folder):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.events = []
        self.changed = threading.Condition()
        self.ended = False
        self.master = master
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        os.close(slave)
        threading.Thread(target=self.collect, daemon=True).start()

    def collect(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # How a terminal ends on Linux.
                data = b""
            with self.changed:
                if data:
                    self.events.append((time.monotonic(), data))
                else:
                    self.ended = True
                self.changed.notify_all()
            if not data:
                return

    def printed(self):
        return b"".join(data for _, data in self.events)

    def wait_for(self, pattern, seconds):
        """Waits until it has printed something; gives the match."""
        with self.changed:
            found = lambda: re.search(pattern, self.printed())
            self.changed.wait_for(lambda: found() or self.ended, seconds)
            match = found()
        if not match:
            sys.exit(f"it never printed {pattern!r}:\n{self.printed().decode(errors='replace')}")
        return match

    def wait_for_quiet(self, seconds):
        """Waits until it has printed nothing for so long."""
        with self.changed:
            while True:
                count = len(self.events)
                more = lambda: len(self.events) > count or self.ended
                if not self.changed.wait_for(more, seconds) or self.ended:
                    return


def make_files(folder, megabytes):
    with open(os.path.join(folder, "film.mkv"), "wb") as film:
        for _ in range(megabytes):
            film.write(os.urandom(1_000_000))
    photos = os.path.join(folder, "photos")
    os.mkdir(photos)
    for n in range(240):
        with open(os.path.join(photos, f"IMG_{n:04}.jpg"), "wb") as photo:
            photo.write(os.urandom(400_000 + n * 1000))
    os.mkdir(os.path.join(folder, "Downloads"))


def port_is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def record(program, megabytes):
    """Runs both. Gives for each its title, what is typed, when, and what it printed when."""
    with tempfile.TemporaryDirectory(prefix="demo-", dir="/tmp") as folder:
        environment = {
            "HOME": folder,
            "PATH": os.environ.get("PATH", ""),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }
        make_files(folder, megabytes)
        receive = ["recv", "--dir", "Downloads"]
        target = "127.0.0.1:9090"
        if not port_is_free(9090):
            receive += ["--listen", "127.0.0.1:0"]
        receiver = Recording([program, *receive], environment, folder)
        try:
            listening = receiver.wait_for(rb"Listening on (\S+), receiving", 30)
            if len(receive) > 3:
                target = listening[1].decode()
            receiver.wait_for_quiet(0.3)
            send = ["send", "film.mkv", "photos", target]
            began = time.monotonic()
            sender = Recording([program, *send], environment, folder)
            code = sender.process.wait(600)
            if code != 0:
                sys.exit(f"xfer send ended with {code}:\n{sender.printed().decode()}")
            receiver.wait_for_quiet(1.0)
            # What it prints when it is stopped is not for the picture.
            received, sent = list(receiver.events), list(sender.events)
        finally:
            receiver.process.send_signal(signal.SIGINT)
            try:
                receiver.process.wait(10)
            except subprocess.TimeoutExpired:
                receiver.process.kill()

    # One clock: the receiver is typed and starts, then the sender is typed and starts.
    pause = 0.8
    receive_line, send_line = shlex.join(["xfer", *receive]), shlex.join(["xfer", *send])
    started = pause + typing_time(receive_line)
    first = received[0][0]
    head = [(started + min(t - first, 0.2), d) for t, d in received if t < began]
    typed = head[-1][0] + 2 * pause
    go = typed + typing_time(send_line)
    tail = [(go + t - began, d) for t, d in received if t >= began]
    return [
        ("receiver", receive_line, pause, head + tail),
        ("sender", send_line, typed, [(go + t - began, d) for t, d in sent]),
    ]


def typing_time(line):
    return (len(line) // TYPING_LETTERS + 2) * TYPING_STEP


# ---- Drawing ----


def frames(line, typed, events, rate):
    """Pictures of a screen: (time, rows), each different from the one before."""
    screen = Screen()
    screen.write(b"\x1b[32m$\x1b[0m ")
    pictures = [(0.0, screen.rows())]
    for n, start in enumerate(range(0, len(line), TYPING_LETTERS)):
        screen.write(line[start : start + TYPING_LETTERS].encode())
        pictures.append((typed + n * TYPING_STEP, screen.rows()))
    screen.write(b"\r\n")
    at = None
    for when, data in events:
        tick = round(when * rate) / rate
        if at is not None and tick > at:
            pictures.append((at, screen.rows()))
        at = tick
        screen.write(data)
    if at is not None:
        pictures.append((at, screen.rows()))
    kept = pictures[:1]
    for when, rows in pictures[1:]:
        if rows == kept[-1][1]:
            continue
        if when <= kept[-1][0]:
            kept[-1] = (kept[-1][0], rows)
        else:
            kept.append((when, rows))
    return kept


def lines_over_time(pictures, total):
    """(row, cells, from, to) for each time that a row stays as it is, blank ones left out."""
    blank = tuple([Screen.BLANK] * COLUMNS)
    for row in range(ROWS):
        since, cells = 0.0, pictures[0][1][row]
        for when, rows in [*pictures[1:], (total, None)]:
            if rows is not None and rows[row] == cells:
                continue
            if cells != blank:
                yield row, cells, since, when
            if rows is not None:
                since, cells = when, rows[row]


def number(n):
    return f"{n:.2f}".rstrip("0").rstrip(".")


def draw_cells(cells, y):
    """One row as text: pieces of one style without wide gaps, each in its exact place."""
    out, column = [], 0
    while column < COLUMNS:
        c, style = cells[column]
        if c == " ":
            column += 1
            continue
        end = column
        while end < COLUMNS and cells[end][1] == style:
            # Two blanks in a row end a piece: what is behind them has its own place.
            if cells[end][0] == " " and (end + 1 == COLUMNS or cells[end + 1][0] == " "):
                break
            end += 1
        text = "".join(c for c, _ in cells[column:end]).rstrip()
        width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
        x, length = number(column * CELL_WIDTH), number(width * CELL_WIDTH)
        style = f' class="{style}"' if style else ""
        out.append(f'<text x="{x}" y="{y}" textLength="{length}"{style}>{escape(text)}</text>')
        column = end
    return "".join(out)


STYLE = """
:root{--page:#fff;--bar:#e8eaed;--edge:#c9cdd2;--text:#24292f;--quiet:#57606a;
--c1:#b3261e;--c2:#1a7f37;--c3:#8a6100;--c4:#0958c7;--c5:#8250df;--c6:#0b6e75;--c7:#57606a}
@media(prefers-color-scheme:dark){:root{--page:#0d1117;--bar:#21262d;--edge:#30363d;
--text:#e6edf3;--quiet:#8b949e;--c1:#ff7b72;--c2:#56d364;--c3:#e3b341;--c4:#79c0ff;--c5:#d2a8ff;
--c6:#56d4dd;--c7:#b1bac4}}
text{font:%dpx ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",
monospace;fill:var(--text);white-space:pre}
.w{fill:var(--page);stroke:var(--edge)}.t{fill:var(--bar)}.n{fill:var(--quiet)}
.b{font-weight:bold}.d{opacity:.65}.u{text-decoration:underline}
.c0,.c8{fill:var(--quiet)}.c1,.c9{fill:var(--c1)}.c2,.c10{fill:var(--c2)}.c3,.c11{fill:var(--c3)}
.c4,.c12{fill:var(--c4)}.c5,.c13{fill:var(--c5)}.c6,.c14{fill:var(--c6)}.c7,.c15{fill:var(--c7)}
.h{visibility:hidden}
""" % FONT_SIZE


def draw(recordings, rate):
    pictures = [frames(line, typed, events, rate) for _, line, typed, events in recordings]
    total = max(p[-1][0] for p in pictures) + FINAL_PAUSE
    width = COLUMNS * CELL_WIDTH + 2 * PADDING
    body, keyframes, spans, top = [], [], {}, 0.5
    for (title, *_), shown in zip(recordings, pictures):
        lines = list(lines_over_time(shown, total))
        rows = max(row for row, *_ in lines) + 1
        height = TITLE_HEIGHT + rows * CELL_HEIGHT + 2 * PADDING
        body.append(
            f'<g transform="translate(.5 {number(top)})">'
            f'<rect class="w" width="{number(width)}" height="{height}" rx="8"/>'
            f'<path class="t" d="M0 {TITLE_HEIGHT}V8a8 8 0 0 1 8-8h{number(width - 16)}'
            f'a8 8 0 0 1 8 8v{TITLE_HEIGHT - 8}z"/>'
            f'<text class="n" x="{number(width / 2)}" y="20" text-anchor="middle">{title}</text>'
            f'<g transform="translate({PADDING} {TITLE_HEIGHT + PADDING})">'
        )
        for row, cells, since, until in lines:
            text = draw_cells(cells, row * CELL_HEIGHT + FONT_SIZE)
            stays = until >= total
            if stays and since == 0:
                body.append(text)
                continue
            # Where nothing moves, only the last picture is seen.
            span = (since, until)
            if span not in spans:
                spans[span] = f"a{len(spans)}"
                start, end = (f"{100 * t / total:.2f}%" for t in span)
                gone = "" if stays else f"{end}{{visibility:hidden}}"
                keyframes.append(
                    f"@keyframes {spans[span]}"
                    f"{{0%{{visibility:hidden}}{start}{{visibility:visible}}{gone}}}"
                    f".{spans[span]}{{animation-name:{spans[span]}}}"
                )
            hidden = "" if stays else " h"
            body.append(f'<g class="m {spans[span]}{hidden}">{text}</g>')
        body.append("</g></g>")
        top += height + GAP
    height = top - GAP + 0.5
    motion = (
        "@media(prefers-reduced-motion:no-preference){"
        f".m{{animation:{number(total)}s step-end infinite}}"
        f"{''.join(keyframes)}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{number(width + 1)}" '
        f'height="{number(height)}" viewBox="0 0 {number(width + 1)} {number(height)}">'
        f"<title>xfer recv in one terminal, xfer send in another</title>"
        f"<style>{STYLE}{motion}</style>{''.join(body)}</svg>\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("program", help="the xfer to record")
    parser.add_argument("picture", help="the SVG to write")
    parser.add_argument("--megabytes", type=int, default=600, help="size of the large file")
    arguments = parser.parse_args()

    recordings = record(os.path.abspath(arguments.program), arguments.megabytes)
    for rate in (12, 8, 6, 4, 3, 2, 1):
        picture = draw(recordings, rate)
        if len(picture.encode()) < MAX_BYTES:
            break
    else:
        sys.exit("the recording is too long for a picture; use fewer --megabytes")
    temporary = arguments.picture + ".new"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(picture)
    os.replace(temporary, arguments.picture)
    print(f"{arguments.picture}: {len(picture.encode())} bytes, {rate} pictures a second")


if __name__ == "__main__":
    main()
