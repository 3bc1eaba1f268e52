"use strict";

// Draws what befell whom, the time that is told of, and all of the run at the right edge.

const SIGNS = {
    "start": ["▲", "settled"], "end": ["■", "soft"], "kill": ["✕", "bad"], "term": ["▼", "link"],
    "frozen on": ["❄", "bark"], "frozen off": ["▸", "settled"], "full on": ["▣", "link"],
    "full off": ["▢", "settled"], "cut on": ["✂", "bad"], "cut off": ["∪", "settled"], "reset": ["⚡", "bad"],
    "clock": ["◷", "link"], "failed": ["!", "bad"], "vanish": ["✕", "bad"], "power": ["✕", "bad"],
    "flip": ["≠", "bad"], "broken on": ["▣", "bad"], "broken off": ["▢", "settled"],
    "read-only on": ["▣", "link"], "read-only off": ["▢", "settled"], "slow on": ["▣", "soft"],
    "slow off": ["▢", "settled"], "cut from on": ["✂", "bad"], "cut from off": ["∪", "settled"],
    "cut to on": ["✂", "bad"], "cut to off": ["∪", "settled"], "stalled on": ["❄", "bark"],
    "stalled off": ["▸", "settled"], "trickle on": ["❄", "soft"], "trickle off": ["▸", "settled"],
    "descriptors on": ["▣", "link"], "descriptors off": ["▢", "settled"], "memory on": ["▣", "link"],
    "memory off": ["▢", "settled"], "unreadable on": ["▣", "bad"], "unreadable off": ["▢", "settled"],
};

// Where the words beside marks are.
function wordsOfMarks() {
    return shown.marks
        .filter((mark) => mark.what !== "commit" && mark.at >= above() && mark.at <= bottom())
        .map((mark) => ({x: xOf(mark.lane) + 30, y: yOf(mark.at), half: 46}));
}

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
    const y = Math.max(0, whole(above())), height = Math.max(3, whole(bottom()) - y);
    pen.globalAlpha = 0.2;
    pen.fillStyle = colours.accent;
    pen.fillRect(left + 1, y, STRIP, height);
    pen.globalAlpha = 1;
    line(left, whole(view.cursor), view.width, whole(view.cursor), colours.accent, 1);
}
