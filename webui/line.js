/* AMQP over a WebSocket through the gateway, for both pages: a line to a service behind it that comes back by itself.
 * Where the gateway is, and what lets the page in there, key.js knows.
 *
 * Of rhea nothing is known but here: the pages (barker.js, monitoring/dashboard.js) make a Line, are handed
 * messages, and send some. A classic script, for pages from the disk too.
 */
"use strict";

const FIRST_WAIT = 100;         // milliseconds until a new try, twice as many for each that fails,
const LONGEST_WAIT = 2000;      // up to so many
const STEADY = 1000;            // a link that stood for so many milliseconds has worked
const PATIENCE = 5000;          // milliseconds in which a try reaches its service, or is given up
const CREDIT = 200;             // messages on their way to a page

/* rhea's heartbeats go on while a socket closes, and Chromium would complain of each. */
class Socket extends WebSocket {
    send(data) {
        if (this.readyState === WebSocket.OPEN) {
            super.send(data);
        }
    }
}

/* `handler`, whose errors end no connection and no frame, but are told: what peers send may be anything. */
function contained(handler, tell = console.error) {
    return (...args) => {
        try {
            handler(...args);
        } catch (error) {
            tell(error);
        }
    };
}

/* What an error of AMQP says: its words, or its name where it has none. */
const inWords = (error) => error?.description || error?.condition || "";


/* A line to a service through the gateway, that comes back by itself.
 *
 * Each try is a new WebSocket, connection and link: the gateway may find another instance, and nothing is
 * left over of a link that was lost. (rhea's own reconnect stays away after a friendly close, as of a
 * service that is restarted, and when only the link is refused.)
 */
class Line {
    static possible = Boolean(window.rheaUmd);      // rhea is there: `make setup` brings it

    /* `address` begins with the service, such as inbox/ark3: which of several has it, the gateway finds out.
     * What may be left out: `onMessage` takes each message, and without it there is no receiver; `sends` makes
     * a sender, `onCredit` is called when it may send; `onReport` takes, once a second, what the process at the
     * other end says of itself; `onOpen`, `onLost` and `onChange` (of the state); `onTrouble` is told of errors in
     * `onMessage`, `onCredit`, `onReport` and `onOutcome`. */
    constructor(address, {onMessage, sends, onCredit, onReport, onOpen, onLost, onChange, onTrouble = console.error}) {
        const [service] = address.split("/");
        const path = address.split("/").map(encodeURIComponent).join("/");
        Object.assign(this, {address, service, path, onMessage, sends, onCredit, onReport, onOpen, onLost, onChange, onTrouble});
        this.state = "dialling";        // then "open", "away", or "refused" for good
        this.reason = "";               // what the service said when it refused
        this.wait = FIRST_WAIT;
        this.outcomes = new Map();      // by delivery in flight: who is told what became of it
    }

    /* Send a message, if there is credit; whether it has gone. `onOutcome(outcome, reason)` is called with
     * "accepted", "rejected" or "released", but not if the line is lost before: then nobody knows. */
    send(message, onOutcome) {
        const goes = Boolean(this.sender?.sendable());
        if (goes) {
            this.outcomes.set(this.sender.send(message), onOutcome);
        }
        return goes;
    }

    /* Dial, if the gateway lets this page in; else try again in a while. */
    async begin() {
        const {admitted: may, reason} = await admitted();
        if (may) {
            this.dial();
        } else {
            this.away("away", reason);
        }
    }

    dial() {
        const scheme = location.protocol === "https:" ? "wss" : "ws";
        const url = `${scheme}://${GATEWAY}/amqp/${this.path}`;
        const protocols = ["amqp", "AMQPWSB10"];
        if (FROM_DISK) {
            protocols.push(`barker-key.${keyOnDisk()}`);        // a header: URLs are logged, headers are not
        }
        const connection = this.connection = rheaUmd.create_connection({
            connection_details: rheaUmd.websocket_connect(Socket)(url, protocols),
            reconnect: false,
            idle_time_out: 2000,
        });
        for (const end of ["disconnected", "error", "protocol_error", "connection_close", "connection_error",
            "session_close", "session_error", "sender_close", "sender_error", "receiver_close",
            "receiver_error"]) {
            connection.on(end, (context) => this.lost(connection, context));
        }
        for (const open of ["sender_open", "receiver_open"]) {
            connection.on(open, (context) => this.opened(connection, context));
        }
        this.timer = setTimeout(() => this.lost(connection), PATIENCE);
        try {
            connection.connect();
            this.attach(connection);
        } catch (error) {
            this.lost(connection, error);       // such as a ?gateway= that is no address
        }
    }

    attach(connection) {
        const on = (event, handler) => connection.on(event, contained(handler, this.onTrouble));
        if (this.onMessage) {
            on("message", ({message}) => this.onMessage(message));
            // Settled before they are sent (snd_settle_mode 1): what is lost comes again, timelines with their
            // history, figures with the next second's.
            connection.open_receiver({source: this.address, snd_settle_mode: 1, credit_window: CREDIT});
        }
        if (this.sends) {
            on("sendable", () => this.onCredit?.());
            for (const outcome of ["accepted", "rejected", "released"]) {
                on(outcome, ({delivery}) => this.settled(delivery, outcome));
            }
            this.sender = connection.open_sender(this.address);
        }
        if (this.onReport) {
            const reports = connection.open_receiver({source: "agents", snd_settle_mode: 1, credit_window: 2});
            reports.on("message", contained(({message}) => this.onReport(message.body), this.onTrouble));
            for (const event of ["receiver_open", "receiver_error", "receiver_close"]) {
                reports.on(event, () => {});    // that stands for itself: the line is open without it
            }
        }
    }

    settled(delivery, outcome) {
        const onOutcome = this.outcomes.get(delivery);
        this.outcomes.delete(delivery);
        onOutcome?.(outcome, inWords(delivery.remote_state.error));
    }

    opened(connection, {sender, receiver}) {
        // AMQP 1.0 §2.6.3: a link that is refused opens with no terminus, and a detach follows.
        if (connection === this.connection && (sender ? sender.target : receiver.source)) {
            clearTimeout(this.timer);
            this.since = Date.now();
            this.state = "open";
            this.reason = "";
            this.onOpen?.();
            this.onChange?.();
        }
    }

    lost(connection, context = {}) {
        if (connection !== this.connection) {
            return;     // one loss has several events
        }
        const error = (context.receiver || context.sender || {}).error || context.error, said = inWords(error);
        this.connection = this.sender = undefined;
        this.outcomes.clear();      // rhea forgets what was in flight
        if (connection.socket) {
            connection.socket_ready = false;    // rhea has nothing more to say there
            connection.socket.end();
        }
        // There is no such user: that is so tomorrow, too.
        this.away(error?.info?.user === undefined ? "away" : "refused", said ? `The ${this.service}: ${said}. ` : "");
    }

    /* It does not stand; unless it is refused for good, it is tried again. */
    away(state, reason) {
        const stood = this.state === "open" && Date.now() - this.since > STEADY;
        this.state = state;
        this.reason = reason;
        this.wait = stood ? FIRST_WAIT : Math.min(2 * this.wait, LONGEST_WAIT);
        clearTimeout(this.timer);
        if (state === "away") {
            this.timer = setTimeout(() => this.begin(), this.wait * (0.5 + Math.random() / 2));
        }
        this.onLost?.();
        this.onChange?.();
    }
}


if (Line.possible) {
    // A message that rhea cannot read costs itself only, and not the connection, at each new try again.
    const decode = rheaUmd.message.decode;
    rheaUmd.message.decode = (data) => {
        try {
            return decode(data);
        } catch {
            return {};
        }
    };
}
