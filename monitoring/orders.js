/* Orders to the launcher: the buttons and the rate above the picture, and what became of each order.
 *
 * They go over a line (webui/line.js) with the run's key: a page from the disk has it from session.js; one from the
 * gateway by the link that the launcher prints, …/monitoring/#key=…, and keeps it. Without one this only watches, and
 * says how to get one. The buttons on the cards are picture.js's; what came of an order is told among the events.
 */
"use strict";

class Orders {
    static WAIT = 12000;                // milliseconds the launcher has to answer
    static DONE = {
        kill: "kill",
        freeze: "freeze",
        thaw: "thaw",
        stop: "stop",
        start: "start",
        remove: "remove",
        add: "one more",
        rate: "barks/s of each autobark:",
    };

    static KEPT = `barker-key ${GATEWAY}`;
    static RATES = {least: 0.1, most: 100000};
    static HOW = `Open the link that the launcher prints when it is ready, http://${GATEWAY}/monitoring/#key=…, `
        + "or paste what stands behind key= there:";
    static NO_TOKEN = "the run's token";        // in the launcher's words, when a key is none of its run

    /* `onKey` is called when there is another key, or the one there is turns out to be none. */
    constructor(launcher, events, onKey) {
        Object.assign(this, {launcher, events, onKey});
        this.kept = recalled("localStorage", Orders.KEPT) || "";
        this.refused = undefined;       // a key that the launcher did not take
        this.readLink();
        window.addEventListener("hashchange", () => this.readLink() && onKey());
        for (const button of this.buttons()) {
            button.addEventListener("click", () => this.give("add", {kind: button.dataset.add}));
        }
        at("break").addEventListener("submit", (event) => {
            event.preventDefault();
            document.activeElement.blur();
        });
        at("rate").addEventListener("change", () => this.setRate(at("rate").valueAsNumber));
        at("rate").addEventListener("input", () => this.showProblem(""));
        at("keys").addEventListener("submit", (event) => event.preventDefault());
        at("token").addEventListener("change", () => {
            this.keep(at("token").value.trim());
            onKey();
        });
    }

    /* The key; that of session.js is the newest. */
    get token() {
        return runToken() || this.kept;
    }

    /* Whether orders can be given, but for the launcher's being away. */
    get able() {
        return Boolean(this.token) && this.token !== this.refused;
    }

    /* The key that stands in this page's address is kept, and stands there no more; whether there was one. */
    readLink() {
        const key = new URLSearchParams(location.hash.slice(1)).get("key");
        if (key) {
            history.replaceState(null, "", location.pathname + location.search);
            this.keep(key);
        }
        return Boolean(key);
    }

    keep(key) {
        this.kept = key.replace(/^.*#?key=/, "");       // the whole link may have been pasted
        this.refused = undefined;
        remember("localStorage", Orders.KEPT, this.kept);
        at("token").value = "";
    }

    setRate(rate) {
        const {least, most} = Orders.RATES, wrong = !(rate >= least && rate <= most);
        this.showProblem(wrong ? `A rate is a number of barks/s from ${least} to ${count(most)}.` : "");
        if (!wrong) {
            this.give("rate", {rate});
        }
    }

    /* What is wrong with the rate. */
    showProblem(text) {
        setText(at("rate-problem"), text);
        at("rate").setAttribute("aria-invalid", Boolean(text));
    }

    give(verb, body) {
        const {token} = this, what = `${Orders.DONE[verb]} ${body.name || body.kind || body.rate}`;
        let answered = false;
        const answer = (text) => {
            if (!answered) {
                answered = true;
                this.events.tell(`you: ${what}${text}`, text ? "refused" : "done");
                if (text.includes(Orders.NO_TOKEN)) {
                    this.refused = token;
                    this.onKey();
                }
            }
        };
        const gone = this.launcher.send({subject: verb, application_properties: {token}, body},
            (outcome, reason) => answer(outcome === "accepted" ? "" : `: ${reason || "refused"}`));
        if (gone) {
            setTimeout(() => answer(": the launcher has not answered"), Orders.WAIT);
        } else {
            this.events.tell(`${what}: the launcher is away`, "refused");
        }
    }

    /* Whether orders can be given now, on all that stands above the picture; if not, how they can be. */
    show() {
        at("break").hidden = !this.able;
        at("keys").hidden = this.able || this.launcher.state !== "open";
        setText(at("keys").firstElementChild, !this.token
            ? `This page only watches. To break things from here it needs the run's key. ${Orders.HOW}`
            : `The launcher does not take this page's key, as it is of another run. ${
                FROM_DISK ? "Reload this page. Or else: " : ""}${Orders.HOW}`);
        for (const button of this.buttons()) {
            this.enable(button, "Start it, beside those that run");
        }
        at("rate").disabled = this.launcher.state !== "open";
    }

    /* The autobarks' rate, unless another is being typed. */
    showRate(rate) {
        const typed = document.activeElement === at("rate") || at("rate-problem").textContent;
        if (!typed && Number.isFinite(rate)) {
            at("rate").value = rate;
        }
    }

    /* A button gives orders, or its title says why not. */
    enable(button, title) {
        const away = this.launcher.state !== "open";
        button.disabled = away;
        button.title = away ? `${title}: the launcher is away` : title;
    }

    buttons() {
        return document.querySelectorAll("[data-add]");
    }
}
