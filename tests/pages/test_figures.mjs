/* monitoring/figures.js: the past that the graphs show, and how each service does by what others say of it. */

import assert from "node:assert/strict";
import {describe, test} from "node:test";

import {script} from "./script.mjs";

script("webui/numbers.js");
script("monitoring/figures.js");

const outbox = (more) => ({name: "outbox-1", type: "outbox", mode: "push", host: "h", port: 1, pid: 7, ...more});

/* A suite that was told these reports at time 100. */
function suiteOf(...reports) {
    const suite = new Suite();
    suite.onReports(100, reports);
    return suite;
}

describe("what others say", () => {
    const whole = {name: "a", type: "inbox", active: true, port: 5, sent: 0.5};

    test("a report in order is taken as it is", () => {
        assert.deepEqual(soundReports([whole]), [whole]);
    });

    for (const [what, odd] of Object.entries({
        "a number as text": {port: "5"}, "no number": {sent: NaN}, "an endless one": {sent: Infinity},
        "a list": {depth: []}, "nothing": {depth: null}, "text as a number": {mode: 5}, "no text": {mode: ""},
        "a long text": {host: "x".repeat(1001)}, "neither yes nor no": {active: "yes"}, "a name that objects have": {toString: {}},
    })) {
        test(`${what} is left out, and the rest is taken`, () => {
            const [key] = Object.keys(odd), {[key]: _, ...rest} = whole;
            assert.deepEqual(soundReports([{...whole, ...odd}]), [rest]);
        });
    }

    test("what is no report is left out", () => {
        const nonsense = [undefined, null, 5, "woof", [], {}, {name: "a"}, {type: "inbox"}, {name: 5, type: "inbox"}];
        assert.deepEqual(soundReports([...nonsense, whole]), [whole]);
    });

    test("a process needs a state too", () => {
        const process = {name: "a", kind: "inbox", state: "running"};
        assert.deepEqual(soundProcesses([{name: "a", kind: "inbox"}, process]), [process]);
    });

    test("an object's own names are no others", () => {
        assert.equal(own({a: 1}, "a"), 1);
        assert.equal(own({a: 1}, "constructor"), undefined);
        assert.equal(columnOf({type: "constructor", mode: "__proto__"}), "helpers");
    });

    for (const [column, report] of [
        ["clients", {type: "autobark"}], ["queues", {type: "manifold", mode: "pull"}], ["workers", {kind: "bizlogic"}],
        ["timelines", {type: "manifold", mode: "history"}], ["timelines", {kind: "inbox"}], ["helpers", {type: "gateway"}],
    ]) {
        test(`${JSON.stringify(report)} stands among the ${column}`, () => assert.equal(columnOf(report), column));
    }

    test("numbers in names are in order of value", () => {
        assert.deepEqual(["b-10", "b-9", "a-11"].sort(byName), ["a-11", "b-9", "b-10"]);
    });
});

describe("the past", () => {
    const depths = (history) => history.services.get("outbox-1").depth;

    test("a service that comes later has nothing before", () => {
        const history = new History();
        history.add(1, []);
        history.add(2, [outbox({depth_peak: 3, received_rate: 4, sent_rate: 5})]);
        assert.deepEqual(history.times, [1, 2]);
        assert.deepEqual(history.services.get("outbox-1"), {
            depth: [null, 3], received: [null, 4], sent: [null, 5], received_now: [null, null], sent_now: [null, null],
        });
    });

    test("a service that does not report has a gap", () => {
        const history = new History();
        history.add(1, [outbox({depth_peak: 3})]);
        history.add(2, []);
        history.add(3, [outbox({depth_peak: 0})]);
        assert.deepEqual(depths(history), [3, null, 0]);
    });

    test("timelines are no queue", () => {
        const history = new History();
        history.add(1, [outbox({mode: "history"})]);
        assert.deepEqual(depths(history), [null]);
    });

    test("where nobody watched, there is a gap", () => {
        const history = new History();
        history.add(1, [outbox({depth_peak: 1})]);
        history.add(1 + SILENT, [outbox({depth_peak: 2})]);
        history.add(10, [outbox({depth_peak: 3})]);
        assert.deepEqual(history.times, [1, 3.5, 4.5, 10]);
        assert.deepEqual(depths(history), [1, 2, null, 3]);
    });

    test("a service is shown as long as it had a value in the time that is shown", () => {
        const history = new History();
        history.add(1, [outbox({sent_rate_now: 0})]);
        [2, 3, 4].forEach((time) => history.add(time, []));
        assert.equal(history.shows("outbox-1", "sent_now", 1), true);
        assert.equal(history.shows("outbox-1", "sent_now", 2), false);
        assert.equal(history.shows("outbox-1", "depth", 0), false);
    });

    test("what comes again over a new link is known", () => {
        const history = new History();
        assert.equal(history.add(5, []), true);
        assert.equal(history.add(5, []), false);
        assert.equal(history.add(4, []), false);
        assert.deepEqual(history.times, [5]);
    });

    test("a clock that was set back begins anew", () => {
        const history = new History();
        history.add(5000, [outbox()]);
        assert.equal(history.add(5000 - KEEP, []), true);
        assert.deepEqual(history.times, [5000 - KEEP]);
        assert.equal(history.services.size, 0);
    });

    test("ten minutes are kept, and nothing of services that were silent in them", () => {
        const history = new History();
        history.add(0, [{name: "gone", sent_rate: 1}]);
        for (let time = 1; time <= 2 * KEEP; time += 1) {
            history.add(time, [outbox({sent_rate: time})]);
        }
        assert.deepEqual([history.times.length, history.times[0]], [KEEP + 1, KEEP]);
        assert.deepEqual([...history.services.keys()], ["outbox-1"]);
        assert.deepEqual(history.services.get("outbox-1").sent, history.times);
    });
});

describe("rates", () => {
    const rates = (suite) => suite.rates.get("outbox-1");

    test("are those of the last second, not of ten", () => {
        const told = {received_rate: 9, received_rate_now: 10, sent_rate: 9, sent_rate_now: 0};
        assert.deepEqual(rates(suiteOf(outbox(told))), {received: 10, sent: 0});
    });

    test("are of ten seconds where nobody tells others", () => {
        assert.deepEqual(rates(suiteOf(outbox({sent_rate: 5}))), {received: 0, sent: 5});
    });
});

describe("how a service does", () => {
    const running = {name: "outbox-1", kind: "outbox", state: "running", pid: 7};
    const withProcess = (suite, process) => {
        suite.onProcesses([{...running, ...process}]);
        return suite.state("outbox-1");
    };

    test("it is up, active or standing by, as it says", () => {
        assert.equal(suiteOf(outbox()).state("outbox-1"), "up");
        assert.equal(suiteOf(outbox({active: true})).state("outbox-1"), "active");
        assert.equal(suiteOf(outbox({active: false})).state("outbox-1"), "standby");
    });

    test("the launcher knows better that it is frozen or gone", () => {
        assert.equal(withProcess(suiteOf(outbox()), {state: "frozen"}), "frozen");
        assert.equal(withProcess(suiteOf(outbox()), {state: "gone"}), "gone");
    });

    test("a gone process' place may be taken by one that was started by hand", () => {
        assert.equal(withProcess(suiteOf(outbox({pid: 8})), {state: "frozen"}), "frozen");
        assert.equal(withProcess(suiteOf(outbox({pid: 8})), {state: "gone"}), "up");
    });

    test("what a process reported before it was started again is no news", () => {
        const suite = suiteOf(outbox());
        assert.equal(withProcess(suite, {pid: 8}), "starting");
        assert.equal(suite.report("outbox-1"), undefined);
    });

    test("it starts, is silent if it does not report then, and is up when it does", () => {
        const suite = suiteOf();
        assert.equal(withProcess(suite), "starting");
        suite.onReports(100 + SILENT, []);
        assert.equal(suite.state("outbox-1"), "silent");
        suite.onReports(103, [outbox()]);
        assert.equal(suite.state("outbox-1"), "up");
    });

    test("one that nobody has started is gone when it reports no more, if the monitor would tell", () => {
        const suite = suiteOf(outbox());
        suite.onReports(101, []);
        assert.equal(suite.state("outbox-1"), "gone");
    });

    test("without a monitor it is unknown how any does, but for what the launcher knows", () => {
        const suite = suiteOf(outbox(), {name: "byhand-1", type: "outbox"});
        suite.onProcesses([running]);
        suite.onSilence();
        assert.deepEqual(["outbox-1", "byhand-1"].map((name) => suite.state(name)), ["unknown", "unknown"]);
        assert.equal(withProcess(suite, {state: "frozen"}), "frozen");
        assert.equal(withProcess(suite, {state: "gone"}), "gone");
    });

    test("one that the launcher has removed is forgotten, also while its last report is told", () => {
        const suite = suiteOf(outbox(), outbox({name: "outbox-2"}));
        suite.onProcesses([running, {...running, name: "outbox-2"}, {...running, name: "outbox-3"}]);
        suite.onProcesses([running]);
        suite.onReports(101, [outbox(), outbox({name: "outbox-2"})]);
        assert.deepEqual(suite.names(), ["outbox-1"]);
        suite.onReports(102, [outbox(), outbox({name: "outbox-2", pid: 8})]);
        assert.deepEqual(suite.names(), ["outbox-1", "outbox-2"], "another has its place");
        suite.onReports(103, [outbox()]);
        suite.onReports(104, [outbox(), outbox({name: "outbox-2"})]);
        assert.deepEqual(suite.names(), ["outbox-1", "outbox-2"]);
    });

    test("one that runs in the place of another that was removed stays", () => {
        const suite = suiteOf(outbox({pid: 8}));
        suite.onProcesses([{...running, state: "gone"}]);
        suite.onProcesses([]);
        assert.deepEqual(suite.names(), ["outbox-1"]);
    });

    test("it is forgotten after ten minutes, but not while it has a process", () => {
        const suite = suiteOf(outbox(), {name: "outbox-2", type: "outbox"});
        suite.onProcesses([running]);
        suite.onReports(100 + KEEP, []);
        assert.deepEqual(suite.names(), ["outbox-1", "outbox-2"]);
        suite.onReports(101 + KEEP, []);
        assert.deepEqual(suite.names(), ["outbox-1"]);
    });
});

describe("the headline", () => {
    const balance = {since: 100, at: 119, accepted: 1234, delivered: 1230, held: 4, lost: 0, suspect: 0, twice: 0, open: 0};
    const told = (more) => {
        const suite = new Suite();
        suite.onReports(120, [outbox()], soundBalance({...balance, ...more}));
        return suite.counted();
    };

    test("adds up what came to the outboxes, and tells the latency of now", () => {
        const suite = new Suite();
        suite.onReports(120, [
            outbox({handed_on: 1, received_rate_now: 3, dead_letters: 2}),
            outbox({name: "outbox-2", handed_on: 1, received_rate_now: 4, dead_letters: 1}),
            outbox({name: "orders", received_rate_now: 50}),
            {name: "bizlogic-1", type: "bizlogic", active: true, latency_now: 0.25},
            {name: "bizlogic-2", type: "bizlogic", active: false},
        ], balance);
        assert.deepEqual(suite.headline(), {...balance, rate: 7, latency: 0.25, dead: 3});
    });

    test("says nothing that is not known", () => {
        const unknown = {rate: undefined, latency: undefined, dead: undefined};
        assert.deepEqual(new Suite().headline(), unknown);
        const suite = suiteOf(outbox({handed_on: 1, received_rate_now: 3}));
        suite.onSilence();
        assert.deepEqual(suite.headline(), unknown);
        assert.match(suite.counted(), /^Without the monitor/);
        assert.match(suiteOf(outbox()).counted(), /not known yet/);
    });

    test("a balance that is none is not known", () => {
        assert.deepEqual(soundBalance(balance), balance);
        for (const odd of [undefined, 5, {}, {...balance, lost: "0"}, {...balance, twice: NaN}]) {
            assert.equal(soundBalance(odd), undefined);
        }
    });

    test("says what lost and twice are counted of", () => {
        const day = new Date(100000).toLocaleTimeString("en-GB");
        assert.equal(told({}), "Lost and twice are counted: of 1,234 barks that outboxes took since "
            + `${day}, 1,230 are on their authors' timelines and 4 wait.`);
    });

    for (const [what, more, said] of [
        ["lost", {lost: 3, suspect: 3}, "Of at least 3 nobody knows where they are."],
        ["perhaps sent twice", {lost: 1, suspect: 3}, "2 more are missing that their senders may have sent twice"],
        ["there twice", {twice: 2}, "At least 2 more are on timelines than were handed on."],
        ["on its way", {open: 5}, "Of up to 5, now on their way, it cannot be told yet."],
        ["of one that is away", {away: "outbox-1 outbox-2"}, "Of outbox-1, outbox-2, now away, the last word counts: it may have handed on more."],
        ["of a while ago", {at: 110}, "an inbox has not told its count since."],
    ]) {
        test(`says what is ${what}`, () => assert.ok(told(more).includes(said), told(more)));
    }
});

describe("the flow", () => {
    const bizlogic = {name: "bizlogic-1", type: "bizlogic", host: "h", port: 2};
    const inbox = {name: "inbox-1", type: "manifold", mode: "history", host: "h", port: 3};

    test("goes where each says that it sends, and from timelines to readers", () => {
        const suite = suiteOf(outbox({consumer: "h:2", sent_rate: 6}), {...bizlogic, inbox: "h:3", sent_rate: 8}, inbox);
        assert.deepEqual(suite.flows(), [
            {from: "outbox-1", to: "bizlogic-1", rate: 6},
            {from: "bizlogic-1", to: "inbox-1", rate: 8},
            {from: "inbox-1", to: "readers", rate: 0},
        ]);
    });

    test("is shared evenly among several inboxes", () => {
        const second = {...inbox, name: "inbox-2", port: 4};
        const suite = suiteOf({...bizlogic, inbox: "h:3 h:4", sent_rate: 8}, inbox, second);
        assert.deepEqual(suite.flows().slice(0, 2).map(({to, rate}) => [to, rate]), [["inbox-1", 4], ["inbox-2", 4]]);
    });

    test("goes through a broker's queues and streams, which are known by their names, as several are at one place", () => {
        const broker = {host: "b", port: 1, pid: 0, consumers: 1};
        const suite = suiteOf(
            outbox({mode: "relay", consumer: "barker-outbox", sent_rate: 6}), {...bizlogic, inbox: "barker-inbox", sent_rate: 8}, inbox,
            {...broker, name: "barker-outbox", type: "queue", consumer: "h:2", sent_rate: 6},
            {...broker, name: "barker-inbox", type: "stream", consumer: "h:3", sent_rate: 8});
        assert.deepEqual(suite.flows().map(({from, to, rate}) => [from, to, rate]), [
            ["outbox-1", "barker-outbox", 6], ["bizlogic-1", "barker-inbox", 8], ["inbox-1", "readers", 0],
            ["barker-outbox", "bizlogic-1", 6], ["barker-inbox", "inbox-1", 8],
        ]);
        assert.match(suite.counted(), /not counted of a suite whose barks a broker has/);
        assert.equal(suite.receiver, "stream");
        assert.equal(suiteOf(outbox({}), bizlogic, inbox).receiver, "inbox");
        // As it flows: a queue below the outboxes, a stream above the inboxes.
        const ordered = (...names) => names.sort((one, other) => suite.above(one, other) ? -1 : 1);
        assert.deepEqual(ordered("barker-outbox", "outbox-1"), ["outbox-1", "barker-outbox"]);
        assert.deepEqual(ordered("inbox-1", "barker-inbox"), ["barker-inbox", "inbox-1"]);
        assert.notEqual(suite.headline().rate, undefined);
    });

    test("goes nowhere that is not known, and from nobody whose report is old", () => {
        assert.deepEqual(suiteOf(outbox({consumer: "h:2"})).flows(), []);
        const suite = suiteOf(outbox({consumer: "h:2"}), bizlogic);
        suite.onProcesses([{name: "outbox-1", kind: "outbox", state: "running", pid: 8}]);
        assert.deepEqual(suite.flows(), []);
    });
});
