/* The dashboard: the suite as a live picture, two graphs, a table of figures, and buttons that break things.
 *
 * It speaks AMQP (webui/line.js) through the gateway:
 *
 *     /amqp/monitor    a receiver from monitor: all services' reports, once a second
 *     /amqp/launcher   a receiver from launcher: the processes it started; a sender to it: commands
 *
 * What it knows is in figures.js; here is what it shows. Classic scripts, for it is opened from the disk too.
 */
"use strict";

const COMMAND_WAIT = 12000;     // milliseconds the launcher has to answer
const MOST_EVENTS = 100;
const MOST_TROUBLES = 20;       // different errors of this page that are told
const LAG = 1.2;                // seconds that graphs are behind: the next report then comes before it is due
const HUES = [32, 250, 150, 305, 85, 205, 350, 120, 275, 60, 180, 330];

const at = (id) => document.getElementById(id);
const history_ = new History(), suite = new Suite();


// Colours: each service has one, in the picture and in both graphs

const colours = new Map();      // by name: a number, the lowest that was free

function colourOf(name) {
    if (!colours.has(name)) {
        const taken = new Set(colours.values());
        let free = 0;
        while (taken.has(free)) {
            free += 1;
        }
        colours.set(name, free);
    }
    const n = colours.get(name), ring = Math.floor(n / HUES.length) % 2;
    return `oklch(${ring ? 52 : 64}% ${ring ? 0.11 : 0.16} ${HUES[n % HUES.length]})`;
}

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();


// Numbers

const number = (digits, scale = 1) => (value) => value === null || value === undefined ? ""
    : (value * scale).toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
const count = number(0), tenths = number(1);
const rateText = (rate) => `${rate >= 100 ? count(rate) : tenths(rate)}/s`;

function duration(seconds) {
    const s = Math.max(0, Math.round(seconds));
    return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : `${tenths(s / 3600)} h`;
}


// The picture

const cards = new Map();        // by name
const lines = new Map();        // by "from to": the flows' paths

function card(name, column) {
    let shown = cards.get(name);
    if (!shown) {
        shown = at("card").content.firstElementChild.cloneNode(true);
        shown.dataset.name = name;
        shown.querySelector("b").textContent = name;
        shown.style.setProperty("--colour", colourOf(name));
        for (const button of shown.querySelectorAll("button")) {
            button.setAttribute("aria-label", `${button.dataset.verb} ${name}`);
            button.addEventListener("click", () => order(button.dataset.verb, {name}));
        }
        cards.set(name, shown);
        const after = [...at(column).querySelectorAll(".card")].find((other) => inOrder(name, other.dataset.name));
        at(column).insertBefore(shown, after || null);
        moved = true;
    }
    return shown;
}

const inOrder = (a, b) => a.localeCompare(b, "en", {numeric: true}) < 0;

const TITLES = {
    kill: "Kill it (SIGKILL)",
    freeze: "Freeze it (SIGSTOP)",
    thaw: "Thaw it (SIGCONT)",
    stop: "Have it end (SIGTERM)",
    start: "Start it again",
};
const CAN = {frozen: ["kill", "thaw", "stop"], gone: ["start"]};

function showCard(name) {
    const {column} = suite.known.get(name);
    const shown = card(name, column), report = suite.report(name), process = suite.processes.get(name);
    const state = suite.state(name), can = own(CAN, state) || ["kill", "freeze", "stop"];
    const mine = process && (state === "gone" || !report || report.pid === process.pid);
    shown.dataset.state = state;
    setText(shown.querySelector(".state"), state === "up" ? "" : state);
    setText(shown.querySelector(".says"), says(name, report, state));
    for (const button of shown.querySelectorAll("button")) {
        button.hidden = !mine || !can.includes(button.dataset.verb);
        setDisabled(button, TITLES[button.dataset.verb]);
    }
}

/* The figure that matters most for this kind of service. */
function says(name, report, state) {
    if (!report) {
        return state === "gone" ? "no process" : state === "starting" ? "starts" : "no report";
    }
    const rate = rateText(suite.rates.get(name).sent);
    return columnOf(report) === "helpers" ? own(HELPS, report.type)?.(report) || ""
        : report.mode === "history" ? `${rateText(suite.rates.get(name).received)}, ${count(report.timelines)} timelines`
        : report.depth !== undefined ? `${rate}, depth ${count(report.depth)}`
        : report.active === false ? "waits for its turn"
        : report.latency_p50 ? `${rate}, ${tenths(report.latency_p50 * 1000)} ms to the inbox`
        : rate;
}

const HELPS = {
    directory: ({routes}) => `${count(routes)} routes`,
    gateway: ({websockets}) => `${count(websockets)} WebSockets`,
    monitor: ({agents}) => `reads ${count(agents)} agents`,
    launcher: () => "starts and breaks",
};

function showReaders() {
    const inboxes = [...suite.reports.values()].filter(({mode}) => mode === "history");
    const readers = inboxes.reduce((sum, {readers = 0}) => sum + readers, 0);
    const rate = inboxes.reduce((sum, {name}) => sum + suite.rates.get(name).sent, 0);
    const shown = card("readers", "readers");
    shown.dataset.state = inboxes.length ? "up" : "gone";
    setText(shown.querySelector("b"), `${count(readers)} ${readers === 1 ? "reader" : "readers"}`);
    setText(shown.querySelector(".says"), rateText(rate));
    shown.querySelectorAll("button").forEach((button) => button.hidden = true);
}

function showFlows() {
    const flows = new Map(suite.flows().map((flow) => [`${flow.from} ${flow.to}`, flow]));
    for (const [key, path] of lines) {
        if (!flows.has(key)) {
            path.remove();
            lines.delete(key);
        }
    }
    for (const [key, {from, to, rate}] of flows) {
        let path = lines.get(key);
        if (!path && cards.has(from) && cards.has(to)) {
            path = document.createElementNS("http://www.w3.org/2000/svg", "path");
            path.dataset.from = from;
            path.dataset.to = to;
            path.style.stroke = colourOf(from);
            lines.set(key, path);
            at("flows").append(path);
            place(path);
        }
        if (path) {
            path.dataset.rate = rate;
            path.classList.toggle("flows", rate > 0);
            path.style.strokeWidth = rate > 0 ? `${1.5 + 2.2 * Math.log10(1 + rate)}px` : "";
        }
    }
}

/* Draw a path from card to card: to the right, or down where columns are stacked. */
function place(path) {
    const origin = at("suite").getBoundingClientRect();
    const from = cards.get(path.dataset.from).getBoundingClientRect();
    const to = cards.get(path.dataset.to).getBoundingClientRect();
    const x = (value) => (value - origin.left).toFixed(1), y = (value) => (value - origin.top).toFixed(1);
    if (to.left >= from.right) {
        const middle = x((from.right + to.left) / 2), start = y(from.top + from.height / 2);
        const end = y(to.top + to.height / 2);
        path.setAttribute("d", `M${x(from.right)} ${start}C${middle} ${start} ${middle} ${end} ${x(to.left)} ${end}`);
    } else {
        const middle = y((from.bottom + to.top) / 2), start = x(from.left + from.width / 2);
        const end = x(to.left + to.width / 2);
        path.setAttribute("d", `M${start} ${y(from.bottom)}C${start} ${middle} ${end} ${middle} ${end} ${y(to.top)}`);
    }
}

function showSuite() {
    const names = suite.names();
    names.forEach(showCard);
    showReaders();
    for (const [name, shown] of cards) {
        if (name !== "readers" && !suite.known.has(name)) {
            shown.remove();
            cards.delete(name);
            moved = true;
        }
    }
    showFlows();
}


// The graphs

class Graph {
    /* `rows(name)`: the values of a service that are drawn, or nothing; `text(value)`: as the legend has them. */
    constructor(element, text, rows) {
        Object.assign(this, {element, text, rows, names: [], plot: undefined, drawn: -1});
    }

    rebuild() {
        this.plot?.destroy();
        this.plot = new uPlot(this.options(), this.data(), this.element);
        this.drawn = -1;
    }

    /* New data, or other services. */
    update() {
        const names = [...history_.services.keys()].filter((name) => this.rows(name)).sort(
            (a, b) => a.localeCompare(b, "en", {numeric: true}));
        if (!this.plot || names.join() !== this.names.join()) {
            this.names = names;
            this.rebuild();
        } else {
            this.plot.setData(this.data(), false);
            this.plot.setLegend({idx: this.plot.cursor.idx ?? null});
            this.drawn = -1;
        }
    }

    data() {
        return [history_.times, ...this.names.map((name) => this.rows(name))];
    }

    options() {
        const axis = {stroke: () => style("--soft"), grid: {stroke: () => style("--line"), width: 1}, ticks: {show: false},
            font: "12px system-ui, sans-serif"};
        const text = (value) => value === null || value === undefined ? "–" : this.text(value);
        const clock = {hour: "2-digit", minute: "2-digit", ...span < 300 && {second: "2-digit"}};
        const times = (_, times) => times.map((time) => new Date(time * 1000).toLocaleTimeString("en-GB", clock));
        return {
            ...this.size(),
            cursor: {sync: {key: "barker"}, drag: {x: false, y: false}, points: {size: 6}},
            scales: {x: {auto: false}, y: {range: (_, low, high) => [0, Math.max(10, (high || 0) * 1.1)]}},
            axes: [{...axis, size: 34, values: times}, {...axis, size: 62, values: (_, values) => values.map((value) => value.toLocaleString("en"))}],
            series: [{}, ...this.names.map((name) => ({
                label: name,
                stroke: colourOf(name),
                width: 2,
                points: {show: false},
                value: (plot, value, series, index) => text(index === null ? plot.data[series].at(-1) : value),
            }))],
            hooks: {drawAxes: [drawEvents]},
        };
    }

    size() {
        return {width: Math.max(200, this.element.clientWidth), height: 240};
    }

    resize() {
        this.plot?.setSize(this.size());
        this.drawn = -1;
    }

    /* Move on with time, as soon as that is a pixel. */
    draw(now, span) {
        if (this.plot) {
            const pixel = span / (this.plot.bbox.width || 1), step = Math.floor(now / pixel);
            if (step !== this.drawn) {
                this.drawn = step;
                this.plot.setScale("x", {min: now - span, max: now});
            }
        }
    }
}

let direction = "sent", span = 300;
const depthGraph = new Graph(at("depth"), count, (name) => {
    const {depth} = history_.services.get(name);
    return depth.some((value) => value !== null) ? depth : undefined;
});
const rateGraph = new Graph(at("rates"), tenths, (name) => history_.services.get(name)[direction]);
const graphs = [depthGraph, rateGraph];

/* A thin line for everything that happened. */
function drawEvents(plot) {
    const {ctx, bbox: {top, left, width, height}} = plot;
    ctx.save();
    ctx.strokeStyle = style("--bad");
    ctx.globalAlpha = 0.35;
    ctx.setLineDash([4, 4]);
    for (const {time, drawn} of events) {
        const x = plot.valToPos(time, "x", true);
        if (drawn && x >= left && x <= left + width) {
            ctx.beginPath();
            ctx.moveTo(x, top);
            ctx.lineTo(x, top + height);
            ctx.stroke();
        }
    }
    ctx.restore();
}


// The table

const COLUMNS = {
    "state": ({name}) => suite.state(name),
    "pid": ({pid = ""}) => String(pid),
    "up": ({since}) => since === undefined ? "" : duration(suite.time - since),
    "in/s": ({received_rate}) => tenths(received_rate),
    "out/s": ({sent_rate}) => tenths(sent_rate),
    "in": ({received}) => count(received),
    "out": ({sent}) => count(sent),
    "depth": ({depth, mode}) => mode === "history" ? "" : count(depth),
    "in flight": ({in_flight, mode}) => mode === "history" ? "" : count(in_flight),
    "dead letters": ({dead_letters, mode}) => mode === "history" ? "" : count(dead_letters),
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
const MEANS = {
    "in/s": "Messages in, over the last ten seconds",
    "out/s": "Messages out, over the last ten seconds",
    "in": "Messages in, since the start",
    "out": "Messages out, since the start",
    "p50 ms": "From a bark's creation to its acceptance by the inbox: median of ten seconds",
    "p99 ms": "From a bark's creation to its acceptance by the inbox: 99th percentile of ten seconds",
    "missed": "Messages that readers were too slow for",
    "CPU %": "Of one core, over the last second",
    "MB": "Resident memory",
};

const rows = new Map();         // by name

function showFigures() {
    const body = at("figures").tBodies[0], names = suite.names();
    for (const [name, row] of rows) {
        if (!suite.known.has(name)) {
            row.remove();
            rows.delete(name);
        }
    }
    names.forEach((name, index) => {
        let row = rows.get(name);
        if (!row) {
            row = document.createElement("tr");
            row.append(document.createElement("th"), ...Object.keys(COLUMNS).map(() => document.createElement("td")));
            row.cells[0].textContent = name;
            row.cells[0].style.setProperty("--colour", colourOf(name));
            rows.set(name, row);
        }
        if (body.rows[index] !== row) {
            body.insertBefore(row, body.rows[index] || null);
        }
        const report = suite.report(name);
        row.dataset.state = suite.state(name);
        Object.values(COLUMNS).forEach((value, column) => setText(row.cells[column + 1],
            report ? value(report) : column === 0 ? row.dataset.state : ""));
    });
}


// What happened

const events = [];
const states = new Map();       // by name
let quiet = 0;                  // until then (performance.now()) states are new to us, not changes

function tell(text, kind = "", drawn = false) {
    const time = suite.time || Date.now() / 1000;
    events.push({time, drawn});
    const item = document.createElement("li");
    item.className = kind;
    const when = document.createElement("time");
    when.textContent = new Date(time * 1000).toLocaleTimeString("en-GB");
    item.append(when, text);
    at("events").prepend(item);
    while (events.length > MOST_EVENTS) {
        events.shift();
        at("events").lastElementChild.remove();
    }
}

const HAPPENED = {
    gone: "is gone", frozen: "is frozen", silent: "does not report", up: "is there", active: "is active", standby: "stands by",
};

function notice() {
    for (const name of suite.names()) {
        const state = suite.state(name);
        const happened = own(HAPPENED, state);
        if (state !== states.get(name) && happened) {
            states.set(name, state);
            if (performance.now() > quiet) {
                tell(`${name} ${happened}`, state, true);
            }
        }
    }
}

/* Of services that nobody has heard of for long, nothing stays here. */
function forget() {
    for (const name of states.keys()) {
        if (!suite.known.has(name)) {
            states.delete(name);
        }
    }
    for (const name of colours.keys()) {
        if (!suite.known.has(name) && !history_.services.has(name) && !cards.has(name)) {
            colours.delete(name);
        }
    }
}

const troubles = new Set();     // what was told

/* An error of this page: told once, and the page goes on. */
function onTrouble(error) {
    const text = `an error of this page: ${error.message}`;
    if (!troubles.has(text) && troubles.size < MOST_TROUBLES) {
        troubles.add(text);
        tell(text, "refused");
        console.info(error);
    }
}


// Commands

let token = runToken();

const DONE = {
    kill: "kill", freeze: "freeze", thaw: "thaw", stop: "stop", start: "start", add: "one more", rate: "barks/s of each autobark:",
};

function order(verb, body) {
    const what = `${DONE[verb]} ${body.name || body.kind || body.rate}`;
    let answered = false;
    const answer = (text) => {
        if (!answered) {
            answered = true;
            tell(`you: ${what}${text}`, text ? "refused" : "done");
        }
    };
    const gone = launcher.send({subject: verb, application_properties: {token}, body},
        (outcome, reason) => answer(outcome === "accepted" ? "" : `: ${reason || "refused"}`));
    if (gone) {
        setTimeout(() => answer(": the launcher has not answered"), COMMAND_WAIT);
    } else {
        tell(`${what}: the launcher is away`, "refused");
    }
}

function setDisabled(button, title) {
    const why = launcher.state !== "open" ? "the launcher is away" : token ? "" : "this takes the run's token";
    button.disabled = Boolean(why);
    button.title = why ? `${title}: ${why}` : title;
}


// What is seen

function setText(element, text) {
    if (element.textContent !== text) {
        element.textContent = text;
    }
}

let changed = true, moved = true;       // there is news; cards have moved

const WORDS = {dialling: "connecting", open: "connected", away: "reconnecting"};

function showLines() {
    for (const {service, state} of [monitor, launcher]) {
        at(service).dataset.state = state;
        at(service).querySelector("span").textContent = WORDS[state];
    }
    const none = monitor.state === "away" && launcher.state === "away";
    const text = none ? `Barker does not answer at ${GATEWAY}. To start it: make run ARGS=--monitoring. This page finds it by itself.`
        : monitor.state === "away" ? "No monitor answers, so nothing new is drawn. To start one: cd monitoring && python launch.py"
        : launcher.state === "away" ? "No launcher answers: this only watches."
        : "";
    at("status").hidden = !text;
    setText(at("status"), text);
    for (const button of document.querySelectorAll("[data-add]")) {
        setDisabled(button, "Start it, beside those that run");
    }
    at("rate").disabled = launcher.state !== "open" || !token;
    changed = true;
}

let skew = 0;                   // seconds that the monitor's clock is ahead of ours

function onReports(time, told) {
    if (!isTime(time) || !Array.isArray(told)) {
        return;
    }
    const reports = soundReports(told);
    if (history_.add(time, reports)) {
        const ahead = time - Date.now() / 1000;
        skew = Math.abs(ahead - skew) > 2 ? ahead : skew + (ahead - skew) * 0.2;
        suite.onReports(time, reports);
        changed = true;
    }
}

function onProcesses({processes, rate}) {
    if (!Array.isArray(processes)) {
        return;
    }
    suite.onProcesses(soundProcesses(processes));
    if (document.activeElement !== at("rate") && Number.isFinite(rate)) {
        at("rate").value = rate;
    }
    changed = true;
}

/* Each part for itself: what goes wrong in one leaves the others as they are. */
const attempt = (part) => contained(part, onTrouble)();

function frame() {
    requestAnimationFrame(frame);       // first: whatever happens below, there is a next one
    if (changed) {
        changed = false;
        [notice, showSuite, showFigures, forget].forEach(attempt);
        graphs.forEach((graph) => attempt(() => graph.update()));
    }
    if (moved) {
        moved = false;
        attempt(() => lines.forEach(place));
    }
    const now = Date.now() / 1000 + skew - LAG;
    graphs.forEach((graph) => attempt(() => graph.draw(now, span)));
}


// The start

at("figures").tHead.rows[0].append(...["service", ...Object.keys(COLUMNS)].map((title) => {
    const cell = document.createElement("th");
    cell.textContent = title;
    cell.title = MEANS[title] || "";
    return cell;
}));
for (const button of document.querySelectorAll("[data-add]")) {
    button.addEventListener("click", () => order("add", {kind: button.dataset.add}));
}
at("break").addEventListener("submit", (event) => {
    event.preventDefault();
    document.activeElement.blur();
});
at("rate").addEventListener("change", () => {
    if (at("rate").reportValidity() && at("rate").value) {
        order("rate", {rate: Number(at("rate").value)});
    }
});
at("tokens").hidden = Boolean(token);
at("token").addEventListener("input", () => {
    token = at("token").value.trim();
    showLines();
});
at("span").addEventListener("change", (event) => {
    span = Number(event.target.value);
    graphs.forEach((graph) => graph.rebuild());
});
at("direction").addEventListener("change", (event) => {
    direction = event.target.value;
    changed = true;
});
new ResizeObserver(() => moved = true).observe(at("suite"));
new ResizeObserver(() => graphs.forEach((graph) => graph.resize())).observe(at("graphs"));

const monitor = new Line("monitor", {
    onMessage: ({body}) => onReports(body?.time, body?.reports),
    onOpen: () => quiet = performance.now() + 3000,     // a new monitor finds one service after the other
    onLost: () => {
        suite.onSilence();
        quiet = Infinity;           // it is the monitor that has gone, not all the others
    },
    onChange: showLines,
    onTrouble,
});
const launcher = new Line("launcher", {
    onMessage: ({body}) => onProcesses(body || {}),
    sends: true,
    onChange: showLines,
    onTrouble,
});
if (Line.possible && window.uPlot) {
    monitor.dial();
    launcher.dial();
    requestAnimationFrame(frame);
} else {
    at("status").hidden = false;
    at("status").textContent = "What this page needs is not there yet. Run make setup once, then load the page again.";
}

/* What is drawn, for who wants to check it (tests, the console). */
window.dashboard = {
    onReports,
    onProcesses,
    plotted: () => Object.fromEntries(graphs.map((graph) => [graph.element.id,
        Object.fromEntries(graph.names.map((name, index) => [name, [...graph.plot.data[index + 1]]]))])),
    paths: () => [...lines.values()].map(({dataset: {from, to, rate}}) => ({from, to, rate: Number(rate)})),
};
