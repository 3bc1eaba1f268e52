/* What a bark is, as barker/core/barks.py has it: its limits, whom its text mentions, and its message.
 *
 * It knows no page: barker.js shows barks, and line.js carries their messages.
 */
"use strict";

const MAX_TEXT = 280;           // code points
const MAX_ID = 256;             // characters
const MAX_USER = 32;
const USER_RULE = "1 to 32 letters, digits, and _ . - are allowed";
const MENTION = /(?<![A-Za-z0-9_@])@([A-Za-z0-9_.-]+)/g;

/* In code points, as Python counts; of a long text only so far that it is known to be too long. */
const lengthOf = (text) => [...text.slice(0, 2 * MAX_TEXT + 1)].length;

/* Whether something is to be seen of a text: it is not all spaces, controls, joiners and the like. */
const isSeen = (text) => /[^\p{Z}\p{Cc}\p{Cf}\p{Cs}\p{M}\u115f\u1160\u2800\u3164\uffa0]/u.test(text);

/* The bark of a message, or undefined: a timeline takes any message from anyone. `named` are those whom it mentions
 * and who exist: bizlogic has annotated it so. */
function decodeBark({subject, message_id: id, creation_time: created, body: text, application_properties, message_annotations}) {
    const {user} = application_properties || {}, names = message_annotations?.["x-opt-mentions"];
    const sound = subject === "bark" && [id, user, text].every((field) => typeof field === "string")
        && id.length <= MAX_ID && user.length <= MAX_USER && lengthOf(text) <= MAX_TEXT;
    // A bark may say it was made at any time: it is dated if a calendar has that.
    const dated = created instanceof Date && isTime(created / 1000);
    const named = typeof names === "string" ? names.split(" ") : [];
    return sound ? {id, user, text, created: dated ? created : undefined, named} : undefined;
}

const encodeBark = ({id, user, text, created}) => ({
    durable: true,
    message_id: id,
    subject: "bark",
    creation_time: created,
    application_properties: {user},
    body: text,
});

const isUser = (name) => /^[A-Za-z0-9_.-]{1,32}$/.test(name);

/* Whether a browser can ask for the timeline of that name: in an address, these two lead elsewhere. */
const canBeRead = (name) => isUser(name) && name !== "." && name !== "..";

/* Of "@rex.", "rex." if somebody is called so and else, as it may end a sentence, "rex"; nothing, if nobody is. */
const meant = (name, named) => [name, name.replace(/[.-]+$/, "")].find((name) => named.includes(name));

// An address in a text, without what turns the direction of writing, and the stops that end a sentence.
const LINK = /https?:\/\/[^\s<>"\u200e\u200f\u202a-\u202e\u2066-\u2069]+/g;
const STOPS = /[.,;:!?'’”)\]}]+$/;

/* Where a link leads, if its letters do not plainly say so: others' that look like these (xn--…), or a name before an @. */
function leadsTo(link) {
    const written = link.replace(/^https?:\/\//, "").split(/[\/?#\\]/)[0].toLowerCase(), {host} = new URL(link);
    return written === host ? undefined : host;
}

/* The text in pieces, links and mentions of those who are `named` apart: [{piece, kind}], where the kind is "text",
 * "mention" or "link". */
function pieces(text, named = []) {
    const links = [...text.matchAll(LINK)].map(({index, 0: link}) => ({index, piece: link.replace(STOPS, ""), kind: "link"}))
        .filter(({piece}) => URL.canParse(piece));
    const names = [...text.matchAll(MENTION)].map(({index, 1: name}) => ({index, name: meant(name, named)}))
        .filter(({index, name}) => name && !links.some((link) => link.index < index && index < link.index + link.piece.length))
        .map(({index, name}) => ({index, piece: `@${name}`, kind: "mention"}));
    const found = [];
    let end = 0;
    for (const {index, piece, kind} of [...links, ...names].sort((one, other) => one.index - other.index)) {
        found.push({piece: text.slice(end, index), kind: "text"}, {piece, kind});
        end = index + piece.length;
    }
    return [...found, {piece: text.slice(end), kind: "text"}];
}
