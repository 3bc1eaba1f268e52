/* What happened: services that come, go, take over or hang; orders and what became of them; this page's own errors.
 *
 * The states are a Suite's (figures.js); orders.js tells its part; graphs.js draws a line for what services did. It
 * is kept in the page's own storage, so that it is there again after a reload.
 */
"use strict";

class Events {
    static MOST = 100;
    static MOST_TROUBLES = 20;          // different errors of this page that are told
    static KEPT = `barker-events ${GATEWAY}`;
    static HAPPENED = {
        gone: "is gone",
        frozen: "is frozen",
        silent: "does not report",
        up: "is there",
        active: "is active",
        standby: "stands by",
    };
    static WAS = {gone: "gone", frozen: "frozen", silent: "silent", up: "up", active: "active", standby: "standing by"};

    constructor(suite) {
        this.suite = suite;
        this.list = [];                 // {time, text, kind, drawn}: drawn in the graphs, too
        this.states = new Map();        // by name: the last that was told, {state, since, pid, started}
        this.quiet = 0;                 // until then (performance.now()) states are new to us, not changes
        this.troubles = new Set();      // what was told
        const {list = [], states = []} = recalled(Events.KEPT) || {};
        list.forEach((event) => this.add(event));
        this.states = new Map(states);
    }

    tell(text, kind = "", drawn = false) {
        this.add({time: this.suite.time || Date.now() / 1000, text, kind, drawn});
        this.keep();
    }

    add(event) {
        const {time, text, kind} = event;
        this.list.push(event);
        at("events").prepend(make("li", kind, make("time", "", clock(time)), text));
        while (this.list.length > Events.MOST) {
            this.list.shift();
            at("events").lastElementChild.remove();
        }
    }

    keep() {
        remember(Events.KEPT, {list: this.list, states: [...this.states]});
    }

    /* Tell what has changed: of which process, and how long it was as it was before. */
    show() {
        for (const name of this.suite.names()) {
            const state = this.suite.state(name), happened = own(Events.HAPPENED, state), before = this.states.get(name);
            if (happened && state !== before?.state) {
                const report = this.suite.report(name), process = this.suite.processes.get(name);
                const pid = report?.pid ?? process?.pid ?? before?.pid, now = this.suite.time || Date.now() / 1000;
                // What the launcher says of a process is no first sight.
                const quiet = performance.now() <= this.quiet && !(before && process && process.state === state);
                const started = report?.since ?? before?.started;
                this.states.set(name, {state, pid, started, since: quiet ? undefined : now});
                if (!quiet) {
                    const of = pid === undefined ? "" : ` (pid ${pid})`;
                    this.tell(`${name}${of} ${happened}${this.after(before, now)}`, state, true);
                }
                this.keep();
            }
        }
    }

    /* How long it was as it was; of what it was when this page came, how long there has been its process. */
    after({state, since, started} = {}, now) {
        return since !== undefined ? `, after ${duration(now - since)} ${own(Events.WAS, state)}`
            : started !== undefined && state !== "gone" ? `, ${duration(now - started)} after its start` : "";
    }

    /* Of services that nobody has heard of for long, nothing stays here. */
    forget() {
        for (const name of this.states.keys()) {
            if (!this.suite.known.has(name)) {
                this.states.delete(name);
            }
        }
    }

    /* An error of this page: told once, and the page goes on. */
    onTrouble(error) {
        const text = `an error of this page: ${error.message}`;
        if (!this.troubles.has(text) && this.troubles.size < Events.MOST_TROUBLES) {
            this.troubles.add(text);
            this.tell(text, "refused");
            console.info(error);
        }
    }
}
