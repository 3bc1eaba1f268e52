/* The page: a user's timeline, and a box to bark.
 *
 * It speaks AMQP itself, over two WebSockets through the gateway (line.js):
 *
 *     /amqp/inbox/USER  a receiver from inbox/USER: the timeline's last barks, then each that comes
 *     /amqp/outbox      a sender to outbox: what the user barks, kept here until an outbox has accepted it
 *
 * What is shown when is decided in timeline.js, what becomes of one's own barks in outgoing.js, what a bark is in
 * barks.js; what the dashboard shows and writes alike is in shown.js and numbers.js. It is opened from the disk as
 * well as from the gateway, so all are classic scripts and fetch nothing. What users write is only ever shown as text.
 */
"use strict";

const GAP = 10;                 // pixels between two barks
const USUAL_HEIGHT = 90;        // of a bark that was never in the document, with the gap
const MOST_PENDING = 3;         // own barks that are shown on their way; of the others, how many
const TELL_EVERY = 15000;       // milliseconds between two times that new barks are read aloud
const DRAFT = "barker draft";

const search = new URLSearchParams(location.search);
const USER = search.get("user") || "ark3";          // who one is
const OWNER = search.get("timeline") || USER;       // whose timeline is shown: to look at somebody is not to be them

const timeline = new Timeline();
const outgoing = new Outgoing(stored(() => localStorage), `${GATEWAY} ${USER}`);


// What comes, and what goes

function onMessage(message) {
    const missed = (message.delivery_annotations || {})["x-opt-missed"];
    if (missed > 0) {
        timeline.missed(missed);
        if (OWNER === USER) {
            showOwn(outgoing.pass());
        }
    }
    const bark = decodeBark(message);
    if (bark) {         // what is shown are barks, each once
        showOwn(outgoing.arrive(bark.id).map((own) => own.id === bark.id ? bark : own));
        timeline.add(bark);
    }
    soon();
}

/* One's own barks that wait no more come into sight, whatever else comes. */
function showOwn(barks) {
    barks.forEach((bark) => timeline.add(bark));
    if (barks.length && atTop()) {
        timeline.hold(Date.now());
    }
}

/* Whether the bark is on its way; not if too many are, for who knows how long. */
function say(text) {
    const goes = outgoing.add({id: newId(), user: USER, text, created: new Date()});
    send();
    scrollTo(0, 0);
    soon();
    return goes;
}

/* Send what is not accepted yet, as far as there is credit. */
function send() {
    outgoing.send((bark) => outbox.send(encodeBark(bark), (outcome, reason) => onOutcome(bark, outcome, reason)));
}

function onOutcome(bark, outcome, reason) {
    const done = outgoing.settle(bark, outcome);
    if (outcome === "released") {
        setTimeout(send, LONGEST_WAIT);
    } else if (done && outcome === "accepted") {
        showOwn([done]);
    } else if (done) {
        at("problem").textContent = `Not accepted: ${reason || "no reason was given"}`;
        setDraft([bark.text, at("text").value].filter(Boolean).join("\n"));
    }
    soon();
}

function newId() {
    // There is no randomUUID in a page that came over plain HTTP from another host.
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}


// What is drawn: once a frame at most, and of the timeline only what is near the screen

let drawsSoon = false, waits;
let moved = -Infinity;          // when the pointer or a finger moved last on the timeline
let current;                    // the bark that the keyboard is at: the timeline is one stop of it
let heights = new WeakMap();    // of barks that are or were in the document
const elements = new Map();     // of barks that are in the document

const atTop = () => scrollY < 5;

function reading() {
    const list = at("barks"), selection = getSelection();
    return list.contains(document.activeElement) || !selection.isCollapsed && list.contains(selection.anchorNode);
}

function soon() {
    if (!drawsSoon) {
        drawsSoon = true;
        requestAnimationFrame(draw);
    }
}

function draw() {
    drawsSoon = false;
    const now = Date.now();
    clearTimeout(waits);
    let delay = 0;
    if (timeline.waiting.length) {
        delay = timeline.delay(now, {atTop: atTop(), reading: reading(), moved});
        if (delay === 0) {
            timeline.take(now);
        } else if (delay < Infinity) {
            waits = setTimeout(soon, delay);
        }
    }
    inPlace(() => {
        drawPending();
        drawBarks();
    });
    at("fresh").hidden = timeline.waits === 0 || delay <= timeline.pace;
    setText(at("fresh"), `${count(timeline.waits)} new ${timeline.waits === 1 ? "bark" : "barks"}`);
    showEmpty();
}

/* Do that, and have what one reads stay where it is. */
function inPlace(change) {
    const read = atTop() ? undefined
        : [...at("barks").children].find((element) => element.getBoundingClientRect().bottom > 0);
    const before = read?.getBoundingClientRect().top;
    change();
    const shift = read?.isConnected ? read.getBoundingClientRect().top - before : 0;
    if (shift) {
        scrollBy(0, shift);
    }
}

function drawBarks() {
    const list = at("barks"), items = timeline.shown, top = -list.getBoundingClientRect().top;
    const {from, to, above, below} = near(
        items.map((item) => heights.get(item) ?? USUAL_HEIGHT), top - innerHeight, top + 2 * innerHeight);
    const wanted = items.slice(from, to), kept = new Set(wanted);
    for (const [item, element] of elements) {
        if (!kept.has(item)) {
            element.remove();
            elements.delete(item);
        }
    }
    let next = list.firstElementChild;
    wanted.forEach((item, index) => {
        const element = elements.get(item) ?? entry(item);
        elements.set(item, element);
        element.ariaPosInSet = from + index + 1;
        element.ariaSetSize = items.length;
        if (element === next) {
            next = next.nextElementSibling;
        } else {
            list.insertBefore(element, next);
        }
    });
    list.style.paddingTop = `${above}px`;
    list.style.paddingBottom = `${below}px`;
    for (const [item, element] of elements) {
        if (!heights.has(item)) {
            heights.set(item, element.offsetHeight + GAP);
        }
    }
    setStop();
}

/* The timeline is one stop of the Tab key, and then the links in the bark it is at; arrows go from bark to bark. */
function setStop() {
    const stop = elements.get(current) ?? at("barks").firstElementChild;
    for (const element of elements.values()) {
        const index = element === stop ? 0 : -1;
        if (element.tabIndex !== index) {
            element.tabIndex = index;
            element.querySelectorAll("a").forEach((link) => link.tabIndex = index);
        }
    }
}

function drawPending() {
    const barks = [...outgoing.waiting.values()], newest = barks.slice(-MOST_PENDING).reverse();
    at("pending").replaceChildren(...newest.map((bark) => {
        bark.element ??= entry(bark, true);
        setText(bark.element.querySelector(".note"), !bark.accepted ? "sending…"
            : OWNER === USER ? "accepted by the outbox" : "accepted, for your own timeline");
        return bark.element;
    }));
    const others = barks.length - newest.length;
    at("more").hidden = others === 0;
    setText(at("more"), `${count(others)} more of your barks ${others === 1 ? "is" : "are"} on the way`);
}

function entry(item, waits) {
    if (item.missed) {
        return make("li", "missed", `${count(item.missed)} ${item.missed === 1 ? "bark" : "barks"} missed`);
    }
    const mine = item.user === USER, mentioned = mentionsMe(item);
    const author = make("a", "author", item.user);
    author.href = timelineOf(item.user);
    author.title = `See the timeline of ${item.user}`;
    const tag = mine ? [make("span", "tag", "you")] : mentioned ? [make("span", "tag", "mentions you")] : [];
    const head = make("div", "head", author, ...tag, waits ? make("span", "note") : timeOf(item));
    const text = make("p", "text", ...pieces(item.text, item.named).map(({piece, kind}) =>
        kind === "mention" ? make("b", "at", piece) : kind === "link" ? linkTo(piece) : piece));
    text.dir = "auto";
    const element = make("li", `bark ${mine ? "mine" : mentioned ? "mention" : ""}`,
        avatar(item.user), make("div", "body", head, text));
    if (!waits) {
        element.tabIndex = -1;
        element.querySelectorAll("a").forEach((link) => link.tabIndex = -1);
        element.addEventListener("focusin", () => {
            current = item;
            setStop();
        });
    }
    return element;
}

const mentionsMe = ({user, named}) => user !== USER && named.includes(USER);

function timeOf({created}) {
    const time = make("time", "", ago(created, Date.now()));
    time.dateTime = created?.toISOString() || "";
    time.title = created?.toLocaleString() || "Its author's clock showed no time that there is";
    return time;
}

function linkTo(address) {
    const link = make("a", "link", address);
    link.href = address;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    const host = leadsTo(address);
    if (host !== undefined) {
        link.append(make("b", "host", host));
    }
    return link;
}

/* Each name has a face: two letters, and a colour of its own. */
function avatar(user) {
    const words = user.split(/[^A-Za-z0-9]+/).filter(Boolean);
    const letters = words.length > 1 ? words[0][0] + words[1][0] : (words[0] || "?").slice(0, 2);
    const sum = [...user].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 65521, 7);
    const face = make("span", "avatar", letters);
    face.style.setProperty("--hue", 130 + sum * 137 % 310);     // no olive dogs
    face.setAttribute("aria-hidden", "true");
    return face;
}

function showSelf(change) {
    setText(at("self"), `You bark as ${USER}. To be somebody else, ${change}. `
        + "To look at somebody, follow the name on a bark: you stay who you are.");
}

/* The page's address for who one is, and whose timeline is shown if that is not one's own. */
function pageOf(user, owner) {
    const search = new URLSearchParams(location.search);
    search.set("user", user);
    search.delete("timeline");
    if (owner !== user) {
        search.set("timeline", owner);
    }
    return `?${search}`;
}

const timelineOf = (owner) => pageOf(USER, owner);


// How the lines and the suite do

const AWAY = {
    inbox: "The inbox is away. New barks come when it is back.",
    outbox: "The outbox is away. Your barks wait here until it is back.",
};
const NOBODY = "Nobody works on barks now: they wait in the outbox. To start one: barker bizlogic.";

const reports = {};             // what inbox and outbox said last of themselves, while they are there

function showLines() {
    const lines = [inbox, outbox];
    showStates(...lines);
    const away = lines.filter(({state}) => state === "away"), refused = lines.filter(({state}) => state === "refused");
    [...away, ...refused].forEach(({service}) => delete reports[service]);
    const reasons = [...new Set(away.map(({reason}) => reason))].join("");
    showStatus(refused.length ? `${refused[0].reason}Choose another name above.`
        : reasons ? `${reasons}Trying again.`
        : away.length === 1 ? AWAY[away[0].service]
        : away.length && lines.some(({since}) => since) ? "Barker is away. Your barks wait here until it is back."
        : away.length ? `Barker does not answer at ${GATEWAY}. To start it: ${startWith()}. This page finds it by itself.`
        : reports.outbox?.consumer === "" ? NOBODY : "");
    showFigures();
    showEmpty();
}

function onReport(service, report) {
    reports[service] = report;
    showLines();
}

function showFigures() {
    const {inbox, outbox} = reports;
    const figures = [
        ["Barks into your outbox", outbox && rateText(outbox.received_rate)],
        ["Waiting there for bizlogic", outbox && count(outbox.depth)],
        ["Bizlogic that works", outbox && (outbox.consumer || "none")],
        ["Timelines", inbox && count(inbox.timelines)],
        ["Barks put on them so far", inbox && count(inbox.delivered)],
    ];
    const list = at("figures");
    if (!list.children.length) {
        list.append(...figures.map(([name]) => make("div", "", make("dt", "", name), make("dd", ""))));
    }
    figures.forEach(([, value], index) => setText(list.children[index].lastElementChild, value ?? "unknown"));
}

function showEmpty() {
    const [face, text] = at("empty").children, awake = inbox.state === "open";
    at("empty").hidden = timeline.shown.length > 0 || timeline.waits > 0 || outgoing.waiting.size > 0;
    setText(face, awake ? "• •" : "– –");
    setText(text, !awake ? "All dogs are asleep."
        : `No barks on the timeline of ${OWNER} yet. A user who is new follows nobody, and hears only who says @${OWNER}.`);
}

function showLeft() {
    const text = at("text").value.trim(), left = MAX_TEXT - [...text].length;
    at("left").textContent = left;
    at("left").dataset.state = left < 0 ? "over" : left <= 20 ? "few" : "many";
    at("left").style.setProperty("--used", `${100 - Math.max(0, left) / MAX_TEXT * 100}%`);
    at("bark").disabled = !isSeen(text) || left < 0;
}

/* What is in the box stays there when the page is loaded anew. */
function setDraft(text) {
    at("text").value = text;
    stored(() => sessionStorage.setItem(DRAFT, text));
    showLeft();
}


// The start

at("say").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = at("text").value.trim();
    if (isSeen(text) && lengthOf(text) <= MAX_TEXT) {
        const gone = say(text);
        at("problem").textContent = gone ? ""
            : `${count(MOST_WAITING)} barks wait here to be sent. Bark this one when some have gone.`;
        setDraft(gone ? "" : at("text").value);
    }
});
at("text").addEventListener("input", () => setDraft(at("text").value));
at("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        at("say").requestSubmit();
    }
});
at("who").addEventListener("submit", (event) => {
    event.preventDefault();
    const user = at("user").value.trim() || USER;
    location.search = pageOf(user, user);
});
at("user").addEventListener("input", () => at("become").hidden = at("user").value.trim() === USER);
at("fresh").addEventListener("click", (event) => {
    timeline.take(Date.now());
    scrollTo(0, 0);
    draw();
    if (event.detail === 0) {       // by the keyboard, which goes on from there
        at("barks").firstElementChild.focus();
    }
});
at("barks").addEventListener("keydown", (event) => {
    const bark = event.target.closest("li");
    const to = {ArrowDown: bark.nextElementSibling, ArrowUp: bark.previousElementSibling}[event.key];
    if (to && !event.altKey && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        to.focus();
    }
});

function onMoved(event) {
    // Chromium says that the pointer moved, too, when something else comes to lie under it.
    if (event.type !== "pointermove" || event.movementX || event.movementY) {
        moved = Date.now();
    }
}
for (const event of ["pointermove", "pointerdown", "wheel", "touchmove"]) {
    at("barks").addEventListener(event, onMoved, {passive: true});
}
for (const [target, event] of [
    [window, "scroll"], [window, "resize"], [document, "selectionchange"], [at("barks"), "focusout"],
]) {
    target.addEventListener(event, soon, {passive: true});
}
let width = 0;
new ResizeObserver(([{contentRect}]) => {
    if (contentRect.width !== width) {
        width = contentRect.width;
        heights = new WeakMap();
        soon();
    }
}).observe(at("barks"));

setInterval(() => {
    for (const time of at("barks").querySelectorAll("time")) {
        setText(time, ago(time.dateTime ? new Date(time.dateTime) : undefined, Date.now()));
    }
}, 10000);
setInterval(() => at("heard").replaceChildren(timeline.tell(mentionsMe)), TELL_EVERY);

at("me").append(avatar(USER));
at("user").value = USER;
showSelf("change the name above");
at("dashboard").href = (FROM_DISK ? "../monitoring/index.html" : "/monitoring/") + location.search;
at("whose").textContent = OWNER === USER ? "Your timeline" : `Timeline of ${OWNER}`;
at("back").hidden = OWNER === USER;
at("back").href = timelineOf(USER);
setDraft(stored(() => sessionStorage.getItem(DRAFT)) || "");

/* Who has signed in is that user, and no other. */
function onPerson(person) {
    at("user").readOnly = Boolean(person);
    showSelf(person ? "sign out" : "change the name above");
    if (person && person !== USER) {
        location.search = pageOf(person, OWNER === USER ? person : OWNER);
    }
}

watchAdmission(onPerson);

const inbox = new Line(`inbox/${OWNER}`, {
    onMessage, onReport: (report) => onReport("inbox", report), onChange: showLines});
const outbox = new Line("outbox", {
    sends: true, onCredit: send, onReport: (report) => onReport("outbox", report), onOpen: send,
    onLost: () => outgoing.unsend(), onChange: showLines});
const wrong = [USER, OWNER].find((name) => !canBeRead(name));
if (!Line.possible) {
    showStatus(LACKING);
} else if (wrong !== undefined) {
    showStatus(`“${wrong.slice(0, 100)}” is no user's name here: ${USER_RULE}. Choose another name above.`);
    document.body.dataset.state = "wrong";
} else {
    inbox.begin();
    outbox.begin();
    draw();
}
