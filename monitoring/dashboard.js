/* The dashboard: a headline, the suite as a live picture, two graphs, a table of figures, and buttons that break things.
 *
 * It speaks AMQP (webui/line.js) through the gateway:
 *
 *     /amqp/monitor    a receiver from monitor: all services' reports, once a second
 *     /amqp/launcher   a receiver from launcher: the processes it started; a sender to it: commands
 *
 * What it knows is in figures.js. What it shows are headline.js, picture.js, graphs.js, table.js and events.js, and
 * orders.js is how it breaks things; here they are wired. Classic scripts, for it is opened from the disk too.
 */
"use strict";

const LAG = 1.2;                // seconds that graphs are behind: the next report then comes before it is due

let changed = true;             // there is news
let skew = 0;                   // seconds that the monitor's clock is ahead of ours


// What comes

const past = new History(), suite = new Suite(), colours = new Colours(), events = new Events(suite);
const onTrouble = (error) => events.onTrouble(error);

const monitor = new Line("monitor", {
    onMessage: ({body}) => onReports(body?.time, body?.reports, body?.balance),
    onOpen: () => events.quiet = performance.now() + 3000,      // a new monitor finds one service after the other
    onLost: () => {
        suite.onSilence();
        events.quiet = Infinity;        // it is the monitor that has gone, not all the others
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

function onReports(time, told, balance) {
    if (!isTime(time) || !Array.isArray(told)) {
        return;
    }
    const reports = soundReports(told);
    if (past.add(time, reports)) {
        const ahead = time - Date.now() / 1000;
        skew = Math.abs(ahead - skew) > 2 ? ahead : skew + (ahead - skew) * 0.2;
        suite.onReports(time, reports, soundBalance(balance));
        changed = true;
    }
}

function onProcesses({processes, rate}) {
    if (!Array.isArray(processes)) {
        return;
    }
    suite.onProcesses(soundProcesses(processes));
    orders.showRate(rate);
    changed = true;
}


// What is seen

const orders = new Orders(launcher, events), picture = new Picture(suite, colours, orders);
const headline = new Headline(suite), table = new Table(suite, colours);
const graphs = new Graphs(past, suite, colours, events);

// What a monitor has to be told of a suite with an offset.
const ELSEWHERE = PORT === 5673 ? ""
    : ` --directory ${GATEWAY.slice(0, GATEWAY.lastIndexOf(":"))}:${PORT - 1} --port ${PORT + 327}`;

function showLines() {
    showStates(monitor, launcher);
    const none = monitor.state === "away" && launcher.state === "away";
    showStatus(monitor.reason && monitor.reason === launcher.reason
        ? `${monitor.reason}Trying again.`
        : none
        ? `Barker does not answer at ${GATEWAY}. To start it: ${startWith("--monitoring")}. This page finds it by itself.`
        : monitor.state === "away"
        ? `No monitor answers, so nothing new is drawn. To start one: cd monitoring && python launch.py${ELSEWHERE}`
        : launcher.state === "away" ? "No launcher answers: this only watches."
        : "");
    orders.show();
    changed = true;
}

/* Of services that nobody has heard of for long, nothing stays here. */
function forget() {
    events.forget();
    graphs.forget();
    colours.keep((name) => suite.known.has(name) || past.services.has(name) || picture.cards.has(name));
}

/* Each part for itself: what goes wrong in one leaves the others as they are. */
const attempt = (part) => contained(part, onTrouble)();

function frame() {
    requestAnimationFrame(frame);       // first: whatever happens below, there is a next one
    if (changed) {
        changed = false;
        [events, headline, picture, table].forEach((part) => attempt(() => part.show()));
        attempt(forget);
        graphs.all.forEach((graph) => attempt(() => graph.update()));
    }
    if (picture.moved) {
        picture.moved = false;
        attempt(() => picture.place());
    }
    const now = Date.now() / 1000 + skew - LAG;
    graphs.all.forEach((graph) => attempt(() => graph.draw(now)));
}


// The start

at("span").addEventListener("change", (event) => graphs.show(Number(event.target.value)));
for (const choice of ["direction", "over"]) {
    at(choice).addEventListener("change", (event) => {
        graphs[choice] = event.target.value;
        changed = true;
    });
}
new ResizeObserver(() => picture.moved = true).observe(at("suite"));
new ResizeObserver(() => graphs.resize()).observe(at("graphs"));

if (Line.possible && window.uPlot) {
    monitor.begin();
    launcher.begin();
    requestAnimationFrame(frame);
} else {
    showStatus(LACKING);
}

/* What is drawn, for who wants to check it (tests, the console). */
window.dashboard = {
    onReports,
    onProcesses,
    plotted: () => graphs.plotted(),
    paths: () => picture.flows(),
};
