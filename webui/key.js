/* What lets a page in at the gateway, for both pages: the pages' key, which is made of the suite's; or the password of a
 * person, where people have one (sign_in.js).
 *
 * Over HTTP the page has it by the link that the launcher prints, behind the #, where no server is sent it. It is taken
 * out of the address at once, and exchanged at the gateway for a cookie that no script can read; a page that comes later
 * has that. From the disk it is in session.js, which the launcher writes, and each WebSocket shows it (line.js).
 */
"use strict";

const LET_IN_SECONDS = 5;       // in which the gateway answers, or is away

const FROM_DISK = location.protocol === "file:";

// Over HTTP a page speaks to nobody but where it came from; nor do the gateway's headers let it.
const GATEWAY = FROM_DISK
    ? new URLSearchParams(location.search).get("gateway") || window.BARKER_SESSION?.gateway || "127.0.0.1:5673"
    : location.host;
const PORT = Number(GATEWAY.slice(GATEWAY.lastIndexOf(":") + 1));
const SESSIONS = ["session.js", `session-${PORT}.js`].map((file) => new URL(file, document.currentScript.src).href);

/* The command that starts a suite whose gateway is there. */
function startWith(...options) {
    const all = PORT === 5673 ? options : [`--port-offset ${PORT - 5673}`, ...options];
    return all.length ? `make run ARGS="${all.join(" ")}"` : "make run";
}

/* From the disk, the key for that gateway, if session.js has it. */
function keyOnDisk() {
    const {gateway, key} = window.BARKER_SESSION || {};
    return FROM_DISK && gateway === GATEWAY && key || "";
}

/* Read session.js once more: another suite may have been started there since. The key is in it or, when one with another
 * gateway was started last, in the file that this one has for itself. */
async function readSession() {
    for (const file of SESSIONS) {
        await new Promise((done) => {
            const script = document.createElement("script");
            script.src = file;
            script.onload = script.onerror = () => {
                script.remove();
                done();
            };
            document.head.append(script);
        });
        if (keyOnDisk()) {
            return;
        }
    }
}

let linkKey = "";               // over HTTP: what was in this page's address, until the gateway has answered to it
let refused = false;            // it was not this suite's

function readLink() {
    const key = new URLSearchParams(location.hash.slice(1)).get("key");
    if (key && !FROM_DISK) {
        history.replaceState(null, "", location.pathname + location.search);
        linkKey = key;
    }
}
readLink();
window.addEventListener("hashchange", readLink);

/* Whether the gateway lets this page in, before a WebSocket asks in vain: then `reason` is what to do, or it is empty
 * where no gateway answers. */
async function admitted() {
    return FROM_DISK ? admittedByFile() : admittedByCookie();
}

async function admittedByFile() {
    await readSession();
    return {admitted: Boolean(keyOnDisk()), reason: `From the disk, this page needs the key of the suite at ${GATEWAY}, `
        + `which webui/session-${PORT}.js has not: start it with ${startWith()}, or open the link that “barker pages” prints. `};
}

async function admittedByCookie() {
    const shown = linkKey, {status, text} = await atDoor("/key", shown);
    const admitted = status === 204 || status === 200, answered = admitted || status === 401 || status === 403;
    if (answered && shown === linkKey) {
        linkKey = "";
        refused = !admitted && (refused || shown !== "");
    }
    if (answered) {
        onAdmission({person: status === 200 ? text : "", asks: status === 401});
    }
    return {admitted, reason: admitted || !answered ? ""
        : `${refused ? "The key in this page's link is that of another suite. " : ""}This page needs the key of the suite at `
        + `${GATEWAY}: open the link with #key= that the launcher printed, or that “barker pages” prints. `};
}

/* Over HTTP, called when the gateway has said who this page is: a `person`, or nobody in particular; and whether it `asks`
 * for a name and a password. */
let onAdmission = () => {};

/* What the gateway answers to something that this page shows: status 0 while it is away; then what was shown is kept. */
async function atDoor(path, body) {
    try {
        const answer = await fetch(path, {method: "POST", body, signal: AbortSignal.timeout(1000 * LET_IN_SECONDS)});
        return {status: answer.status, text: (await answer.text()).trim()};
    } catch {
        return {status: 0, text: ""};
    }
}
