/* What the dashboard knows, without a page: ten minutes of every service's figures, and how each does now.
 *
 * It is told what the monitor and the launcher say (dashboard.js), and when; picture.js, graphs.js, table.js and
 * events.js show it.
 */
"use strict";

const KEEP = 600;               // seconds of past
const SILENT = 2.5;             // seconds without a message of the monitor that leave a gap in the graphs

const MOST_TEXT = 1000;         // characters of any text

/* What an object of ours has under a name that others chose, such as "constructor". */
const own = (object, key) => Object.hasOwn(object, key) ? object[key] : undefined;

/* The order of names: numbers in them by value. */
const byName = new Intl.Collator("en", {numeric: true}).compare;

/* A time of day, of seconds since 1970. */
const clock = (time) => new Date(time * 1000).toLocaleTimeString("en-GB");

/* The kind of a report or process, as the picture has columns for it. */
const COLUMN = {autobark: "clients", outbox: "queues", queue: "queues", bizlogic: "workers", stream: "timelines", inbox: "timelines"};
const MODE = {push: "queues", pull: "queues", relay: "queues", history: "timelines"};
const columnOf = ({type, kind, mode}) => own(COLUMN, type || kind) || own(MODE, mode) || "helpers";


/* What others say, as far as there is a use for it: messages may hold anything. */

const TEXTS = ["name", "type", "host", "mode", "consumer", "inbox", "outbox", "kind", "state", "does", "away"];
const TRUTHS = ["active", "added"];
const COUNTS = ["since", "at", "accepted", "delivered", "held", "lost", "suspect", "twice", "open"];
// Controls, and what turns the direction of writing, are in no name of ours.
const isText = (value) => typeof value === "string" && value.length > 0 && value.length <= MOST_TEXT && !/[\p{C}\p{Zl}\p{Zp}]/u.test(value);

/* The fields of a report or process that are of the right type; nothing without those that are `needed`. */
function sound(fields, needed) {
    const kept = Object.entries(fields || {}).filter(([key, value]) => TEXTS.includes(key) ? isText(value)
        : TRUTHS.includes(key) ? typeof value === "boolean" : Number.isFinite(value));
    const found = Object.fromEntries(kept);
    return needed.every((key) => Object.hasOwn(found, key)) ? [found] : [];
}

const soundReports = (reports) => reports.flatMap((report) => sound(report, ["name", "type"]));
const soundBalance = (balance) => sound(balance, COUNTS)[0];
const soundProcesses = (processes) => processes.flatMap((process) => sound(process, ["name", "kind", "state"]));


/* The past: for each service a row of values, one for each time; null where it did not report. */
class History {
    /* By row: what it is called in a report. */
    static ROWS = {
        depth: "depth_peak",
        received: "received_rate",
        sent: "sent_rate",
        received_now: "received_rate_now",
        sent_now: "sent_rate_now",
    };

    constructor() {
        this.times = [];
        this.services = new Map();      // by name: {depth, received, sent, …_now}, each as long as times
    }

    /* One message of the monitor; false for one that is here already, as when the link is a new one. */
    add(time, reports) {
        const last = this.times.at(-1);
        if (time <= last && time > last - KEEP) {
            return false;
        }
        if (time <= last) {
            this.times = [];            // the clock was set back
            this.services.clear();
        }
        if (time > last + SILENT) {
            this.push(last + 1, []);    // nobody watched
        }
        this.push(time, reports);
        this.forget(time - KEEP);
        return true;
    }

    push(time, reports) {
        for (const {name} of reports) {
            if (!this.services.has(name)) {
                const nothing = () => new Array(this.times.length).fill(null);
                this.services.set(name, Object.fromEntries(Object.keys(History.ROWS).map((row) => [row, nothing()])));
            }
        }
        const now = new Map(reports.map((report) => [report.name, report]));
        this.times.push(time);
        for (const [name, rows] of this.services) {
            for (const [row, key] of Object.entries(History.ROWS)) {
                rows[row].push(now.get(name)?.[key] ?? null);       // timelines are no queue
            }
        }
    }

    /* Whether a service had a value in a row since then. */
    shows(name, row, since) {
        const {times} = this, values = this.services.get(name)[row];
        for (let at = times.length - 1; at >= 0 && times[at] >= since; at -= 1) {
            if (values[at] !== null) {
                return true;
            }
        }
        return false;
    }

    forget(before) {
        const old = this.times.findIndex((time) => time >= before);
        if (old <= 0) {
            return;
        }
        this.times.splice(0, old);
        for (const [name, rows] of this.services) {
            Object.values(rows).forEach((row) => row.splice(0, old));
            if (rows.sent.every((value) => value === null)) {
                this.services.delete(name);
            }
        }
    }
}


/* How every service does: what the monitor reports, and what the launcher says of those that it started. */
class Suite {
    constructor() {
        this.reports = new Map();       // by name: the newest message's
        this.rates = new Map();         // by name: messages in and out in the last second
        this.balance = undefined;       // what is lost or there twice, by the monitor
        this.processes = new Map();     // by name: the launcher's
        this.removed = new Map();       // by name: the pid of one that the launcher has removed, while it is told of
        this.known = new Map();         // by name: its column, and whether it is the last there; when it was last heard of, and started
        this.watched = false;           // whether the monitor tells us anything
    }

    onReports(time, told, balance) {
        for (const name of this.removed.keys()) {
            if (!told.some((report) => report.name === name)) {
                this.removed.delete(name);
            }
        }
        const reports = told.filter(({name, pid}) => !this.removed.has(name) || this.removed.get(name) !== pid);
        this.time = time;
        this.watched = true;
        this.balance = balance;
        this.reports = new Map(reports.map((report) => [report.name, report]));
        this.rates = new Map(reports.map((report) => {
            const rate = (key) => report[`${key}_rate_now`] ?? report[`${key}_rate`] ?? 0;
            return [report.name, {received: rate("received"), sent: rate("sent")}];
        }));
        for (const report of reports) {
            const column = columnOf(report), last = report.type === "queue";
            this.known.set(report.name, {...this.known.get(report.name), column, last, time});
        }
        for (const [name, {time: seen}] of this.known) {
            if (seen < time - KEEP && !this.processes.has(name)) {
                this.known.delete(name);
            }
        }
    }

    onProcesses(processes) {
        const before = this.processes, now = this.time || 0;
        this.processes = new Map(processes.map((process) => [process.name, process]));
        for (const process of processes) {
            const {name, pid, state} = process, old = before.get(name);
            const known = this.known.get(name) || {column: columnOf(process), time: now};
            const started = state === "running" && (old?.pid !== pid || old.state !== state);
            this.known.set(name, started ? {...known, started: now} : known);
        }
        for (const [name, {pid}] of before) {
            const report = this.reports.get(name);
            if (!this.processes.has(name) && (!report || report.pid === pid)) {
                this.removed.set(name, pid);
                this.reports.delete(name);
                this.forget(name);
            }
        }
    }

    /* A service that is gone is not to be shown any more. */
    forget(name) {
        this.known.delete(name);
    }

    /* The monitor has gone: what it said is no news. */
    onSilence() {
        this.watched = false;
        this.reports = new Map();
        this.rates = new Map();
        this.balance = undefined;
    }

    /* The report of a service that runs. One of a process that has been started again since is no news. */
    report(name) {
        const report = this.reports.get(name), process = this.processes.get(name);
        return report && process && process.state !== "gone" && process.pid !== report.pid ? undefined : report;
    }

    /* active, standby, up; starting, silent (it runs, but does not report), frozen or gone; unknown without a
     * monitor. */
    state(name) {
        const report = this.report(name), process = this.processes.get(name);
        const byHand = report && process && report.pid !== process.pid;
        if (process && !byHand && process.state !== "running") {
            return process.state;
        }
        if (!report && !this.watched) {
            return "unknown";
        }
        if (!report) {
            const starting = this.time - this.known.get(name).started < SILENT;
            return !process ? "gone" : starting ? "starting" : "silent";
        }
        return report.active === undefined ? "up" : report.active ? "active" : "standby";
    }

    /* Every service's name, in order. */
    names() {
        return [...this.known.keys()].sort(byName);
    }

    /* Whether one is above another in their column: in order, but a broker's queue comes behind the outboxes. */
    above(name, other) {
        const [mine, its] = [name, other].map((each) => this.known.get(each)?.last || false);
        return mine === its ? byName(name, other) < 0 : its;
    }

    /* Whether a broker has the barks between the services. */
    get brokered() {
        return [...this.reports.values()].some(({mode}) => mode === "relay");
    }

    /* Whom bizlogic hands barks to. */
    get receiver() {
        return this.brokered ? "stream" : "inbox";
    }

    /* The figures that matter most; what is not known is undefined. */
    headline() {
        const reports = [...this.reports.values()], {balance} = this;
        const outboxes = reports.filter(({handed_on, mode}) => handed_on !== undefined || mode === "relay");
        const latencies = reports.map((report) => report.latency_now).filter((latency) => latency !== undefined);
        const sum = (list, value) => list.reduce((total, each) => total + value(each), 0);
        return {
            ...balance,
            rate: outboxes.length ? sum(outboxes, ({name}) => this.rates.get(name).received) : undefined,
            latency: latencies.length ? Math.max(...latencies) : undefined,
            dead: this.watched ? sum(reports, ({dead_letters = 0}) => dead_letters) : undefined,
        };
    }

    /* What lost and twice are counted of, in sentences. */
    counted() {
        const {balance, time, watched} = this;
        if (this.brokered) {
            return "Lost and twice are not counted of a suite whose barks a broker has.";
        }
        if (!balance) {
            return watched ? "Lost and twice are not known yet: no outbox and inbox have told their counts."
                : "Without the monitor nothing of this is known.";
        }
        const {since, at, accepted, delivered, held, lost, suspect, twice, open, away} = balance;
        const sentences = [
            `Lost and twice are counted: of ${count(accepted)} barks that outboxes took since ${clock(since)},`
                + ` ${count(delivered)} are on their authors' timelines and ${count(held)} wait.`,
            lost > 0 ? `Of at least ${count(lost)} nobody knows where they are.` : "",
            suspect > lost ? `${count(suspect - lost)} more are missing that their senders may have sent twice,`
                + " as the inbox drops the second." : "",
            twice > 0 ? `At least ${count(twice)} more are on timelines than were handed on.` : "",
            open > 0 ? `Of up to ${count(open)}, now on their way, it cannot be told yet.` : "",
            away ? `Of ${away.replaceAll(" ", ", ")}, now away, the last word counts: it may have handed on more.` : "",
            time - at > SILENT + 1 ? `So it was at ${clock(at)}: an inbox has not told its count since.` : "",
        ];
        return sentences.filter(Boolean).join(" ");
    }

    /* The flow between services as it is now, messages/s: [{from, to, rate}]. */
    flows() {
        const places = new Map();
        for (const {name, host, port} of this.reports.values()) {
            places.set(`${host}:${port}`, name);
            places.set(name, name);         // so are a broker's queues called, of which several are at one place
        }
        const flows = [];
        for (const {name, outbox, consumer, inbox, mode} of this.reports.values()) {
            // A bizlogic has a flow to each of several inboxes; it does not say how much goes to which.
            const to = mode === "history" ? ["readers"]
                : (outbox || consumer || inbox || "").split(" ").map((place) => places.get(place)).filter(Boolean);
            for (const each of this.report(name) ? to : []) {
                flows.push({from: name, to: each, rate: this.rates.get(name).sent / to.length});
            }
        }
        return flows;
    }
}
