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

// A line a round number of seconds, milliseconds or microseconds.
function drawTimes() {
    const wanted = 70 / view.scale, power = 10 ** Math.floor(Math.log10(wanted));
    const every = [1, 2, 5, 10].map((n) => n * power).find((step) => step >= wanted);
    const digits = Math.max(0, -Math.floor(Math.log10(every * 1.001)));
    pen.textAlign = "right";
    for (let n = Math.max(0, Math.ceil(view.top / every)); n * every <= bottom(); n++) {
        const y = Math.round(yOf(n * every)) + 0.5;
        line(GUTTER, y, view.width - STRIP, y, colours.line, 1);
        words(seconds(n * every, digits), GUTTER - 12, y, colours.soft);
    }
    pen.textAlign = "left";
}

const WIDTHS = {frozen: 12, full: 7, cut: 3};

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
                line(x, y1, x, y2, colours[what], WIDTHS[what], what === "cut" ? [5, 4] : []);
                pen.globalAlpha = 1;
            }
        }
    }
}

function drawArrows() {
    const visible = [];
    eachArrow(view.top, bottom(), (arrow) => visible.push(arrow));
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

// What arrows carry, where there is room; what matters more has its place first.
function drawTitles(visible) {
    const taken = [];
    const order = [...visible].sort((one, other) => arrows.kind[other] - arrows.kind[one]);
    pen.textAlign = "center";
    for (const arrow of order) {
        const [x1, y1, x2, y2] = lineOf(arrow);
        const x = x1 + (x2 - x1) * 0.5, y = y1 + (y2 - y1) * 0.5 - 8;
        const text = shortTitle(arrow), half = text.length * 3.1;
        if (y < 0 || y > view.height || taken.some(([a, b, h]) => Math.abs(b - y) < 13 && Math.abs(a - x) < h + half)) {
            continue;
        }
        taken.push([x, y, half]);
        words(text, x, y, colours[KINDS[arrows.kind[arrow]].name], true);
    }
    pen.textAlign = "left";
}

function shortTitle(arrow) {
    const title = arrows.text(arrow).split("\n")[0];
    const kind = KINDS[arrows.kind[arrow]].name;
    // Where it goes can be seen.
    const short = kind === "bark" ? title.replace(/^transfer \d+ .*?: /, "") : title;
    return short.length > 44 ? `${short.slice(0, 43)}…` : short;
}

// Marks

const SIGNS = {
    "start": ["▲", "settled"], "end": ["■", "soft"], "kill": ["✕", "bad"], "term": ["▼", "link"],
    "frozen on": ["❄", "bark"], "frozen off": ["▸", "settled"], "full on": ["▣", "link"],
    "full off": ["▢", "settled"], "cut on": ["✂", "bad"], "cut off": ["∪", "settled"], "reset": ["⚡", "bad"],
    "clock": ["◷", "link"], "failed": ["!", "bad"],
};

function drawMarks() {
    const lastRow = new Map(), taken = new Map();
    for (const mark of shown.marks) {
        const y = yOf(mark.at), x = xOf(mark.lane);
        if (y < -10 || y > view.height + 10) {
            continue;
        }
        if (mark.what === "commit") {
            if (lastRow.get(mark.lane) !== Math.round(y)) {
                lastRow.set(mark.lane, Math.round(y));
                diamond(x, y);
            }
            continue;
        }
        const [sign, colour] = SIGNS[mark.what];
        pen.beginPath();
        pen.arc(x, y, 8, 0, 2 * Math.PI);
        pen.fillStyle = colours.card;
        pen.fill();
        pen.lineWidth = 1.5;
        pen.strokeStyle = colours[colour];
        pen.stroke();
        pen.textAlign = "center";
        words(sign, x, y + 0.5, colours[colour]);
        pen.textAlign = "left";
        if (Math.abs(y - (taken.get(mark.lane) ?? -99)) > 12) {
            taken.set(mark.lane, y);
            words(WORDS[mark.what], x + 12, y, colours[colour], true);
        }
    }
}

function diamond(x, y) {
    pen.beginPath();
    pen.moveTo(x, y - 5);
    pen.lineTo(x + 5, y);
    pen.lineTo(x, y + 5);
    pen.lineTo(x - 5, y);
    pen.closePath();
    pen.fillStyle = colours.settled;
    pen.fill();
    pen.lineWidth = 1;
    pen.strokeStyle = colours.card;
    pen.stroke();
}

// The time that is told of, and what is on its way then.

function drawCursor() {
    const y = yOf(view.cursor);
    if (player.runs && y < view.height) {
        pen.globalAlpha = 0.6;  // What is still to come.
        pen.fillStyle = colours.paper;
        pen.fillRect(GUTTER, Math.max(0, y), view.width - GUTTER - STRIP, view.height);
        pen.globalAlpha = 1;
    }
    if (y < 0 || y > view.height) {
        return;
    }
    line(GUTTER - 8, y, view.width - STRIP, y, colours.accent, 1, [6, 4]);
    eachArrow(view.cursor, view.cursor, (arrow) => {
        const [x1, y1, x2, y2] = lineOf(arrow);
        const part = (y - y1) / (y2 - y1 || 1);
        pen.beginPath();
        pen.arc(x1 + (x2 - x1) * Math.max(0, Math.min(1, part)), y, 5, 0, 2 * Math.PI);
        pen.fillStyle = colours[KINDS[arrows.kind[arrow]].name];
        pen.fill();
    });
}

// All of the run at the right edge: its faults, and what is in view.
function drawStrip() {
    const left = view.width - STRIP, whole = (time) => time / run.seconds * view.height;
    pen.fillStyle = colours.card;
    pen.fillRect(left, 0, STRIP, view.height);
    line(left + 0.5, 0, left + 0.5, view.height, colours.line, 1);
    for (const mark of shown.marks) {
        if (mark.what in FAULTS || (shown.bark !== null && mark.barks.length)) {
            const y = whole(mark.at);
            line(left + 6, y, left + STRIP - 6, y, colours[SIGNS[mark.what]?.[1] ?? "settled"], 2);
        }
    }
    if (shown.bark !== null) {
        for (const arrow of shown.arrows) {
            const y = whole(arrows.sent[arrow]);
            line(left + 10, y, left + STRIP - 10, y, colours.bark, 2);
        }
    }
    const y = Math.max(0, whole(view.top)), height = Math.max(3, whole(bottom()) - y);
    pen.globalAlpha = 0.2;
    pen.fillStyle = colours.accent;
    pen.fillRect(left + 1, y, STRIP, height);
    pen.globalAlpha = 1;
    line(left, whole(view.cursor), view.width, whole(view.cursor), colours.accent, 1);
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
