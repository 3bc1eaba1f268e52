/* What the page keeps in the browser's storage, as JSON, across reloads.
 *
 * A browser may have no storage, or one that is full: then nothing is kept, and the page does without. Used by
 * events.js.
 */
"use strict";

/* What was kept under a name, or nothing. */
function recalled(name) {
    try {
        return JSON.parse(sessionStorage.getItem(name)) ?? undefined;
    } catch {
        return undefined;
    }
}

function remember(name, value) {
    try {
        sessionStorage.setItem(name, JSON.stringify(value));
    } catch {
        // It is asked for again.
    }
}
