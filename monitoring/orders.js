/* Orders to the launcher: the buttons and the rate above the picture, and what became of each order.
 *
 * They go over a line (webui/line.js). The buttons on the cards are picture.js's; what came of an order is told among
 * the events.
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

    static RATES = {least: 0.1, most: 100000};

    constructor(launcher, events) {
        Object.assign(this, {launcher, events});
        for (const button of this.buttons()) {
            button.addEventListener("click", () => this.give("add", {kind: button.dataset.add}));
        }
        at("break").addEventListener("submit", (event) => {
            event.preventDefault();
            document.activeElement.blur();
        });
        at("rate").addEventListener("change", () => this.setRate(at("rate").valueAsNumber));
        at("rate").addEventListener("input", () => this.showProblem(""));
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
        const what = `${Orders.DONE[verb]} ${body.name || body.kind || body.rate}`;
        let answered = false;
        const answer = (text) => {
            if (!answered) {
                answered = true;
                this.events.tell(`you: ${what}${text}`, text ? "refused" : "done");
            }
        };
        const gone = this.launcher.send({subject: verb, body},
            (outcome, reason) => answer(outcome === "accepted" ? "" : `: ${reason || "refused"}`));
        if (gone) {
            setTimeout(() => answer(": the launcher has not answered"), Orders.WAIT);
        } else {
            this.events.tell(`${what}: the launcher is away`, "refused");
        }
    }

    /* Whether orders can be given now, on all that stands above the picture. */
    show() {
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
