/* The page: a user's timeline, and a box to bark.
 *
 * It speaks AMQP itself, over two WebSockets through the gateway (line.js):
 *
 *     /amqp/inbox/USER  a receiver from inbox/USER: the timeline's last barks, then each that comes
 *     /amqp/outbox      a sender to outbox: what the user barks, kept here until an outbox has accepted it
 *
 * What a bark is, is in barks.js; what the dashboard shows and writes alike in shown.js and numbers.js. It is opened
 * from the disk as well as from the gateway, so all are classic scripts and fetch nothing. What users write is only
 * ever shown as text.
 */
"use strict";

const MOST_SHOWN = 200;         // barks on the page
const MOST_KNOWN = 5000;        // ids known again: with each new link the history comes again
const MOST_WAITING = 1000;      // own barks that are not on the timeline yet

const USER = new URLSearchParams(location.search).get("user") || "ark3";


// The timeline

const known = new Set();        // ids of barks that were shown

function onMessage(message) {
    const missed = (message.delivery_annotations || {})["x-opt-missed"];
    if (missed > 0) {
        prepend(at("barks"), make("li", "missed", `${missed} ${missed === 1 ? "bark" : "barks"} missed`));
        letGo();
    }
    const bark = decodeBark(message);
    if (!bark || known.has(bark.id)) {
        return;     // what is shown are barks, each once
    }
    known.add(bark.id);
    if (known.size > MOST_KNOWN) {
        known.delete(known.values().next().value);
    }
    if (waiting.has(bark.id)) {
        letGo(bark.id);         // an author's barks come in order
        forget(bark.id);
    }
    prepend(at("barks"), entry(bark));
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
 * on the timeline, among those that were missed. What is on its way to an outbox may have been, too: it is
 * forgotten once it is accepted. */
function letGo(last) {
    for (const bark of waiting.values()) {
        if (bark.id === last) {
            return;
        }
        if (bark.accepted) {
            forget(bark.id);
        } else if (bark.sent) {
            bark.past = true;
        }
    }
}

/* Send what is not accepted yet, as far as there is credit. */
function send() {
    for (const bark of waiting.values()) {
        if (!bark.accepted && !bark.sent) {
            bark.sent = outbox.send(encodeBark(bark), (outcome, reason) => onOutcome(bark, outcome, reason));
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
    if (outcome === "accepted" && bark.past) {
        forget(bark.id);
    } else if (outcome === "accepted") {
        bark.accepted = true;
        bark.item.querySelector(".note").textContent = "accepted by the outbox";
    } else if (outcome === "rejected") {
        forget(bark.id);
        at("problem").textContent = `Not accepted: ${reason || "no reason was given"}`;
        at("text").value = [bark.text, at("text").value].filter(Boolean).join("\n");
        showLeft();
    } else {
        bark.sent = bark.past = false;          // released, as by an outbox whose disk is full
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

function entry(bark, note) {
    const mine = bark.user === USER, mentioned = !mine && mentions(bark.text).includes(USER);
    const author = make("a", "author", bark.user);
    author.href = pageOf(bark.user);
    author.title = `See Barker as ${bark.user}`;
    const time = make("time", "", ago(bark.created, Date.now()));
    time.dateTime = bark.created?.toISOString() || "";
    time.title = bark.created?.toLocaleString() || "Its author's clock showed no time that there is";
    const tag = mine ? [make("span", "tag", "you")] : mentioned ? [make("span", "tag", "mentions you")] : [];
    const head = make("div", "head", author, ...tag, note ? make("span", "note", note) : time);
    const text = make("p", "text", ...pieces(bark.text).map(
        ({piece, mention}) => mention ? make("b", "at", piece) : piece));
    return make("li", `bark ${mine ? "mine" : mentioned ? "mention" : ""}`,
        avatar(bark.user), make("div", "body", head, text));
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

function pageOf(user) {
    const search = new URLSearchParams(location.search);
    search.set("user", user);
    return `?${search}`;
}

const AWAY = {
    inbox: "The inbox is away. New barks come when it is back.",
    outbox: "The outbox is away. Your barks wait here until it is back.",
};

function showLines() {
    const lines = [inbox, outbox];
    showStates(...lines);
    const away = lines.filter(({state}) => state === "away");
    const reasons = [...new Set(away.map(({reason}) => reason))].join("");
    showStatus(reasons ? `${reasons}Trying again.`
        : away.length === 0 ? ""
        : away.length === 1 ? AWAY[away[0].service]
        : lines.some(({since}) => since) ? "Barker is away. Your barks wait here until it is back."
        : `Barker does not answer at ${GATEWAY}. To start it: ${startWith()}. This page finds it by itself.`);
    showEmpty();
}

function showLeft() {
    const text = at("text").value.trim(), left = MAX_TEXT - [...text].length;
    at("left").textContent = left;
    at("left").dataset.state = left < 0 ? "over" : left <= 20 ? "few" : "many";
    at("left").style.setProperty("--used", `${100 - Math.max(0, left) / MAX_TEXT * 100}%`);
    at("bark").disabled = !isSeen(text) || left < 0;
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
    if (isSeen(text) && lengthOf(text) <= MAX_TEXT) {
        const gone = say(text);
        at("problem").textContent = gone ? ""
            : `${count(MOST_WAITING)} barks wait here to be sent. Bark this one when some have gone.`;
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
        time.textContent = ago(time.dateTime ? new Date(time.dateTime) : undefined, Date.now());
    }
}, 10000);

const inbox = new Line(`inbox/${USER}`, {onMessage, onChange: showLines});
const outbox = new Line("outbox", {sends: true, onCredit: send, onOpen: send, onLost: unsend, onChange: showLines});
if (Line.possible) {
    inbox.begin();
    outbox.begin();
} else {
    showStatus(LACKING);
}
