/* monitoring/colours.js: each service has a colour of its own, and gives it back. */

import assert from "node:assert/strict";
import {test} from "node:test";

import {script} from "./script.mjs";

script("monitoring/colours.js");

test("each has another, and keeps it", () => {
    const colours = new Colours(), names = Array.from({length: 24}, (_, n) => `service-${n}`);
    const given = names.map((name) => colours.of(name));
    assert.equal(new Set(given).size, 24);
    assert.deepEqual(names.map((name) => colours.of(name)), given);
});

test("what is free again is the next one's", () => {
    const colours = new Colours();
    const [first] = ["a", "b", "c"].map((name) => colours.of(name));
    colours.keep((name) => name !== "a");
    assert.equal(colours.of("d"), first);
    assert.deepEqual([...colours.numbers.keys()], ["b", "c", "d"]);
});
