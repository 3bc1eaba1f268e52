"use strict";

// The run in words: times, what an event is, and the lists beside the picture.

const element = (id) => document.getElementById(id);

function seconds(time, digits = 6) {
    return `${time.toFixed(digits)} s`;
}

function laterBy(time) {
    if (time < 0.001) {
        return `${(time * 1e6).toFixed(0)} µs`;
    }
    return time < 1 ? `${(time * 1e3).toFixed(time < 0.1 ? 2 : 0)} ms` : `${time.toFixed(2)} s`;
}

function titleOf({arrow, mark}) {
    if (mark) {
        const more = mark.text ? ` (${mark.text.replace(/\n/g, "; ")})` : "";
        return `${run.lanes[mark.lane]}: ${WORDS[mark.what]}${more}`;
    }
    const from = run.lanes[run.arrows.from[arrow]], to = run.lanes[run.arrows.to[arrow]];
    return `${from} → ${to}: ${arrows.text(arrow).split("\n")[0]}`;
}

function timesOf(arrow) {
    const {sent, came, read} = run.arrows;
    let told = `sent ${seconds(sent[arrow])}`;
    if (came[arrow] === null) {
        return `${told}; lost on its way`;
    }
    told += `; came ${laterBy(came[arrow] - sent[arrow])} later`;
    if (read[arrow] === null) {
        return `${told}, and was never read`;
    }
    const waited = read[arrow] - came[arrow];
    return waited > 0 ? `${told}, read ${laterBy(waited)} after that` : `${told}, and was read`;
}

// On the page

function make(tag, text = "", name = "") {
    const made = document.createElement(tag);
    made.textContent = text;
    made.className = name;
    return made;
}

// One event in words; with buttons for its barks if they are to be clicked.
function told(event, hasButtons) {
    const {arrow, mark} = event;
    const box = make("div", "", "told");
    box.append(make("b", titleOf(event)));
    if (mark) {
        box.style.borderColor = colours[SIGNS[mark.what]?.[1] ?? "settled"];
        box.append(make("p", seconds(mark.at)));
    } else {
        box.style.borderColor = colours[KINDS[arrows.kind[arrow]].name];
        const lines = arrows.text(arrow).split("\n").slice(1);
        // Where there is little room, all on a line.
        const more = hasButtons ? lines.join("\n") : lines.slice(0, 20).join(" · ");
        box.append(make("p", timesOf(arrow)), make("p", more));
    }
    if (hasButtons) {
        box.append(...barkButtons(mark ? mark.barks : run.arrows.barks[arrow]));
    }
    return box;
}

function barkButtons(barks) {
    return [...new Set(barks)].map((bark) => {
        const button = make("button", run.barks[bark], "bark");
        button.title = "show its way alone";
        button.addEventListener("click", () => isolate(bark));
        return button;
    });
}

// The barks that what is wrong is about, as core/ledger.py writes them: (author, number).
function named(text) {
    const found = [...text.matchAll(/\('?([^\s',()]+)'?, (\d+)\)/g)];
    return found.map(([, author, number]) => run.barks.indexOf(`${author}:${number}`)).filter((bark) => bark >= 0);
}

const MOST_TOLD = 30;

// Tell these events beside the picture.
function tell(events) {
    const box = element("here").querySelector("div");
    box.replaceChildren(...events.slice(0, MOST_TOLD).map((event) => told(event, true)));
    if (events.length > MOST_TOLD) {
        box.append(make("p", `and ${events.length - MOST_TOLD} more`, "more"));
    } else if (!events.length) {
        box.append(make("p", "Click on an arrow, or step to the next event.", "more"));
    }
}

// The list: faults, or a bark's way.
function list() {
    const isWay = shown.bark !== null;
    element("events").querySelector("h2").textContent = isWay ? `The way of ${run.barks[shown.bark]}` : "Faults";
    const events = isWay
        ? [
            ...shown.arrows
                .map((arrow) => ({arrow, mark: null, at: arrows.sent[arrow], number: run.arrows.number[arrow]})),
            ...shown.marks.filter((mark) => mark.barks.length)
                .map((mark) => ({arrow: null, mark, at: mark.at, number: mark.number})),
        ].sort((one, other) => one.number - other.number)
        : marks.filter((mark) => mark.what in FAULTS).map((mark) => ({arrow: null, mark, at: mark.at}));
    element("events").querySelector("ol").replaceChildren(...events.map((event) => {
        const button = make("button");
        button.dataset.at = event.at;
        button.append(make("time", seconds(event.at, isWay ? 6 : 3)), make("span", titleOf(event)));
        button.addEventListener("click", () => {
            pause();
            goTo(event.at);
        });
        const item = make("li");
        item.append(button);
        return item;
    }));
    markCurrent();
}

function markCurrent() {
    for (const button of element("events").querySelectorAll("li button")) {
        const isCurrent = Number(button.dataset.at) === view.cursor;
        button.classList.toggle("current", isCurrent);
        if (isCurrent) {
            button.scrollIntoView({block: "nearest"});
        }
    }
}
