/* Orders to the launcher: the buttons and the rate above the picture, and what became of each order.
 *
 * They go over a line (webui/line.js) with the run's token, which the page has from the disk, or which is typed in.
 * The buttons on the cards are picture.js's; what came of an order is told among the events (events.js).
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
        add: "one more",
        rate: "barks/s of each autobark:",
    };

    /* `onToken` is called when another token has been typed. */
    constructor(launcher, events, onToken) {
        Object.assign(this, {launcher, events});
        this.token = runToken();
        for (const button of this.buttons()) {
            button.addEventListener("click", () => this.give("add", {kind: button.dataset.add}));
        }
        at("break").addEventListener("submit", (event) => {
            event.preventDefault();
            document.activeElement.blur();
        });
        at("rate").addEventListener("change", () => {
            if (at("rate").reportValidity() && at("rate").value) {
                this.give("rate", {rate: Number(at("rate").value)});
            }
        });
        at("tokens").hidden = Boolean(this.token);
        at("token").addEventListener("input", () => {
            this.token = at("token").value.trim();
            onToken();
        });
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
        const gone = this.launcher.send({subject: verb, application_properties: {token: this.token}, body},
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
        at("rate").disabled = Boolean(this.hindrance());
    }

    /* The autobarks' rate, unless another is being typed. */
    showRate(rate) {
        if (document.activeElement !== at("rate") && Number.isFinite(rate)) {
            at("rate").value = rate;
        }
    }

    /* A button gives orders, or its title says why not. */
    enable(button, title) {
        const why = this.hindrance();
        button.disabled = Boolean(why);
        button.title = why ? `${title}: ${why}` : title;
    }

    /* Why no order can be given; nothing if it can. */
    hindrance() {
        return this.launcher.state !== "open" ? "the launcher is away" : this.token ? "" : "this takes the run's token";
    }

    buttons() {
        return document.querySelectorAll("[data-add]");
    }
}
