/* webui/line.js: a line comes back by itself, and says what became of what was sent. A stand-in takes rhea's place. */

import assert from "node:assert/strict";
import {EventEmitter} from "node:events";
import {beforeEach, describe, test} from "node:test";

import {script} from "./script.mjs";

const connections = [];         // that were made, the newest last
let timers = [];                // {then, wait}: as they were set; time passes by hand
let admission;                  // whether the gateway lets the page in, and why not (key.js)

function added(list, item) {
    list.push(item);
    return item;
}

const decode = (data) => {
    if (data === "broken") {
        throw new Error("no message");
    }
    return {body: data};
};

class Connection extends EventEmitter {
    credit = 1;

    connect() {}

    open_receiver(settings) {
        this.receives = settings;
        return this.reports = new EventEmitter();
    }

    open_sender(address) {
        this.sends = address;
        return {sendable: () => this.credit > 0, send: (message) => ({message, remote_state: {}})};
    }
}

const globals = {
    window: globalThis,
    location: new URL("http://localhost:5673/?user=rex"),
    GATEWAY: "localhost:5673",
    FROM_DISK: false,
    admitted: async () => admission,
    WebSocket: class {},
    rheaUmd: {
        create_connection: () => added(connections, new Connection()),
        websocket_connect: () => (url, protocols) => ({url, protocols}),
        message: {decode},
    },
    setTimeout: (then, wait) => added(timers, {then, wait}),
    clearTimeout: (timer) => timers = timers.filter((other) => other !== timer),
};
for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, {value, configurable: true});
}
script("webui/line.js");

const newest = () => connections.at(-1);

/* A line that was dialled; its calls are listed. */
function dialled(address, more) {
    const calls = [];
    const line = new Line(address, {
        onOpen: () => calls.push("open"), onLost: () => calls.push("lost"), onChange: () => calls.push(line.state), ...more});
    line.dial();
    return {line, calls};
}

const open = () => newest().emit("receiver_open", {receiver: {source: {}}});

/* Let the time come that is waited for; how many milliseconds that is. */
async function pass() {
    const [{then, wait}] = timers.splice(0);
    await then();
    return wait;
}

beforeEach(() => {
    timers = [];
    connections.length = 0;
    admission = {admitted: true};
});

describe("a line", () => {
    test("has the links that it has a use for", () => {
        dialled("inbox/rex", {onMessage() {}});
        assert.deepEqual([newest().receives.source, newest().sends], ["inbox/rex", undefined]);
        dialled("outbox", {sends: true});
        assert.deepEqual([newest().receives, newest().sends], [undefined, "outbox"]);
    });

    test("is open when its link has a terminus: one that is refused has none", () => {
        const {line, calls} = dialled("inbox/rex", {onMessage() {}});
        newest().emit("receiver_open", {receiver: {source: null}});
        assert.deepEqual([line.state, calls], ["dialling", []]);
        open();
        assert.deepEqual([line.state, calls], ["open", ["open", "open"]]);
    });

    test("that is lost is told of once, and comes back", async () => {
        const {line, calls} = dialled("inbox/rex", {onMessage() {}});
        const first = newest();
        open();
        first.emit("connection_close", {});
        first.emit("disconnected", {});
        assert.deepEqual(calls.slice(2), ["lost", "away"]);
        await pass();
        assert.notEqual(newest(), first);
        open();
        assert.equal(line.state, "open");
    });

    test("waits longer after each failure, up to a limit", async () => {
        dialled("inbox/rex", {onMessage() {}});
        for (const most of [200, 400, 800, 1600, 2000, 2000]) {
            newest().emit("disconnected", {});
            const wait = await pass();
            assert.ok(wait >= most / 2 && wait <= most, `${wait} of ${most} ms`);
        }
    });

    test("gives a try up that does not reach its service", async () => {
        const {calls} = dialled("inbox/rex", {onMessage() {}});
        assert.equal(await pass(), PATIENCE);
        assert.deepEqual(calls, ["lost", "away"]);
    });

    test("says why it was refused, in words or by the error's name, until it is open", async () => {
        const {line} = dialled("inbox/a b", {onMessage() {}});
        for (const [error, reason] of [
            [{condition: "amqp:not-found", description: "'a b' is no name"}, "The inbox: 'a b' is no name. "],
            [{condition: "amqp:not-found"}, "The inbox: amqp:not-found. "],
            [undefined, ""],
        ]) {
            newest().emit("receiver_close", {receiver: {error}});
            assert.equal(line.reason, reason);
            await pass();
        }
    });

    test("dials nobody while the gateway does not let the page in, and says why", async () => {
        const {line, calls} = dialled("inbox/rex", {onMessage() {}});
        newest().emit("disconnected", {});
        connections.length = 0;
        admission = {admitted: false, reason: "Open the link. "};
        await pass();
        assert.deepEqual([connections.length, line.state, line.reason], [0, "away", "Open the link. "]);
        assert.deepEqual(calls, ["lost", "away", "lost", "away"]);
        admission = {admitted: true};
        await pass();
        open();
        assert.deepEqual([line.state, line.reason], ["open", ""]);
    });
});

test("a line to a user who is not there is tried once", () => {
    const {line, calls} = dialled("inbox/nobody", {onMessage() {}});
    newest().emit("receiver_close", {receiver: {error: {description: "there is no user 'nobody'", info: {user: "nobody"}}}});
    assert.deepEqual([line.state, line.reason, timers.length], ["refused", "The inbox: there is no user 'nobody'. ", 0]);
    assert.deepEqual(calls, ["lost", "refused"]);
});

describe("what is sent", () => {
    let line, outcomes;
    const send = (message) => line.send(message, (...outcome) => outcomes.push([message, ...outcome]));

    beforeEach(() => {
        ({line} = dialled("outbox", {sends: true}));
        outcomes = [];
    });

    test("goes while there is credit", () => {
        assert.equal(send("a"), true);
        newest().credit = 0;
        assert.equal(send("b"), false);
    });

    test("has its outcome told, once, with the reason", () => {
        const deliveries = ["a", "b", "c"].map((message) => {
            send(message);
            return [...line.outcomes.keys()].at(-1);
        });
        deliveries[1].remote_state.error = {condition: "amqp:invalid-field", description: "no"};
        for (const [delivery, outcome] of [[0, "accepted"], [1, "rejected"], [2, "released"], [0, "accepted"]]) {
            newest().emit(outcome, {delivery: deliveries[delivery]});
        }
        assert.deepEqual(outcomes, [["a", "accepted", ""], ["b", "rejected", "no"], ["c", "released", ""]]);
    });

    test("has no outcome after a loss, and none goes while the line is away", () => {
        send("a");
        const [delivery] = line.outcomes.keys(), first = newest();
        first.emit("disconnected", {});
        first.emit("accepted", {delivery});
        assert.deepEqual(outcomes, []);
        assert.equal(send("b"), false);
    });
});

test("what the process at the other end says of itself comes beside, and the line is open without it", () => {
    const reports = [];
    const {line} = dialled("outbox", {sends: true, onReport: (report) => reports.push(report)});
    assert.equal(newest().receives.source, "agents");
    newest().reports.emit("receiver_error", {});
    newest().reports.emit("message", {message: {body: {depth: 7}}});
    assert.deepEqual([line.state, reports], ["dialling", [{depth: 7}]]);
    newest().emit("sender_open", {sender: {target: {}}});
    assert.equal(line.state, "open");
});

test("an error in a handler is told, and ends nothing", () => {
    const troubles = [];
    const {line} = dialled("monitor", {onMessage: (message) => message.body.length, onTrouble: (error) => troubles.push(error)});
    open();
    newest().emit("message", {message: {}});
    assert.deepEqual([troubles.length, line.state], [1, "open"]);
});

test("a message that cannot be read is an empty one", () => {
    assert.deepEqual(rheaUmd.message.decode("broken"), {});
    assert.deepEqual(rheaUmd.message.decode("woof"), {body: "woof"});
});
