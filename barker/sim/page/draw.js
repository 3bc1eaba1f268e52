"use strict";

// Draws what is in view. It is called for each frame, so it passes over what would be drawn twice.

const pen = canvas.getContext("2d");
const colours = {};

const FEW = 700;   // With more arrows than that in view, they have no heads and no words.

function readColours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["paper", "card", "ink", "soft", "line", "lane", "accent", "bad", "frozen", "full", "cut"];
    for (const name of [...names, ...KINDS.map((kind) => kind.name)]) {
        colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
}

function draw() {
    pen.clearRect(0, 0, view.width, view.height);
    pen.font = '11px system-ui, "Liberation Sans", sans-serif';
    pen.textBaseline = "middle";
    drawTimes();
    drawLanes();
    drawArrows();
    drawMarks();
    drawCursor();
    drawStrip();
}

// A line a round number of seconds, milliseconds or microseconds; with pauses skipped, the events' times.
function drawTimes() {
    if (view.isSqueezed) {
        drawPauses();
        return;
    }
    const wanted = 70 / view.scale, power = 10 ** Math.floor(Math.log10(wanted));
    const every = [1, 2, 5, 10].map((n) => n * power).find((step) => step >= wanted);
    const digits = Math.max(0, -Math.floor(Math.log10(every * 1.001)));
    pen.textAlign = "right";
    for (let n = Math.max(0, Math.ceil(above() / every)); n * every <= bottom(); n++) {
        const y = Math.round(yOf(n * every)) + 0.5;
        line(GUTTER, y, view.width - STRIP, y, colours.line, 1);
        words(seconds(n * every, digits), GUTTER - 12, y, colours.soft);
    }
    pen.textAlign = "left";
}

function drawPauses() {
    let lastY = -99;
    pen.textAlign = "right";
    const times = knots.times, first = firstFrom(times.length, (at) => times[at], above());
    for (let n = Math.max(1, first); n < times.length; n++) {
        const from = yOf(times[n - 1]), y = yOf(times[n]), pause = times[n] - times[n - 1];
        if (from > view.height) {
            break;
        }
        if (pause > 2 * PAUSE && y - from > 3) {
            pen.fillStyle = colours.line;
            pen.globalAlpha = 0.6;
            pen.fillRect(GUTTER, from + 1, view.width - STRIP - GUTTER, y - from - 2);
            pen.globalAlpha = 1;
            if (y - from > 10) {
                words(`${laterBy(pause)} ⋮`, GUTTER - 12, (from + y) / 2, colours.accent);
                lastY = Math.max(lastY, (from + y) / 2);
            }
        }
        if (y - lastY > 14) {
            lastY = y;
            words(seconds(times[n]), GUTTER - 12, y, colours.soft);
        }
    }
    pen.textAlign = "left";
}

// How a stretch of a lane is drawn: what it is in words, in which colour, how wide.
const STRETCHES = {
    "down": ["down"], "frozen": ["frozen", "frozen", 12], "full": ["disk full", "full", 7], "cut": ["cut off", "cut", 3],
    "broken": ["disk broken", "full", 7], "read-only": ["disk read-only", "full", 7], "slow": ["disk slow", "full", 7],
    "unreadable": ["disk unreadable", "full", 7],
    "cut from": ["says nothing", "cut", 3], "cut to": ["hears nothing", "cut", 3],
    "stalled": ["reads nothing", "frozen", 7], "trickle": ["reads bit by bit", "frozen", 3],
    "descriptors": ["no more sockets", "full", 3], "memory": ["short of memory", "full", 3],
};

function drawLanes() {
    for (let lane = 0; lane < run.lanes.length; lane++) {
        line(xOf(lane), Math.max(0, yOf(0)), xOf(lane), Math.min(view.height, yOf(run.seconds)), colours.lane, 2);
    }
    // First what leaves a gap: what is laid over a lane may go on in one.
    for (const isGap of [true, false]) {
        for (const [lane, what, from, to] of run.stretches) {
            const y1 = Math.max(-5, yOf(from)), y2 = Math.min(view.height + 5, yOf(to ?? run.seconds));
            if ((what === "down") !== isGap || y2 < 0 || y1 > view.height) {
                continue;
            }
            const x = xOf(lane);
            if (what === "down") {
                line(x, y1, x, y2, colours.paper, 4);
                line(x, y1, x, y2, colours.line, 1, [2, 5]);
            } else {
                pen.globalAlpha = 0.75;
                const [, colour, width] = STRETCHES[what];
                line(x, y1, x, y2, colours[colour], width, colour === "cut" ? [5, 4] : []);
                pen.globalAlpha = 1;
            }
            if (y1 < 0 && y2 > 24) {
                words(STRETCHES[what][0], x + 9, 12, colours.soft, true);  // What says so is further up.
            }
        }
    }
}

function drawArrows() {
    const visible = [];
    eachArrow(above(), bottom(), (arrow) => visible.push(arrow));
    const few = visible.length <= FEW;
    const byKind = KINDS.map(() => []);
    for (const arrow of visible) {
        byKind[arrows.kind[arrow]].push(arrow);
    }
    const lastRow = new Map();
    byKind.forEach((some, kind) => {
        const lost = [];
        pen.beginPath();
        for (const arrow of some) {
            const [x1, y1, x2, y2] = lineOf(arrow);
            const pair = kind * 4096 + run.arrows.from[arrow] * 64 + run.arrows.to[arrow];
            const row = Math.round(y1) * 8192 + Math.round(y2 - y1);
            if (lastRow.get(pair) === row) {
                continue;  // It would be drawn over the last one.
            }
            lastRow.set(pair, row);
            pen.moveTo(x1, y1);
            pen.lineTo(x2, y2);
            if (few && !arrows.isLost(arrow)) {
                head(x1, y1, x2, y2);
            } else if (arrows.isLost(arrow)) {
                lost.push([x2, y2]);
            }
        }
        pen.lineWidth = few ? 1.6 : 1;
        pen.strokeStyle = colours[KINDS[kind].name];
        pen.globalAlpha = player.runs ? 0.55 : few ? 0.95 : 0.6;
        pen.stroke();
        pen.globalAlpha = 1;
        for (const [x, y] of lost) {
            cross(x, y, 4, colours.bad, 1.5);
        }
    });
    if (few) {
        drawTitles(visible);
    }
    for (const {arrow} of [...here, ...eventsAt(view.cursor)]) {
        if (arrow !== null) {
            line(...lineOf(arrow), colours[KINDS[arrows.kind[arrow]].name], 3.5);
        }
    }
}

function head(x1, y1, x2, y2) {
    const length = Math.hypot(x2 - x1, y2 - y1), size = 7;
    const dx = (x2 - x1) / length * size, dy = (y2 - y1) / length * size;
    pen.moveTo(x2 - dx - dy * 0.5, y2 - dy + dx * 0.5);
    pen.lineTo(x2, y2);
    pen.lineTo(x2 - dx + dy * 0.5, y2 - dy - dx * 0.5);
}

// What arrows carry, where there is room beside the lane that they come from; what matters more comes first.
function drawTitles(visible) {
    const taken = wordsOfMarks();
    const order = [...visible].sort((one, other) => arrows.kind[other] - arrows.kind[one]);
    pen.textAlign = "center";
    for (const arrow of order) {
        const [x1, y1, x2, y2] = lineOf(arrow);
        const text = shortTitle(arrow), half = pen.measureText(text).width / 2 + 3;
        const away = Math.sign(x2 - x1) * Math.min(Math.max(gap() / 2, half + 8), Math.abs(x2 - x1) / 2);
        const x = Math.min(x1 + away, view.width - STRIP - half);
        const y = y1 + (y2 - y1) * (x - x1) / (x2 - x1) - 8;
        const isFree = !taken.some((box) => Math.abs(box.y - y) < 13 && Math.abs(box.x - x) < box.half + half);
        if (y > 0 && y < view.height && isFree) {
            taken.push({x, y, half});
            words(text, x, y, colours[KINDS[arrows.kind[arrow]].name], true);
        }
    }
    pen.textAlign = "left";
}

// In few words: where it goes can be seen, and what it is by its colour.
function shortTitle(arrow) {
    const title = arrows.text(arrow).split("\n")[0];
    const kind = KINDS[arrows.kind[arrow]].name, barks = run.arrows.barks[arrow];
    if (shown.bark !== null) {
        if (kind === "settled") {
            return title.split(" ")[0];
        }
        const others = barks.length - 1;
        const more = others > 0 ? `, with ${others} other${others > 1 ? "s" : ""}` : "";
        const timeline = title.match(/ from (\S+):/)?.[1];
        return run.barks[shown.bark] + (timeline ? ` on ${timeline}` : "") + more;
    }
    const short = title.replace(/^transfer \d+ .*?: /, "").replace(/^(\w+) \d+( to \d+)?: /, "$1 ");
    return short.length > 44 ? `${short.slice(0, 43)}…` : short;
}

function line(x1, y1, x2, y2, colour, width, dashes = []) {
    pen.setLineDash(dashes);
    pen.beginPath();
    pen.moveTo(x1, y1);
    pen.lineTo(x2, y2);
    pen.lineWidth = width;
    pen.strokeStyle = colour;
    pen.stroke();
    pen.setLineDash([]);
}

function cross(x, y, size, colour, width) {
    line(x - size, y - size, x + size, y + size, colour, width);
    line(x - size, y + size, x + size, y - size, colour, width);
}

// With `isOver`, what is below does not shine through.
function words(text, x, y, colour, isOver = false) {
    if (isOver) {
        pen.lineWidth = 3;
        pen.lineJoin = "round";
        pen.strokeStyle = colours.paper;
        pen.strokeText(text, x, y);
    }
    pen.fillStyle = colour;
    pen.fillText(text, x, y);
}
