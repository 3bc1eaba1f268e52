/* webui/timeline.js: what waits while one reads, what is near the screen, and what is read aloud. */

import assert from "node:assert/strict";
import {beforeEach, describe, test} from "node:test";

import {script} from "./script.mjs";

script("webui/timeline.js");

const NOW = 1e12, STILL_AT_TOP = {atTop: true, reading: false, moved: -Infinity};

let timeline;
const come = (...ids) => ids.forEach((id) => timeline.add({id: String(id), user: "rex", text: `number ${id}`}));
const row = (length) => Array.from({length}, (_, number) => number);
const ids = (items) => items.map(({id, missed}) => id ?? `${missed} missed`).join(" ");

beforeEach(() => {
    timeline = new Timeline();
});

describe("what comes", () => {
    test("waits until it is taken, and then stands above what is shown", () => {
        come(1, 2);
        assert.deepEqual([ids(timeline.shown), timeline.waits], ["", 2]);
        timeline.take(NOW);
        come(3);
        assert.deepEqual([ids(timeline.shown), timeline.waits], ["2 1", 1]);
        timeline.take(NOW);
        assert.deepEqual([ids(timeline.shown), timeline.waits], ["3 2 1", 0]);
    });

    test("comes once", () => {
        come(1, 1);
        assert.equal(timeline.waits, 1);
        assert.equal(timeline.add({id: "1"}), false);
    });

    test("is known again as long as its id is among the last 5,000", () => {
        come(...row(MOST_KNOWN + 1));
        assert.equal(timeline.known.size, MOST_KNOWN);
        assert.deepEqual([timeline.add({id: "1"}), timeline.add({id: "0"})], [false, true]);
    });

    test("is counted, however much it is, and only the last 200 are kept", () => {
        come("old");
        timeline.take(NOW);
        come(...row(1000));
        assert.deepEqual([timeline.waits, timeline.waiting.length], [1000, 200]);
        timeline.take(NOW);
        assert.deepEqual([timeline.shown.length, timeline.shown[0].id, timeline.shown[199].id], [200, "999", "800"]);
    });

    test("tells where barks were missed, once for those that follow each other", () => {
        come(1);
        timeline.missed(2);
        timeline.missed(3);
        come(2);
        timeline.take(NOW);
        assert.equal(ids(timeline.shown), "2 5 missed 1");
    });
});

describe("what waits is shown by itself", () => {
    const delay = (now, more) => timeline.delay(now, {...STILL_AT_TOP, ...more});

    test("at once to one who is at the top and still", () => assert.equal(delay(NOW), 0));

    test("never to one who is further down, or reads", () => {
        assert.deepEqual([delay(NOW, {atTop: false}), delay(NOW, {reading: true})], [Infinity, Infinity]);
    });

    test("when one has not moved for a while", () => assert.equal(delay(NOW, {moved: NOW - 500}), STILL - 500));

    test("twice a second at most", () => {
        timeline.take(NOW);
        assert.deepEqual([delay(NOW), delay(NOW + 100), delay(NOW + PACE)], [PACE, PACE - 100, 0]);
    });

    test("every two seconds when more come than anybody reads", () => {
        come(...row(FLOOD));
        timeline.take(NOW);
        come(...row(FLOOD).map((number) => `history ${number}`));
        assert.equal(delay(NOW), PACE, "the history is no flood");
        come(...row(MOST_KEPT).map((number) => `more ${number}`));
        timeline.take(NOW);
        come(...row(FLOOD).map((number) => `flood ${number}`));
        assert.deepEqual([delay(NOW), delay(NOW + FLOOD_PACE)], [FLOOD_PACE, 0]);
    });

    test("and not while one's own bark is to be seen", () => {
        come(1);
        timeline.hold(NOW);
        assert.equal(ids(timeline.shown), "1");
        come(2);
        assert.deepEqual([delay(NOW + 1000), delay(NOW + IN_SIGHT)], [IN_SIGHT - 1000, 0]);
    });
});

describe("read aloud is", () => {
    const tell = () => timeline.tell(({text}) => text.includes("7"));

    test("nothing when nothing has come", () => assert.equal(tell(), ""));

    test("one bark as it is", () => {
        come(1);
        assert.deepEqual([tell(), tell()], ["rex barks: number 1", ""]);
    });

    test("how many have come, and how many of them mention one", () => {
        come(1, 2, 3);
        assert.equal(tell(), "3 new barks");
        come(6, 7, 17);
        assert.equal(tell(), "3 new barks, 2 of them to you");
        come(...row(1000).map((number) => `x${number}`));
        assert.match(tell(), /^1000 new barks/);
    });
});

describe("near the screen", () => {
    const heights = Array(100).fill(10);
    for (const [what, top, bottom, expected] of [
        ["are the first at the top", -300, 50, {from: 0, to: 5, above: 0, below: 950}],
        ["are those in the middle", 500, 545, {from: 50, to: 55, above: 500, below: 450}],
        ["is one that is partly in sight", 5, 6, {from: 0, to: 1, above: 0, below: 990}],
        ["are the last at the end", 980, 5000, {from: 98, to: 100, above: 980, below: 0}],
        ["is none above the list", -300, -100, {from: 0, to: 0, above: 0, below: 1000}],
        ["is none below it", 2000, 3000, {from: 100, to: 100, above: 1000, below: 0}],
    ]) {
        test(what, () => assert.deepEqual(near(heights, top, bottom), expected));
    }

    test("is nothing where there is nothing", () => assert.deepEqual(near([], 0, 9), {from: 0, to: 0, above: 0, below: 0}));
});
