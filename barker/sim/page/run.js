"use strict";

// The run, as data: arrows and marks, which of them are shown, and what comes next. Nothing is drawn here.
// Times are in virtual seconds; an arrow, a mark, a lane and a bark are numbers.

const run = JSON.parse(document.getElementById("run").textContent);

// Kinds of arrows, the most important last: so they are drawn.
const KINDS = [
    {name: "heartbeat", told: "heartbeats", on: false},
    {name: "connection", told: "handshakes", on: false},
    {name: "flow", told: "flows", on: false},
    {name: "link", told: "links, closes", on: true},
    {name: "message", told: "other messages", on: true},
    {name: "settled", told: "settlements", on: true},
    {name: "bark", told: "barks", on: true},
];

const OF_FRAMES = {
    heartbeat: "heartbeat", flow: "flow", attach: "link", detach: "link", end: "link", close: "link",
    transfer: "bark", disposition: "settled", bytes: "message",
};

const LOST_SECONDS = 0.001;  // How long the arrow of what was lost is.

const arrows = {
    count: run.arrows.sent.length,
    sent: Float64Array.from(run.arrows.sent),
    end: Float64Array.from(run.arrows.came, (came, arrow) => came ?? run.arrows.sent[arrow] + LOST_SECONDS),
    kind: Uint8Array.from(run.arrows.kind, (name, arrow) => {
        let kind = OF_FRAMES[name] ?? "connection";
        if ((kind === "bark" || kind === "settled") && !run.arrows.barks[arrow].length) {
            kind = "message";
        }
        return KINDS.findIndex((each) => each.name === kind);
    }),
    isLost: (arrow) => run.arrows.came[arrow] === null,
    text: (arrow) => run.texts[run.arrows.text[arrow]],
};

const marks = run.marks.map(([number, at, lane, what, text, barks]) => ({number, at, lane, what, text, barks}));

// Marks that are faults, in words.
const FAULTS = {
    "kill": "killed", "term": "told to end", "frozen on": "frozen", "full on": "disk full", "cut on": "cut off",
    "reset": "connections reset", "clock": "clock set", "failed": "write failed",
    "vanish": "gone without a word", "power": "power lost", "flip": "a bit flips", "broken on": "disk broken",
    "read-only on": "disk read-only", "slow on": "disk slow", "cut from on": "says nothing",
    "cut to on": "hears nothing", "stalled on": "reads nothing", "trickle on": "reads bit by bit",
    "descriptors on": "no more sockets", "memory on": "short of memory", "unreadable on": "disk unreadable",
};
const WORDS = {
    ...FAULTS, "start": "started", "end": "ended", "frozen off": "goes on", "full off": "disk has room",
    "cut off": "reached again", "commit": "commit", "broken off": "disk is whole", "read-only off": "disk takes writes",
    "slow off": "disk is fast", "cut from off": "heard again", "cut to off": "hears again",
    "stalled off": "reads again", "trickle off": "reads all", "descriptors off": "more sockets",
    "memory off": "has memory", "unreadable off": "disk is readable",
};

// What is shown: all, or what one bark's way is made of.

const shown = {
    bark: null,
    commits: true,
    arrows: [],     // in the order in which they were sent
    reach: [],      // for each of these: when it, or one before it, ended last
    marks: [],
    events: [],     // [time, arrow or null, mark or null], in order
};

function isShown(arrow) {
    if (shown.bark !== null) {
        return run.arrows.barks[arrow].includes(shown.bark);
    }
    return KINDS[arrows.kind[arrow]].on;
}

function isMarkShown(mark) {
    const written = mark.what === "commit" || mark.what === "failed";
    if (shown.bark !== null) {
        return !written || mark.barks.includes(shown.bark);
    }
    return mark.what !== "commit" || shown.commits;
}

// Find out anew what is shown; call it when `shown` or `KINDS` have changed.
function choose() {
    shown.arrows = [];
    shown.reach = [];
    shown.events = [];
    let reach = -1;
    for (let arrow = 0; arrow < arrows.count; arrow++) {
        if (isShown(arrow)) {
            reach = Math.max(reach, arrows.end[arrow]);
            shown.arrows.push(arrow);
            shown.reach.push(reach);
            shown.events.push([arrows.sent[arrow], arrow, null]);
            if (!arrows.isLost(arrow)) {
                shown.events.push([arrows.end[arrow], arrow, null]);
            }
        }
    }
    shown.marks = marks.filter(isMarkShown);
    for (const mark of shown.marks) {
        shown.events.push([mark.at, null, mark]);
    }
    // At one time, things are in the order in which they happened; what came, came first.
    const number = ([time, arrow, mark]) => mark?.number ?? (arrows.sent[arrow] < time ? -1 : run.arrows.number[arrow]);
    shown.events.sort((one, other) => one[0] - other[0] || number(one) - number(other));
}

// The first place in a sorted list whose `value(place)` is not below `wanted`.
function firstFrom(length, value, wanted) {
    let low = 0, high = length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (value(middle) < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

// Call `use(arrow)` with each arrow that is shown and has a part between two times.
function eachArrow(from, to, use) {
    for (let at = firstFrom(shown.arrows.length, (n) => shown.reach[n], from); at < shown.arrows.length; at++) {
        const arrow = shown.arrows[at];
        if (arrows.sent[arrow] > to) {
            return;
        }
        if (arrows.end[arrow] >= from) {
            use(arrow);
        }
    }
}

// When the event after a time is, or the one before it; null if there is none.
function nextTime(time, direction) {
    const timeAt = (n) => shown.events[n][0];
    let at = firstFrom(shown.events.length, timeAt, time);
    if (direction < 0) {
        at -= 1;
    } else {
        while (at < shown.events.length && timeAt(at) === time) {
            at += 1;
        }
    }
    return at >= 0 && at < shown.events.length ? timeAt(at) : null;
}

// What happens at just this time.
function eventsAt(time) {
    const found = [];
    let at = firstFrom(shown.events.length, (n) => shown.events[n][0], time);
    for (; at < shown.events.length && shown.events[at][0] === time; at++) {
        found.push({arrow: shown.events[at][1], mark: shown.events[at][2]});
    }
    return found;
}
