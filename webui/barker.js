/* The page: a user's timeline, and a box to bark.
 *
 * It speaks AMQP itself, over two WebSockets through the gateway (line.js):
 *
 *     /amqp/inbox/USER  a receiver from inbox/USER: the timeline's last barks, then each that comes
 *     /amqp/outbox      a sender to outbox: what the user barks, kept here until an outbox has accepted it
 *
 * It is opened from the disk as well as from the gateway, so it is a classic script and fetches nothing.
 * What users write is only ever shown as text.
 */
"use strict";

const MAX_TEXT = 280;           // code points, as core/barks.py counts them
const MAX_ID = 256;             // characters
const MAX_USER = 32;
const LAST_TIME = 253402300799999;      // milliseconds since 1970: the end of the year 9999
const MOST_SHOWN = 200;         // barks on the page
const MOST_KNOWN = 5000;        // ids known again: with each new link the history comes again
const MOST_WAITING = 1000;      // own barks that are not on the timeline yet
const MENTION = /(?<![A-Za-z0-9_@])@([A-Za-z0-9_.-]{1,32})(?![A-Za-z0-9_.-])/g;     // as in core/barks.py

const USER = new URLSearchParams(location.search).get("user") || "ark3";

const at = (id) => document.getElementById(id);


// The timeline

const known = new Set();        // ids of barks that were shown

function onMessage(message) {
    const missed = (message.delivery_annotations || {})["x-opt-missed"];
    if (missed > 0) {
        prepend(at("barks"), make("li", "missed", `${missed} ${missed === 1 ? "bark" : "barks"} missed`));
        letGo();
    }
    const {message_id: id, subject, creation_time: created, body: text} = message;
    const {user} = message.application_properties || {};
    // A timeline takes any message from anyone. What is shown are barks, each once.
    if (subject !== "bark" || known.has(id) || [id, user, text].some((field) => typeof field !== "string")
        || id.length > MAX_ID || user.length > MAX_USER || [...text.slice(0, 2 * MAX_TEXT + 1)].length > MAX_TEXT) {
        return;
    }
    known.add(id);
    if (known.size > MOST_KNOWN) {
        known.delete(known.values().next().value);
    }
    if (waiting.has(id)) {
        letGo(id);      // an author's barks come in order
        forget(id);
    }
    prepend(at("barks"), entry({id, user, text, created: dated(created)}));
}

/* The date, if it is one that a calendar has: a bark may say it was made at any time. */
function dated(created) {
    return created instanceof Date && created >= 0 && created <= LAST_TIME ? created : undefined;
}

function prepend(list, item) {
    list.prepend(item);
    if (list === at("barks") && list.children.length > MOST_SHOWN) {
        list.lastElementChild.remove();
    }
    showEmpty();
}


// The user's own barks

const waiting = new Map();      // by id, in the order they were made: those that are not on the timeline yet

/* Whether the bark is on its way; not if too many are, for who knows how long. */
function say(text) {
    if (!room()) {
        return false;
    }
    const bark = {id: newId(), user: USER, text, created: new Date()};
    bark.item = entry(bark, "sending…");
    waiting.set(bark.id, bark);
    prepend(at("pending"), bark.item);
    send();
    return true;
}

/* Whether one more may wait here. */
function room() {
    if (waiting.size >= MOST_WAITING) {
        letGo();
    }
    return waiting.size < MOST_WAITING;
}

/* What an outbox has accepted needs this page no more. Forget it, up to the bark `last` or all: it may have been
 * on the timeline, among those that were missed. */
function letGo(last) {
    for (const {id, accepted} of waiting.values()) {
        if (id === last) {
            return;
        }
        if (accepted) {
            forget(id);
        }
    }
}

/* Send what is not accepted yet, as far as there is credit. */
function send() {
    for (const bark of waiting.values()) {
        if (!bark.accepted && !bark.sent) {
            bark.sent = outbox.send({
                durable: true,
                message_id: bark.id,
                subject: "bark",
                creation_time: bark.created,
                application_properties: {user: bark.user},
                body: bark.text,
            }, (outcome, reason) => onOutcome(bark, outcome, reason));
            if (!bark.sent) {
                return;
            }
        }
    }
}

/* What was in flight on a line that was lost is to be sent again. The same id makes it the same bark, should the
 * outbox have had it after all. */
function unsend() {
    for (const bark of waiting.values()) {
        bark.sent = false;
    }
}

function onOutcome(bark, outcome, reason) {
    if (!waiting.has(bark.id)) {
        return;                                 // it came on the timeline before
    }
    if (outcome === "accepted") {
        bark.accepted = true;
        bark.item.querySelector(".note").textContent = "accepted by the outbox";
    } else if (outcome === "rejected") {
        forget(bark.id);
        at("problem").textContent = `Not accepted: ${reason || "no reason was given"}`;
        at("text").value = [bark.text, at("text").value].filter(Boolean).join("\n");
        showLeft();
    } else {
        bark.sent = false;                      // released, as by an outbox whose disk is full
        setTimeout(send, LONGEST_WAIT);
    }
}

function forget(id) {
    if (waiting.has(id)) {
        waiting.get(id).item.remove();
        waiting.delete(id);
        showEmpty();
    }
}

function newId() {
    // There is no randomUUID in a page that came over plain HTTP from another host.
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}


// What is seen

function make(tag, name, ...children) {
    const element = document.createElement(tag);
    element.className = name;
    element.append(...children);                // a string becomes text, whatever is in it
    return element;
}

function entry(bark, note) {
    const named = [...bark.text.matchAll(MENTION)].flatMap(([, name]) => [name, bare(name)]);
    const mine = bark.user === USER, mentioned = !mine && named.includes(USER);
    const author = make("a", "author", bark.user);
    author.href = pageOf(bark.user);
    author.title = `See Barker as ${bark.user}`;
    const time = make("time", "", ago(bark.created));
    time.dateTime = bark.created?.toISOString() || "";
    time.title = bark.created?.toLocaleString() || "Its author's clock showed no time that there is";
    const tag = mine ? [make("span", "tag", "you")] : mentioned ? [make("span", "tag", "mentions you")] : [];
    const head = make("div", "head", author, ...tag, note ? make("span", "note", note) : time);
    const text = make("p", "text", ...marked(bark.text));
    return make("li", `bark ${mine ? "mine" : mentioned ? "mention" : ""}`,
        avatar(bark.user), make("div", "body", head, text));
}

/* "@rex." names who is called "rex." and, as it may end a sentence, "rex". */
const bare = (name) => name.replace(/[.-]+$/, "");

/* The text in pieces, mentions emphasised. */
function marked(text) {
    const pieces = [];
    let end = 0;
    for (const match of text.matchAll(MENTION)) {
        const mention = bare(match[0]);
        pieces.push(text.slice(end, match.index), make("b", "at", mention));
        end = match.index + mention.length;
    }
    return [...pieces, text.slice(end)];
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

function ago(date) {
    if (!date) {
        return "undated";
    }
    const minutes = Math.floor((Date.now() - date) / 60000);
    return Math.abs(minutes) >= 1440 ? date.toLocaleDateString()
        : minutes < 1 ? "now" : minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
}

function pageOf(user) {
    const search = new URLSearchParams(location.search);
    search.set("user", user);
    return `?${search}`;
}

const WORDS = {dialling: "connecting", open: "connected", away: "reconnecting"};
const AWAY = {
    inbox: "The inbox is away. New barks come when it is back.",
    outbox: "The outbox is away. Your barks wait here until it is back.",
};

function showLines() {
    const lines = [inbox, outbox];
    for (const {service, state} of lines) {
        at(service).dataset.state = state;
        at(service).querySelector("span").textContent = WORDS[state];
    }
    const away = lines.filter(({state}) => state === "away");
    const reasons = [...new Set(away.map(({reason}) => reason))].join("");
    showStatus(reasons ? `${reasons}Trying again.`
        : away.length === 0 ? ""
        : away.length === 1 ? AWAY[away[0].service]
        : lines.some(({since}) => since) ? "Barker is away. Your barks wait here until it is back."
        : `Barker does not answer at ${GATEWAY}. To start it: make run. This page finds it by itself.`);
    showEmpty();
}

function showStatus(text) {
    at("status").hidden = !text;
    if (at("status").textContent !== text) {    // for it is read aloud
        at("status").textContent = text;
    }
}

function showLeft() {
    const text = at("text").value.trim(), left = MAX_TEXT - [...text].length;
    at("left").textContent = left;
    at("left").dataset.state = left < 0 ? "over" : left <= 20 ? "few" : "many";
    at("left").style.setProperty("--used", `${100 - Math.max(0, left) / MAX_TEXT * 100}%`);
    at("bark").disabled = !text || left < 0;
}

function showEmpty() {
    const [face, text] = at("empty").children, awake = inbox.state === "open";
    at("empty").hidden = Boolean(document.querySelector(".bark"));
    face.textContent = awake ? "• •" : "– –";
    text.textContent = awake ? "No barks here yet. Yours can be the first." : "All dogs are asleep.";
}


// The start

at("say").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = at("text").value.trim();
    if (text && [...text].length <= MAX_TEXT) {
        const gone = say(text);
        at("problem").textContent = gone ? ""
            : `${MOST_WAITING.toLocaleString("en")} barks wait here to be sent. Bark this one when some have gone.`;
        at("text").value = gone ? "" : at("text").value;
        showLeft();
    }
});
at("text").addEventListener("input", showLeft);
at("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        at("say").requestSubmit();
    }
});
at("who").addEventListener("submit", (event) => {
    event.preventDefault();
    location.search = pageOf(at("user").value.trim() || USER);
});
at("me").append(avatar(USER));
at("user").value = USER;
showLeft();
setInterval(() => {
    for (const time of document.querySelectorAll("time")) {
        time.textContent = ago(time.dateTime ? new Date(time.dateTime) : undefined);
    }
}, 10000);

const inbox = new Line(`inbox/${USER}`, {onMessage, onChange: showLines});
const outbox = new Line("outbox", {sends: true, onCredit: send, onOpen: send, onLost: unsend, onChange: showLines});
if (Line.possible) {
    inbox.dial();
    outbox.dial();
} else {
    showStatus("What this page needs is not there yet. Run make setup once, then load the page again.");
}
