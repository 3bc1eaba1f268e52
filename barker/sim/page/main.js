"use strict";

// The controls, the pointer, and what is told in words.

const player = {
    runs: false,
    last: 0,      // When it was last moved on, in real time.
    told: null,   // The time of the event that it has told of.
};

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
            element("span").textContent = `${laterBy(bottom() - above())} in view`;
        });
    }
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
    // With pauses skipped, playing skips them, too.
    const place = placeOf(view.cursor) + passed * Number(element("speed").value);
    view.cursor = Math.min(run.seconds, timeAt(place));
    const y = yOf(view.cursor);
    if (y < 0 || y > 0.6 * view.height) {
        scrollTo(placeOf(view.cursor) - 0.6 * view.height / view.scale);
    }
    if (view.cursor >= run.seconds) {
        pause();
    }
    const time = nextTime(view.cursor, -1);
    if (time !== player.told) {
        player.told = time;
        tell(eventsAt(time));
    }
    redraw();
    requestAnimationFrame(advance);
}

// One bark

let before = null;  // How all was seen, while one bark is.

// What is to be shown has changed.
function chooseAnew(isSqueezed = view.isSqueezed) {
    choose();
    squeeze(isSqueezed);
    element("squeezed").checked = isSqueezed;
}

function isolate(bark) {
    pause();
    before ??= {isSqueezed: view.isSqueezed, scale: view.scale};
    shown.bark = bark;
    element("bark").value = run.barks[bark];
    element("all").hidden = false;
    chooseAnew(true);
    const times = shown.arrows.flatMap((arrow) => [arrows.sent[arrow], arrows.end[arrow]]);
    if (times.length) {
        fit(Math.min(...times), Math.max(...times));
        goTo(Math.min(...times));
    }
    list();
}

function showAll() {
    shown.bark = null;
    element("bark").value = "";
    element("all").hidden = true;
    view.scale = before?.scale ?? view.scale;
    chooseAnew(before?.isSqueezed ?? view.isSqueezed);
    before = null;
    list();
    scrollTo(placeOf(view.cursor) - 0.33 * view.height / view.scale);
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

// Buttons and keys

const ACTIONS = {
    play: () => (player.runs ? pause() : play()),
    step: () => step(1),
    back: () => step(-1),
    in: () => { zoom(2); redraw(); },
    out: () => { zoom(0.5); redraw(); },
};
const scroll = (part) => { scrollTo(view.top + part * view.height / view.scale); redraw(); };
const KEYS = {
    " ": ACTIONS.play, "ArrowRight": ACTIONS.step, "ArrowLeft": ACTIONS.back,
    "+": ACTIONS.in, "=": ACTIONS.in, "-": ACTIONS.out,
    "ArrowDown": () => scroll(0.1), "ArrowUp": () => scroll(-0.1),
    "PageDown": () => scroll(0.9), "PageUp": () => scroll(-0.9),
};

for (const [id, act] of Object.entries(ACTIONS)) {
    element(id).addEventListener("click", act);
}
document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input[type=search], select");
    const isPressing = event.key === " " && event.target.matches("button, input");
    if (event.key in KEYS && !isTyping && !isPressing && !event.ctrlKey && !event.altKey && !event.metaKey) {
        event.preventDefault();
        KEYS[event.key]();
    }
});

function addBox(text, colour, isOn, set) {
    const label = make("label"), box = make("input"), sample = make("i");
    box.type = "checkbox";
    box.checked = isOn;
    sample.style.borderColor = `var(--${colour})`;
    box.addEventListener("change", () => {
        set(box.checked);
        chooseAnew();
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
element("told").title = run.told.slice(1).join("\n");
element("lanes").append(...run.lanes.map((name) => make("span", name)));
element("barks").append(...run.barks.map((bark) => new Option(bark, bark)));
element("wrong").hidden = !run.wrong.length;
element("wrong").querySelector("ul").append(...run.wrong.map((text) => {
    const item = make("li", text);
    item.append(...barkButtons(named(text)));
    return item;
}));
for (const kind of [...KINDS].reverse()) {
    addBox(kind.told, kind.name, kind.on, (isOn) => { kind.on = isOn; });
}
addBox("commits ◆", "settled", true, (isOn) => { shown.commits = isOn; });
element("squeezed").addEventListener("change", () => { squeeze(element("squeezed").checked); redraw(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });
new ResizeObserver(resize).observe(canvas);
readColours();
resize();
chooseAnew();
list();
goTo((marks.find((mark) => mark.what in FAULTS) ?? {at: 0}).at);
