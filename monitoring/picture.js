/* The picture: a card for each service with how it does and its buttons, and paths for the flow between them.
 *
 * What it draws is a Suite's (figures.js), in the services' colours (colours.js); the buttons are orders (orders.js).
 */
"use strict";

class Picture {
    static TITLES = {
        kill: "Kill it at once (SIGKILL)",
        freeze: "Freeze it, until it is thawed (SIGSTOP)",
        thaw: "Thaw it (SIGCONT)",
        stop: "Have it put away its work and end (SIGTERM)",
        start: "Start it again",
        remove: "Forget it: it was added, and is gone",
    };
    static CAN = {frozen: ["kill", "thaw", "stop"], gone: ["start", "remove"]};
    static HELPS = {
        directory: ({routes}) => `${count(routes)} routes`,
        gateway: ({websockets}) => `${count(websockets)} WebSockets`,
        monitor: ({agents}) => `reads ${count(agents)} agents`,
        launcher: () => "starts and breaks",
    };

    constructor(suite, colours, orders) {
        Object.assign(this, {suite, colours, orders});
        this.cards = new Map();         // by name
        this.paths = new Map();         // by "from to": the flows'
        this.moved = true;              // cards have: the paths are to be placed anew
    }

    show() {
        this.suite.names().forEach((name) => this.showCard(name));
        this.showReaders();
        for (const [name, card] of this.cards) {
            if (name !== "readers" && !this.suite.known.has(name)) {
                card.remove();
                this.cards.delete(name);
                this.moved = true;
            }
        }
        this.showFlows();
    }

    /* Have the paths lead from card to card again, wherever those are now. */
    place() {
        this.paths.forEach((path) => this.placePath(path));
    }

    /* What is drawn: [{from, to, rate}]. */
    flows() {
        return [...this.paths.values()].map(({dataset: {from, to, rate}}) => ({from, to, rate: Number(rate)}));
    }

    card(name, column) {
        if (!this.cards.has(name)) {
            const card = at("card").content.firstElementChild.cloneNode(true);
            card.dataset.name = name;
            card.querySelector("b").textContent = name;
            card.style.setProperty("--colour", this.colours.of(name));
            for (const button of card.querySelectorAll("button")) {
                button.setAttribute("aria-label", `${button.dataset.verb} ${name}`);
                button.addEventListener("click", () => this.order(button.dataset.verb, name));
            }
            this.cards.set(name, card);
            const others = [...at(column).querySelectorAll(".card")];
            at(column).insertBefore(card, others.find((other) => this.suite.above(name, other.dataset.name)) || null);
            this.moved = true;
        }
        return this.cards.get(name);
    }

    /* One that the launcher does not know can only be removed here. */
    order(verb, name) {
        if (verb === "remove" && !this.suite.processes.has(name)) {
            this.suite.forget(name);
            this.show();
        } else {
            this.orders.give(verb, {name});
        }
    }

    showCard(name) {
        const {suite} = this, {column} = suite.known.get(name);
        const card = this.card(name, column), report = suite.report(name), process = suite.processes.get(name);
        const state = suite.state(name), can = own(Picture.CAN, state) || ["kill", "freeze", "stop"];
        const mine = process && (state === "gone" || !report || report.pid === process.pid);
        const strange = !process && state === "gone", letters = report?.dead_letters || 0;
        card.dataset.state = state;
        setText(card.querySelector(".state"), state === "up" ? "" : state);
        setText(card.querySelector(".says"), this.says(name, report, state));
        card.querySelector(".dead").hidden = !letters;
        setText(card.querySelector(".dead"), letters === 1 ? "1 dead letter" : `${count(letters)} dead letters`);
        for (const button of card.querySelectorAll("button")) {
            const {verb} = button.dataset, removes = verb === "remove";
            button.hidden = !(removes ? strange || (mine && process.added) : mine) || !can.includes(verb);
            if (strange) {
                button.title = "Show it no more: it is gone";
            } else {
                this.orders.enable(button, Picture.TITLES[verb]);
            }
        }
    }

    /* The figure that matters most for this kind of service. */
    says(name, report, state) {
        if (!report) {
            return {gone: "no process", starting: "starts", unknown: "the monitor is away"}[state] || "no report";
        }
        const {received, sent} = this.suite.rates.get(name), rate = rateText(sent);
        return columnOf(report) === "helpers" ? own(Picture.HELPS, report.type)?.(report) || ""
            : report.mode === "history" ? `${rateText(received)}, ${count(report.timelines)} timelines`
            : report.consumers !== undefined ? this.saysOfQueue(report)
            : report.depth !== undefined ? `${rate}, depth ${count(report.depth)}`
            : report.active === false ? "waits for its turn"
            : report.latency_now ? `${rate}, ${tenths(report.latency_now * 1000)} ms to the ${this.suite.receiver}`
            : rate;
    }

    /* Of a broker's queue or stream. */
    saysOfQueue({type, depth, consumers}) {
        const takers = consumers === 1 ? "1 consumer" : `${count(consumers)} consumers`;
        return `${depth === undefined ? type : `depth ${count(depth)}`}, ${takers}`;
    }

    showReaders() {
        const inboxes = [...this.suite.reports.values()].filter(({mode}) => mode === "history");
        const readers = inboxes.reduce((sum, {readers = 0}) => sum + readers, 0);
        const rate = inboxes.reduce((sum, {name}) => sum + this.suite.rates.get(name).sent, 0);
        const card = this.card("readers", "readers");
        card.dataset.state = inboxes.length ? "up" : this.suite.watched ? "gone" : "unknown";
        setText(card.querySelector("b"), !inboxes.length ? "readers"
            : `${count(readers)} ${readers === 1 ? "reader" : "readers"}`);
        setText(card.querySelector(".says"), inboxes.length ? rateText(rate) : this.suite.watched ? "no inbox" : "unknown");
        card.querySelectorAll("button").forEach((button) => button.hidden = true);
    }

    showFlows() {
        const flows = new Map(this.suite.flows().map((flow) => [`${flow.from} ${flow.to}`, flow]));
        for (const [key, path] of this.paths) {
            if (!flows.has(key)) {
                path.remove();
                this.paths.delete(key);
            }
        }
        for (const [key, {from, to, rate}] of flows) {
            if (!this.paths.has(key) && this.cards.has(from) && this.cards.has(to)) {
                this.paths.set(key, this.path(from, to));
            }
            const path = this.paths.get(key);
            if (path) {
                path.dataset.rate = rate;
                path.classList.toggle("flows", rate > 0);
                path.style.strokeWidth = rate > 0 ? `${1.5 + 2.2 * Math.log10(1 + rate)}px` : "";
            }
        }
    }

    path(from, to) {
        const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        Object.assign(path.dataset, {from, to});
        path.style.stroke = this.colours.of(from);
        at("flows").append(path);
        this.placePath(path);
        return path;
    }

    /* Draw a path from card to card: straight to the next column, or where these are stacked, beside the cards; within
     * a column, as between an outbox and a broker's queue, round the corner. */
    placePath(path) {
        const origin = at("suite").getBoundingClientRect(), card = this.cards.get(path.dataset.from);
        const from = card.getBoundingClientRect(), next = this.cards.get(path.dataset.to);
        const to = next.getBoundingClientRect();
        const right = from.right - origin.left;
        const start = from.top - origin.top + from.height / 2, end = to.top - origin.top + to.height / 2;
        if (to.left >= from.right) {
            const left = to.left - origin.left, middle = (right + left) / 2;
            path.setAttribute("d", `M${right} ${start}C${middle} ${start} ${middle} ${end} ${left} ${end}`);
        } else if (next.parentElement === card.parentElement) {
            const bend = right + 12 + Math.min(24, Math.abs(end - start) / 12);
            path.setAttribute("d", `M${right} ${start}C${bend} ${start} ${bend} ${end} ${to.right - origin.left} ${end}`);
        } else {
            const lane = origin.width - this.lane(card), curve = 8;
            path.setAttribute("d", `M${right} ${start + 6}H${lane - curve}Q${lane} ${start + 6} ${lane} ${start + 6 + curve}`
                + `V${end - 6 - curve}Q${lane} ${end - 6} ${lane - curve} ${end - 6}H${to.right - origin.left}`);
        }
    }

    /* How far from the right its path goes down: those of neighbours, and of the column after, beside each other. */
    lane(card) {
        const {parentElement: column} = card, cards = [...column.querySelectorAll(".card")];
        const odd = [...at("suite").querySelectorAll(".column")].indexOf(column) % 2;
        return 3 + 4 * (cards.indexOf(card) % 5) + 20 * odd;
    }
}
