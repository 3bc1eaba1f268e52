/* webui/key.js of a page from the gateway: it shows the key of its link there until there is an answer, and has a cookie. */

import assert from "node:assert/strict";
import {beforeEach, test} from "node:test";

import {script} from "./script.mjs";

let answers, shown;             // of the gateway, in order: a status, or "away"; what it was shown
const replaced = [];            // addresses that took the place of the page's
let onHashChange;

const location = new URL("http://barker.example:5673/?user=rex&gateway=evil.example:1#key=k1");
const globals = {
    window: globalThis,
    location,
    history: {replaceState: (state, title, address) => {
        replaced.push(address);
        location.hash = "";
    }},
    addEventListener: (event, listener) => onHashChange = listener,
    document: {currentScript: {src: "http://barker.example:5673/key.js"}},
    BARKER_SESSION: {gateway: "barker.example:5673", key: "of no use here"},
    fetch: async (path, {method, body}) => {
        shown.push([path, method, body]);
        const status = answers.shift();
        if (status === "away") {
            throw new TypeError("failed to fetch");
        }
        return {status, text: async () => status === 200 ? "ark3\n" : "said"};
    },
};
for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, {value, configurable: true});
}
script("webui/key.js");

/* Have the page's address be another one, as when a link to the page itself is opened. */
function follow(key) {
    location.hash = `#key=${key}`;
    onHashChange();
}

const bodies = () => shown.map(([, , body]) => body);

beforeEach(() => {
    shown = [];
});

test("the key is taken out of the address at once", () => {
    assert.deepEqual([replaced, location.href], [["/?user=rex&gateway=evil.example:1"],
        "http://barker.example:5673/?user=rex&gateway=evil.example:1"]);
});

test("it speaks to where it came from, and nobody else", () => {
    assert.deepEqual([GATEWAY, PORT, keyOnDisk()], ["barker.example:5673", 5673, ""]);
});

test("the key is kept while the gateway is away or has too much to do, and then no more", async () => {
    answers = ["away", 503, 204, 204];
    for (const may of [false, false, true, true]) {
        assert.equal((await admitted()).admitted, may);
    }
    assert.deepEqual(bodies(), ["k1", "k1", "k1", ""]);
    assert.deepEqual(shown[0].slice(0, 2), ["/key", "POST"]);
});

test("who is away gives no reason, and who refuses does", async () => {
    answers = ["away", 503, 403];
    assert.equal((await admitted()).reason, "");
    assert.equal((await admitted()).reason, "");
    assert.match((await admitted()).reason, /^This page needs the key of the suite at barker\.example:5673: open the link/);
});

test("a key of another suite is said to be one, until there is another", async () => {
    follow("k2");
    answers = [403, 403, 403, 204, 403];
    const reasons = (await Promise.all([admitted(), admitted()])).map(({reason}) => reason);
    reasons.push((await admitted()).reason);
    for (const reason of reasons) {
        assert.match(reason, /^The key in this page's link is that of another suite\. This page needs/);
    }
    follow("k3");
    assert.equal((await admitted()).admitted, true);
    assert.match((await admitted()).reason, /^This page needs/);
    assert.deepEqual(bodies(), ["k2", "k2", "", "k3", ""]);
});

test("who is signed in is told, and that somebody has to", async () => {
    const told = [];
    onAdmission = (admission) => told.push(admission);
    answers = [401, "away", 200, 204, 403];
    const may = [];
    for (let n = 0; n < 5; n += 1) {
        may.push((await admitted()).admitted);
    }
    onAdmission = () => {};
    assert.deepEqual(may, [false, false, true, true, false]);
    assert.deepEqual(told, [{person: "", asks: true}, {person: "ark3", asks: false}, {person: "", asks: false},
        {person: "", asks: false}]);
});
