/* webui/key.js of a page from the disk: it finds the key of the suite that it is for, whoever was started last. */

import assert from "node:assert/strict";
import {beforeEach, test} from "node:test";

import {script} from "./script.mjs";

let files, read;                // what there is beside the page, by name; which of it was read

const globals = {
    window: globalThis,
    location: new URL("file:///barker/webui/index.html?gateway=127.0.0.1:6673#key=of-a-link"),
    history: {replaceState: () => assert.fail("from the disk there is no key in the address")},
    addEventListener() {},
    document: {
        currentScript: {src: "file:///barker/webui/key.js"},
        createElement: () => ({remove() {}}),
        head: {append(element) {
            const name = element.src.split("/").pop();
            read.push(name);
            if (files[name]) {
                globalThis.BARKER_SESSION = files[name];
                element.onload();
            } else {
                element.onerror();
            }
        }},
    },
    fetch: () => assert.fail("a page from the disk fetches nothing"),
};
for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, {value, configurable: true});
}
script("webui/key.js");

const own = {gateway: "127.0.0.1:6673", key: "own"}, other = {gateway: "127.0.0.1:5673", key: "other"};

beforeEach(() => {
    read = [];
    globalThis.BARKER_SESSION = other;
});

test("of the last suite that was started", async () => {
    files = {"session.js": own, "session-6673.js": own};
    assert.equal((await admitted()).admitted, true);
    assert.equal(keyOnDisk(), "own");
    assert.deepEqual(read, ["session.js"]);
});

test("when another one was started since", async () => {
    files = {"session.js": other, "session-5673.js": other, "session-6673.js": own};
    assert.equal((await admitted()).admitted, true);
    assert.equal(keyOnDisk(), "own");
});

test("or none, when there is no suite there, and says what to do", async () => {
    files = {"session.js": other};
    const {admitted: may, reason} = await admitted();
    assert.deepEqual([may, keyOnDisk()], [false, ""]);
    assert.match(reason, /the suite at 127\.0\.0\.1:6673, which webui\/session-6673\.js has not: start it with make run/);
    assert.match(reason, /ARGS="--port-offset 1000", or open the link that “barker pages” prints/);
});
