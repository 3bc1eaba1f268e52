/* webui/numbers.js: numbers and times for people. */

import assert from "node:assert/strict";
import {test} from "node:test";

import {script} from "./script.mjs";

script("webui/numbers.js");

test("numbers have their digits, and what is not known is empty", () => {
    assert.equal(count(1234567.8), "1,234,568");
    assert.equal(tenths(2), "2.0");
    assert.equal(number(1, 1000)(0.0021), "2.1");
    assert.deepEqual([count(0), count(null), count(undefined)], ["0", "", ""]);
});

test("rates have a tenth below a hundred", () => {
    assert.deepEqual([0, 99.94, 100, 1200.4].map(rateText), ["0.0/s", "99.9/s", "100/s", "1,200/s"]);
});

test("durations are in the unit that says enough", () => {
    assert.deepEqual([-1, 59.4, 60, 3599, 3600, 5400].map(duration), ["0 s", "59 s", "1 min", "59 min", "1.0 h", "1.5 h"]);
});

test("how long ago is told, or the day, or that there is none", () => {
    const now = Date.UTC(2026, 4, 5, 12), before = (minutes) => ago(new Date(now - 60000 * minutes), now);
    assert.deepEqual([-5, 0, 0.9, 1, 59.9, 60, 1439].map(before), ["now", "now", "now", "1 min", "59 min", "1 h", "23 h"]);
    for (const minutes of [1440, -1440]) {
        assert.equal(before(minutes), new Date(now - 60000 * minutes).toLocaleDateString());
    }
    assert.equal(ago(undefined, now), "undated");
});

test("a time is one that a calendar has", () => {
    const last = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
    assert.deepEqual([0, 1, last / 1000].filter(isTime), [0, 1, last / 1000]);
    assert.deepEqual([-1, (last + 1) / 1000, NaN, Infinity, "5", null, undefined, {}].filter(isTime), []);
});
