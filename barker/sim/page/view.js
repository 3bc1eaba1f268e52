"use strict";

// Which part of the run is in view, what is where in it, and what is under the pointer.

const canvas = document.getElementById("canvas");

const GUTTER = 104;  // Left of the lanes: the times.
const STRIP = 26;    // Right of them: all of the run, small.
const NEAR = 7;      // The pointer is on what is not further away, in pixels.

const view = {
    top: 0,          // The place at the upper edge.
    scale: 300,      // Pixels a second.
    isSqueezed: false,
    cursor: 0,       // The time that is told of, and played from.
    width: 0,
    height: 0,
};

const LEAST_SCALE = 0.05, MOST_SCALE = 2e7;  // From hours to microseconds.

// A place is a time; or, with pauses skipped, as much of it as is left: each pause takes no longer than this.
const PAUSE = 0.0015;

const knots = {times: [0], places: [0]};  // At each event's time, its place.
const places = {sent: new Float64Array(arrows.count), end: new Float64Array(arrows.count)};  // Of arrows.

function squeeze(isSqueezed) {
    const time = view.cursor, y = yOf(time);
    view.isSqueezed = isSqueezed;
    tieKnots();
    scrollTo(placeOf(time) - y / view.scale);
}

function tieKnots() {
    knots.times = [0];
    knots.places = [0];
    let last = 0, place = 0;
    for (const [time] of [...shown.events, [run.seconds]]) {
        if (time > last) {
            place += Math.min(time - last, PAUSE);
            knots.times.push(time);
            knots.places.push(place);
            last = time;
        }
    }
    for (const arrow of shown.arrows) {
        places.sent[arrow] = placeOf(arrows.sent[arrow]);
        places.end[arrow] = placeOf(arrows.end[arrow]);
    }
}

function between(value, from, to) {
    if (!view.isSqueezed || from.length < 2) {
        return value;
    }
    const n = Math.max(1, Math.min(from.length - 1, firstFrom(from.length, (at) => from[at], value)));
    return to[n] + (value - from[n]) / (from[n] - from[n - 1]) * (to[n] - to[n - 1]);
}

const placeOf = (time) => between(time, knots.times, knots.places);
const timeAt = (place) => between(place, knots.places, knots.times);
const yOf = (time) => (placeOf(time) - view.top) * view.scale;
const timeOf = (y) => timeAt(view.top + y / view.scale);
const above = () => timeOf(0);
const bottom = () => timeOf(view.height);

const gap = () => (view.width - GUTTER - STRIP) / run.lanes.length;
const xOf = (lane) => GUTTER + gap() * (lane + 0.5);

// Where an arrow is: from x1, y1 to x2, y2. One that was lost ends on its way.
function lineOf(arrow) {
    const x1 = xOf(run.arrows.from[arrow]), x2 = xOf(run.arrows.to[arrow]);
    const part = arrows.isLost(arrow) ? 0.55 : 1;
    const y = (place) => (place - view.top) * view.scale;
    return [x1, y(places.sent[arrow]), x1 + (x2 - x1) * part, y(places.end[arrow])];
}

function scrollTo(top) {
    const most = placeOf(run.seconds) - 0.3 * view.height / view.scale;
    view.top = Math.max(-40 / view.scale, Math.min(top, most));
}

// Zoom, and leave the time at `y` where it is.
function zoom(factor, y = null) {
    const held = y ?? (yOf(view.cursor) >= 0 && yOf(view.cursor) <= view.height ? yOf(view.cursor) : view.height / 2);
    const place = view.top + held / view.scale;
    view.scale = Math.max(LEAST_SCALE, Math.min(view.scale * factor, MOST_SCALE));
    scrollTo(place - held / view.scale);
}

// Have the cursor in view, a third from above if it was not.
function follow() {
    const y = yOf(view.cursor);
    if (y < 0.04 * view.height || y > 0.9 * view.height) {
        scrollTo(placeOf(view.cursor) - 0.33 * view.height / view.scale);
    }
}

// Have all between two times in view.
function fit(from, to) {
    const length = Math.max(placeOf(to) - placeOf(from), 1e-5);
    view.scale = Math.max(LEAST_SCALE, Math.min(0.8 * view.height / length, MOST_SCALE));
    scrollTo(placeOf(from) - 0.1 * view.height / view.scale);
}

function distance(x, y, [x1, y1, x2, y2]) {
    const dx = x2 - x1, dy = y2 - y1;
    const along = Math.max(0, Math.min(1, ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1)));
    return Math.hypot(x - x1 - along * dx, y - y1 - along * dy);
}

// What is under the pointer, the nearest first: arrows and marks.
function under(x, y) {
    const found = [];
    for (const mark of shown.marks) {
        const away = Math.hypot(x - xOf(mark.lane), y - yOf(mark.at));
        if (away <= NEAR) {
            found.push({arrow: null, mark, away: away - 2});  // A mark is small: it comes first.
        }
    }
    eachArrow(timeOf(y - NEAR - 2), timeOf(y + NEAR + 2), (arrow) => {
        const away = distance(x, y, lineOf(arrow));
        if (away <= NEAR) {
            found.push({arrow, mark: null, away});
        }
    });
    found.sort((one, other) => one.away - other.away);
    // What was sent at once is on one line: all of that, and nothing that is clearly further away.
    return found.filter(({away}) => away <= found[0].away + 1.5);
}
