/* webui/line.js of a page from the disk: it finds the token of the suite that it is for, whoever was started last. */

import assert from "node:assert/strict";
import {beforeEach, test} from "node:test";

import {script} from "./script.mjs";

const dialled = [];             // the subprotocols of each try
let files, read;                // what there is beside the page, by name; which of it was read

const globals = {
    window: globalThis,
    location: new URL("file:///barker/webui/index.html?gateway=127.0.0.1:6673"),
    document: {
        currentScript: {src: "file:///barker/webui/line.js"},
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
    WebSocket: class {},
    rheaUmd: {
        create_connection: ({connection_details: protocols}) => {
            dialled.push(protocols);
            return {on() {}, connect() {}, open_receiver() {}};
        },
        websocket_connect: () => (url, protocols) => protocols,
        message: {decode: () => ({})},
    },
    setTimeout() {},
    clearTimeout() {},
};
for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, {value, configurable: true});
}
script("webui/line.js");

const own = {gateway: "127.0.0.1:6673", token: "own"}, other = {gateway: "127.0.0.1:5673", token: "other"};

function tokenShown() {
    new Line("inbox/rex", {onMessage() {}}).begin();
    return dialled.at(-1).filter((protocol) => protocol.startsWith("barker-token.")).join();
}

beforeEach(() => {
    read = [];
    globalThis.BARKER_SESSION = other;
});

test("of the last suite that was started", () => {
    files = {"session.js": own, "session-6673.js": own};
    assert.equal(tokenShown(), "barker-token.own");
    assert.deepEqual(read, ["session.js"]);
});

test("when another one was started since", () => {
    files = {"session.js": other, "session-5673.js": other, "session-6673.js": own};
    assert.equal(tokenShown(), "barker-token.own");
});

test("or none, when there is no suite there", () => {
    files = {"session.js": other};
    assert.equal(tokenShown(), "");
    assert.match(noToken(), /the run at 127\.0\.0\.1:6673, and webui\/session-6673\.js has none: start it with make run/);
    assert.match(noToken(), /ARGS="--port-offset 1000"/);
});
