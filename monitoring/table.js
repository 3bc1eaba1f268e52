/* The table: every figure of every service, a row for each.
 *
 * The figures are a Suite's (figures.js); each name has its service's colour (colours.js).
 */
"use strict";

class Table {
    /* By title: what a cell says, given the service's report and the suite. */
    static COLUMNS = {
        "state": ({name}, suite) => suite.state(name),
        "pid": ({pid}) => String(pid || ""),        // a broker's queue has none
        "up": ({since}, suite) => since === undefined ? "" : duration(suite.time - since),
        "in/s": ({received_rate_now}) => tenths(received_rate_now),
        "out/s": ({sent_rate_now}) => tenths(sent_rate_now),
        "in/s, 10 s": ({received_rate}) => tenths(received_rate),
        "out/s, 10 s": ({sent_rate}) => tenths(sent_rate),
        "in": ({received}) => count(received),
        "out": ({sent}) => count(sent),
        "depth": ({depth}) => count(depth),
        "in flight": ({in_flight}) => count(in_flight),
        "consumers": ({consumers}) => count(consumers),
        "dead letters": ({dead_letters}) => count(dead_letters),
        "ms now": ({latency_now}) => number(1, 1000)(latency_now),
        "p50 ms": ({latency_p50}) => number(1, 1000)(latency_p50),
        "p99 ms": ({latency_p99}) => number(1, 1000)(latency_p99),
        "connections": ({connections}) => count(connections),
        "readers": ({readers}) => count(readers),
        "missed": ({missed}) => count(missed),
        "CPU %": ({cpu}) => number(1, 100)(cpu),
        "MB": ({memory}) => number(1, 1e-6)(memory),
        "files": ({files}) => count(files),
        "journal MB": ({journal_bytes}) => number(1, 1e-6)(journal_bytes),
    };
    static MEANS = {
        "in/s": "Messages in, over the last second",
        "out/s": "Messages out, over the last second",
        "in/s, 10 s": "Messages in, over the last ten seconds",
        "out/s, 10 s": "Messages out, over the last ten seconds",
        "in": "Messages in, since the start",
        "out": "Messages out, since the start",
        "ms now": "From a bark's creation to its acceptance by the inbox, or a broker's stream: median of the last second",
        "p50 ms": "From a bark's creation to its acceptance by the inbox, or a broker's stream: median of ten seconds",
        "p99 ms": "From a bark's creation to its acceptance by the inbox, or a broker's stream: 99th percentile of ten seconds",
        "missed": "Messages that readers were too slow for",
        "CPU %": "Of one core, over the last second",
        "MB": "Resident memory",
    };

    constructor(suite, colours) {
        Object.assign(this, {suite, colours});
        this.rows = new Map();          // by name
        at("figures").tHead.rows[0].append(...["service", ...Object.keys(Table.COLUMNS)].map((title) => {
            const cell = make("th", "", title);
            cell.title = Table.MEANS[title] || "";
            return cell;
        }));
    }

    show() {
        const body = at("figures").tBodies[0], names = this.suite.names();
        for (const [name, row] of this.rows) {
            if (!this.suite.known.has(name)) {
                row.remove();
                this.rows.delete(name);
            }
        }
        names.forEach((name, index) => {
            const row = this.row(name);
            if (body.rows[index] !== row) {
                body.insertBefore(row, body.rows[index] || null);
            }
            this.fill(row, name);
        });
    }

    row(name) {
        if (!this.rows.has(name)) {
            const cells = Object.keys(Table.COLUMNS).map((title) => make("td", title === "dead letters" ? "letters" : ""));
            const row = make("tr", "", make("th", "", name), ...cells);
            row.cells[0].style.setProperty("--colour", this.colours.of(name));
            this.rows.set(name, row);
        }
        return this.rows.get(name);
    }

    fill(row, name) {
        const report = this.suite.report(name);
        row.dataset.state = this.suite.state(name);
        row.classList.toggle("has-letters", report?.dead_letters > 0);
        Object.values(Table.COLUMNS).forEach((value, column) => setText(row.cells[column + 1],
            report ? value(report, this.suite) : column === 0 ? row.dataset.state : ""));
    }
}
