/* webui/barks.js: what a bark is, by the rules that barker/core/barks.py has too. */

import assert from "node:assert/strict";
import {describe, test} from "node:test";

import {script} from "./script.mjs";

script("webui/numbers.js");
script("webui/barks.js");

const DOG = "🐕", LAST = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
const bark = (more) => ({id: "7", user: "rex", text: "woof", created: new Date(1700000000000), named: [], ...more});

describe("a message", () => {
    test("has all of a bark", () => {
        assert.deepEqual(decodeBark(encodeBark(bark())), bark());
        assert.equal(encodeBark(bark()).durable, true);
    });

    test("may be as large as a bark may be", () => {
        const large = bark({id: "x".repeat(256), user: "r".repeat(32), text: DOG.repeat(280)});
        assert.deepEqual(decodeBark(encodeBark(large)), large);
    });

    for (const [what, more] of Object.entries({
        "an id too long": {id: "x".repeat(257)}, "an id that is no text": {id: 7}, "a name too long": {user: "r".repeat(33)},
        "no name": {user: undefined}, "no text": {text: undefined}, "a text too long": {text: DOG.repeat(281)},
        "a text that is a list": {text: ["woof"]},
    })) {
        test(`with ${what} is no bark`, () => assert.equal(decodeBark(encodeBark(bark(more))), undefined));
    }

    test("is to have something to be seen", () => {
        for (const text of ["", " ", "\n\t ", "\u200b\u2060", "\u3164\u00a0", "\u2800\ufe0f", "\0"]) {
            assert.equal(isSeen(text), false);
        }
        for (const text of ["w", " . ", DOG, "\u200b犬"]) {
            assert.equal(isSeen(text), true);
        }
    });

    test("of another kind, or that could not be read, is no bark", () => {
        assert.equal(decodeBark({...encodeBark(bark()), subject: "follow"}), undefined);
        assert.equal(decodeBark({}), undefined);
    });

    for (const created of [undefined, 1700000000000, new Date(NaN), new Date(-1), new Date(LAST + 1)]) {
        test(`made at ${created?.valueOf()} is an undated bark`, () => {
            assert.deepEqual(decodeBark(encodeBark(bark({created}))), bark({created: undefined}));
        });
    }

    test("that bizlogic has annotated says who is mentioned", () => {
        const annotated = (names) => decodeBark({...encodeBark(bark()), message_annotations: {"x-opt-mentions": names}}).named;
        assert.deepEqual([annotated("rex spot"), annotated("rex"), annotated(7)], [["rex", "spot"], ["rex"], []]);
    });

    test("made in the calendar's last moment is dated", () => {
        assert.deepEqual(decodeBark(encodeBark(bark({created: new Date(LAST)}))).created, new Date(LAST));
    });
});

test("a text's length is in code points, and a huge one is not counted out", () => {
    assert.deepEqual(["", "ä", DOG, DOG.repeat(280)].map(lengthOf), [0, 1, 1, 280]);
    assert.ok(lengthOf(DOG.repeat(281)) > MAX_TEXT);
    assert.ok(lengthOf("x".repeat(1e6)) < 1000);
});

describe("whom a text mentions, of those who exist", () => {
    const long = "x".repeat(32);
    for (const [text, named, shown] of [
        ["", [], []],
        ["hi @rex and @spot", ["rex", "spot"], ["@rex", "@spot"]],
        ["hi @rex and @nobody", ["rex"], ["@rex"]],
        ["hi @rex and @spot", [], []],
        ["@a_b @a.b @a-b @4", ["a_b", "a.b", "a-b", "4"], ["@a_b", "@a.b", "@a-b", "@4"]],
        ["ask @rex.", ["rex"], ["@rex"]],
        ["ask @rex.", ["rex.", "rex"], ["@rex."]],
        ["ask @rex.-.", ["rex"], ["@rex"]],
        ["(@rex), “@spot”; @ark3!", ["rex", "spot", "ark3"], ["@rex", "@spot", "@ark3"]],
        ["write to rex@example.org", ["example.org"], []],
        ["@@rex", ["rex"], []],
        ["@rex@spot", ["rex", "spot"], ["@rex"]],
        [`@${long}.`, [long], [`@${long}`]],
        [`@${long}x`, [long], []],
        [`${DOG}@rex${DOG}`, ["rex"], ["@rex"]],
        ["こんにちは@rexさん", ["rex"], ["@rex"]],
    ]) {
        test(JSON.stringify(text), () => {
            const all = pieces(text, named);
            assert.equal(all.map(({piece}) => piece).join(""), text, "no character is lost");
            assert.deepEqual(all.filter(({kind}) => kind === "mention").map(({piece}) => piece), shown);
        });
    }
});

describe("where a link leads", () => {
    for (const [link, host] of [
        ["https://example.org/a?b=c", undefined],
        ["http://EXAMPLE.org:8080", undefined],
        ["https://раураl.com/login", "xn--l-7sba6dbr.com"],
        ["https://bank.example@evil.example/", "evil.example"],
        ["https://evil.example\\\\@bank.example", undefined],
        ["https://example.org:443/", "example.org"],
    ]) {
        test(link, () => assert.equal(leadsTo(link), host));
    }
});

describe("what is a link in a text", () => {
    for (const [text, links, names] of [
        ["see https://example.org/a?b=c#d.", ["https://example.org/a?b=c#d"], []],
        ["(http://example.org)", ["http://example.org"], []],
        ["https://example.org/@rex and @spot", ["https://example.org/@rex"], ["@spot"]],
        ["HTTPS://example.org javascript:alert(1) ftp://x https:// https://[", [], []],
        ["https://example.org/\u202egpj.exe", ["https://example.org/"], []],
        ["https://a.example,https://b.example", ["https://a.example,https://b.example"], []],
        [`https://example.org/${"x".repeat(200)}`, [`https://example.org/${"x".repeat(200)}`], []],
    ]) {
        test(JSON.stringify(text), () => {
            const all = pieces(text, ["rex", "spot"]), of = (kind) => all.filter((one) => one.kind === kind).map(({piece}) => piece);
            assert.equal(all.map(({piece}) => piece).join(""), text, "no character is lost");
            assert.deepEqual([of("link"), of("mention")], [links, names]);
        });
    }
});

test("whose timeline a browser can ask for", () => {
    assert.deepEqual(["ark3", "a.b-c_4", "...", "r".repeat(32)].filter(canBeRead).length, 4);
    assert.deepEqual([".", "..", "", "a b", "a/b", "ä", "rex\n", "r".repeat(33)].filter(canBeRead), []);
});
