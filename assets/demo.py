#!/usr/bin/env python3
"""Records a real run of xfer on two machines as an animated SVG, for README.md.

    cargo build --release
    sudo python3 assets/demo.py target/release/xfer assets/demo.svg

The two machines are network namespaces of their own, named laptop and desktop, with a link of
1 Gbit/s between them and a shell in a terminal on each. What is typed is typed into the shells, and
all that is drawn is what their terminals showed, when they showed it. Where nothing moves, the last
picture is seen. A test compares its words with what the program prints today.

Needs Linux, root, `ip` and `tc`. Must not touch the user's own network, keys or files: both machines
have a home of their own.
"""

import argparse
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unicodedata
from xml.sax.saxutils import escape

COLUMNS, ROWS = 80, 24
MAX_BYTES = 200_000
TYPING_STEP = 0.045  # seconds for a letter
READING = 1.3  # seconds until the next thing is typed
FINAL_PAUSE = 6.0  # seconds that the last picture stays
SIZE = 315_000_000  # bytes of the film
SHARE = 32  # percent at which Ctrl-C is pressed; some more is on its way
PATIENCE = 60

# Pixels.
CELL_WIDTH, CELL_HEIGHT, FONT_SIZE = 8.4, 19, 14
PADDING, TITLE_HEIGHT, GAP = 14, 30, 14

# The same on light and on dark pages: it has a background of its own. Plain attributes, which every
# renderer knows.
PAGE, EDGE, BAR, TEXT, QUIET = "#161b22", "#444c56", "#2d333b", "#e6edf3", "#adbac7"
COLOURS = [
    QUIET, "#ff7b72", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#d0d7de",
]  # fmt: skip
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"


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

# What a shell does before it is one: its user's home is /home/NAME, in a namespace of its own, and
# the program is where nothing of /home hides it.
MOVE_IN = r"""
set -e
hostname "$0"
mount -t tmpfs tmpfs /mnt
: >/mnt/xfer
mkdir /mnt/home
mount --bind "$1" /mnt/xfer
mount --bind "$HOME" /mnt/home
mount -t tmpfs tmpfs /home
mkdir "/home/$0"
mount --bind /mnt/home "/home/$0"
export HOME="/home/$0" PATH="/mnt:$PATH" PS1="$0"'$ '
cd
exec bash --norc --noprofile --noediting -i
"""


def run(line):
    subprocess.run(["sh", "-ec", line], check=True)


class Network:
    """Two machines on one link. Gone at the end of `with`."""

    ADDRESSES = {"laptop": "192.168.0.90", "desktop": "192.168.0.20"}

    def __enter__(self):
        self.spaces = {name: f"demo{os.getpid()}-{name}" for name in self.ADDRESSES}
        try:
            laptop, desktop = self.spaces.values()
            run(
                f"ip netns add {laptop}; ip netns add {desktop}; "
                f"ip -n {laptop} link add eth0 type veth peer name eth0 netns {desktop}"
            )
            for name, space in self.spaces.items():
                run(
                    f"ip netns exec {space} sysctl -qw net.ipv6.conf.all.disable_ipv6=1; "
                    f"ip -n {space} link set lo up; ip -n {space} link set eth0 up; "
                    f"ip -n {space} address add {self.ADDRESSES[name]}/24 brd + dev eth0; "
                    f"ip netns exec {space} tc qdisc add dev eth0 root "
                    "tbf rate 1gbit burst 256k latency 20ms"
                )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for space in self.spaces.values():
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)


class Machine:
    """A shell on a machine, in a terminal, and what it showed when."""

    def __init__(self, network, name, program, home):
        self.name = name
        os.makedirs(os.path.join(home, "Downloads"))
        environment = {
            "HOME": home,
            "PATH": os.environ.get("PATH", ""),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }
        self.events = []
        self.screen = Screen()
        self.changed = threading.Condition()
        self.ended = False
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        space = network.spaces[name]
        inside = ["sh", "-c", MOVE_IN, name, program]
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "ip", "netns", "exec", space, "unshare", "--uts", *inside],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
        )
        os.close(slave)
        threading.Thread(target=self.collect, daemon=True).start()
        self.wait_for_prompt()

    def collect(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # How a terminal ends on Linux.
                data = b""
            with self.changed:
                if data:
                    self.events.append((time.monotonic(), data))
                    self.screen.write(data)
                else:
                    self.ended = True
                self.changed.notify_all()
            if not data:
                return

    def lines(self):
        rows = ("".join(c for c, _ in row) for row in self.screen.rows())
        return "\n".join(rows)

    def wait_for(self, pattern):
        """Waits until its screen has something; gives the match."""
        with self.changed:
            found = lambda: re.search(pattern, self.lines())
            self.changed.wait_for(lambda: found() or self.ended, PATIENCE)
            match = found()
        if not match:
            sys.exit(f"{self.name} never showed {pattern!r}:\n{self.lines()}")
        return match

    def wait_for_prompt(self):
        self.wait_for(rf"(?m)^{self.name}\$ *\s*\Z")

    def type(self, keys):
        for key in keys:
            os.write(self.master, key.encode())
            time.sleep(TYPING_STEP)

    def type_line(self, line):
        self.type(line)
        time.sleep(4 * TYPING_STEP)
        os.write(self.master, b"\n")

    def end(self):
        self.process.kill()
        self.process.wait()


def record(program):
    """The two machines, with all they showed, and when the picture begins."""
    machines = []
    with tempfile.TemporaryDirectory(prefix="demo-") as folder, Network() as network:
        try:
            for name in Network.ADDRESSES:
                machines.append(Machine(network, name, program, os.path.join(folder, name)))
            laptop, desktop = machines
            with open(os.path.join(folder, "desktop", "film.mkv"), "wb") as film:
                for _ in range(SIZE // 1_000_000):
                    film.write(os.urandom(1_000_000))
            play(laptop, desktop)
        finally:
            for machine in machines:
                machine.end()
    return machines


def play(laptop, desktop):
    laptop.type_line("xfer recv --dir ~/Downloads")
    laptop.wait_for("Press Ctrl-C to stop")
    time.sleep(0.5)
    by_address = "xfer send film.mkv 192.168.0.90:9090"
    desktop.type_line(by_address)
    code = "".join(laptop.wait_for(r"\b(\d{3})[ -](\d{3})\b").groups())
    desktop.wait_for(r"ode[^\n]*: *\s*\Z")
    time.sleep(READING)
    desktop.type_line(code)
    with desktop.changed:
        percent = lambda: [int(n) for n in re.findall(r"(\d+)%", desktop.lines())]
        desktop.changed.wait_for(lambda: max(percent(), default=0) >= SHARE, PATIENCE)
    os.write(desktop.master, b"\x03")
    desktop.wait_for_prompt()
    time.sleep(READING)
    desktop.type_line(by_address)
    desktop.wait_for(r"Sent ")
    desktop.wait_for_prompt()
    time.sleep(READING)
    desktop.type_line("xfer send film.mkv laptop")
    desktop.wait_for(r"laptop\s*\n(?!desktop)[^\n]*\S")
    desktop.wait_for_prompt()
    time.sleep(0.5)


# ---- Drawing ----


def frames(events, began, rate):
    """Pictures of a screen: (time, rows), each different from the one before."""
    screen = Screen()
    pictures = []
    at = 0.0
    for when, data in events:
        tick = max(0.0, round((when - began) * rate) / rate)
        if tick > at:
            pictures.append((at, screen.rows()))
        at = tick
        screen.write(data)
    pictures.append((at, screen.rows()))
    kept = [(0.0, pictures[0][1])]
    for when, rows in pictures:
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


def look(style):
    """The attributes for a style."""
    out = ""
    for word in style.split():
        if word == "b":
            out += ' font-weight="bold"'
        elif word == "d":
            out += ' opacity=".6"'
        elif word == "u":
            out += ' text-decoration="underline"'
        elif word.startswith("c"):
            out += f' fill="{COLOURS[int(word[1:]) % 8]}"'
    return out


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
        out.append(
            f'<text x="{x}" y="{y}" textLength="{length}"{look(style)}>{escape(text)}</text>'
        )
        column = end
    return "".join(out)


def draw(machines, rate):
    # Before anything is typed on the desktop: the laptop waits already.
    began = next(when for when, data in machines[1].events if data == b"x")
    shown = [frames(machine.events, began - 1.0, rate) for machine in machines]
    total = max(pictures[-1][0] for pictures in shown) + FINAL_PAUSE
    width = COLUMNS * CELL_WIDTH + 2 * PADDING
    body, keyframes, spans, top = [], [], {}, 0.5
    for machine, pictures in zip(machines, shown):
        lines = list(lines_over_time(pictures, total))
        rows = max(row for row, *_ in lines) + 1
        height = TITLE_HEIGHT + rows * CELL_HEIGHT + 2 * PADDING
        body.append(
            f'<g transform="translate(.5 {number(top)})">'
            f'<rect fill="{PAGE}" stroke="{EDGE}" width="{number(width)}" height="{height}" rx="8"/>'
            f'<path fill="{BAR}" d="M0 {TITLE_HEIGHT}V8a8 8 0 0 1 8-8h{number(width - 16)}'
            f'a8 8 0 0 1 8 8v{TITLE_HEIGHT - 8}z"/>'
            f'<text fill="{QUIET}" x="{number(width / 2)}" y="20" text-anchor="middle">'
            f"{machine.name}</text>"
            f'<g transform="translate({PADDING} {TITLE_HEIGHT + PADDING})">\n'
        )
        for row, cells, since, until in lines:
            text = draw_cells(cells, row * CELL_HEIGHT + FONT_SIZE)
            stays = until >= total
            if stays and since == 0:
                body.append(text + "\n")
                continue
            # Where nothing moves, only the last picture is seen.
            span = (since, until)
            if span not in spans:
                spans[span] = f"a{len(spans)}"
                start, end = (f"{100 * t / total:.2f}%" for t in span)
                before = "" if since == 0 else "0%{visibility:hidden}"
                gone = "" if stays else f"{end}{{visibility:hidden}}"
                keyframes.append(
                    f"@keyframes {spans[span]}"
                    f"{{{before}{start}{{visibility:visible}}{gone}}}"
                    f".{spans[span]}{{animation-name:{spans[span]}}}"
                )
            hidden = "" if stays else ' visibility="hidden"'
            body.append(f'<g class="m {spans[span]}"{hidden}>{text}</g>\n')
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
        f'height="{number(height)}" viewBox="0 0 {number(width + 1)} {number(height)}" '
        f'font-family="{FONT}" font-size="{FONT_SIZE}" fill="{TEXT}" xml:space="preserve">'
        "<title>xfer recv on a laptop, xfer send on a desktop</title>"
        f"<style>{motion}</style>{''.join(body)}</svg>\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("program", help="the xfer to record")
    parser.add_argument("picture", help="the SVG to write")
    arguments = parser.parse_args()

    machines = record(os.path.abspath(arguments.program))
    for rate in (10, 8, 6, 5, 4, 3, 2):
        picture = draw(machines, rate)
        if len(picture.encode()) < MAX_BYTES:
            break
    else:
        sys.exit("the recording is too long for a picture; make SIZE smaller")
    temporary = arguments.picture + ".new"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(picture)
    os.replace(temporary, arguments.picture)
    print(f"{arguments.picture}: {len(picture.encode())} bytes, {rate} pictures a second")


if __name__ == "__main__":
    main()
