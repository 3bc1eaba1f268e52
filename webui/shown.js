/* What both pages show in the same way: elements and their text, each line's state, and what is amiss.
 *
 * Used by barker.js here, and by all that shows in monitoring/. The lines are line.js's.
 */
"use strict";

const LACKING = "What this page needs is not there yet. Run make setup once, then load the page again.";

const at = (id) => document.getElementById(id);

function make(tag, name, ...children) {
    const element = document.createElement(tag);
    element.className = name;
    element.append(...children);                // a string becomes text, whatever is in it
    return element;
}

/* Set only what is new: the status is read aloud, and what stays as it is costs the browser nothing. */
function setText(element, text) {
    if (element.textContent !== text) {
        element.textContent = text;
    }
}

const WORDS = {dialling: "connecting", open: "connected", away: "reconnecting", refused: "refused"};

/* In the list of connections, how these lines do. */
function showStates(...lines) {
    for (const {service, state} of lines) {
        at(service).dataset.state = state;
        setText(at(service).querySelector("span"), WORDS[state]);
    }
}

/* What is amiss; nothing hides it. */
function showStatus(text) {
    at("status").hidden = !text;
    setText(at("status"), text);
}
