/* What the page keeps in the browser's storage, as JSON: across reloads (session), or for later visits (local).
 *
 * A browser may have no storage, or one that is full: then nothing is kept, and the page does without. Used by
 * events.js and orders.js.
 */
"use strict";

/* What was kept under a name, or nothing. */
function recalled(storage, name) {
    try {
        return JSON.parse(window[storage].getItem(name)) ?? undefined;
    } catch {
        return undefined;
    }
}

function remember(storage, name, value) {
    try {
        window[storage].setItem(name, JSON.stringify(value));
    } catch {
        // It is asked for again.
    }
}
