/* webui/outgoing.js: the user's own barks until they are on the timeline, and what is kept of them. */

import assert from "node:assert/strict";
import {beforeEach, describe, test} from "node:test";

import {script} from "./script.mjs";

script("webui/outgoing.js");

/* As a browser has it: its keys are its own properties. */
class Storage {
    getItem(key) {
        return this[key];
    }

    setItem(key, value) {
        this[key] = value;
    }

    removeItem(key) {
        delete this[key];
    }
}

let storage, outgoing, gone;
const bark = (id) => ({id, user: "ark3", text: `woof ${id}`, created: new Date(1000)});
const add = (...ids) => ids.map((id) => outgoing.add(bark(id)));
const send = (room = Infinity) => outgoing.send((each) => gone.length < room && gone.push(each.id) > 0);
const settle = (id, outcome) => outgoing.settle(outgoing.waiting.get(id) ?? bark(id), outcome)?.id;
const ids = (barks) => barks.map(({id}) => id).join(" ");
const waiting = () => ids([...outgoing.waiting.values()]);

beforeEach(() => {
    storage = new Storage();
    outgoing = new Outgoing(storage, "suite ark3");
    gone = [];
});

describe("a bark", () => {
    test("is sent once, in order, as far as there is credit", () => {
        add("a", "b", "c");
        send(2);
        assert.deepEqual(gone, ["a", "b"]);
        send();
        assert.deepEqual(gone, ["a", "b", "c"]);
    });

    test("that was in flight on a line that was lost is sent again, and one that was accepted is not", () => {
        add("a", "b");
        send();
        settle("a", "accepted");
        outgoing.unsend();
        send();
        assert.deepEqual(gone, ["a", "b", "b"]);
    });

    test("that is released is sent again", () => {
        add("a");
        send();
        assert.equal(settle("a", "released"), undefined);
        send();
        assert.deepEqual(gone, ["a", "a"]);
    });

    test("that is rejected waits no more", () => {
        add("a", "b");
        assert.deepEqual([settle("a", "rejected"), waiting()], ["a", "b"]);
    });

    test("waits until it is on the timeline, whether its outcome comes before or after", () => {
        add("a", "b");
        send();
        settle("a", "accepted");
        assert.equal(waiting(), "a b");
        assert.equal(ids(outgoing.arrive("a")), "a");
        assert.equal(ids(outgoing.arrive("b")), "b");
        assert.deepEqual([settle("b", "accepted"), waiting(), outgoing.arrive("x")], [undefined, "", []]);
    });
});

describe("when the timeline has gone past", () => {
    test("what was accepted waits no more", () => {
        add("a", "b", "c");
        settle("a", "accepted");
        settle("b", "accepted");
        assert.deepEqual([ids(outgoing.arrive("b")), waiting()], ["a b", "c"]);
    });

    test("what is on its way waits until it is accepted", () => {
        add("a");
        send();
        assert.deepEqual([outgoing.pass(), waiting()], [[], "a"]);
        assert.deepEqual([settle("a", "accepted"), waiting()], ["a", ""]);
    });

    test("what was never sent stays", () => {
        add("a");
        outgoing.pass();
        assert.equal(settle("a", "accepted"), undefined);
    });
});

test("no more than 1,000 wait; what an outbox has makes room", () => {
    const many = Array.from({length: MOST_WAITING}, (_, number) => `${number}`);
    assert.ok(add(...many).every(Boolean));
    assert.deepEqual(add("more"), [false]);
    settle("7", "accepted");
    assert.deepEqual([...add("more", "and more")], [true, false]);
});

describe("the page's storage", () => {
    const again = (whose = "suite ark3") => new Outgoing(storage, whose);

    test("has what no outbox has accepted, in order, until one has", () => {
        add("z", "m", "a");
        settle("m", "accepted");
        const {waiting} = again();
        assert.deepEqual([...waiting.values()], [bark("z"), bark("a")]);
        outgoing.settle(outgoing.waiting.get("z"), "rejected");
        outgoing.arrive("a");
        assert.deepEqual([again().waiting.size, Object.keys(storage)], [0, []]);
    });

    test("has each user's barks, and each suite's, for themselves", () => {
        add("a");
        assert.deepEqual([again("suite rex").waiting.size, again("other ark3").waiting.size], [0, 0]);
    });

    test("keeps the order of what comes later", () => {
        add("z");
        outgoing = again();
        add("a");
        assert.equal(ids([...again().waiting.values()]), "z a");
    });

    test("may fail: barks wait in the page then", () => {
        const broken = () => {
            throw new Error("no room");
        };
        outgoing = new Outgoing({getItem: broken, setItem: broken, removeItem: broken}, "suite ark3");
        add("a");
        send();
        assert.equal(ids(outgoing.arrive("a")), "a");
        assert.equal(new Outgoing(undefined, "suite ark3").waiting.size, 0);
    });

    test("may hold what is none of ours", () => {
        storage.setItem("barker bark suite ark3 x", "no JSON");
        storage.setItem("barker bark suite ark3 y", "null");
        storage.setItem("another page's", "7");
        add("a");
        assert.equal(ids([...again().waiting.values()]), "a");
    });
});
