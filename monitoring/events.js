/* What happened: services that come, go, take over or hang; orders and what became of them; this page's own errors.
 *
 * The states are a Suite's (figures.js); orders.js tells its part; graphs.js draws a line for what services did.
 */
"use strict";

class Events {
    static MOST = 100;
    static MOST_TROUBLES = 20;          // different errors of this page that are told
    static HAPPENED = {
        gone: "is gone",
        frozen: "is frozen",
        silent: "does not report",
        up: "is there",
        active: "is active",
        standby: "stands by",
    };

    constructor(suite) {
        this.suite = suite;
        this.list = [];                 // {time, drawn}: drawn in the graphs, too
        this.states = new Map();        // by name: the last that was told
        this.quiet = 0;                 // until then (performance.now()) states are new to us, not changes
        this.troubles = new Set();      // what was told
    }

    tell(text, kind = "", drawn = false) {
        const time = this.suite.time || Date.now() / 1000;
        this.list.push({time, drawn});
        const clock = new Date(time * 1000).toLocaleTimeString("en-GB");
        at("events").prepend(make("li", kind, make("time", "", clock), text));
        while (this.list.length > Events.MOST) {
            this.list.shift();
            at("events").lastElementChild.remove();
        }
    }

    /* Tell what has changed. */
    notice() {
        for (const name of this.suite.names()) {
            const state = this.suite.state(name), happened = own(Events.HAPPENED, state);
            if (state !== this.states.get(name) && happened) {
                this.states.set(name, state);
                if (performance.now() > this.quiet) {
                    this.tell(`${name} ${happened}`, state, true);
                }
            }
        }
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
