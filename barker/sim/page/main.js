"use strict";

// The controls, the pointer, and what is told in words.

const element = (id) => document.getElementById(id);

const player = {runs: false, last: 0};

let here = [];        // What is told of beside the picture: [{arrow, mark}]; empty: what happens at the cursor.
let isDue = false;

// Draw soon, once for all that has changed.
function redraw() {
    if (!isDue) {
        isDue = true;
        requestAnimationFrame(() => {
            isDue = false;
            draw();
            element("now").textContent = seconds(view.cursor, 7);
            element("span").textContent = `${laterBy(view.height / view.scale)} in view`;
        });
    }
}

function make(tag, text = "", name = "") {
    const made = document.createElement(tag);
    made.textContent = text;
    made.className = name;
    return made;
}

// Time

// Go to a time, and tell what happens there.
function goTo(time) {
    view.cursor = time;
    here = [];
    follow();
    tell(eventsAt(time));
    markCurrent();
    redraw();
}

function step(direction) {
    pause();
    const time = nextTime(view.cursor, direction);
    if (time !== null) {
        goTo(time);
    }
}

function play() {
    if (view.cursor >= run.seconds) {
        view.cursor = 0;
    }
    player.runs = true;
    player.last = performance.now();
    here = [];
    element("play").textContent = "❚❚ pause";
    requestAnimationFrame(advance);
}

function pause() {
    player.runs = false;
    element("play").textContent = "▶ play";
    redraw();
}

function advance(now) {
    if (!player.runs) {
        return;
    }
    // At most a tenth of a second: a page that was hidden goes on where it was.
    const passed = Math.max(0, Math.min(now - player.last, 100)) / 1000;
    player.last = now;
    view.cursor = Math.min(run.seconds, view.cursor + passed * Number(element("speed").value));
    const y = yOf(view.cursor);
    if (y < 0 || y > 0.6 * view.height) {
        scrollTo(view.cursor - 0.6 * view.height / view.scale);
    }
    if (view.cursor >= run.seconds) {
        pause();
    }
    redraw();
    requestAnimationFrame(advance);
}

// Words

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
        box.append(make("p", timesOf(arrow)), make("p", (hasButtons ? lines : lines.slice(0, 12)).join("\n")));
    }
    if (hasButtons) {
        for (const bark of new Set(mark ? mark.barks : run.arrows.barks[arrow])) {
            const button = make("button", run.barks[bark], "bark");
            button.title = "show its way alone";
            button.addEventListener("click", () => isolate(bark));
            box.append(button);
        }
    }
    return box;
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
            ...shown.arrows.map((arrow) => ({arrow, mark: null, at: arrows.sent[arrow], number: run.arrows.number[arrow]})),
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

// One bark

const PAUSE = 0.5;  // A way that stands still for so many seconds is not fitted into the view.

function isolate(bark) {
    pause();
    shown.bark = bark;
    element("bark").value = run.barks[bark];
    element("all").hidden = false;
    choose();
    const times = shown.arrows.flatMap((arrow) => [arrows.sent[arrow], arrows.end[arrow]]).sort((a, b) => a - b);
    if (times.length) {
        const stop = times.findIndex((time, n) => n && time - times[n - 1] > PAUSE);
        fit(times[0], times[stop < 0 ? times.length - 1 : stop - 1]);
        goTo(times[0]);
    }
    list();
}

function showAll() {
    shown.bark = null;
    element("bark").value = "";
    element("all").hidden = true;
    choose();
    list();
    goTo(view.cursor);
}

element("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const bark = run.barks.indexOf(element("bark").value.trim());
    element("bark").setCustomValidity(bark < 0 ? "There is no such bark in this run." : "");
    if (bark < 0) {
        element("bark").reportValidity();
    } else {
        isolate(bark);
    }
});
element("bark").addEventListener("input", () => element("bark").setCustomValidity(""));
element("bark").addEventListener("search", () => element("bark").value || showAll());
element("all").addEventListener("click", showAll);

// The pointer

let dragged = null;   // Where a drag has begun, and whether it has moved.

function place(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
}

function showTip(event) {
    const [x, y] = place(event), found = x < view.width - STRIP ? under(x, y) : [];
    const tip = element("tip");
    canvas.style.cursor = found.length ? "pointer" : "default";
    tip.hidden = !found.length;
    if (found.length) {
        tip.replaceChildren(...found.slice(0, 4).map((each) => told(each, false)));
        if (found.length > 4) {
            tip.append(make("p", `and ${found.length - 4} more: click to see them`, "more"));
        }
        const above = canvas.offsetTop + y + 18;
        tip.style.left = `${Math.max(4, Math.min(x + 16, view.width - tip.offsetWidth - 8))}px`;
        tip.style.top = `${Math.max(4, above + tip.offsetHeight > canvas.offsetTop + view.height ? above - tip.offsetHeight - 34 : above)}px`;
    }
}

canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (dragged?.isStrip) {
        scrollTo(y / view.height * run.seconds - 0.5 * view.height / view.scale);
    } else if (dragged) {
        dragged.hasMoved ||= Math.abs(y - dragged.y) > 4;
        scrollTo(dragged.top - (y - dragged.y) / view.scale);
    } else {
        showTip(event);
        return;
    }
    element("tip").hidden = true;
    redraw();
});
canvas.addEventListener("pointerdown", (event) => {
    const [x, y] = place(event);
    canvas.setPointerCapture(event.pointerId);
    dragged = {y, top: view.top, hasMoved: false, isStrip: x >= view.width - STRIP};
    if (dragged.isStrip) {
        scrollTo(y / view.height * run.seconds - 0.5 * view.height / view.scale);
        redraw();
    }
});
canvas.addEventListener("pointerup", (event) => {
    const isClick = dragged && !dragged.hasMoved && !dragged.isStrip;
    dragged = null;
    if (isClick) {
        pause();
        const [x, y] = place(event);
        here = under(x, y);
        view.cursor = here.length ? (here[0].mark?.at ?? arrows.sent[here[0].arrow]) : Math.max(0, timeOf(y));
        tell(here);
        markCurrent();
        redraw();
    }
});
canvas.addEventListener("pointerleave", () => { element("tip").hidden = true; });
canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) {
        zoom(Math.exp(-event.deltaY * 0.0025), place(event)[1]);
    } else {
        scrollTo(view.top + event.deltaY / view.scale);
    }
    element("tip").hidden = true;
    redraw();
}, {passive: false});

// Buttons and keys

const ACTIONS = {
    play: () => (player.runs ? pause() : play()),
    step: () => step(1),
    back: () => step(-1),
    in: () => { zoom(2); redraw(); },
    out: () => { zoom(0.5); redraw(); },
};
const KEYS = {" ": "play", "ArrowRight": "step", "ArrowLeft": "back", "+": "in", "=": "in", "-": "out"};

for (const [id, act] of Object.entries(ACTIONS)) {
    element(id).addEventListener("click", act);
}
document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input[type=search], select");
    const isPressing = event.key === " " && event.target.matches("button, input");
    if (event.key in KEYS && !isTyping && !isPressing && !event.ctrlKey && !event.altKey && !event.metaKey) {
        event.preventDefault();
        ACTIONS[KEYS[event.key]]();
    }
});

function addBox(text, colour, isOn, set) {
    const label = make("label"), box = make("input"), sample = make("i");
    box.type = "checkbox";
    box.checked = isOn;
    sample.style.borderColor = `var(--${colour})`;
    box.addEventListener("change", () => {
        set(box.checked);
        choose();
        redraw();
    });
    label.append(box, sample, text);
    element("kinds").append(label);
}

// Begin

function resize() {
    const ratio = devicePixelRatio;
    view.width = canvas.clientWidth;
    view.height = canvas.clientHeight;
    canvas.width = Math.round(view.width * ratio);
    canvas.height = Math.round(view.height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const [lane, name] of element("lanes").childNodes.entries()) {
        name.style.left = `${xOf(lane)}px`;
    }
    redraw();
}

element("told").textContent = run.told[0];
element("lanes").append(...run.lanes.map((name) => make("span", name)));
element("barks").append(...run.barks.map((bark) => { const option = make("option"); option.value = bark; return option; }));
element("wrong").hidden = !run.wrong.length;
element("wrong").querySelector("ul").append(...run.wrong.map((text) => make("li", text)));
for (const kind of [...KINDS].reverse()) {
    addBox(kind.told, kind.name, kind.on, (isOn) => { kind.on = isOn; });
}
addBox("commits ◆", "settled", true, (isOn) => { shown.commits = isOn; });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });
new ResizeObserver(resize).observe(canvas);
readColours();
choose();
resize();
list();
goTo((marks.find((mark) => mark.what in FAULTS) ?? {at: 0}).at);
